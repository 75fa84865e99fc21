"""The Noising page's state in the session and in the address bar: one place to read it, one to
change it.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from pages._shared import labdata
from pages._shared.labstate import Lab, merged, start
from rgdiff_core.data import DataUnavailable

__all__ = [
    "KEY",
    "attempt",
    "change",
    "current",
    "prepare",
    "problem",
    "rested",
    "sent",
    "stamp",
    "started",
    "with_data",
    "write_link",
]

_LAB, _STAMP, _SENT, _LINK, _PROBLEM, _ACTED = (
    f"noising-{name}" for name in ("lab", "stamp", "sent", "link", "problem", "acted")
)
KEY = "lab"  # of the component
PARAMETER = "state"
SENTENCE = 300  # characters


def prepare(data: str) -> None:
    """Take the state from a new address, or start afresh; a bad address leaves the last good
    state.

    In the run after a click the address may still be an older one: it counts for nothing, and is
    written anew.
    """
    acted = st.session_state.pop(_ACTED, False)
    if _LAB not in st.session_state:
        _adopt(start(data))
    link = st.query_params.get(PARAMETER)
    if link is not None and link != st.session_state.get(_LINK) and not acted:
        st.session_state[_LINK] = link
        with st.spinner("Opening the link …"):
            attempt(lambda: Lab.from_json(link), "This link does not describe a state: ")


def current() -> Lab:
    """Return the present state."""
    return st.session_state[_LAB]


def started() -> bool:
    """Tell whether the Noising page has been open in this session."""
    return _LAB in st.session_state


def stamp() -> str:
    """Return the stamp under which the browser was last told a state."""
    return st.session_state[_STAMP]


def sent() -> str:
    """Return the state, as JSON, that the browser was last told."""
    return st.session_state[_SENT]


def _adopt(lab: Lab) -> None:
    st.session_state[_LAB] = lab
    # unique beyond this session, for the browser may outlive it
    st.session_state[_STAMP] = secrets.token_hex(6)
    st.session_state[_SENT] = lab.to_json()


def change(lab: Lab) -> None:
    """Make this the state and tell the browser; raises `ValueError` where it can't be built."""
    for side in lab.sides:
        labdata.process(lab.data, side)
    _adopt(lab)


def with_data(data: str) -> Lab:
    """Return the state on another data set, with as many wavelet levels as its images allow."""
    return labdata.fitting(replace(current(), data=data, first=0))


def attempt(make: Callable[[], Lab], prefix: str = "") -> None:
    """Change to a state that is made here, of what the hand left in the browser; where it can't
    be, keep the last one and say why.
    """
    rested(st.session_state.get(KEY, {}).get("rest"))
    st.session_state[_ACTED] = True
    try:
        change(make())
    except (ValueError, OSError, DataUnavailable) as error:
        st.session_state[_PROBLEM] = _sentence(f"{prefix}{error}")


def problem() -> str | None:
    """Return, once, the sentence that says why the last change was refused."""
    return st.session_state.pop(_PROBLEM, None)


def rested(rest: dict | None) -> None:
    """Take over what the browser says when the hand rests, unless it is of an older state."""
    if not rest or str(rest.get("stamp")) != stamp():
        return
    try:
        st.session_state[_LAB] = merged(current(), rest)
    except ValueError as error:
        st.session_state[_PROBLEM] = _sentence(str(error))


def _sentence(text: str) -> str:
    """Cut what would fill the page: a fault may quote a link's endless name."""
    return text if len(text) <= SENTENCE else f"{text[: SENTENCE // 2]} … {text[-SENTENCE // 2 :]}"


def write_link() -> None:
    """Write the present state into the address bar, if it is not there yet."""
    st.session_state.pop(_ACTED, None)
    link = json.dumps(json.loads(current().to_json()), separators=(",", ":"))
    if link != st.query_params.get(PARAMETER):
        st.session_state[_LINK] = link
        st.query_params[PARAMETER] = link
