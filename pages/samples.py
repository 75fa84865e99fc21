"""Samples: draw from a model, with the schedule in one's hand, and see how good they are."""

import streamlit as st

from pages._samples import controls, search_views, session, stored, views
from pages._samples.component import mount
from pages._samples.component.route import is_served
from pages._samples.messages import drawn_message, samples_message
from pages._sampling.models import load
from pages._shared import datasets, tour
from pages._shared.component import mount_result_channel
from rgdiff_core.data import DataUnavailable


@st.fragment
def bench() -> None:
    """Draw the component, and what is measured when dragging stops."""
    live, top = is_served(), st.container()
    message = samples_message(
        session.sent(), session.revision(), live, session.opening(), session.history()
    )
    client_state = mount(message, session.KEY)
    accepted = session.rested(client_state)
    if session.travelled(client_state):
        st.rerun()
    if text := session.problem():
        top.error(text, icon=":material/error:")
    state, revision = session.current(), session.revision()
    reported = (
        client_state
        if accepted and client_state and str(client_state.get("revision")) == revision
        else {}
    )
    if not reported.get("live", live):
        try:
            told = drawn_message(state.request, int(reported.get("seq", 0)), revision)
        except (DataUnavailable, ValueError, OSError) as error:
            top.error(str(error), icon=":material/error:")
        else:
            mount_result_channel(told, "drawn")
    session.write_link()
    if not live or load(state.setting).quick or reported.get("drawn"):
        views.results(state)
    else:
        st.caption("The samples are measured when they are drawn.")
    search_views.panel(state)


def page() -> None:
    """Draw the page."""
    tour.arrive("samples")
    session.prepare()
    state = session.current()
    source = load(state.setting)
    choice = "choose a class or " if source.denoiser.class_names else ""
    with st.container(key="head"):
        st.title("Samples")
        st.markdown(
            f"From noise to samples: **{choice}drag the cutoff**, and the samples follow, with "
            "the same noise."
        )
    tour.draw("samples")
    missing = datasets.ready(source.data) or source.other_data
    controls.sidebar(state, source)
    if missing:
        st.info(f"There is nothing to compare the samples with: {missing}", icon=":material/info:")
    bench()
    stored.gallery(state.setting.model)


page()
