"""Noising page: what Λ is called beside the curve, and that it is the schedule's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from container import unpack

from pages._noising import messages
from pages._noising.state import start
from pages._shared.process_choice import process
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.schedules import ExponentialKernel


@pytest.mark.parametrize(
    ("basis", "name"),
    [("fourier", "Λ/k_max"), ("cosine", "Λ/k_max"), ("wavelet", "Λ"), ("pixel", "")],
)
def test_the_cutoff_is_named_where_it_has_a_place_among_the_scales(basis: str, name: str):
    lab = start("phi4-6x6")
    side = replace(lab.sides[0], basis=BasisSpec(basis))
    header, arrays = unpack(messages.bands_message(replace(lab, sides=(side,)).to_json(), "s"))
    assert header["sides"][0]["cutoff"] == name
    cutoff = arrays["0/cutoff"]
    at = int(np.argmin(np.abs(np.log(np.array(header["sides"][0]["shape"]["grid"]) / 0.1))))
    y = torch.linspace(0, 1, cutoff.shape[1])
    own = side.schedule.cutoff(y, process(lab.data, side).modes)
    np.testing.assert_allclose(cutoff[at], own.numpy(), rtol=0, atol=1e-5)


def test_the_cutoff_is_not_where_data_and_noise_are_equal():
    """With an exponential kernel their places differ; each is sent under its own name."""
    lab = start("phi4-6x6")
    schedule = replace(lab.sides[0].schedule, kernel=ExponentialKernel())
    side = replace(lab.sides[0], schedule=schedule)
    _, arrays = unpack(messages.bands_message(replace(lab, sides=(side,)).to_json(), "s"))
    y = torch.linspace(0, 1, arrays["0/cutoff"].shape[1])
    modes = process(lab.data, side).modes
    for name in ("cutoff", "front"):
        own = getattr(schedule, name)(y, modes)
        np.testing.assert_allclose(arrays[f"0/{name}"][0], own.numpy(), rtol=0, atol=1e-5)
    assert np.abs(arrays["0/cutoff"] - arrays["0/front"]).max() > 0.01


def test_what_is_said_of_the_cutoff_is_true():
    lab = start("cifar10")
    header, arrays = unpack(messages.bands_message(lab.to_json(), "s"))
    own = header["sides"][0]
    assert own["note"].startswith("Scales finer than Λ have become noise; coarser")
    alpha, sigma, nodes = arrays["0/alpha"][0], arrays["0/sigma"][0], np.array(own["nodes"])
    at = int(np.argmin(np.abs(arrays["0/cutoff"][0] - 0.5)))
    level = np.log(alpha[at] / sigma[at])
    assert level[nodes > 0.8].max() < 0 < level[nodes < 0.2].min()
