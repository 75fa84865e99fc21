"""Noising: drag Λ(t) and the noise spectrum, and watch images flow to noise, scale by scale."""

import streamlit as st

import rgdiff_core as rg
from pages._noising import controls, messages, session, two_sites
from pages._noising.component import mount
from pages._noising.parts import exports, free_theory, references
from pages._noising.tour import states
from pages._shared import address, cache, datasets, tour
from pages._shared.component import mount_layers, mount_result_channel

VIEWS = ("Images", "Two sites")


def sidebar() -> None:
    """Draw the controls."""
    with st.sidebar:
        lab = session.current()
        chosen = datasets.choose(lab.data)
        if chosen != lab.data:
            session.attempt(lambda: session.with_data(chosen))
            lab = session.current()
        controls.picture_controls()
        controls.compare_toggle(lab)
        for index in range(len(lab.sides)):
            title = f"Process {'AB'[index]}" if len(lab.sides) > 1 else "Process"
            with st.container(border=True):
                st.markdown(f"**{title}**")
                controls.side_controls(lab, index)


def follow_tour() -> None:
    """Take the state of the tour's stop, where the tour has come to one of this page."""
    number = tour.arrive("noising", settled="state" in st.query_params)
    if number is not None:
        data = session.current().data
        images = "photographs" if rg.data.is_lattice(data) else data
        state = states("cifar10" if cache.has("cifar10") else images)[number]
        session.attempt(lambda: state)


@st.fragment
def laboratory() -> None:
    """Draw the lab, and answer it when nothing is dragged any more."""
    lab, top = session.current(), st.container(gap=None)
    with st.container(gap=None, key="noising-stores"):  # invisible
        for slot, layers in enumerate(messages.layers_messages(lab).values()):
            mount_layers(layers, f"layers-{slot}")
    data = messages.bands_message(
        session.sent(), session.revision(), session.opening(), session.history()
    )
    client_state = mount(data, session.KEY, lambda: None)
    named = _presets()
    accepted = session.rested(client_state)
    if session.travelled(client_state) or _presets() != named:
        st.rerun()  # the sidebar, too
    if text := session.problem():
        top.error(text, icon=":material/error:")
    lab = session.current()
    seq = (
        int(client_state.get("seq", 0))
        if accepted and client_state and str(client_state.get("revision")) == session.revision()
        else 0
    )
    settled = messages.settled_message(lab, seq, session.revision(), text or "")
    mount_result_channel(settled, "result-channel")
    session.write_link()
    references()
    exports()
    free_theory()


def _presets() -> list[str | None]:
    """Return the presets that the sidebar's menus show."""
    return [controls.preset_of(side) for side in session.current().sides]


def page() -> None:
    """Draw the page."""
    top = st.container(gap="xxsmall")
    with top.container(horizontal=True, vertical_alignment="center", key="noising-head"):
        st.title("Noising", anchor=False, width="content")
        st.caption(
            "Add noise scale by scale. Choose in which **basis**, with what **spectrum**, in what "
            "**order**.",
            width="content",
        )
        view = address.menu(
            st,
            "Show",
            VIEWS,
            default=VIEWS[0],
            key="show",
            help="Images, or φ⁴ on two sites: the density and its flow as a picture in the plane.",
            label_visibility="collapsed",
        )
    if view == VIEWS[1]:
        two_sites.section()
        return
    session.prepare(datasets.first())
    follow_tour()
    sidebar()
    with top:
        tour.draw("noising")
    laboratory()


page()
