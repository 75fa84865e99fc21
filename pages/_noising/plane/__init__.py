"""The plane of two sites: density, flow lines and noise, painted while everything is dragged."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pages._shared import component

__all__ = ["mount", "script"]

SCRIPTS = ("flow.js", "picture.js", "plane.js")
_HERE = Path(__file__).parent


def script() -> str:
    """Return the component's JavaScript as one module."""
    return component.script(_HERE, SCRIPTS)


@cache
def _component() -> Callable[..., Any]:
    return component.browser_component("rgdiff_plane", _HERE, SCRIPTS, "plane.html", "plane.css")


def mount(data: bytes, key: str) -> dict[str, Any] | None:
    """Mount the component with a message of the plane.

    Returns:
        The last state that rested, with its ``revision``; None before the first.
    """
    return _component()(data=data, key=key, on_client_state_change=lambda: None).get(
        "client_state"
    )
