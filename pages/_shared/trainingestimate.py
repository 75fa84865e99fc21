"""How long a run would take: a few of its steps, measured in the background."""

from concurrent.futures import Future, ThreadPoolExecutor

import streamlit as st

from rgdiff_core.training import Timing, TrainConfig, measure
from rgdiff_core.training.commands import duration

__all__ = ["estimate"]

_ASKED = "training-measured"


@st.cache_resource(max_entries=1, show_spinner=False)
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "measure")


@st.cache_resource(max_entries=32, show_spinner=False)
def _measuring(config: str) -> Future[Timing]:
    return _worker().submit(measure, TrainConfig.from_json(config))


def estimate(config: TrainConfig) -> None:
    """Draw the button that measures, and what it found; the page stays usable meanwhile."""
    key = config.to_json()
    asked = st.session_state.setdefault(_ASKED, set())
    st.button(
        "How long?",
        icon=":material/speed:",
        width="stretch",
        on_click=lambda: asked.add(key),
        help="Take a few real steps on this machine and throw them away.",
    )
    if key in asked:
        waiting = not _measuring(key).done()
        st.fragment(_answer, run_every=1.0 if waiting else None)(key, config.steps, waiting)


def _answer(key: str, steps: int, waiting: bool) -> None:
    measured = _measuring(key)
    if not measured.done():
        st.caption("Taking a few steps …")
        return
    if waiting:
        st.rerun()
    try:
        timing = measured.result()
    except (ValueError, OSError, RuntimeError) as error:
        st.warning(str(error).splitlines()[0], icon=":material/info:")
        st.session_state[_ASKED].discard(key)
        _measuring.clear(key)
        return
    st.caption(
        f"{timing.parameters:,} parameters, {1000 * timing.step_s:.3g} ms a step on "
        f"{timing.device}: **{duration(timing.total_s)}** for {steps:,} steps, if the machine "
        "has nothing else to do."
    )
