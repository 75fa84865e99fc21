"""Noising: drag Λ(t) and the noise spectrum, and watch images flow to noise, scale by scale."""

import streamlit as st

from pages._noising import controls, messages, session, two_sites
from pages._noising.component import mount
from pages._noising.parts import exports, free_theory, references
from pages._noising.tour import stops
from pages._shared import address, cache, datasets
from pages._shared.component import mount_courier, mount_layers

VIEWS = ("Images", "Two sites")
LOOK = """<style>
.stMainBlockContainer { padding: 0.6rem 2rem 3rem !important }
.stAppHeader { background: none }
.st-key-noising-head { min-height: 2.2rem; padding-right: 3rem }
.st-key-noising-head h1 { font-size: 1.6rem; padding: 0 }
body:has([data-testid=stExpandSidebarButton]) .st-key-noising-head { padding-left: 1.5rem }
.st-key-tour [role=group], .st-key-tour [role=radiogroup] { flex-wrap: nowrap }
.st-key-tour { margin-top: 0.2rem }
@media (max-width: 640px) { .st-key-tour button { padding: 0.25rem } }
div:has(> .st-key-noising-stores), div:has(> .st-key-address) {
    position: absolute; width: 0; overflow: hidden
}
</style>"""  # all that is dragged fits one screen


def sidebar() -> None:
    """Draw the controls."""
    with st.sidebar:
        lab = session.current()
        chosen = datasets.choose(lab.data)
        if chosen != lab.data:
            session.attempt(lambda: session.with_data(chosen))
            lab = session.current()
        controls.picture_controls(lab)
        controls.compare_toggle(lab)
        for index in range(len(lab.sides)):
            title = f"Process {'AB'[index]}" if len(lab.sides) > 1 else "Process"
            with st.container(border=True):
                st.markdown(f"**{title}**")
                controls.side_controls(lab, index)


def tour() -> None:
    """Draw the tour: six prepared states with their story."""
    lab = session.current()
    images = "photographs" if lab.data.startswith("phi4") else lab.data
    every = stops("cifar10" if cache.has("cifar10") else images)
    titles = [f"{i + 1} · {stop.title}" for i, stop in enumerate(every)]

    def go() -> None:
        title = st.session_state["tour"]
        if title is not None:
            session.attempt(lambda: every[titles.index(title)].state)

    chosen = st.segmented_control(
        "Tour",
        titles,
        key="tour",
        on_change=go,
        label_visibility="collapsed",
        help="Six prepared states; nothing can break.",
    )
    story = st.empty()  # always there: what follows keeps its place, and the lab is not built anew
    if chosen is not None:
        story.caption(every[titles.index(chosen)].text)


@st.fragment
def laboratory() -> None:
    """Draw the lab, and answer it when nothing is dragged any more."""
    lab = session.current()
    with st.container(gap=None, key="noising-stores"):  # invisible
        for slot, layers in enumerate(messages.layers_messages(lab).values()):
            mount_layers(layers, f"layers-{slot}")
    data = messages.bands_message(session.sent(), session.stamp(), session.opening())
    rest = mount(data, session.KEY, lambda: None)
    session.rested(rest)
    if text := session.problem():
        st.error(text, icon=":material/error:")
    lab = session.current()
    seq = int(rest.get("seq", 0)) if rest and str(rest.get("stamp")) == session.stamp() else 0
    mount_courier(messages.settled_message(lab, seq, session.stamp()), "courier")
    session.write_link()
    references()
    exports()
    free_theory()


def page() -> None:
    """Draw the page."""
    top = st.container(gap=None)
    top.html(LOOK)
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
    sidebar()
    with top:
        tour()
    laboratory()


page()
