"""Lattice: φ⁴ theory sampled, measured, and followed along the renormalization group."""

from collections.abc import Callable, Mapping

import streamlit as st

from pages._lattice import (
    configurations,
    controls,
    ensembles,
    flow,
    grow,
    model,
    observables,
    phase_map,
    sampling,
    scan,
    state,
)
from pages._lattice.state import Theory
from pages._shared import address, tour
from rgdiff_core.data.ensembles import EnsembleInfo

Listed = list[EnsembleInfo]
View = Callable[[Theory, Listed, EnsembleInfo | None], None]


def phase_diagram(theory: Theory, listed: Listed, info: EnsembleInfo | None) -> None:
    """Draw the first view."""
    del info
    phase_map.draw(theory, listed)


VIEWS: Mapping[str, View] = {
    "Theory": phase_diagram,
    "RG flow": flow.draw,
    "Grow": grow.draw,
    "Sample": sampling.draw,
    "Observables": observables.draw,
    "Configurations": configurations.draw,
    "Phase scan": scan.draw,
    "Model vs HMC": model.draw,
}


def page() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    st.title("Lattice")
    st.markdown(
        "φ⁴ theory on a periodic square lattice, by Hamiltonian (hybrid) Monte Carlo (HMC). "
        "Choose a point of the phase diagram, sample it, measure it, and follow its "
        "configurations along the renormalization group and into noise."
    )
    tour.arrive("lattice")
    tour.draw("lattice")
    state.prepare()
    listed = ensembles.newest_first()
    with st.sidebar:
        theory = controls.sidebar()
        with st.container(border=True):
            info = ensembles.chosen(listed)
            ensembles.waiting()
    view = address.menu(
        st,
        "View",
        list(VIEWS),
        default=next(iter(VIEWS)),
        key="view",
        label_visibility="collapsed",
    )
    state.write_link()
    VIEWS[view](theory, listed, info)


page()
