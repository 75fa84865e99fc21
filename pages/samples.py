"""Samples: draw from a model, with the schedule in one's hand, and see how good they are."""

import streamlit as st

from pages._shared import datasets, samplecontrols, samplesession, sampleviews, searchviews
from pages._shared.lab import mount_courier
from pages._shared.reverse import mount
from pages._shared.reverse.route import is_served
from pages._shared.samplemessages import bench_message, drawn_message
from pages._shared.samplemodels import load


@st.fragment
def bench() -> None:
    """Draw the component, and what is measured when the hand rests."""
    live, top = is_served(), st.container()
    rest = mount(
        bench_message(samplesession.sent(), samplesession.stamp(), live), samplesession.KEY
    )
    samplesession.rested(rest)
    if text := samplesession.problem():
        top.error(text, icon=":material/error:")
    state, stamp = samplesession.current(), samplesession.stamp()
    told = rest if rest and str(rest.get("stamp")) == stamp else {}
    if not told.get("live", live):
        mount_courier(drawn_message(state.request, int(told.get("seq", 0)), stamp), "drawn")
    samplesession.write_link()
    if not live or load(state.setting).quick or told.get("drawn"):
        sampleviews.results(state)
    else:
        st.caption("The samples are measured when they are drawn.")
    searchviews.panel(state)


def page() -> None:
    """Draw the page."""
    st.title("Samples")
    st.markdown(
        "Run the flow backwards: from noise to samples of a model. **Drag the curve Λ(t)** and "
        "the samples follow your hand, with the same noise, so that you see what changes."
    )
    samplesession.prepare()
    state = samplesession.current()
    source = load(state.setting)
    missing = datasets.ready(source.data)
    samplecontrols.sidebar(state, source)
    if missing is not None:
        st.info(f"There is nothing to compare the samples with: {missing}", icon=":material/info:")
    bench()


page()
