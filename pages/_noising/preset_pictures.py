"""Presets as pictures: the first image on the page, noised half-way by every preset that fits."""

import base64
import math
from dataclasses import replace

import streamlit as st

from pages._noising import session
from pages._noising.data import fields, fitting, noise
from pages._noising.state import start, with_preset
from pages._shared import cache
from pages._shared.pictures import colormap_of, pixels, png
from pages._shared.process_choice import process
from rgdiff_core.presets import PRESETS

__all__ = ["choose", "picture"]

TIME = 0.5
MAX_FITTED = 1024
"""Components up to which a basis is fitted for a small picture."""

LOOK = """<style>
.st-key-preset-pictures { gap: 0.6rem; }
.st-key-preset-pictures .stButton button {
    width: 8.6rem; height: 11rem; padding: 8.2rem 0.3rem 0.2rem; align-items: center;
    background-repeat: no-repeat; background-position: center 0.4rem; background-size: 7.6rem;
    image-rendering: pixelated;
}
.st-key-preset-pictures .stButton button p {
    font-size: 0.8rem; line-height: 1.1; white-space: normal;
}
</style>"""


@st.dialog("Presets", width="large")
def choose(index: int) -> None:
    """Let a preset of one side be chosen by its picture."""
    st.html(LOOK)
    lab = session.current()
    with st.container(horizontal=True, key="preset-pictures"):
        for name, preset in PRESETS.items():
            drawn = picture(lab.data, name, lab.first, lab.seed)
            if drawn is None:
                continue
            key = f"preset-picture-{name}"
            image = f"url(data:image/png;base64,{drawn})"
            st.html(f"<style>.st-key-{key} button {{ background-image: {image} }}</style>")
            if st.button(
                preset.title, key=key, help=preset.look, on_click=_take, args=(index, name)
            ):
                st.rerun()  # which closes the dialog
    st.caption(f"The first image on the page at t = {TIME}, with the same noise.")


def _take(index: int, name: str) -> None:
    session.attempt(lambda: fitting(with_preset(session.current(), index, name)))


@st.cache_data(max_entries=256, show_spinner=False)
def picture(data: str, name: str, first: int, seed: int) -> str | None:
    """Return an image of a data set, noised by a preset, as PNG in base64; None where the preset
    does not fit the data, or its basis would have to be fitted to many components.
    """
    lab = replace(start(data), images=1, first=first, seed=seed)
    x0 = fields(lab)
    if PRESETS[name].basis.name == "pca" and math.prod(x0.shape[1:]) > MAX_FITTED:
        return None
    try:
        lab = fitting(with_preset(lab, 0, name))
        noised = process(data, lab.sides[0]).perturb(x0, TIME, noise(lab))
    except ValueError:
        return None
    source = cache.images(data)
    (tile,) = pixels(noised, source.low, source.high, colormap_of(data, x0.shape[1]))
    return base64.b64encode(png(tile)).decode()
