"""The Noising page's state in the session and in the address bar."""

from dataclasses import replace

import streamlit as st

from pages._noising.data import fitting
from pages._noising.state import Lab, merged, start
from pages._shared.page_state import DraggedState, json_address
from pages._shared.side import process

__all__ = [
    "KEY",
    "attempt",
    "change",
    "current",
    "opening",
    "prepare",
    "problem",
    "rested",
    "sent",
    "stamp",
    "started",
    "with_data",
    "write_link",
]

KEY = "lab"  # of the component
OPENING = "noising-opening"


def _check(lab: Lab) -> None:
    for side in lab.sides:
        process(lab.data, side)


_page = DraggedState("noising", json_address(Lab.from_json), _check, KEY, merged)
attempt, change, current = _page.attempt, _page.change, _page.current
problem, rested, sent = _page.problem, _page.rested, _page.sent
stamp, started, write_link = _page.stamp, _page.started, _page.write_link


def prepare(data: str) -> None:
    """Take the state from a new address, or start afresh with this data set."""
    opens = not started() and not _page.address.present()
    _page.prepare(lambda: start(data))
    if opens:
        st.session_state[OPENING] = stamp()


def opening() -> bool:
    """Return whether the browser shows the state that a newcomer sees, which begins to move."""
    return st.session_state.get(OPENING) == stamp()


def with_data(data: str) -> Lab:
    """Return the state on another data set, with as many wavelet levels as its images allow."""
    return fitting(replace(current(), data=data, first=0))
