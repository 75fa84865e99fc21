"""The Samples page's browser component: the curve, the sampler, and samples on their way."""

from functools import cache
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

from pages._shared.lab import EDITOR_SCRIPTS, page, source

__all__ = ["mount", "script"]

SCRIPTS = ("state.js", "wire.js", "view.js", "guidance.js", "sampler.js", "keys.js", "reverse.js")
_HERE = Path(__file__).parent


def _source(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def script() -> str:
    """Return the component's JavaScript: the editor of the curve and its own files, as one
    module.
    """
    return "\n".join((*map(source, EDITOR_SCRIPTS), *map(_source, SCRIPTS)))


@cache
def _component() -> Any:
    css = source("lab.css") + _source("reverse.css")
    return component("rgdiff_reverse", html=page(_source("reverse.html")), css=css, js=script())


def mount(data: bytes, key: str) -> dict[str, Any] | None:
    """Mount the component with a bench message.

    Returns:
        The last state that rested, with its ``seq`` and ``stamp``; None before the first.
    """
    return _component()(data=data, key=key, on_rest_change=lambda: None).get("rest")
