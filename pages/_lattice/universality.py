"""Universality on the Lattice page: several ensembles along one flow, and where they meet."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from pages._lattice import ensembles, figures, flows
from pages._lattice.flows import FlowChoice
from pages._lattice.quantities import GAUSSIAN, QUANTITIES, curve_of, value_of
from pages._shared import jobs, plots
from pages._shared.plots import Curve
from rgdiff_core.data import DataUnavailable
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice import HMC, EnsembleSpec
from rgdiff_core.lattice.critical import critical_mass2
from rgdiff_core.renormalization import Measurement

__all__ = ["draw"]

MAX_ENSEMBLES = 6
CRITICAL = (0.5, 2.0, 8.0)  # λ of the theories that are offered
OFFERED = EnsembleSpec(0.1, 0.1, 16, 1280, 64, thinning=2, hmc=HMC(cluster=2))
NEXT = "lattice-together-next"
WAYS = ("block spin", "decimation", "momentum shell")


def draw(listed: list[EnsembleInfo]) -> None:
    """Draw the choice of ensembles, and their flows on the same axes."""
    st.markdown(
        "Theories with quite different bare couplings m² and λ that are equally near to the "
        "transition look more and more alike as their detail is averaged away: what is left is "
        "the **universality class**. Choose ensembles on lattices of the same size."
    )
    known = {each.id: each for each in listed}
    left, right = st.columns([3, 1])
    key = "lattice-together"
    asked = dict.fromkeys(st.query_params.get("together", "").split(","))
    told = [id for id in asked if id in known][:MAX_ENSEMBLES]
    if set(st.session_state.get(NEXT, ["none"])) <= set(known):  # all that was asked for is there
        st.session_state[key] = st.session_state.pop(NEXT)
    st.session_state.setdefault(key, told or _first(listed))
    st.session_state[key] = [id for id in st.session_state[key] if id in known]
    chosen = left.multiselect(
        "Ensembles",
        list(known),
        key=key,
        format_func=lambda id: _name(known[id]),
        max_selections=MAX_ENSEMBLES,
        placeholder="Choose some",
        help="The flows are compared at equal b.",
    )
    if chosen != told:
        st.query_params["together"] = ",".join(chosen)
    name = right.selectbox(
        "Flow", WAYS, key="together-flow", bind="query-params", help="The RG transformation."
    )
    _offer(listed)
    if not chosen:
        st.info("Choose ensembles, or generate three on the critical line.")
        return
    ways = {id: FlowChoice(name) for id in chosen}
    for id, way in ways.items():
        if flows.track(id, way) is None:
            try:
                flows.begin(id, way)
            except (ValueError, OSError, DataUnavailable) as error:
                st.error(f"{_name(known[id])}: {error}", icon=":material/error:")
    busy = any(t.waited_for for t in _tasks(ways))
    st.fragment(_together, run_every=1.0 if busy else None)(known, ways, busy)


def _name(info: EnsembleInfo) -> str:
    spec = info.spec
    return f"{spec.size}×{spec.size}, m² = {spec.m2:.4g}, λ = {spec.lam:.4g}".replace("-", "−")


def _first(listed: Sequence[EnsembleInfo]) -> list[str]:
    """Return some ensembles of the size that most have, one of each theory."""
    sizes = [each.spec.size for each in listed]
    if not sizes:
        return []
    size = max(sizes, key=sizes.count)
    found = {each.spec.action: each.id for each in reversed(listed) if each.spec.size == size}
    return list(found.values())[:MAX_ENSEMBLES]


def _critical() -> list[EnsembleSpec]:
    return [replace(OFFERED, m2=critical_mass2(lam), lam=lam) for lam in CRITICAL]


def _offer(listed: Sequence[EnsembleInfo]) -> None:
    """Draw the button that makes theories to compare, where they are not there yet."""
    stored = {each.id for each in listed}
    missing = [spec for spec in _critical() if spec.id not in stored]
    if not missing:
        return

    def make() -> None:
        for spec in missing:
            ensembles.sample(spec)
        st.session_state[NEXT] = [spec.id for spec in _critical()]

    waiting = [t for t in jobs.listed(ensembles.PREFIX) if t.waited_for]
    values = ", ".join(f"{lam:g}" for lam in CRITICAL)
    st.button(
        f"Generate three ensembles on the critical line, λ = {values}",
        icon=":material/add:",
        on_click=make,
        disabled=bool(waiting),
        help="16×16, with cluster updates; half a minute, in the background.",
    )


def _tasks(ways: Mapping[str, FlowChoice]) -> list[jobs.Task]:
    found = (flows.track(id, way) for id, way in ways.items())
    return [task for task in found if task is not None]


def _together(
    known: Mapping[str, EnsembleInfo], ways: Mapping[str, FlowChoice], busy: bool
) -> None:
    tasks = _tasks(ways)
    waiting = [task for task in tasks if task.waited_for]
    if busy and not waiting:
        st.rerun()
    if waiting:
        jobs.bar(waiting[0], "together")
    tracks: dict[str, list[Measurement]] = {}
    for id, way in ways.items():
        task = flows.track(id, way)
        if task is not None and task.error:
            st.error(f"{_name(known[id])}: {task.error}", icon=":material/error:")
        if task is not None and task.live:
            tracks[id] = task.live
    if not tracks:
        return
    colors = dict(zip(tracks, plots.ramp(len(tracks)), strict=True))
    left, right = st.columns(2)
    with left:
        _plane(known, tracks, colors)
    with right:
        _along(known, tracks, colors)


def _plane(
    known: Mapping[str, EnsembleInfo],
    tracks: Mapping[str, Sequence[Measurement]],
    colors: Mapping[str, str],
) -> None:
    st.markdown("**The flow of the couplings**")
    curves = []
    for id, track in tracks.items():
        pairs = [(value_of(e, "unit_mass"), value_of(e, "unit_quartic")) for e in track]
        x, y = [a.value for a, _ in pairs], [b.value for _, b in pairs]
        error = [b.error for _, b in pairs]
        curves.append(Curve(_name(known[id]), x, y, colors[id], joined=True, error=error))
    figure = figures.points(curves, "mass m²⟨φ²⟩", "coupling λ⟨φ²⟩²", height=380)
    st.plotly_chart(figure, key="lattice-plane", config=plots.BAR, alt="The flow in the plane")
    st.caption(
        "Each line is a theory, each point a step of the flow, beginning with the fields "
        "themselves; in units in which ⟨φ²⟩ = 1. Lines of one universality class run together."
    )


def _along(
    known: Mapping[str, EnsembleInfo],
    tracks: Mapping[str, Sequence[Measurement]],
    colors: Mapping[str, str],
) -> None:
    title = st.selectbox(
        "Along the flow",
        list(QUANTITIES),
        list(QUANTITIES).index("U₄ of single sites"),
        key="together-quantity",
        bind="query-params",
    )
    name = QUANTITIES[title]
    curves = [
        curve
        for id, track in tracks.items()
        if (curve := curve_of(_name(known[id]), track, name, colors[id])) is not None
    ]
    levels = {GAUSSIAN[name]: "Gaussian"} if name in GAUSSIAN else None
    figure = figures.points(
        curves, "b", title, levels=levels, log_x=True, log_y=name == "misfit", height=340
    )
    st.plotly_chart(
        figure, key="lattice-together-along", config=plots.BAR, alt=f"{title} against b"
    )
    st.caption(
        "What differs at b = 1 is what the bare couplings make of single sites; it is forgotten "
        "on the way."
    )
