"""Noise whose colour changes with time on the Noising page."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from noisingpage import exact, healthy, rest, state, visit

import rgdiff_core as rg
from pages._noising import data, export, messages
from pages._noising.state import NoisingState, start
from pages._shared.component import unpack
from pages._shared.process_choice import process
from rgdiff_core.colors import Matched, MovingColor, PowerLaw, White
from rgdiff_core.schedules import CosinePath, LinearPath, WaveletLevels
from rgdiff_core.spectra.bands import split_bands

PHI4 = replace(start("phi4-6x6"), t=0.3)
BLUE = PowerLaw(-1.0)


def moving(color: rg.colors.Color, first: rg.colors.Color, **more: object) -> NoisingState:
    return PHI4.with_side(0, replace(PHI4.sides[0], color=color, start=first, **more))


def test_a_start_is_chosen_and_is_in_the_address_the_picture_and_the_exports():
    at = healthy(visit(PHI4))
    healthy(at.selectbox(key="start-A").set_value("Begins white").run())
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
    assert state(at).sides[0].start is None


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


def test_choices_that_the_menus_lack_are_refused():
    for wrong, match in (
        ({"start": MovingColor()}, "start of the colour = MovingColor is not in"),
        ({"motion": rg.schedules.CutoffPath()}, "motion of the colour = CutoffPath is not in"),
    ):
        with pytest.raises(ValueError, match=match):
            replace(PHI4.sides[0], **wrong)


def test_moving_colours_are_not_blended():
    lab = moving(Matched(), White())
    assert replace(lab.sides[0].still, color=White()).motion == LinearPath()
    pair = [process(lab.data, side) for side in (lab.sides[0], PHI4.sides[0])]
    assert data.blend_note(pair) == (
        "A and B can be blended only where their colours do not change with time."
    )
    with pytest.raises(ValueError, match="too fast for WaveletLevels"):
        process(lab.data, replace(lab.sides[0], schedule=WaveletLevels()))
