"""The noise colour that is dragged on the Samples page, and the one that is not."""

from dataclasses import replace

import pytest
from container import unpack
from samplespage import SMALL, at_bench, healthy, rest, state

from pages._samples import messages
from pages._samples.state import merged
from pages._sampling.draw import process
from rgdiff_core.colors import CurveColor, Matched, MovingColor, PowerLaw, White
from rgdiff_core.schedules import SoftConditioning

DRAWN = [[0, 0.5], [0.2, 0.0], [1, -2.0]]
FIXED = "pretrained/cifar10-matched"


def test_a_universal_models_colour_is_dragged_into_the_address():
    at = at_bench(SMALL)
    own = SMALL.component()["sides"][0]
    assert own["curve"] is None and own["keep"]
    healthy(rest(at, sides=[own | {"tint": 0.5, "curve": DRAWN}]))
    color = CurveColor((0, 0.2, 1), (0.5, 0, -2), Matched(strength=0.5))
    bench = state(at)
    assert bench.setting.side.color == color
    assert bench.component()["sides"][0]["curve"] == DRAWN
    assert process(bench.setting).color == color


def test_the_message_has_the_spectra_and_the_flat_curve():
    header, arrays = unpack(messages.samples_message(SMALL.to_json(), "s", live=False))
    side = header["sides"][0]
    assert header["color_note"] == "" and side["tint"]["name"] == "strength"
    assert [v for _, v in side["curve"]["points"]] == [0.0] * len(side["curve"]["points"])
    bands = len(side["nodes"])
    assert arrays["0/data_power"].shape == (bands,) and arrays["0/motion"].tolist() == [1.0]
    assert arrays["0/noise_power"].shape == (len(side["tint"]["grid"]), 1, bands)
    matched = next(i for i, a in enumerate(side["tint"]["grid"]) if a == pytest.approx(1))
    assert arrays["0/noise_power"][matched, 0] == pytest.approx(arrays["0/data_power"], rel=1e-4)


@pytest.mark.parametrize("order", ["column", "scale"])
def test_the_noise_spectrum_is_the_colours_own_in_any_order(order):
    """Against the colour's variances, averaged over the components of each band."""
    color = PowerLaw(1.3)
    side = replace(SMALL.setting.side, color=color, schedule=SoftConditioning(order=order))
    bench = replace(SMALL, setting=replace(SMALL.setting, side=side))
    header, arrays = unpack(messages.samples_message(bench.to_json(), "s", live=False))
    grid, power = header["sides"][0]["tint"]["grid"], arrays["0/noise_power"][:, 0]
    forward = process(bench.setting)
    label = forward.schedule.label(forward.modes).expand(forward.modes.scale.shape).flatten()
    for row in (0, len(grid) // 2, len(grid) - 1):
        variance = replace(color, exponent=grid[row]).variance(forward.modes).flatten()
        expected = [float(variance[label == place].mean()) for place in label.unique()]
        assert power[row] == pytest.approx(expected, rel=2e-3)


def test_a_model_of_one_colour_says_why_it_is_not_dragged():
    bench = replace(SMALL, setting=replace(SMALL.setting, model=FIXED))
    header, arrays = unpack(messages.samples_message(bench.to_json(), "s", live=False))
    side = header["sides"][0]
    assert side["curve"] is None and side["fixed"]
    own = bench.component()["sides"][0]
    here = next(i for i, a in enumerate(side["tint"]["grid"]) if a == pytest.approx(own["tint"]))
    power = arrays["0/noise_power"][here, 0]
    assert power == pytest.approx(arrays["0/data_power"], rel=1e-4)  # its noise is matched
    assert header["color_note"].startswith("The noise spectrum can't be dragged: this model")
    told = bench.component() | {"sides": [own | {"curve": None}]}
    assert merged(bench, told).setting.side == bench.setting.side


def test_samples_of_a_moving_colour_are_drawn_by_its_process():
    side = replace(SMALL.setting.side, start=White())
    bench = replace(SMALL, setting=replace(SMALL.setting, side=side))
    at = at_bench(bench)
    assert state(at) == bench
    assert process(bench.setting).color == MovingColor(White(), Matched())
