"""The Lattice page's view of growing fields, and its work in the background."""

import math
from dataclasses import replace

import pytest
import torch
from apptest import finished, healthy, page_at
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._lattice import growth
from pages._lattice.growth import Growth
from pages._sampling import models
from pages._shared import plots
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.lattice import observables
from rgdiff_core.networks import UNet
from rgdiff_core.sampling.growth import coarse_fields
from rgdiff_core.schedules import WaveletLevels
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess, Universal

BLOCKS = FixedProcess(White(), WaveletLevels(0.0))
pytestmark = pytest.mark.usefixtures("folders")


def test_fields_grow_octave_by_octave_beside_hybrid_monte_carlo():
    link = {"view": "Grow", "grow-from": "4", "lam": "6.975"}
    at = healthy(page_at("pages/lattice.py", **link).run())
    at.segmented_control(key="grow-octaves").set_value(1).run()
    wanted = Growth("pretrained/phi4-6x6", models.version("pretrained/phi4-6x6"), 4, 1)
    next(each for each in at.button if each.label == "Grow").click().run()
    (octave,) = finished(growth.find(wanted)).result
    assert octave.given.shape[-2:] == (4, 4) and octave.grown.x.shape[-2:] == (8, 8)
    again = coarse_fields(octave.grown.x)
    basis = rg.bases.FourierBasis((1, 4, 4), "lattice")
    inner = basis.scale < 0.5  # waves at the edge are drawn too
    kept, given = (basis.analyze(each)[:, inner] for each in (again, octave.given))
    assert torch.allclose(kept, given, atol=1e-4)
    healthy(at.run())
    frame = at.dataframe[0].value
    assert list(frame["fields"]) == ["grown, 256", "HMC, 512"]
    found = octave.grown.observables["phi2"]
    assert str(frame["⟨φ²⟩"][0]).startswith(plots.in_brackets(found.value, found.error))
    at.slider(key="grow-cutoff").set_value(0.0).run()
    healthy(at)
    drawn = growth.taken_over(wanted, 8, 0.0, octave)
    there = octave.reference.observables["phi2"]
    here = observables(drawn, n_chains=len(drawn))["phi2"]
    assert abs(here.value - there.value) < 5 * math.hypot(here.error, there.error)


def test_fields_grow_from_averages_of_blocks():
    link = {"view": "Grow", "grow-from": "8"}
    at = healthy(page_at("pages/lattice.py", **link).run())
    at.selectbox(key="grown").set_value("pretrained/phi4-blocks").run()
    at.segmented_control(key="grow-octaves").set_value(2).run()
    wanted = Growth("pretrained/phi4-blocks", models.version("pretrained/phi4-blocks"), 8, 2)
    next(each for each in at.button if each.label == "Grow").click().run()
    octaves = finished(growth.find(wanted)).result
    for octave in octaves:
        averages = torch.nn.functional.avg_pool2d(octave.grown.x, 2)
        torch.testing.assert_close(averages, octave.given, atol=1e-5, rtol=0)
    healthy(at.run())
    assert list(at.dataframe[0].value["lattice"]) == ["16×16", "16×16", "32×32", "32×32"]
    assert "grow-cutoff" not in {each.key for each in at.slider}
    first, last = growth.lineage(octaves, 2)
    assert last == [0, 1] and len(octaves[1].grown.x) < len(octaves[0].grown.x)
    parents = octaves[0].grown.x[first].flatten(1)
    alike = torch.corrcoef(torch.cat([parents, octaves[1].given[last].flatten(1)]))
    assert alike[0, 2] > 0.9 and alike[1, 3] > 0.9  # rescaled, wave by wave
    there, here = (each.observables["phi2"] for each in (octaves[1].reference, octaves[1].grown))
    assert abs(here.value / there.value - 1) < 0.1


@pytest.mark.parametrize("wild", [False, True])
def test_a_field_that_explodes_is_told_of_where_its_error_hides_it(wild: bool):
    def script(wild: bool) -> None:
        import torch

        from pages._lattice.grow import _warn
        from pages._lattice.growth import Fields

        noise = torch.Generator().manual_seed(0)
        reference = Fields.of(torch.randn(128, 1, 8, 8, generator=noise), 16, 0.0)
        x = torch.randn(64, 1, 8, 8, generator=noise)
        x[0] *= 30 if wild else 1
        _warn("At 8×8", Fields.of(x, 16, 0.0), reference)

    at = AppTest.from_function(script, kwargs={"wild": wild}).run()
    assert not at.exception and len(at.warning) == wild
    if wild:
        assert at.warning[0].value.startswith("At 8×8, a few of the model's fields dominate")
        assert "⟨φ²⟩" in at.warning[0].value and "over 10 times" in at.warning[0].value


def test_a_model_that_cannot_grow_is_one_sentence():
    wanted = Growth("pretrained/cifar10", models.version("pretrained/cifar10"), 4, 1)
    growth.begin(wanted)
    task = finished(growth.find(wanted))
    assert task.result is None and task.error == "pretrained/cifar10 is not of a lattice theory."


@pytest.mark.parametrize(
    ("change", "grows"),
    [
        ({}, True),
        ({"basis": BasisSpec("wavelet")}, False),
        ({"basis": BasisSpec("pixel")}, False),
        ({"basis": BasisSpec("wavelet", levels=1), "noise": BLOCKS}, True),
        ({"basis": BasisSpec("wavelet", levels=2), "noise": BLOCKS}, False),
        ({"basis": BasisSpec("wavelet", levels=1), "noise": FixedProcess()}, False),
        ({"model": ModelSpec(conditioning="time")}, False),
        ({"basis": BasisSpec("wavelet", wavelet="db2", levels=1)}, False),
        ({"noise": FixedProcess()}, False),
        ({"model": ModelSpec(UNet(8, (1,), 1, ()))}, False),
    ],
)
def test_what_cannot_grow_is_not_offered(change: dict, grows: bool):
    assert growth.grows(replace(TrainConfig(noise=Universal()), **change)) is grows
