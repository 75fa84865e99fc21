"""The part of the Samples page where a better schedule is searched for."""

import math

import streamlit as st
import torch

from pages._samples import search as samples_search
from pages._samples import session
from pages._samples.search import Search
from pages._samples.state import SamplesState
from pages._sampling.models import load
from pages._shared import jobs, plots
from pages._shared.menus import describe
from pages._shared.plots import Curve
from pages._shared.process_choice import MAX_POINTS
from rgdiff_core.data import DataUnavailable
from rgdiff_core.denoisers import GaussianDenoiser
from rgdiff_core.schedules import Cutoff
from rgdiff_core.search import Progress, Trial
from rgdiff_core.statistics import moving_average

__all__ = ["panel"]

KEY = "samples-search"
WAYS = {"gradient": "Optimize this curve", "sweep": "Sweep over processes"}
OBJECTIVES = {
    "bound": "N-step bound, the shell sampler",
    "kl": "KL(q‖p), deterministic sampler",
    "ess": "effective sample size, deterministic sampler",
}
HELP = {
    "gradient": "The control points of the cutoff's curve, and the kernel's parameter, are "
    "optimized by gradient descent on a bound on the negative log-likelihood of **{n} steps**. "
    "Nothing is trained: the model stays as it is.",
    "sweep": "Whole processes are tried for **{n} steps**: kernel, width, softness, colour, path. "
    "The study is kept in a database, and continues where it stopped.",
}


def panel(bench: SamplesState) -> None:
    """Draw the controls of a search, and the search of this session."""
    setting = bench.setting
    st.divider()
    st.header("A better schedule for this number of steps")
    if isinstance(load(setting).denoiser, GaussianDenoiser):
        st.caption(
            "For Gaussian data the shell and interaction-picture samplers are exact at any number "
            "of steps, so there is nothing to optimize."
        )
        return
    way = st.segmented_control(
        "Search", WAYS, format_func=WAYS.__getitem__, default="gradient", key=f"{KEY}-way"
    )
    way = way or "gradient"
    st.caption(HELP[way].format(n=setting.steps))
    search: Search | None = st.session_state.get(KEY)
    busy = search is not None and search.task.waited_for
    columns = st.columns([2, 2, 2, 2], vertical_alignment="bottom")
    try:
        if way == "gradient":
            _gradient(bench, columns, busy)
        else:
            _sweep(bench, columns, busy)
    except (DataUnavailable, ValueError, OSError) as error:
        st.warning(str(error), icon=":material/info:")
    if search is not None:
        st.fragment(_show, run_every=0.7 if busy else None)(search, busy)


def _gradient(bench: SamplesState, columns: list, busy: bool) -> None:
    setting = bench.setting
    curved = isinstance(setting.side.schedule, Cutoff) and setting.side.schedule.continuous
    rounds = columns[0].number_input(
        "Gradient steps",
        10,
        2000,
        150,
        step=50,
        key=f"{KEY}-rounds",
        help="How often the curve is updated.",
    )
    points = columns[1].number_input(
        "Control points",
        2,
        MAX_POINTS,
        min(setting.steps + 1, MAX_POINTS),
        key=f"{KEY}-points",
        help="With one more than there are steps, the curve is free at every time that is used.",
    )
    shape = columns[2].toggle(
        "Also the width",
        True,
        key=f"{KEY}-shape",
        help="Optimize the kernel's width or order, too.",
    )
    if columns[3].button(
        f"Optimize for {setting.steps} steps",
        type="primary",
        width="stretch",
        disabled=busy or not curved,
        key=f"{KEY}-bend",
        help="In the background; the page stays usable, and it can be cancelled.",
    ):
        st.session_state[KEY] = samples_search.gradient(setting, int(rounds), int(points), shape)
        st.rerun()
    if not curved:
        st.caption("It needs a cutoff schedule Λ(t) with a smooth kernel.")


def _sweep(bench: SamplesState, columns: list, busy: bool) -> None:
    setting = bench.setting
    lattice = load(setting).action is not None
    menu = list(OBJECTIVES) if lattice else ["bound"]
    objective = columns[0].selectbox(
        "Objective",
        menu,
        format_func=OBJECTIVES.__getitem__,
        key=f"{KEY}-by",
        help="The quantity to minimize or maximize.",
    )
    count = columns[1].number_input("Trials", 1, 1000, 30, step=10, key=f"{KEY}-trials")
    if columns[3].button(
        f"Sweep for {setting.steps} steps",
        type="primary",
        width="stretch",
        disabled=busy,
        key=f"{KEY}-sweep",
        help="In the background; a known study continues.",
    ):
        st.session_state[KEY] = samples_search.sweep(setting, objective, int(count))
        st.rerun()


def _show(search: Search, busy: bool) -> None:
    """Draw how far a search is, and what it has found; called again and again while it runs."""
    over = not search.task.waited_for
    if over and not search.shown:
        search.shown = True
        by_gradient = bool(search.states) and isinstance(search.states[-1], Progress)
        if by_gradient and session.current().setting == search.setting:
            _take(search)
        st.rerun()
    jobs.watch([search.task.key], KEY, busy)
    states = list(search.states)
    rounds = [state for state in states if isinstance(state, Progress)]
    tried = [state for state in states if isinstance(state, Trial)]
    if rounds:
        _rounds(rounds)
    if tried:
        _trials(search, tried)
    if search.comparison is not None:
        found = search.comparison
        before, after, change = map(plots.bracketed, (found.before, found.after, found.change))
        st.markdown(
            f"On {found.n:,} held-out images the {search.setting.steps}-step bound went from "
            f"{before} to {after} nats above the free theory: **{change}**, paired."
        )
    if search.taken:
        st.caption("The result is in the editor above.")
        if st.button("Restore the original schedule", key=f"{KEY}-back", icon=":material/undo:"):
            session.take(search.setting.side.noise, search.setting.side.schedule)
            search.taken = False
            st.rerun()
        return
    ready = over and search.found is not None
    if ready and st.button("Use the best", key=f"{KEY}-use", icon=":material/download_done:"):
        _take(search)
        st.rerun()


def _take(search: Search) -> None:
    if search.found is not None:
        session.take(*search.found)
        search.taken = True


def _rounds(rounds: list[Progress]) -> None:
    """Draw the bound as it falls and the curve as it moves."""
    left, right = st.columns(2)
    index = [state.round for state in rounds]
    change = torch.tensor([state.change.value for state in rounds], dtype=torch.float64)
    smooth = moving_average(change, max(1, len(rounds) // 20))
    falls = [
        Curve("each step", index, change, plots.GREY, width=1),
        Curve("mean", index, smooth, plots.ORANGE),
    ]
    figure = plots.lines(falls, "gradient step", "change of the bound, nats", 260)
    left.plotly_chart(figure, key=f"{KEY}-falls", alt="The bound as it falls")
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    paths = [
        Curve(label, t.numpy(), state.schedule.path.ordinate(t).numpy(), color)
        for label, state, color in (
            ("at the start", rounds[0], plots.GREY),
            ("now", rounds[-1], plots.ORANGE),
        )
    ]
    figure = plots.lines(paths, "t", "cutoff position", 260)
    right.plotly_chart(figure, key=f"{KEY}-moves", alt="The curve as it moves")
    kernel = rounds[-1].schedule.kernel
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in vars(kernel).items())
    st.caption(f"{type(kernel).__name__.removesuffix('Kernel')} kernel {numbers}.")


def _trials(search: Search, tried: list[Trial]) -> None:
    """Draw the best and the table of trials."""
    basis = search.setting.side.basis
    if search.found is not None:
        st.markdown(f"Best so far: {describe(basis, *search.found)}.")
    rows = [
        {
            "trial": each.number,
            "state": each.state,
            "value": math.nan if each.value is None else each.value,
            "±": math.nan if each.error is None else each.error,
            "process": describe(basis, each.color, each.schedule)
            if each.color and each.schedule
            else "",
            "seconds": each.seconds,
        }
        for each in reversed(tried)
    ]
    st.dataframe(rows, hide_index=True, height=min(320, 38 * (len(rows) + 1)), key=f"{KEY}-table")
