"""How long a run would take: a few of its steps, measured in the background."""

from concurrent.futures import Future, ThreadPoolExecutor

import streamlit as st

from rgdiff_core.terminal import duration
from rgdiff_core.training import Timing, TrainConfig, measure

__all__ = ["answer", "ask"]

_ASKED = "training-measured"


@st.cache_resource(max_entries=1, show_spinner=False)
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "measure")


@st.cache_resource(max_entries=32, show_spinner=False)
def _measuring(config: str) -> Future[Timing]:
    return _worker().submit(measure, TrainConfig.from_json(config))


def ask(config: TrainConfig) -> None:
    """Draw the button that measures; the page stays usable meanwhile."""
    key, asked = config.to_json(), st.session_state.setdefault(_ASKED, set())
    st.button(
        "How long?",
        icon=":material/speed:",
        width="stretch",
        on_click=lambda: asked.add(key),
        help="Take a few real steps on this machine and throw them away.",
    )


def answer(config: TrainConfig) -> None:
    """Say what was measured, if it was asked for."""
    key = config.to_json()
    if key in st.session_state.get(_ASKED, ()):
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
        f"{_step(timing.step_s)} a step on {timing.device}: "
        f"**{duration(timing.total_s)}** for {steps:,} steps; longer where others work on the "
        "same machine."
    )


def _step(seconds: float) -> str:
    """Write the time of a step: "85.3 ms" or "1.5 s"."""
    return f"{seconds:.2g} s" if seconds >= 0.9995 else f"{1000 * seconds:.3g} ms"
