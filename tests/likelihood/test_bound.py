"""The bound: a direct sum of divergences, Gaussian data without variance, its limit, its slope."""

import itertools

import numpy as np
import pytest
import torch
from laws import SCHEDULES, assert_within, fields, fitted, name_of
from mixture import mixture
from torch.distributions import Normal, kl_divergence

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.likelihood import excess
from rgdiff_core.likelihood.bound import excess_at, levels, step_weights_at
from rgdiff_core.process import Marginal, Process

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (1, 4, 4)
FITTING = [s for s in SCHEDULES if not isinstance(getattr(s, "order", ""), tuple)]


def density_of_the_free_theory(modes, c):
    return Normal(modes.mean, modes.variance.sqrt()).log_prob(c).sum((1, 2, 3))


@pytest.mark.parametrize("schedule", FITTING, ids=name_of)
def test_gaussian_data_have_their_density_without_variance(schedule):
    basis, modes = fitted(SHAPE)
    process = Process(basis, colors.PowerLaw(), schedule, modes)
    x = fields(SHAPE, 3)
    found = rg.elbo(rg.GaussianDenoiser(basis, modes), process, x, steps=3)
    exact = density_of_the_free_theory(modes, basis.analyze(x))
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)


def direct(model, process, x, times, noise):
    """Return a draw of the bound as a plain sum of divergences of Gaussians, (B,), for a schedule
    without components that finish early.
    """
    data, variance = model.basis.analyze(x), model.modes_variance

    def at(t):
        marginal = process.vp_marginal(t)
        return marginal.alpha, marginal.std**2

    a, n = at(times[0])
    prior = Normal(a * model.modes_mean, (a**2 * variance + n).sqrt())
    total = kl_divergence(Normal(a * data, n.sqrt()), prior).sum((1, 2, 3))
    for i, (t, s) in enumerate(itertools.pairwise(times)):
        a, n = at(t)
        c = a * data + n.sqrt() * noise[i]
        mean = model.posterior(c, Marginal(a, n.sqrt())).mean
        V = 1 / (1 / variance + a**2 / n)
        if s == 0:
            total = total - Normal(mean, V.sqrt()).log_prob(data).sum((1, 2, 3))
            continue
        b, m = at(s)
        kept = a / b  # of χ_s in χ_t; the rest of χ_t is noise
        added = n - kept**2 * m
        tau = m * added / n
        to_data = b * added / n
        from_now = kept * m / n
        q = Normal(from_now * c + to_data * data, tau.sqrt())
        p = Normal(from_now * c + to_data * mean, (tau + to_data**2 * V).sqrt())
        total = total + kl_divergence(q, p).sum((1, 2, 3))
    return -total


@pytest.mark.parametrize("color", [colors.White(), colors.PowerLaw()])
def test_it_is_the_direct_sum_of_divergences(color):
    model = mixture()
    process = Process(model.basis, color, schedules.SoftConditioning(), model.modes)
    n, steps = 20_000, 5
    x = model.draw(1).expand(n, *model.basis.shape)
    noise = torch.randn(steps, n, *model.basis.shape, dtype=torch.float64)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    exact = direct(model, process, x, times, noise)
    found = rg.elbo(model, process, x, steps, torch.Generator().manual_seed(1))
    error = torch.sqrt((exact.var() + found.var()) / n)
    assert_within(found.mean(), exact.mean(), error)
    assert float(error) < 0.02
    assert float(exact.mean()) < float(model.log_density(x[:1])) - 10 * float(error)


@pytest.mark.parametrize("color", [colors.White(), colors.PowerLaw()])
def test_it_stays_below_the_density_and_comes_closer(color):
    """Over the data, −⟨bound⟩ is the entropy and a divergence that falls with every refinement."""
    model = mixture()
    process = Process(model.basis, color, schedules.LinearGamma(-12, 6), model.modes)
    n = 3000
    x = model.draw(n)
    exact = model.log_density(x)
    gaps, errors = [], []
    for steps in (2, 4, 8, 16, 64):
        gap = exact - rg.elbo(model, process, x, steps, torch.Generator().manual_seed(2))
        gaps.append(float(gap.mean()))
        errors.append(float(gap.std() / n**0.5))
    assert all(gap > -5 * error for gap, error in zip(gaps, errors, strict=True))
    assert gaps[0] > 10 * errors[0]
    # within a factor of two at each doubling, and of order 1/N at last
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3]
    assert gaps[4] < max(0.35 * gaps[3], 5 * errors[4])


def test_at_many_steps_it_is_the_integral_over_the_snr():
    """½∫Σ E|χ(0) − D|² d(SNR) and what lies beyond the schedule's ends, all by quadrature: the
    bound of N steps is off by c/N.
    """
    model, low, high = mixture((1, 1, 2), "pixel"), -8.0, 8.0
    process = Process(model.basis, colors.White(), schedules.LinearGamma(low, high), model.modes)
    root, share = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(24))
    noise = torch.cartesian_prod(root, root).reshape(-1, 1, 1, 2)
    share = torch.outer(share, share).flatten() / (2 * torch.pi)
    x = model.draw(1, seed=3).expand(noise.shape)
    data, S2, variance = model.basis.analyze(x), process.noise_variance, model.modes_variance

    def lost(gamma):
        """Return Σ E|χ(0) − D|²/S²."""
        one = torch.ones_like(S2)
        marginal = Marginal(
            (1 / (1 + gamma.exp())).sqrt() * one, (S2 / (1 + (-gamma).exp())).sqrt()
        )
        mean = model.posterior(marginal.alpha * data + marginal.std * noise, marginal).mean
        return share @ ((data - mean) ** 2 / S2).sum((1, 2, 3)), mean, marginal

    total = 0.0
    for node, weight in zip(*np.polynomial.legendre.leggauss(40), strict=True):
        gamma = torch.tensor((low + high) / 2 + (high - low) / 2 * node)
        total += weight * (high - low) / 4 * (-gamma).exp() * lost(gamma)[0]
    _, _, last = lost(torch.tensor(high, dtype=torch.float64))
    prior = Normal(last.alpha * model.modes_mean, (last.alpha**2 * variance + last.std**2).sqrt())
    total += kl_divergence(Normal(last.alpha * data, last.std), prior).sum((1, 2, 3))[0]
    _, mean, first = lost(torch.tensor(low, dtype=torch.float64))
    left = 1 / (1 / variance + first.alpha**2 / first.std**2)
    total -= share @ Normal(mean, left.sqrt()).log_prob(data).sum((1, 2, 3))

    def bound(steps):
        marginals = levels(process, torch.linspace(1, 0, steps + 1, dtype=torch.float64))
        weights = step_weights_at(marginals, variance)
        result = -density_of_the_free_theory(model.modes, data[:1])[0]
        for i in range(steps):
            marginal = Marginal(marginals.alpha[i], marginals.std[i])
            terms = weights[i] * excess_at(model, x, marginal, noise)
            result += share @ terms.sum((1, 2, 3)) / 2
        return result

    off = [float(bound(steps) - total) for steps in (100, 200)]
    assert 0 < off[0] < 0.05
    assert off[0] / off[1] == pytest.approx(2, rel=0.02)
    assert abs(2 * off[1] - off[0]) < 1e-3


def test_a_jump_is_one_step_and_early_components_are_finished():
    basis, modes = fitted(SHAPE)
    hard = Process(basis, colors.White(), schedules.Cutoff(schedules.HardKernel()), modes)
    weights = step_weights_at(levels(hard, torch.linspace(1, 0, 9)), modes.variance)
    assert ((weights < 1e-12) | (weights > 1 - 1e-12)).all()
    torch.testing.assert_close(weights.sum(0), torch.ones(SHAPE, dtype=torch.float64))
    windows = Process(basis, colors.White(), schedules.Sequential("column", 0.0), modes)
    marginals = levels(windows, torch.linspace(1, 0, 9, dtype=torch.float64))
    finished = marginals.std == 0
    assert finished[-1].all() and not finished[0].any() and finished[4].any()
    weights = step_weights_at(marginals, modes.variance)
    assert (weights[4:][finished[4:-1]] == 0).all()
    assert (weights[:-1][finished[1:-1] & ~finished[:-2]] == 1).all()


def test_the_excess_is_the_difference_of_squares():
    model = mixture()
    process = Process(model.basis, colors.PowerLaw(), schedules.Cosine(), model.modes)
    x = model.draw(6)
    t = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    noise = torch.randn(x.shape, dtype=torch.float64)
    marginal = process.vp_marginal(t)
    data = model.basis.analyze(x)
    c = marginal.alpha * data + marginal.std * noise
    gaussian = rg.GaussianDenoiser(model.basis, model.modes).posterior(c, marginal)
    mean = model.posterior(c, marginal).mean
    expected = ((data - mean) ** 2 - (data - gaussian.mean) ** 2) / gaussian.variance
    torch.testing.assert_close(excess(model, process, x, t, noise), expected)


def test_the_bound_is_differentiable_in_the_schedule():
    """By a schedule's γ, against finite differences."""
    model = mixture()
    x = model.draw(3)
    noise = torch.randn(4, *x.shape, dtype=torch.float64)
    S = model.modes_variance.sqrt()

    def bound(gamma):
        alpha, std = torch.sigmoid(-gamma).sqrt(), (torch.sigmoid(gamma)).sqrt() * S
        end = Marginal(torch.cat([alpha, alpha[:1] * 0 + 1]), torch.cat([std, 0 * std[:1]]))
        weights = step_weights_at(end, model.modes_variance)
        return sum(
            (weights[i] * excess_at(model, x, Marginal(alpha[i], std[i]), noise[i])).sum()
            for i in range(4)
        )

    gamma = torch.linspace(4, -4, 4, dtype=torch.float64)[:, None, None, None].expand(4, 1, 2, 2)
    assert torch.autograd.gradcheck(bound, (gamma.clone().requires_grad_(),))


def test_bad_input_is_named():
    model = mixture()
    process = Process(model.basis, colors.White(), schedules.Cosine(), model.modes)
    x = model.draw(2)
    with pytest.raises(ValueError, match=r"steps = 0 is outside \[1, 10000\]"):
        rg.elbo(model, process, x, steps=0)
    with pytest.raises(ValueError, match="grid = 'odd' is not one of"):
        rg.elbo(model, process, x, steps=2, grid="odd")
