"""The Lattice page's first view: the phase diagram, and a quick look at the point chosen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st
import torch

from pages._lattice import figures, live, state
from pages._lattice.controls import named, title, where
from pages._lattice.figures import Marks
from pages._lattice.quantities import in_symbols
from pages._lattice.state import Theory
from pages._shared import address, pictures, plots
from pages._shared.observables import in_table
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import FreeField, HMCResult, Phi4, hmc, observables
from rgdiff_core.lattice.critical import LITERATURE, MAX_LAM, critical_mass2

__all__ = ["draw"]

RANGE_M2, RANGE_LAM = (-8.0, 2.0), (0.0, 10.0)
LINE_STEPS = 80
LOOK_SITES = 2**14  # of all chains of the quick look
MAX_QUICK_SIZE = 48  # L of a quick look: beyond, a visitor would wait
SHOWN = 12
LOOKED = ("abs_magnetization", "susceptibility", "binder", "phi2", "energy", "correlation_length")
CLICK, DRAG = "click a point", "drag the star"
TASKS: Mapping[str, str] = {
    CLICK: "Click a point to select it.",
    DRAG: "Drag the star across the line, and watch the fields; the arrow keys move it too.",
}
KEY, LAST = "lattice-map", "lattice-map-last"


@st.cache_data(max_entries=4, show_spinner=False)
def _line(most: float) -> tuple[list[float], list[float]]:
    """Return m² and λ on the critical line up to a λ."""
    lam = [most * (i / LINE_STEPS) ** 2 for i in range(LINE_STEPS + 1)]
    return [critical_mass2(each) for each in lam], lam


def draw(theory: Theory, listed: Sequence[EnsembleInfo]) -> None:
    """Draw the map and the look."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.header("The phase diagram")
        way = address.menu(
            st,
            "Map",
            [CLICK, DRAG],
            default=CLICK,
            key="map",
            label_visibility="collapsed",
        )
        if way == CLICK:
            _map(theory, listed)
        else:
            line = tuple(zip(*_line(RANGE_LAM[1]), strict=True))
            live.draw(theory, line, [each.action for each in LITERATURE])
        st.caption(
            "Left of and below the orange line the symmetry φ → −φ is broken and fields order; "
            f"on the other side they do not. **{TASKS[way]}** The line is that of "
            "the infinite lattice, interpolated between published and measured points."
        )
    with right:
        st.header("A quick look")
        st.markdown(where(theory))
        _look(theory)


def _map(theory: Theory, listed: Sequence[EnsembleInfo]) -> None:
    marks = [
        Marks(
            "literature",
            [each.action.m2 for each in LITERATURE],
            [each.action.lam for each in LITERATURE],
            [title(each) for each in LITERATURE],
            plots.PURPLE,
            "diamond",
        ),
        Marks(
            "stored ensembles",
            [each.spec.m2 for each in listed],
            [each.spec.lam for each in listed],
            [each.title for each in listed],
            plots.GREEN,
            "square",
        ),
        Marks("this theory", [theory.m2], [theory.lam], ["this theory"], plots.BLUE, "star", 17),
    ]
    grid = _axis(RANGE_M2, theory.m2), _axis(RANGE_LAM, theory.lam)
    line = _line(min(MAX_LAM, float(grid[1][-1])))
    figure = figures.phase_map(line, marks, grid)

    def clicked() -> None:
        found = st.session_state[KEY].selection.points
        # A second click on a point takes it away from the selection; it is meant all the same.
        taken = found[0] if found else st.session_state.get(LAST)
        st.session_state[LAST] = taken
        if taken:
            _take(taken, listed)

    st.plotly_chart(
        figure,
        key=KEY,
        on_select=clicked,
        selection_mode="points",
        config=plots.BAR,
        alt="Phase diagram: m² to the right, λ upwards",
    )


def _take(point: Mapping[str, Any], listed: Sequence[EnsembleInfo]) -> None:
    """Take the theory of a point that was clicked, and its ensemble where it stands for one."""
    m2, lam = round(point["x"], 6), round(point["y"], 6)

    def here(action: Phi4) -> bool:
        return abs(action.m2 - m2) < 1e-5 and abs(action.lam - lam) < 1e-5

    stored = next((each for each in listed if here(each.spec.action)), None)
    known = [named(each) for each in LITERATURE if here(each.action)]
    if stored is not None:
        state.pin(stored.id)
        spec = stored.spec
        known = [Theory(spec.m2, spec.lam, spec.size)]
    size = state.current().size
    # Of what is drawn the couplings themselves, not what the browser made of them.
    state.attempt(lambda: known[0] if known else Theory(m2, lam, size))


def _axis(span: tuple[float, float], value: float) -> np.ndarray:
    """Return the grid's values in one direction, far enough to hold a value."""
    low, high = min(span[0], np.floor(value)), max(span[1], np.ceil(value))
    step = 0.2 if high - low < 3 * (span[1] - span[0]) else (high - low) / 60
    return np.round(np.linspace(low, high, round((high - low) / step) + 1), 6)


def _look(theory: Theory) -> None:
    if theory.size > MAX_QUICK_SIZE:
        st.info(
            f"At L = {theory.size} even a quick preview takes a while: press **Start** in the "
            "view *Sample*.",
            icon=":material/hourglass_top:",
        )
        return
    try:
        run = look(theory.m2, theory.lam, theory.size)
    except ValueError as error:
        st.error(in_symbols(str(error)), icon=":material/error:")
        return
    fields = run.configurations
    bound = float(fields.abs().quantile(0.999)) or 1.0
    shown = pictures.pixels(fields[:SHOWN], -bound, bound, "diverging")
    names = [f"field {i + 1}" for i in range(SHOWN)]
    with st.container(key="look"):
        st.html(plots.tiles(shown, names, "Independent fields"))
    found = observables(fields, n_chains=run.n_chains)
    exact = FreeField(theory.m2, theory.size).observables() if theory.lam == 0 else {}
    head = "| | measured |" + (" exact |" if exact else "")
    rule = "|:--|--:|" + ("--:|" if exact else "")
    lines = [
        f"| {in_table(name)} | {plots.bracketed(found[name])} |"
        + (f" {exact[name]:.4g} |" if exact else "")
        for name in LOOKED
    ]
    st.markdown("\n".join([head, rule, *lines]))
    st.caption(
        f"{run.n_chains} independent HMC chains on {theory.size}×{theory.size} sites after "
        f"{run.history.thermalization} trajectories, one field of each; "
        f"red is positive, blue negative, up to ±{bound:.2g}."
    )
    if run.warning:
        st.warning(f"Not yet in equilibrium: {run.warning}", icon=":material/info:")


@st.cache_resource(max_entries=32, show_spinner="Sampling …")
def look(m2: float, lam: float, size: int) -> HMCResult:
    """Return one field of each of some chains."""
    chains = max(16, min(256, LOOK_SITES // size**2))
    generator = torch.Generator().manual_seed(0)
    usual = 100 + 8 * min(size, 24)  # a look may end early, and then says so
    return hmc(Phi4(m2, lam), size, chains, chains, generator, thermalization=usual, thinning=1)
