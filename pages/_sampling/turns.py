"""Draws that a page waits for: in the same queues as those of a drag.

So a page that draws many images does not keep another visitor from drawing a few fields.
"""

from collections.abc import Callable

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from torch import Tensor

from pages._sampling.draw import Frame, draw, found
from pages._sampling.models import load
from pages._sampling.parts import is_short
from pages._sampling.setting import Request
from pages._shared.lanes import LONG, SHORT, in_turn

__all__ = ["drawn", "followed", "visitor"]


def drawn(request: Request) -> Tensor:
    """Return the samples of a request: those that were drawn for it, or else drawn now; who waits
    reads what place he has. A page that is left, or run again, stops its draw.
    """
    x = found(request)
    if x is not None:
        return x
    note = st.empty()

    def say(place: int) -> None:
        note.caption(f"Waiting to draw, number {place} in the queue." if place else "Drawing …")

    try:
        return _draw(request, lambda frame: None, say)
    finally:
        note.empty()


def followed(request: Request) -> list[Frame]:
    """Return all states that are kept of a draw, which is done now."""
    frames: list[Frame] = []
    _draw(request, frames.append, lambda place: None)
    return frames


def _draw(request: Request, show: Callable[[Frame], None], say: Callable[[int], None]) -> Tensor:
    lane = SHORT if is_short(request, load(request.setting)) else LONG
    return in_turn(lane, visitor(), lambda look: draw(request, show, look), say)


def visitor() -> str:
    """Return the address of whom a page is for, nothing for this machine and outside of a page."""
    inside = get_script_run_ctx(suppress_warning=True) is not None
    return (st.context.ip_address if inside else None) or ""
