"""The Samples page's browser component: the curve, the sampler, and samples as they are drawn."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pages._shared import component

__all__ = ["mount", "script"]

SCRIPTS = (
    "state.js",
    "wire.js",
    "film.js",
    "view.js",
    "histogram.js",
    "guidance.js",
    "sampler.js",
    "keys.js",
    "reverse.js",
)
_HERE = Path(__file__).parent


def script() -> str:
    """Return the component's JavaScript as one module."""
    return component.script(_HERE, SCRIPTS)


@cache
def _component() -> Callable[..., Any]:
    return component.browser_component(
        "rgdiff_reverse", _HERE, SCRIPTS, "reverse.html", "reverse.css"
    )


def mount(data: bytes, key: str) -> dict[str, Any] | None:
    """Mount the component with a bench message.

    Returns:
        The last state that rested, with its ``seq`` and ``revision``; None before the first.
    """
    return _component()(data=data, key=key, on_client_state_change=lambda: None).get(
        "client_state"
    )
