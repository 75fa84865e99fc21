"""What stands below the lab: papers, exports, and what the free theory generates."""

import streamlit as st

from pages._noising import controls, data, export, session
from pages._noising.films import films
from pages._shared import cache
from pages._shared.pictures import grid
from rgdiff_core.presets import PRESETS

__all__ = ["exports", "free_theory", "references"]

COLUMNS = 8


def references() -> None:
    """Say of which paper a process is, and what to look at."""
    for index, side in enumerate(session.current().sides):
        name = controls.preset_of(side)
        if name is not None:
            preset, letter = PRESETS[name], f"**{'AB'[index]}** · "
            head = letter if len(session.current().sides) > 1 else ""
            st.caption(f"{head}{preset.title} — {preset.look} ({preset.reference})")


def exports() -> None:
    """Draw what can be downloaded and copied."""
    lab = session.current()
    with st.expander(
        "Export and share: link, Python, JSON, CSV, PNG, MP4, GIF", icon=":material/download:"
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
        }
        with st.container(horizontal=True):
            for title, (kind, make) in files.items():
                st.download_button(title, make, f"rgdiff-{lab.data}-{'AB'[index]}.{kind}")
        films(lab, f"rgdiff-{lab.data}")
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
        x = data.free_theory_samples(lab, method, steps)
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    source = cache.images(lab.data)
    st.image(grid(x, source, columns=COLUMNS), width="stretch")
    st.caption(
        "A network would add what is not Gaussian. The shell step draws from the posterior and "
        "keeps the variance at any number of steps; a point estimate loses some of it."
    )
    controls.open_samples(lab)
