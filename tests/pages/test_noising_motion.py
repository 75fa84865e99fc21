"""Noise whose colour changes with time on the Noising page."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from container import unpack
from noisingpage import exact, healthy, rest, state, visit

import rgdiff_core as rg
from pages._noising import controls, data, export, messages
from pages._noising.state import NoisingState, start
from pages._noising.two_sites import Plane
from pages._shared.menus import START_COLORS
from pages._shared.process_choice import process
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, FreeTheory, Matched, MovingColor, PowerLaw, White
from rgdiff_core.schedules import CosinePath, LinearPath, SoftConditioning, WaveletLevels
from rgdiff_core.spectra.bands import split_bands

PHI4 = replace(start("phi4-6x6"), t=0.3)
BLUE = PowerLaw(-1.0)


def moving(color: rg.colors.Color, first: rg.colors.Color, **more: object) -> NoisingState:
    return PHI4.with_side(0, replace(PHI4.sides[0], color=color, start=first, **more))


def test_a_start_is_chosen_and_is_in_the_address_the_picture_and_the_exports():
    at = healthy(visit(PHI4))
    healthy(at.selectbox(key="start-A").set_value("Starts white").run())
    healthy(at.selectbox(key="motion-A").set_value(CosinePath).run())
    lab = state(at)
    assert lab == moving(Matched(), White(), motion=CosinePath())
    color = MovingColor(White(), Matched(), CosinePath())
    text = export.process_json(lab, 0)
    given = rg.Process.from_json(text)
    assert given.color == color
    assert "rg.colors.MovingColor(start=rg.colors.White(" in at.code[0].value
    expected = given.perturb(data.fields(lab), lab.t, data.noise(lab)).numpy()
    np.testing.assert_allclose(exact(lab), expected, atol=2e-3)  # sent in half precision
    assert np.abs(exact(lab) - exact(PHI4)).max() > 0.05
    assert state(healthy(visit(lab))) == lab
    healthy(at.selectbox(key="start-A").set_value("Fixed").run())
    assert state(at) == PHI4  # its motion is taken back too
    assert controls.preset_of(state(at).sides[0]) == "rg-cutoff"


def test_a_start_that_the_menu_lacks_is_named_in_words():
    at = healthy(visit(moving(Matched(), PowerLaw(-1.5))))
    assert at.selectbox(key="start-A").value == "Starts with blue (p = -1.5) noise"


def noise_wanted(lab: NoisingState) -> set[str]:
    """Return the identities of the images that the bands message has its noise painted from."""
    header, _ = unpack(messages.bands_message(lab.to_json(), "s"))
    return {each for side in header["sides"] for each in (*side["noise"], side["data"])}


@pytest.mark.parametrize("basis", ["pixel", "fourier", "wavelet", "pca"])
@pytest.mark.parametrize("color", [White(), Matched(), PowerLaw(2.0), PowerLaw(0.0)])
def test_all_images_that_a_moving_colour_is_painted_from_are_sent(color: Color, basis: str):
    for first in START_COLORS.values():
        side = replace(PHI4.sides[0], basis=BasisSpec(basis), color=color, start=first)
        lab = NoisingState(PHI4.data, (side,), images=1)
        assert noise_wanted(lab) == set(messages.layers_messages(lab))


@pytest.mark.parametrize("color", [PowerLaw(2.0), PowerLaw(0.0), FreeTheory(0.3)])
@pytest.mark.parametrize("basis", ["fourier", "wavelet"])
def test_images_of_a_colour_that_is_not_dragged_are_of_that_colour(color: Color, basis: str):
    def lab(color: Color) -> NoisingState:
        soft = SoftConditioning(order="column")
        side = replace(PHI4.sides[0], basis=BasisSpec(basis), color=color, schedule=soft)
        return NoisingState(PHI4.data, (side,), images=1)

    sent = messages.layers_messages(lab(color))
    assert noise_wanted(lab(color)) == set(sent)
    assert set(sent) != set(messages.layers_messages(lab(PowerLaw(1.5))))


@pytest.mark.parametrize(
    ("color", "first", "exactly"),
    [(BLUE, White(), True), (Matched(), White(), True), (PowerLaw(0.5), Matched(), False)],
)
def test_the_tables_have_the_spectrum_of_every_time(color, first, exactly):
    """At the bands' nodes; between white and matched noise to the bands' least squares."""
    lab = moving(color, first)
    header, arrays = unpack(messages.bands_message(lab.to_json(), "s"))
    proc = process(lab.data, lab.sides[0])
    bands = split_bands(proc)
    tables = arrays["0/tint"], arrays["0/noise_power"], arrays["0/motion"]
    amplitude, power, motion = tables
    times = torch.linspace(0, 1, len(motion))
    np.testing.assert_allclose(motion, times, atol=1e-6)
    grid = header["sides"][0]["tint"]["grid"]
    parameter = lab.sides[0].drag_parameters()[1]
    assert parameter is not None
    here = int(np.argmin(np.abs(np.array(grid) - parameter.value(color))))
    end = MovingColor(first, parameter.turn(color, grid[here]))
    spectra = bands.at_nodes(end.variance_at(times, proc.modes)).numpy()
    if exactly and len(header["sides"][0]["noise"]) == 1:
        np.testing.assert_allclose(power[here], spectra, rtol=1e-3)
        np.testing.assert_allclose(amplitude[here, :, 0] ** 2, spectra, rtol=1e-3)
    else:
        loud = Matched(normalize=False).variance(proc.modes).sqrt()
        painted = amplitude[here, :, 0] + amplitude[here, :, 1] * bands.at_nodes(loud).numpy()
        np.testing.assert_allclose(painted, np.sqrt(spectra), rtol=0.02 if exactly else 0.3)


def test_what_can_not_be_solved_is_one_sentence_and_the_last_good_state_stays():
    at = healthy(visit(moving(Matched(), White())))
    before = state(at)
    side = before.component()["sides"][0] | {"points": [[0, 1], [0.4, 0.5], [0.6, 0.5], [1, 0]]}
    at = rest(at, sides=[side])
    assert len(at.error) == 1 and not at.exception
    assert "the colour changes too fast for Cutoff" in at.error[0].value
    assert at.session_state["noising-state"] == before
    kinds = [type(each).__name__ for each in at.main]
    below = kinds[kinds.index("Error") :].count("UnknownElement")  # which components are here
    assert below > 2  # the lab, its images and the exact picture
    told, _ = unpack(messages.settled_message(before, 0, "s", at.error[0].value))
    assert told["problem"] == at.error[0].value
    assert not rest(at).error  # it is said once


def test_choices_that_the_menus_lack_are_refused():
    for wrong, match in (
        ({"start": MovingColor()}, "start of the colour = MovingColor is not in"),
        ({"motion": rg.schedules.CutoffPath()}, "motion of the colour = CutoffPath is not in"),
    ):
        with pytest.raises(ValueError, match=match):
            replace(PHI4.sides[0], **wrong)
    with pytest.raises(ValueError, match="on two sites the noise keeps one colour"):
        Plane(replace(Plane().side, start=White()))


def test_moving_colours_are_not_blended():
    lab = moving(Matched(), White())
    assert replace(lab.sides[0].still, color=White()).motion == LinearPath()
    pair = [process(lab.data, side) for side in (lab.sides[0], PHI4.sides[0])]
    assert data.blend_note(pair) == (
        "A and B can be blended only where their colours do not change with time."
    )
    with pytest.raises(ValueError, match="too fast for WaveletLevels"):
        process(lab.data, replace(lab.sides[0], schedule=WaveletLevels()))
