"""The flows of one ensemble on the Lattice page: the same fields ever coarser, five ways."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st

from pages._lattice import configurations, ensembles, figures, universality
from pages._lattice import flows as lattice_flows
from pages._lattice.flows import COLORS, FLOWS, SCHEDULES, FlowChoice
from pages._lattice.quantities import GAUSSIAN, QUANTITIES, curve_of, value_of
from pages._lattice.state import Theory
from pages._shared import address, jobs, pictures, plots
from pages._shared.plots import Curve
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import Ensemble
from rgdiff_core.lattice.gamma import chain_lengths
from rgdiff_core.renormalization import Flow, Measurement, Step

__all__ = ["draw"]

ONE = "one ensemble: three RG transformations, two diffusions"
MANY = "several ensembles, one flow"
SHOWN, TILE = 3, 108  # fields, and the side of a picture in pixels
HEADS = {"momentum shell": "shell"}  # of columns that are narrow


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw the flows of the chosen ensemble, or one flow of several."""
    del theory
    what = address.menu(
        st,
        "Compare",
        [ONE, MANY],
        default=ONE,
        key="flows",
        label_visibility="collapsed",
    )
    if what == MANY:
        universality.draw(listed)
    else:
        _one(info)


def _one(info: EnsembleInfo | None) -> None:
    ensemble = ensembles.opened(info)
    if ensemble is None or info is None:
        return
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.header(info.title, help="The *Ensemble* chosen in the sidebar, not its *Theory*.")
    st.markdown(
        "The renormalization group averages fine detail away, diffusion covers it with noise; "
        "**b** is the shortest length scale that survives."
    )
    more = right.popover("Rescaling and noise", icon=":material/tune:")
    eta = address.menu(
        more,
        "Rescaling η",
        [0.0, 0.25],
        default=0.25,
        key="eta",
        format_func=lambda eta: "0, units stay" if eta == 0 else "¼, Ising class",
        damage=st,
        help="Coarse fields are multiplied by b^(η/2). At the critical point, with η = ¼, they "
        "then look the same at all scales. The pictures change with η; the table, curves and "
        "spectra do not.",
    )
    address.told(st, "flow-schedule", list(SCHEDULES))
    schedule = more.selectbox(
        "Schedule of the noise",
        list(SCHEDULES),
        key="flow-schedule",
        bind="query-params",
        help="With a moving cutoff fine scales go first, as in the renormalization group; the "
        "others treat all alike, and the noise's colour decides.",
    )
    ways = [FlowChoice(name, eta, schedule) for name in FLOWS]
    try:
        flows = {way.name: lattice_flows.flow(info.id, way) for way in ways}
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    waiting = _follow(info.id, ways)
    st.fragment(_flow, run_every=1.0 if waiting else None)(info.id, ensemble, ways, flows, waiting)


def _follow(id: str, ways: Sequence[FlowChoice]) -> bool:
    """Begin what is not measured yet; tell whether some of it is under way."""
    for way in ways:
        task = lattice_flows.track(id, way)
        if task is None:
            lattice_flows.begin(id, way)
    return any(task is not None and task.waited_for for task in _tasks(id, ways))


def _tasks(id: str, ways: Sequence[FlowChoice]) -> list[jobs.Task | None]:
    return [lattice_flows.track(id, way) for way in ways]


def _flow(
    id: str,
    ensemble: Ensemble,
    ways: Sequence[FlowChoice],
    flows: Mapping[str, Flow],
    waiting: bool,
) -> None:
    size = ensemble.spec.size
    factors = [size / side for side in range(size, 1, -1)]
    factor = st.select_slider(
        "Scale factor b",
        factors,
        factors[min(len(factors) - 1, size // 2)],
        key="b",
        bind="query-params",
        format_func=lambda b: f"{b:.3g}",
        help="V/b² degrees of freedom are left. Arrow keys move it by one step.",
    )
    _pictures(id, ensemble, flows, factor)
    busy = [t for t in _tasks(id, ways) if t is not None and t.waited_for]
    if waiting and not busy:
        st.rerun()
    if busy:
        jobs.bar(busy[0], "flow")
    found = {}
    for way in ways:
        task = lattice_flows.track(id, way)
        if task is not None and task.error:
            st.error(f"{way.name}: {task.error}", icon=":material/error:")
        if task is not None and task.live:
            found[way.name] = task.live
        if task is not None and task.stopped and task.ended:
            again = partial(lattice_flows.again, id, way)
            st.button(f"Measure {way.name}", icon=":material/play_arrow:", on_click=again)
    if found:
        _numbers(found, factor)
        _curves(found, factor)
        _spectra(found, factor, ways[0].eta)


def _pictures(id: str, ensemble: Ensemble, flows: Mapping[str, Flow], factor: float) -> None:
    """Draw the same few fields at a scale, under each flow."""
    lengths = chain_lengths(len(ensemble.configurations), ensemble.n_chains)
    starts = np.cumsum([0, *lengths[:-1]])[:SHOWN].tolist()
    fields, bound = ensemble.configurations[starts], configurations.bound_of(id)
    columns = st.columns(1 + len(flows))
    start = pictures.pixels(fields, -bound, bound, "diverging")
    with columns[0]:
        _column("the fields", start, f"b = 1, L = {ensemble.spec.size}")
    for column, (name, chosen) in zip(columns[1:], flows.items(), strict=True):
        step = lattice_flows.nearest(chosen.steps(ensemble.spec.size), factor)
        coarse = chosen.apply(fields, step, lattice_flows.seeded())
        tiles = pictures.pixels(coarse, -bound, bound, "diverging")
        with column:
            _column(HEADS.get(name, name), tiles, _where(chosen, step), chosen.about)
    st.html(configurations.bar(bound))


def _column(title: str, tiles: np.ndarray, where: str, about: str = "") -> None:
    st.markdown(f"**{title}**", help=about or None)
    st.html(
        plots.tiles(
            tiles, [f"{title}, field {i + 1}" for i in range(len(tiles))], where, size=TILE
        )
    )


def _where(chosen: Flow, step: Step) -> str:
    if "time" in chosen.axis:
        return f"t = {step.place:.2f}, b = {step.factor:.3g}"
    return f"b = {step.factor:.3g}, L′ = {step.size}"


def _numbers(found: Mapping[str, Sequence[Measurement]], factor: float) -> None:
    names = ("binder", "length_ratio", "unit_mass", "unit_quartic", "stiffness")
    titles = {name: title for title, name in QUANTITIES.items()}
    rows = []
    for flow, track in found.items():
        step = lattice_flows.nearest(tuple(each.step for each in track), factor)
        here = next(each for each in track if each.step == step)
        row: dict[str, str | int] = {"flow": flow, "b": f"{step.factor:.3g}", "L′": step.size}
        row |= {titles[name]: plots.bracketed(value_of(here, name)) for name in names}
        rows.append(row | {"χ²/dof": plots.short(here.couplings.misfit)})
    st.dataframe(rows, hide_index=True, width="stretch")
    st.caption(
        "Measured at the steps nearest to b. The couplings are those of the φ⁴ action that "
        "fulfils the simplest Schwinger–Dyson equations of the fields there, in units in which "
        "⟨φ²⟩ = 1. Where χ²/dof is far above 1, three terms are not the whole action: blocked "
        "fields have every term that symmetry allows. Errors in units of the last digit."
    )


def _curves(found: Mapping[str, Sequence[Measurement]], factor: float) -> None:
    for column, key, first in zip(
        st.columns(2), ("along-1", "along-2"), ("Binder U₄", "coupling λ⟨φ²⟩²"), strict=True
    ):
        with column:
            title = st.selectbox(
                "Along the flows",
                list(QUANTITIES),
                list(QUANTITIES).index(first),
                key=key,
                bind="query-params",
                help="Numbers that do not depend on how the field is normalized.",
            )
            name = QUANTITIES[title]
            curves = [
                curve
                for flow, track in found.items()
                if (curve := curve_of(flow, track, name, COLORS[flow])) is not None
            ]
            levels = {GAUSSIAN[name]: "Gaussian"} if name in GAUSSIAN else None
            figure = figures.points(
                curves,
                "b",
                title,
                lines={factor: ""},
                levels=levels,
                log_x=True,
                log_y=name == "misfit",
                height=330,
                revision=name,
            )
            st.plotly_chart(
                figure, key=f"lattice-{key}", config=plots.BAR, alt=f"{title} against b"
            )
    st.caption(
        "Block spins, decimation and momentum shells of a critical theory stay interacting; "
        "noise ends in a Gaussian theory: matched noise in the free theory with the spectrum of "
        "the data, white noise in one without any correlation. Points whose error is larger than "
        "the range of the others are left out."
    )


def _spectra(found: Mapping[str, Sequence[Measurement]], factor: float, eta: float) -> None:
    first = next(iter(found.values()))[0]
    size = first.step.size
    start = first.spectrum_on(size)
    curves = [Curve("the fields", start.momentum, start.power, plots.GREY, "dot")]
    for flow, track in found.items():
        step = lattice_flows.nearest(tuple(each.step for each in track), factor)
        here = next(each for each in track if each.step == step).spectrum_on(size, eta)
        if len(here.momentum):
            curves.append(Curve(flow, here.momentum, here.power, COLORS[flow], joined=True))
    figure = plots.log_log(curves, "|k| in radians per original spacing", "power per mode")
    st.plotly_chart(
        figure, key="lattice-flow-spectra", config=plots.BAR, alt="Spectra along the flows"
    )
    st.caption(
        "Spectra at this b, in units of the original lattice. The renormalization group cuts "
        "modes off above its cutoff; noise lays its own spectrum over them."
    )
