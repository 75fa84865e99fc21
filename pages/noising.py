"""Noising: drag Λ(t) and watch images flow to noise, scale by scale."""

import streamlit as st

from pages._noising import controls, export, messages, session
from pages._noising.data import free_theory_samples
from pages._noising.tour import stops
from pages._shared import cache, datasets
from pages._shared.lab import mount_courier, mount_lab, mount_layers
from pages._shared.pictures import grid
from rgdiff_core.presets import PRESETS

COLUMNS = 8


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
        "Tour", titles, key="tour", on_change=go, help="Six prepared states; nothing can break."
    )
    story = st.empty()  # always there: what follows keeps its place, and the lab is not built anew
    text = "New here? Take the tour: six states tell the story, from diffusion to φ⁴ theory."
    if chosen is not None:
        text = every[titles.index(chosen)].text
    story.info(text, icon=":material/route:")


@st.fragment
def laboratory() -> None:
    """Draw the lab, and answer it when the hand rests."""
    lab = session.current()
    with st.container(gap=None):  # invisible
        for slot, layers in enumerate(messages.layers_messages(lab).values()):
            mount_layers(layers, f"layers-{slot}")
    data = messages.bands_message(session.sent(), session.stamp())
    rest = mount_lab(data, session.KEY, lambda: None)
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


def references() -> None:
    """Say of which paper a process is, and what to look at."""
    for index, side in enumerate(session.current().sides):
        name = controls.preset_of(side)
        if name is not None:
            preset, letter = PRESETS[name], f"**{'AB'[index]}** · "
            head = letter if len(session.current().sides) > 1 else ""
            st.caption(f"{head}{preset.title} — {preset.look} ({preset.reference})")


def exports() -> None:
    """Draw what can be taken along."""
    lab = session.current()
    with st.expander(
        "Take it along: link, Python, JSON, CSV, PNG, GIF, MP4", icon=":material/download:"
    ):
        st.caption(
            "The address bar already holds everything: copy it, and the page opens in this state."
        )
        index = 0
        if len(lab.sides) == 2:
            index = "AB".index(st.segmented_control("Of", ["A", "B"], default="A", required=True))
        files = {
            "Process (JSON)": ("json", lambda: export.process_json(lab, index)),
            "Curves (CSV)": ("csv", lambda: export.curves_csv(lab, index)),
            "Picture (PNG)": ("png", lambda: export.still(lab)),
            "Film (GIF)": ("gif", lambda: export.noising_film(lab, "gif")),
            "Film (MP4)": ("mp4", lambda: export.noising_film(lab, "mp4")),
        }
        with st.container(horizontal=True):
            for title, (kind, make) in files.items():
                st.download_button(title, make, f"rgdiff-{lab.data}-{'AB'[index]}.{kind}")
        st.code(export.python_lines(lab, index), language="python", wrap_lines=True)


def free_theory() -> None:
    """Show what the exact Gaussian denoiser generates with this process."""
    if not st.toggle(
        "Show what the free theory generates",
        help="Samples with the exact Gaussian score: the right mean and spectrum, nothing more.",
    ):
        return
    left, right = st.columns(2)
    method = left.segmented_control(
        "Sampler", ["shell", "ddim", "heun"], default="shell", required=True
    )
    steps = right.slider("Steps", 1, 100, 20)
    lab = session.current()
    try:
        x = free_theory_samples(lab, method, steps)
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.image(grid(x, cache.images(lab.data), columns=COLUMNS), width="stretch")
    st.caption(
        "A network would add what is not Gaussian. The shell step draws from the posterior and "
        "keeps the variance at any number of steps; a point estimate loses some of it."
    )
    controls.open_samples(lab)


def page() -> None:
    """Draw the page."""
    st.title("Noising")
    st.markdown(
        "Noise an image component by component: **where** (basis), **how loud** (colour) and "
        "**when** (schedule) are independent choices. Drag the curve, scrub the time, hover over "
        "a scale."
    )
    session.prepare(datasets.first())
    sidebar()
    tour()
    laboratory()


page()
