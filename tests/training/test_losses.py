"""Losses: one on average for Gaussian data, weightings by their definitions, the bound exact."""

import math

import numpy as np
import pytest
import torch
from laws import fitted

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.process import Process
from rgdiff_core.training.losses import (
    WEIGHTINGS,
    NoiseBatch,
    Objective,
    by_scale,
    denoising_loss,
    weights,
)
from rgdiff_core.training.noise_levels import FixedProcess

SHAPE = (1, 6, 6)


def gaussian_data(n: int):
    """Return a basis, modes, and Gaussian fields that have exactly these modes."""
    basis, modes = fitted(SHAPE)
    generator = torch.Generator().manual_seed(1)
    eps = torch.randn((n, *SHAPE), generator=generator, dtype=torch.float64)
    return basis, modes, basis.synthesize(modes.mean + modes.variance.sqrt() * eps)


def model_of(basis, modes, *, reference="spectrum", loud=False):
    model = ModelSpec(LatticeNet(8, 1), reference=reference).build(basis, modes).double()
    if loud:
        torch.nn.init.normal_(model.network.last.weight, std=0.3)
    return model


@pytest.mark.parametrize("schedule", [schedules.Cosine(), schedules.Cutoff()])
@pytest.mark.parametrize("color", [colors.White(), colors.Matched()])
def test_the_unit_loss_of_the_free_theory_is_one_everywhere(color, schedule):
    n = 3000
    basis, modes, x = gaussian_data(n)
    model = model_of(basis, modes)
    process = Process(basis, color, schedule, modes)
    generator = torch.Generator().manual_seed(2)
    for t in (0.2, 0.5, 0.9):
        marginal = process.vp_marginal(torch.full((n,), t, dtype=torch.float64))
        weight = weights("unit", process, torch.full((n,), t, dtype=torch.float64), modes)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        terms = denoising_loss(model, x, NoiseBatch(marginal, weight), noise)
        # χ² of one degree of freedom: variance 2; the largest of 36 components below 5 errors
        assert float((terms.unit.mean(0) - 1).abs().max()) < 5 * math.sqrt(2 / n)
        assert terms.gain.abs().max() < 1e-12
        torch.testing.assert_close(terms.loss, terms.unit.mean())


def test_weightings_are_what_they_are_called():
    basis, modes, x = gaussian_data(6)
    process = Process(basis, colors.PowerLaw(), schedules.Cosine(), modes)
    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9, 0.95], dtype=torch.float64)
    marginal, generator = process.vp_marginal(t), torch.Generator().manual_seed(3)
    eps, guess = torch.randn((2, *x.shape), generator=generator, dtype=torch.float64)
    data = basis.analyze(x)
    S = process.noise_variance.sqrt()
    alpha, sigma = marginal.alpha, marginal.std / S
    noised = alpha * data + sigma * S * eps
    eps_guess = (noised - alpha * guess) / (sigma * S)
    v, v_guess = (alpha * e - sigma * d / S for e, d in ((eps, data), (eps_guess, guess)))
    squared = {
        "simple": (eps - eps_guess) ** 2,
        "x0": (data - guess) ** 2 / modes.variance.mean(),
        "v": (v - v_guess) ** 2,
    }
    for name, expected in squared.items():
        weight = weights(name, process, t, modes)
        torch.testing.assert_close(weight * (data - guess) ** 2, expected)


@pytest.mark.parametrize("times", ["stratified", "importance"])
@pytest.mark.parametrize("color", [colors.White(), colors.Matched()])
@pytest.mark.parametrize("schedule", [schedules.LinearGamma(-7, 5), schedules.Cutoff()])
def test_the_bound_of_the_free_theory_is_exact(schedule, color, times):
    """½∫Σ V d(SNR) = ½Σ log(V(1)/V(0)), whatever the schedule and wherever times are drawn."""
    basis, modes, _ = gaussian_data(2)
    sampler = FixedProcess(color, schedule).sampler(basis, modes, Objective("elbo", times), 0)
    n = 4000
    batch = sampler.draw(0, n)
    model = model_of(basis, modes)
    V = model.gaussian(torch.zeros(n, *SHAPE, dtype=torch.float64), batch.marginal).variance
    found = (batch.weight * V).sum((1, 2, 3))
    process = Process(basis, color, schedule, modes)
    ends = [
        model.gaussian(
            torch.zeros(1, *SHAPE, dtype=torch.float64), process.vp_marginal(t)
        ).variance
        for t in (0.0, 1.0)
    ]
    exact = float(torch.log(ends[1] / ends[0]).sum() / 2)
    assert float(found.mean()) == pytest.approx(exact, rel=2e-3)  # stratified: far below 1/√n
    if times == "importance":
        uniform = FixedProcess(color, schedule).sampler(basis, modes, Objective("elbo"), 0)
        other = uniform.draw(0, n)
        V = model.gaussian(torch.zeros(n, *SHAPE, dtype=torch.float64), other.marginal).variance
        assert found.std() < (other.weight * V).sum((1, 2, 3)).std()


@pytest.mark.parametrize("reference", ["spectrum", "isotropic"])
def test_the_gain_is_the_difference_on_the_same_draw(reference):
    basis, modes, x = gaussian_data(50)
    loud = model_of(basis, modes, reference=reference, loud=True)
    batch = FixedProcess().sampler(basis, modes, Objective(), 0).draw(0, 50)
    noise = torch.randn(x.shape, dtype=torch.float64)
    terms = denoising_loss(loud, x, batch, noise)
    free = denoising_loss(model_of(basis, modes), x, batch, noise)
    data = basis.analyze(x)
    c = batch.marginal.alpha * data + batch.marginal.std * noise
    mean = loud.posterior(c, batch.marginal).mean
    V = model_of(basis, modes).gaussian(c, batch.marginal).variance
    torch.testing.assert_close(terms.gain, free.unit - (mean - data) ** 2 / V)


def test_gradients_are_those_of_the_plain_loss():
    basis, modes, x = gaussian_data(20)
    model = model_of(basis, modes, loud=True)
    batch = FixedProcess().sampler(basis, modes, Objective("v"), 0).draw(0, 20)
    noise = torch.randn(x.shape, dtype=torch.float64)
    denoising_loss(model, x, batch, noise).loss.backward()
    ours = model.network.last.weight.grad.clone()
    model.zero_grad()
    data = basis.analyze(x)
    c = batch.marginal.alpha * data + batch.marginal.std * noise
    plain = (batch.weight * (model.posterior(c, batch.marginal).mean - data) ** 2).mean()
    plain.backward()
    torch.testing.assert_close(ours, model.network.last.weight.grad)


def test_by_scale_is_a_mean_in_bands():
    _, modes = fitted((2, 8, 8))
    values = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    found = by_scale(values, modes, 5).numpy()
    scale = modes.scale.expand(2, 8, 8).numpy()
    band = np.minimum((scale * 5).astype(int), 4)
    expected = [values.mean(0).numpy()[band == b].mean() for b in range(5)]
    np.testing.assert_allclose(found, expected)


def test_unknown_weightings_are_named():
    with pytest.raises(ValueError, match=f"weighting = 'x' is not one of {', '.join(WEIGHTINGS)}"):
        Objective("x")
    with pytest.raises(ValueError, match="times = 'now' is not one of"):
        Objective(times="now")
    with pytest.raises(ValueError, match=r"Modes\.fit"):
        basis = rg.bases.FourierBasis(SHAPE)
        process = Process(basis, colors.White(), schedules.Cosine())
        weights("unit", process, torch.rand(2), process.modes)
