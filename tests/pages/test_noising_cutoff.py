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
