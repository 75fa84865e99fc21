"""A process as a spec: what it builds, its JSON, and on a model's basis."""

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.bases.spec import BASES, BasisSpec

IMAGES = torch.linspace(-1, 1, 6 * 2 * 8 * 8).sin().reshape(6, 2, 8, 8)
OPTIONS = {"fourier": {"momentum": "lattice"}, "wavelet": {"wavelet": "db2", "levels": 1}}


@pytest.mark.parametrize("name", BASES)
def test_a_spec_builds_what_is_made_by_hand(name):
    color, schedule = rg.colors.Matched(), rg.schedules.Cosine()
    spec = rg.ProcessSpec(BasisSpec(name, **OPTIONS.get(name, {})), color, schedule)
    assert rg.ProcessSpec.from_json(spec.to_json()) == spec
    basis = spec.basis.build(IMAGES)
    modes = rg.Modes.fit(basis, IMAGES)
    by_hand = rg.Process(basis, color, schedule, modes).marginal(0.4)
    model = rg.GaussianDenoiser(basis, modes)
    for process in (spec.build(IMAGES), spec.on(model)):
        found = process.marginal(0.4)
        torch.testing.assert_close((found.alpha, found.std), (by_hand.alpha, by_hand.std))


@pytest.mark.parametrize("name", BASES)
def test_a_basis_is_of_one_choice(name):
    spec = BasisSpec(name, decorrelate=True, **OPTIONS.get(name, {}))
    basis = spec.build(IMAGES)
    assert BasisSpec.of(basis).describes(basis) and spec.describes(basis)
    assert BasisSpec.of(basis).build(IMAGES).options() == basis.options()
    others = {BasisSpec(other) for other in BASES} - {BasisSpec(name)}
    assert not any(other.describes(basis) for other in others)
    assert not BasisSpec(name, **OPTIONS.get(name, {})).describes(basis)  # of channels as they are


def test_a_model_in_another_basis_is_refused():
    model = rg.GaussianDenoiser.fit(rg.bases.FourierBasis((2, 8, 8)), IMAGES)
    spec = rg.ProcessSpec(BasisSpec("cosine"), rg.colors.White(), rg.schedules.Cosine())
    with pytest.raises(ValueError, match=r"basis .*FourierBasis.* is not the process' .*cosine"):
        spec.on(model)
