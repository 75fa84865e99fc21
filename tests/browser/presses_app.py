"""A page with a button and a clock, which test_presses.py serves."""

import sys
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.scriptrunner import get_script_run_ctx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pages._frame.presses import OnePress


def press() -> None:
    st.session_state["presses"] = st.session_state.get("presses", 0) + 1


def clock() -> None:
    st.session_state["turns"] = st.session_state.get("turns", 0) + 1
    st.write(f"Turn {st.session_state['turns']}.")


def draw() -> None:
    st.button("Press", on_click=press)
    st.write(f"Pressed: {st.session_state.get('presses', 0)}.")
    st.fragment(clock, run_every=0.3)()


if get_script_run_ctx(suppress_warning=True) is None:
    app = st.App(__file__, middleware=[Middleware(OnePress)])
else:
    draw()
