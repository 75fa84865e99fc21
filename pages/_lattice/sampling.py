"""Sampling on the Lattice page: what is asked for, how long it takes, the run as it goes."""

import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import streamlit as st
import torch

from pages._lattice import ensembles as lattice_ensembles
from pages._lattice import figures, state, stored
from pages._lattice.state import Theory
from pages._shared import address, jobs, plots
from pages._shared.plots import Curve
from rgdiff_core.data import ensembles
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import (
    HMC,
    Ensemble,
    EnsembleSpec,
    History,
    Leapfrog,
    Omelyan,
    trajectories,
)
from rgdiff_core.lattice.integrators import Integrator
from rgdiff_core.terminal import duration

__all__ = ["draw"]

INTEGRATORS: Mapping[str, Integrator] = {"Omelyan": Omelyan(), "leapfrog": Leapfrog()}
PRECISIONS = ("float32", "float64")
COUNTS = (64, 128, 256, 512, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
CHAINS = (1, 8, 16, 32, 64, 128, 256, 512)
# Of a measurement of the speed: seconds, trajectories, sites of all chains.
TIMED, MAX_TIMED, SITES_TIMED = 0.2, 60, 2**13
CHAINS_SHOWN, POINTS_SHOWN = 4, 400


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw what starts a run, the runs, and the ensembles that are there."""
    with st.container(border=True):
        spec = _asked(theory)
        _launch(spec)
    tasks = [task for task in jobs.listed(lattice_ensembles.PREFIX) if task.waited_for]
    st.fragment(_runs, run_every=0.8 if tasks else None)(len(tasks), bool(tasks))
    _unfinished()
    stored.table(listed, info)
    if info is not None:
        st.header("How it was made")
        _made(info)


def _asked(theory: Theory) -> EnsembleSpec | str:
    """Draw the settings; return the spec, or the sentence that says why there is none."""
    first, second, third, fourth = st.columns(4)
    count = first.select_slider(
        "Configurations",
        COUNTS,
        1000,
        key="n",
        bind="query-params",
        help="How many are kept, of all chains together.",
    )
    chains = second.select_slider(
        "Chains",
        CHAINS,
        32,
        key="chains",
        bind="query-params",
        help="Independent chains side by side. Several show whether they agree, and cost little: "
        "they are computed together. Each has to thermalize.",
    )
    thermalization = third.number_input(
        "Thermalization",
        20,
        1_000_000,
        None,
        key="therm",
        bind=address.whole("therm"),
        placeholder="automatic",
        help="Trajectories that are discarded. Empty: 100 + 8 L, and more while action or "
        "|M| still drift.",
    )
    thinning = fourth.number_input(
        "Thinning",
        1,
        1000,
        5,
        key="thinning",
        bind=address.whole("thinning"),
        help="Trajectories from one kept configuration of a chain to the next.",
    )
    with st.expander("More: how the chains move, precision, seed", icon=":material/tune:"):
        hmc, double, seed = _moves()
    try:
        return EnsembleSpec(
            m2=theory.m2,
            lam=theory.lam,
            size=theory.size,
            n_samples=count,
            n_chains=min(chains, count),
            thermalization=thermalization,
            thinning=thinning,
            hmc=hmc,
            double=double,
            seed=seed,
        )
    except ValueError as error:
        return str(error)


def _moves() -> tuple[HMC, bool, int]:
    first, second, third = st.columns(3)
    length = first.number_input(
        "Trajectory length",
        0.05,
        10.0,
        1.0,
        0.25,
        key="length",
        bind="query-params",
        help="In molecular dynamics time. Longer trajectories decorrelate better and cost more.",
    )
    target = second.number_input(
        "Target acceptance",
        0.5,
        0.99,
        HMC().target_acceptance,
        0.05,
        key="target",
        bind="query-params",
        help="The step size is tuned to it during thermalization, and then frozen.",
    )
    cluster = third.number_input(
        "Cluster updates",
        0,
        100,
        0,
        key="cluster",
        bind=address.whole("cluster"),
        help="Wolff clusters of the embedded Ising spins after each trajectory. One or two help "
        "near the critical line, where HMC slows down.",
    )
    integrator = first.selectbox(
        "Integrator",
        list(INTEGRATORS),
        key="integrator",
        bind="query-params",
        help="Omelyan's needs two forces per step and allows larger steps than the leapfrog.",
    )
    precision = second.selectbox(
        "Precision",
        PRECISIONS,
        key="precision",
        bind="query-params",
        help="Precision of the fields. Energies are summed in float64 in both.",
    )
    seed = third.number_input(
        "Seed",
        0,
        2**31 - 1,
        0,
        key="seed",
        bind=address.whole("seed"),
        help="The same numbers everywhere make the same configurations.",
    )
    hmc = HMC(length, target, INTEGRATORS[integrator], cluster)
    return hmc, precision == "float64", seed


def _launch(spec: EnsembleSpec | str) -> None:
    left, right = st.columns([1, 4], vertical_alignment="center")
    sentence = spec if isinstance(spec, str) else None
    known = None if isinstance(spec, str) else ensembles.info(spec.id)

    def start() -> None:
        if not isinstance(spec, str):
            _begin(spec)

    left.button(
        "Open ensemble" if known else "Start",
        type="primary",
        icon=":material/play_arrow:",
        disabled=sentence is not None,
        on_click=start,
        width="stretch",
        help="In the background; several queue. It continues when this page is closed, and can be "
        "resumed when the server was stopped.",
    )
    if isinstance(spec, str):
        right.error(spec, icon=":material/error:")
    elif known:
        right.caption(f"**{spec.title}** already exists.")
    else:
        seconds = spec.trajectories * _pace(spec)
        right.caption(
            f"**{spec.title}** · {lattice_ensembles.told(spec, seconds)} on this machine now."
        )


def _begin(spec: EnsembleSpec) -> None:
    lattice_ensembles.sample(spec)
    state.pin(spec.id)


def _pace(spec: EnsembleSpec) -> float:
    """Return the seconds that a trajectory of all chains takes, from a measurement of a few."""
    few = max(1, min(spec.n_chains, SITES_TIMED // spec.size**2))
    each = _seconds_each(replace(spec, n_samples=max(few, 8), n_chains=few, seed=0).to_json())
    return each * spec.n_chains / few


@st.cache_data(max_entries=64, ttl=600, show_spinner=False)
def _seconds_each(spec_json: str) -> float:
    """Return the seconds that a trajectory takes, measured."""
    spec = EnsembleSpec.from_json(spec_json)
    run = trajectories(
        spec.action,
        spec.size,
        spec.n_chains,
        torch.Generator().manual_seed(0),
        settings=spec.hmc,
        dtype=torch.float64 if spec.double else torch.float32,
    )
    spans, begun = [], time.perf_counter()
    for _ in islice(run, MAX_TIMED):
        spans.append(time.perf_counter() - begun - sum(spans))
        if sum(spans) > TIMED:
            break
    tuned = spans[len(spans) // 2 :]  # the first pay for what is set up, with untuned steps
    return sum(tuned) / len(tuned)


def _runs(known: int, busy: bool) -> None:
    """Draw the runs that wait or go on, and where one failed, why."""
    tasks = jobs.listed(lattice_ensembles.PREFIX)
    waiting = [task for task in tasks if task.waited_for]
    if busy and len(waiting) < known:
        st.rerun()  # an ensemble more, and no timer where nothing happens
    for task in lattice_ensembles.failed():
        st.error(f"{task.title}: {task.error}", icon=":material/error:")
    if not waiting:
        return
    for task in waiting:
        jobs.bar(task, "sample")
    if waiting[0].live is not None:
        spec, running = waiting[0].live
        phase = "measuring" if len(running.action) > running.thermalization else "thermalizing"
        weight = running.exp_delta_h
        st.caption(
            f"{phase} · acceptance {running.acceptance:.1%} · ⟨exp(−ΔH)⟩ "
            f"{plots.bracketed(weight)} · step size {running.step_size:.3g}"
        )
        _history(running, spec.size, "live")


def _unfinished() -> None:
    """Draw what was begun and is not finished, with a button that goes on with it."""
    for spec in ensembles.unfinished():
        task = jobs.find(f"{lattice_ensembles.PREFIX}{spec.id}")
        if task is not None and task.waited_for:
            continue
        left, middle, right = st.columns([4, 1, 1], vertical_alignment="center")
        left.markdown(f":material/pause_circle: **{spec.title}** · interrupted")
        middle.button(
            "Resume",
            icon=":material/play_arrow:",
            key=f"lattice-resume-{spec.id}",
            on_click=_begin,
            args=(spec,),
            width="stretch",
            help="Continue from the last checkpoint; the result is that of a run without a stop.",
        )
        right.button(
            "Discard",
            icon=":material/delete:",
            key=f"lattice-discard-{spec.id}",
            on_click=stored.remove,
            args=(spec.id,),
            width="stretch",
        )


def _made(info: EnsembleInfo) -> None:
    found = lattice_ensembles.opened(info)
    if found is None:
        return
    if found.history is None:
        st.info("It was imported: no chain history is available.")
        return
    _diagnostics(found)
    _history(found.history, found.spec.size, "made")


def _diagnostics(found: Ensemble) -> None:
    history, tau = found.history, found.tau_int
    if history is None or tau is None:
        return
    columns = st.columns(5)
    columns[0].metric("Acceptance", "–" if found.acceptance is None else f"{found.acceptance:.1%}")
    if found.exp_delta_h is not None:
        columns[1].metric(
            "⟨exp(−ΔH)⟩",
            plots.bracketed(found.exp_delta_h),
            help="1 for an exact sampler, within its error.",
        )
    columns[2].metric("Step size", "–" if found.step_size is None else f"{found.step_size:.3g}")
    columns[3].metric("τ of |M|", plots.bracketed(tau), help="In trajectories; ½ for none.")
    columns[4].metric(
        "Thermalization",
        f"{history.thermalization:,}",
        help=f"Trajectories discarded; by Geweke's test {history.thermalized_at:,} would do. "
        f"The run took {duration(found.seconds or 0)}.",
    )
    if found.warning:
        st.warning(f"{found.warning[0].upper()}{found.warning[1:]}", icon=":material/warning:")


def _history(history: History, size: int, place: str) -> None:
    """Draw |M| and S/V of some chains, with the end of thermalization marked."""
    length, chains = history.action.shape
    if length < 2:
        return
    step = -(-length // POINTS_SHOWN)
    x = torch.arange(0, length, step)
    colors = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE)
    left, right = st.columns(2)
    for column, series, title in (
        (left, history.magnetization.abs(), "|M|"),
        (right, history.action / size**2, "S/V"),
    ):
        curves = [
            Curve(f"chain {i + 1}", x, series[::step, i], color, width=1.2)
            for i, color in zip(range(min(chains, CHAINS_SHOWN)), colors, strict=False)
        ]
        figure = figures.points(
            curves,
            "trajectory",
            title,
            lines={history.thermalization: "thermalized"},
            height=260,
            revision=place,
        )
        column.plotly_chart(
            figure,
            key=f"lattice-history-{place}-{title}",
            config=plots.BAR,
            alt=f"History of {title}",
        )
    st.caption(
        f"|M|, M the mean of the field, and S/V of {min(chains, CHAINS_SHOWN)} of {chains} "
        "chains after each trajectory. Left of the dashed line they thermalize, and are "
        "not measured."
    )
