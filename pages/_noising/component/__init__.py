"""The lab: the Noising page's browser component, which holds everything that is dragged."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pages._shared import component

__all__ = ["mount", "script"]

SCRIPTS = (
    "state.js",
    "film.js",
    "present.js",
    "controls.js",
    "stage.js",
    "plots.js",
    "keys.js",
    "lab.js",
)
_HERE = Path(__file__).parent


def script() -> str:
    """Return the lab's JavaScript: one module, joined from its files."""
    return component.script(_HERE, SCRIPTS)


@cache
def _component() -> Callable[..., Any]:
    return component.browser_component("rgdiff_lab", _HERE, SCRIPTS, "lab.html", "lab.css")


def mount(data: bytes, key: str, on_change: Callable[[], None]) -> dict[str, Any] | None:
    """Mount the lab with a bands message.

    Arguments:
        data: A bands message, as `component.pack` makes it.
        key: The element's key; keep it, or the component starts again.
        on_change: Called before the script runs again because the state has come to rest.

    Returns:
        The last state that rested, with its ``seq`` and ``revision``; None before the first.
    """
    return _component()(data=data, key=key, on_client_state_change=on_change).get("client_state")
