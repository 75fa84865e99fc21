"""How long a run would take: a few of its steps, measured in the background."""

import streamlit as st

from pages._shared import jobs
from rgdiff_core.terminal import duration
from rgdiff_core.training import Timing, TrainConfig, measure

__all__ = ["answer", "ask", "known"]

LINE = "timing"


def ask(config: TrainConfig) -> None:
    """Draw the button that measures; the page stays usable meanwhile."""
    task = jobs.find(_key(config))
    st.button(
        "Estimate the time",
        icon=":material/speed:",
        width="stretch",
        on_click=lambda: _begin(config),
        disabled=task is not None and task.waited_for,
        help="Take a few real steps on this machine and throw them away; press again to repeat.",
    )


def known(config: TrainConfig) -> bool:
    """Tell whether the time was measured."""
    task = jobs.find(_key(config))
    return task is not None and task.result is not None


def answer(config: TrainConfig) -> None:
    """Draw how far the measurement is, and what it found."""
    key = _key(config)
    task = jobs.find(key)
    if task is not None:
        busy = task.waited_for
        st.fragment(_answer, run_every=1.0 if busy else None)(key, config.steps, busy)


def _key(config: TrainConfig) -> str:
    return f"{LINE}/{config.to_json()}"


def _begin(config: TrainConfig) -> None:
    def work(task: jobs.Task) -> Timing:
        with task.interruptible():
            return measure(config, progress=task.progress)

    jobs.begin(LINE, _key(config), "Taking a few steps", work)


def _answer(key: str, steps: int, busy: bool) -> None:
    jobs.watch([key], "timing", busy)
    task = jobs.find(key)
    if task is None or task.result is None:
        return
    timing: Timing = task.result
    st.caption(
        f"{_step(timing.step_s)} per step on {timing.device}: "
        f"**{duration(timing.total_s)}** for {steps:,} steps; longer where others work on the "
        "same machine."
    )


def _step(seconds: float) -> str:
    """Write the time of a step: "85.3 ms" or "1.5 s"."""
    return f"{seconds:.2g} s" if seconds >= 0.9995 else f"{1000 * seconds:.3g} ms"
