"""The way to the Samples page from the others; it imports little, for they do."""

import json
from collections.abc import Callable

import streamlit as st

from pages._sampling.setting import MAX_SAMPLES, Setting
from rgdiff_core.spec import to_dict

__all__ = ["open_button"]


def open_button(make: Callable[[], Setting], key: str, n: int = MAX_SAMPLES) -> None:
    """Draw a button that leads to the Samples page with a setting, for n samples."""
    if not st.button(
        "Open in Samples",
        key=key,
        icon=":material/auto_awesome:",
        help="Drag its schedule and watch the samples follow.",
    ):
        return
    try:
        link = json.dumps({"kind": "SamplesState", "setting": to_dict(make()), "n": n})
    except (ValueError, OSError) as error:
        st.warning(str(error), icon=":material/info:")
        return
    st.switch_page("pages/samples.py", query_params={"state": link})
