"""Presets as pictures: what each shows, and what a click on one does."""

import base64
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

from pages._noising.data import fields, fitting, noise
from pages._noising.preset_pictures import TIME, picture
from pages._noising.state import NoisingState, start, with_preset
from pages._shared.process_choice import process
from rgdiff_core.presets import PRESETS

DATA = "photographs"

pytestmark = pytest.mark.usefixtures("folders")


def chooser() -> None:
    """Draw a button that opens the pictures."""
    import streamlit as st

    from pages._noising import preset_pictures, session

    session.prepare("phi4-6x6")
    if st.button("open", key="open"):
        preset_pictures.choose(0)


@pytest.mark.parametrize("name", ["ddpm", "equal-snr"])
def test_a_picture_is_the_first_image_noised_by_the_preset(name: str):
    shown = picture(DATA, name, 3, 5)
    assert shown is not None
    pixels = iio.imread(base64.b64decode(shown), extension=".png")
    lab = fitting(with_preset(replace(start(DATA), images=1, first=3, seed=5), 0, name))
    noised = process(DATA, lab.sides[0]).perturb(fields(lab), TIME, noise(lab))[0]
    wanted = 255 * (noised.clamp(-1, 1) + 1) / 2
    assert np.abs(pixels - wanted.movedim(0, -1).numpy()).max() <= 0.51


def test_a_basis_that_takes_long_to_fit_has_no_picture():
    assert picture(DATA, "gud-soft", 0, 0) is None


def test_a_click_chooses_the_preset():
    at = AppTest.from_function(chooser, default_timeout=PATIENCE).run()
    assert [each.key for each in at.button] == ["open"]
    at.button(key="open").click().run()
    titles = [each.label for each in at.button if str(each.key).startswith("preset-picture-")]
    assert titles == [preset.title for preset in PRESETS.values()]
    at.button(key="preset-picture-flow-matching").click().run()
    assert not at.exception
    lab: NoisingState = at.session_state["noising-state"]
    assert lab.sides[0].schedule == PRESETS["flow-matching"].schedule
