"""Ensembles for the Lattice page: the one that is looked at, and what is measured of it."""

import time
from dataclasses import dataclass

import streamlit as st

from pages._lattice import state
from pages._lattice.state import Theory
from pages._shared import jobs
from pages._shared.chosen import kept
from pages._shared.page_state import verbatim
from rgdiff_core.data import DataUnavailable, ensembles
from rgdiff_core.data.ensemble_runs import Running
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import (
    Correlator,
    Ensemble,
    EnsembleSpec,
    action_density,
    correlator,
    observables,
    schwinger_dyson,
)
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import duration

__all__ = [
    "FIRST",
    "LINE",
    "EnsembleMeasurement",
    "chosen",
    "ensemble",
    "failed",
    "heading",
    "measured",
    "newest_first",
    "opened",
    "sample",
    "tau",
    "told",
    "waiting",
]

LINE = "sampling"
PREFIX = "ensemble/"
BEGUN = "lattice-begun"  # keys of the work that this visitor began
FIRST = EnsembleSpec(Theory().m2, Theory().lam, Theory().size, n_samples=1280, n_chains=64)
"""What is made on the first visit, in about two seconds."""


@dataclass(frozen=True, eq=False)
class EnsembleMeasurement:
    """What is measured of an ensemble.

    Attributes:
        observables: As of `rgdiff_core.lattice.observables`.
        action_density: ⟨S⟩/V.
        identity: The Schwinger–Dyson identity, which is 1.
        correlator: At zero momentum.
        seconds: How long measuring took.
    """

    observables: dict[str, Estimate]
    action_density: Estimate
    identity: Estimate
    correlator: Correlator
    seconds: float


@st.cache_resource(max_entries=4, show_spinner="Reading the ensemble …")
def ensemble(id: str) -> Ensemble:
    """Return a stored ensemble; raises `ValueError` or `DataUnavailable` where there is none."""
    return ensembles.read(id)


@st.cache_resource(max_entries=64, show_spinner="Measuring, with errors by the Γ-method …")
def measured(id: str) -> EnsembleMeasurement:
    """Return what is measured of an ensemble; raises `ValueError` for too few configurations."""
    found, begun = ensemble(id), time.perf_counter()
    fields, chains, action = found.configurations, found.n_chains, found.spec.action
    return EnsembleMeasurement(
        observables(fields, n_chains=chains),
        action_density(action, fields, n_chains=chains),
        schwinger_dyson(action, fields, n_chains=chains),
        correlator(fields, n_chains=chains),
        time.perf_counter() - begun,
    )


@st.cache_data(max_entries=256, show_spinner=False)
def tau(id: str) -> float | None:
    """Return the autocorrelation time of |M| in trajectories, None where it isn't known."""
    try:
        found = ensembles.read(id).tau_int
    except (ValueError, OSError, DataUnavailable):
        return None
    return None if found is None else found.value


def newest_first() -> list[EnsembleInfo]:
    """List the stored ensembles; where there are none, the first one is begun."""
    listed = ensembles.stored()
    if not listed and not jobs.listed(PREFIX):
        sample(FIRST)
    return listed


def sample(spec: EnsembleSpec) -> jobs.Task:
    """Queue an ensemble, or what is left of one."""

    def work(task: jobs.Task) -> str:
        def watch(running: Running) -> None:
            task.live = spec, running

        ensembles.generate(spec, progress=task.progress, watch=watch)
        return spec.id

    task = jobs.begin(LINE, f"{PREFIX}{spec.id}", spec.title, work)
    st.session_state.setdefault(BEGUN, set()).add(task.key)
    return task


def failed() -> list[jobs.Task]:
    """Return what this visitor began and that failed."""
    begun = st.session_state.get(BEGUN, set())
    return [task for task in jobs.listed(PREFIX) if task.error and task.key in begun]


def chosen(listed: list[EnsembleInfo]) -> EnsembleInfo | None:
    """Draw the menu of ensembles and return the chosen one, None where there are none."""
    if not listed:
        st.caption("No ensemble yet.")
        return None
    known = {info.id: info for info in listed}
    wanted = state.pinned()
    if wanted is not None and wanted not in known:
        if not jobs.find(f"{PREFIX}{wanted}"):
            st.info(
                f"There is no ensemble {verbatim(repr(wanted[:20]))} here.", icon=":material/info:"
            )
        wanted = None

    def pin(id: str) -> None:
        if id in known:
            state.pin(id)

    id = st.selectbox(
        "Ensemble",
        list(known),
        format_func=lambda each: known[each].title if each in known else each,
        help="Ensemble shown in the Observables, Configurations and RG flow views; the newest "
        "first. Every ensemble is a data set of the other pages.",
        **kept("lattice-chosen", wanted or _nearest(listed), pin),
    )
    return known[id]


def opened(info: EnsembleInfo | None) -> Ensemble | None:
    """Return the chosen ensemble; where it is not available, say why and what to do, and return
    None.
    """
    if info is None:
        st.info(
            "There is no ensemble yet: press **Start** in the view *Sample*. At L = 16 a thousand "
            "configurations take some seconds.",
            icon=":material/rocket_launch:",
        )
        return None
    try:
        return ensemble(info.id)
    except (ValueError, OSError, DataUnavailable) as error:
        st.error(str(error), icon=":material/error:")
    spec = info.spec
    if isinstance(spec, EnsembleSpec):
        st.button(
            "Regenerate",
            icon=":material/refresh:",
            on_click=lambda: sample(spec) and None,
            help="The same settings give the same configurations.",
        )
    return None


def heading(info: EnsembleInfo) -> None:
    """Draw the heading of a view of an ensemble, and say which box of the sidebar it follows."""
    st.header(info.title)
    st.caption("The *Ensemble* chosen in the sidebar; this view does not follow its *Theory*.")


def waiting() -> None:
    """Draw, while an ensemble is being made, how far it is; the page is drawn again at its end."""
    tasks = [task for task in jobs.listed(PREFIX) if task.waited_for]
    if tasks:
        st.fragment(_waiting, run_every=0.8)(len(tasks))


def _waiting(known: int) -> None:
    tasks = [task for task in jobs.listed(PREFIX) if task.waited_for]
    if len(tasks) < known:
        st.rerun()
    st.progress(tasks[0].share, f"Sampling · {tasks[0].share:.0%}")


def _nearest(listed: list[EnsembleInfo]) -> str:
    """Return the newest ensemble of the present theory, else the newest."""
    theory = state.current()
    same = (
        each.id
        for each in listed
        if (each.spec.action, each.spec.size) == (theory.action, theory.size)
    )
    return next(same, listed[0].id)


def told(spec: EnsembleSpec, seconds: float) -> str:
    """Return how long sampling takes, for people."""
    long = "about a second" if seconds < 1.5 else f"about {duration(seconds)}"
    return f"{spec.trajectories:,} trajectories of {spec.n_chains:,} chains, {long}"
