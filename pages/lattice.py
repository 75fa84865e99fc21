"""Lattice: φ⁴ theory sampled, measured, and followed along the renormalization group."""

from collections.abc import Callable, Mapping

import streamlit as st

from pages._shared import (
    address,
    latticecontrols,
    latticedata,
    latticeflow,
    latticemap,
    latticemodel,
    latticeobservables,
    latticepictures,
    latticesample,
    latticescan,
    latticestate,
)
from pages._shared.latticestate import Theory
from rgdiff_core.data.ensembles import EnsembleInfo

Listed = list[EnsembleInfo]
View = Callable[[Theory, Listed, EnsembleInfo | None], None]


def phase_diagram(theory: Theory, listed: Listed, info: EnsembleInfo | None) -> None:
    """Draw the first view."""
    del info
    latticemap.draw(theory, listed)


VIEWS: Mapping[str, View] = {
    "Theory": phase_diagram,
    "Sample": latticesample.draw,
    "Observables": latticeobservables.draw,
    "Configurations": latticepictures.draw,
    "Phase scan": latticescan.draw,
    "RG flow": latticeflow.draw,
    "Model vs HMC": latticemodel.draw,
}


def page() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    st.title("Lattice")
    st.markdown(
        "φ⁴ theory on a periodic square lattice, by hybrid Monte Carlo. Choose a point of the "
        "phase diagram, sample it, measure it, and follow its configurations along the "
        "renormalization group and into noise."
    )
    latticestate.prepare()
    listed = latticedata.newest_first()
    with st.sidebar:
        theory = latticecontrols.sidebar()
        with st.container(border=True):
            info = latticedata.chosen(listed)
            latticedata.waiting()
    view = address.menu(
        st,
        "View",
        list(VIEWS),
        default=next(iter(VIEWS)),
        key="view",
        label_visibility="collapsed",
    )
    latticestate.write_link()
    VIEWS[view](theory, listed, info)


page()
