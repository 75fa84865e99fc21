"""The Gaussian denoiser against dense linear algebra, autograd and SciPy."""

import pytest
import torch
from laws import BASES, dense, fields, name_of
from scipy.stats import multivariate_normal

from rgdiff_core import GaussianDenoiser, Modes, Process, colors, schedules
from rgdiff_core.bases import FourierBasis
from rgdiff_core.denoisers import Denoiser

SHAPE = (2, 4, 4)
SCHEDULES = [
    schedules.LinearBeta(),
    schedules.Cutoff(),
    schedules.SoftConditioning(),
    schedules.EDM(),
    schedules.FlowMatching(),
    schedules.BlurringDiffusion(),
    schedules.Polchinski(duration=0.3),
]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)


def made(name: str, schedule: schedules.Schedule) -> tuple[GaussianDenoiser, Process]:
    model = GaussianDenoiser.fit(BASES[name](SHAPE), fields(SHAPE, 60)).double()
    return model, Process(model.basis, colors.FreeTheory(), schedule, model.modes)


def operators(process: Process, t: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return UαU†, UΣU† and Uσ²S²U†, dense, in field space."""
    u = dense(process.basis).T
    level = process.schedule.level(torch.tensor(t, dtype=torch.float64), process.modes)
    noise = level.sigma**2 * process.color.variance(process.modes)
    diagonals = (level.alpha, process.modes.variance, noise)
    return tuple(u @ torch.diag(d.expand(SHAPE).flatten()) @ u.T for d in diagonals)


def data_mean(model: Denoiser) -> torch.Tensor:
    return model.basis.synthesize(model.modes.mean).flatten()


@pytest.mark.parametrize("name", ["pixel", "fourier", "haar", "pca", "cosine, decorrelated"])
@every_schedule
def test_the_posterior_is_conditioning_of_the_dense_covariance(name, schedule):
    model, process = made(name, schedule)
    t, mu = 0.4, data_mean(model)
    a, prior, noise = operators(process, t)
    x = process.perturb(fields(SHAPE, 5, seed=1), t)
    total = a @ prior @ a.T + noise
    gain = prior @ a.T @ torch.linalg.inv(total)
    expected = mu + (x.flatten(1) - a @ mu) @ gain.T
    torch.testing.assert_close(
        model.denoise(x, t, process).flatten(1), expected, rtol=1e-6, atol=1e-7
    )
    c = model.basis.analyze(x) / process.level(t).magnitude
    posterior = model.posterior(c, process.vp_marginal(t))
    u = dense(model.basis).T
    covariance = u @ torch.diag(posterior.variance.expand(SHAPE).flatten()) @ u.T
    torch.testing.assert_close(covariance, prior - gain @ a @ prior, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["pixel", "fourier", "pca, decorrelated"])
@every_schedule
def test_log_density_is_scipys_and_its_gradient_the_score(name, schedule):
    model, process = made(name, schedule)
    t, mu = 0.6, data_mean(model)
    a, prior, noise = operators(process, t)
    x = process.perturb(fields(SHAPE, 5, seed=1), t).requires_grad_()
    density = model.log_density(x, t, process)
    reference = multivariate_normal((a @ mu).numpy(), (a @ prior @ a.T + noise).numpy())
    expected = torch.from_numpy(reference.logpdf(x.detach().flatten(1).numpy()))
    torch.testing.assert_close(density.detach(), expected, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(density.sum(), x)
    torch.testing.assert_close(model.score(x.detach(), t, process), gradient, rtol=1e-6, atol=1e-7)


@every_schedule
@pytest.mark.parametrize("t", [0.0, 1e-4, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_the_score_is_exact_in_single_precision_at_every_time(schedule, t):
    model, process = made("fourier", schedule)
    x = process.perturb(fields(SHAPE, 8, seed=1), t).float()
    exact = model.score(x.double(), t, process)
    single = model.float().score(x, t, process.float())
    assert float((single - exact).norm() / exact.norm()) < 2e-5


@every_schedule
def test_the_general_score_of_a_posterior_is_the_gaussians(schedule):
    model, process = made("fourier", schedule)
    x = process.perturb(fields(SHAPE, 4, seed=1), 0.5)
    c, level = model.basis.analyze(x) / process.level(0.5).magnitude, process.vp_marginal(0.5)
    general = Denoiser.component_score(model, c, level)
    torch.testing.assert_close(general, model.component_score(c, level), rtol=1e-5, atol=1e-6)


def test_times_may_be_a_batch():
    model, process = made("fourier", schedules.EDM())
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    x = process.perturb(fields(SHAPE, 2), t)
    for function in (model.denoise, model.score, model.log_density):
        one = [function(x[i : i + 1], t[i], process)[0] for i in range(2)]
        torch.testing.assert_close(function(x, t, process), torch.stack(one))


def test_without_noise_the_denoiser_knows_and_without_signal_it_guesses_the_mean():
    model, process = made("fourier", schedules.FlowMatching())
    x = fields(SHAPE, 3)
    torch.testing.assert_close(model.denoise(x, 0.0, process), x)
    guess = model.denoise(x, 1.0, process)
    expected = data_mean(model).reshape(1, *SHAPE).expand_as(guess)
    torch.testing.assert_close(guess, expected, atol=1e-6, rtol=0)


def test_the_posteriors_spread_is_calibrated():
    """χ(0) − D over many draws: mean 0 and the posterior's variance within 5 standard errors."""
    model, process = made("fourier", schedules.Cutoff())
    generator = torch.Generator().manual_seed(0)
    modes, n = model.modes, 20_000
    eps = torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64)
    c0 = modes.mean + modes.variance.sqrt() * eps
    level = process.vp_marginal(0.5)
    c = level.alpha * c0 + level.std * torch.randn(c0.shape, generator=generator, dtype=c0.dtype)
    posterior = model.posterior(c, level)
    z = (c0 - posterior.mean) / posterior.variance.sqrt()
    assert float(z.mean(0).abs().max()) < 5.5 / n**0.5
    assert float((z.var(0) - 1).abs().max()) < 5.5 * (2 / n) ** 0.5


def test_a_denoiser_needs_data_and_a_posterior():
    basis = FourierBasis((1, 4, 4))
    with pytest.raises(ValueError, match="needs the data's mean and variance"):
        GaussianDenoiser(basis, Modes.of(basis))
    modes = Modes.fit(basis, fields((1, 4, 4)))
    with pytest.raises(TypeError, match=r"abstract method '?posterior"):
        Denoiser(basis, modes)


def test_buffers_are_saved_with_the_model():
    model, _ = made("fourier", schedules.Cosine())
    other = GaussianDenoiser.fit(model.basis, fields(SHAPE, 9, seed=5)).double()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.modes.variance, model.modes.variance)
