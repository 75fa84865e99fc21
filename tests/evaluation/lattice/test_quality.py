"""What samples are worth, of models that are known: free fields, and one well of two."""

import math

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.evaluation import (
    WeightedSamples,
    flow_metrics,
    held_out,
    independence_metropolis,
    quality,
    reweighted_observables,
)
from rgdiff_core.lattice import FreeField, Phi4, hmc, observables
from rgdiff_core.presets import PRESETS
from rgdiff_core.statistics import Estimate

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL, TRUTH = FreeField(1.0, 4), FreeField(1.25, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, seed: int = 0) -> WeightedSamples:
    """Samples of one free field, weighed against another."""
    x = MODEL.sample(n, seeded(seed), dtype=torch.float64)
    log_q = -MODEL.action(x) - MODEL.log_z
    return WeightedSamples(TRUTH.action, x, log_q, -TRUTH.action(x) - log_q, 1)


def divergence(first: FreeField, second: FreeField) -> float:
    """KL(first|second) of Gaussians, by their variances."""
    ratio = first.propagator(first._momenta()) / second.propagator(second._momenta())
    return 0.5 * float((ratio - 1 - torch.log(ratio)).sum())


def test_reweighted_observables_are_those_of_the_theory():
    found, known = drawn(20_000), TRUTH.observables()
    weighted = reweighted_observables(found.x, found.log_w - 300.0)
    plain = observables(found.x, n_chains=len(found.x))
    for name, value in known.items():
        assert abs(weighted[name].value - value) < 4 * weighted[name].error, name
        assert weighted[name].error < 0.05 * max(abs(value), 0.5)
    for name in ("abs_magnetization", "susceptibility", "phi2", "phi4", "correlation_length"):
        assert abs(plain[name].value - known[name]) > 5 * plain[name].error, name


def test_the_metropolis_chain_measures_the_theory():
    found, known = drawn(5000, seed=1), TRUTH.observables()
    chain = independence_metropolis(found.log_w, seeded(2))
    told = flow_metrics(found)
    assert abs(chain.acceptance.deviation(told.acceptance)) < 4
    assert abs(chain.tau_int.deviation(told.tau_int)) < 4
    for name, estimate in observables(found.x[chain.indices]).items():
        assert abs(estimate.value - known[name]) < 4 * estimate.error, name


def test_errors_of_reweighted_observables_are_those_of_repeated_samples():
    """χ² of 40 sets has mean 40 and standard deviation 9."""
    known = TRUTH.susceptibility
    square = 0.0
    for seed in range(40):
        found = drawn(500, seed=100 + seed)
        chi = reweighted_observables(found.x, found.log_w)["susceptibility"]
        square += ((chi.value - known) / chi.error) ** 2
    assert abs(square - 40) < 4 * 9


def test_both_divergences_are_those_of_the_gaussians():
    exact = Estimate(TRUTH.log_z, 0.0)
    quality = flow_metrics(drawn(5000, seed=3))
    reverse, known = quality.reverse_kl_given(exact), divergence(MODEL, TRUTH)
    assert abs(reverse.value - known) < 4 * reverse.error < 0.6 * known
    assert abs(quality.log_z.value - TRUTH.log_z) < 4 * quality.log_z.error
    assert abs(quality.ess.value - _ess()) < 4 * quality.ess.error < 0.1

    basis = rg.bases.FourierBasis((1, 4, 4), "lattice").double()
    variance = 1 / (2 * (basis.momentum**2 + MODEL.m2))
    modes = rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    schedule = rg.schedules.LinearGamma(-40.0, 5.0)
    process = rg.Process(basis, rg.colors.Matched(), schedule, modes)
    model = rg.GaussianDenoiser(basis, modes)
    x = TRUTH.sample(5000, seeded(4), dtype=torch.float64)
    held = held_out(model, process, TRUTH.action, x, 2, Estimate(0.0, 1.0))
    forward, known = held.bound - exact, divergence(TRUTH, MODEL)
    assert abs(forward.value - known) < 4 * forward.error < 0.6 * known
    assert held.forward_kl.value == pytest.approx(forward.value + TRUTH.log_z)
    # log Z from elsewhere brings its own error along
    assert held.forward_kl.error == pytest.approx(math.hypot(1.0, forward.error))


def _ess() -> float:
    """(E w)²/E w² of the Gaussians, by their normalizations."""
    a_q = 0.5 / MODEL.propagator(MODEL._momenta())
    a_p = 0.5 / TRUTH.propagator(TRUTH._momenta())
    # E_q w = Z_p/Z_q, E_q w² = Z of the action 2S_p − S_q over Z_q
    log_ess = 2 * _log_z(a_p) - _log_z(a_q) - _log_z(2 * a_p - a_q)
    return math.exp(log_ess)


def _log_z(a: torch.Tensor) -> float:
    return 0.5 * float(torch.log(math.pi / a).sum())


def test_a_lost_mode_is_seen_with_a_log_z_from_elsewhere_only():
    """A model of one well of two, perfect there: its own numbers are, and log 2 is missing."""
    action = rg.lattice.Phi4(-4.0, 3.0)
    x = hmc(action, 4, 400, 400, seeded(5)).configurations.double()
    x = x * torch.sign(x.mean((1, 2, 3), keepdim=True))
    log_z = Estimate(11.0, 0.01)  # whatever it is
    log_q = -action(x) - (log_z.value - math.log(2))
    quality = flow_metrics(WeightedSamples(action, x, log_q, -action(x) - log_q, 1))
    assert quality.ess.value == pytest.approx(1) and quality.acceptance.value == pytest.approx(1)
    assert quality.reverse_kl.value == pytest.approx(0, abs=1e-9)
    assert quality.tau_int.value == pytest.approx(0.5)
    told = quality.reverse_kl_given(log_z)
    assert told.value == pytest.approx(math.log(2)) and told.error == pytest.approx(0.01)


def test_weights_that_do_not_belong_to_the_samples_are_refused():
    with pytest.raises(ValueError, match="log_w has shape \\(3,\\); x holds 4 samples"):
        reweighted_observables(torch.zeros(4, 1, 2, 2), torch.zeros(3))


def test_the_error_of_log_z_is_that_of_a_mean():
    """By the delta method: that of the mean weight, relative to it."""
    weighed = drawn(4000)
    weights = torch.exp(weighed.log_w - weighed.log_w.max())
    expected = float(weights.std() / weights.mean()) / 4000**0.5
    assert flow_metrics(weighed).log_z.error == pytest.approx(expected, rel=0.2)


def test_flows_are_integrated_well_whatever_the_pace_of_the_schedule():
    """Of a network, for the free theory's flow is exact; the model's own ESS is 0.98 and more."""
    model, action = rg.load_pretrained("phi4-6x6"), Phi4(-4.0, 6.975)
    carosso = PRESETS["carosso"]
    process = rg.Process(model.basis, carosso.color, carosso.schedule, model.modes)
    found = quality(model, process, action, 8, 8, seeded())
    assert found.ess.value > 0.9 and abs(found.reverse_kl.value) < 0.1
    held = held_out(
        model, process, action, rg.data.load("phi4-6x6", "test", 8).images, 8, found.log_z
    )
    assert abs(held.forward_kl.value) < 4 * held.forward_kl.error + 0.1
    assert quality(model, process, action, 8, 8, seeded(), grid="uniform").ess.value < 0.5
    x = rg.data.load("phi4-6x6", "test", 8).images
    rough = held_out(model, process, action, x, 8, found.log_z, grid="uniform")
    assert abs(rough.forward_kl.value - held.forward_kl.value) > 3
    with pytest.raises(ValueError, match="grid = '' is not one of"):
        quality(model, process, action, 8, 8, seeded(), grid="")
