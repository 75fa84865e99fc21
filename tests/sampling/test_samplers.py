"""Samplers against what is known exactly: correlated Gaussians, point masses, diffusers."""

import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    HeunDiscreteScheduler,
)
from gaussians import DenseGaussian, generator, made, truth
from laws import assert_moments, fields
from torch import Tensor

from rgdiff_core import (
    GaussianDenoiser,
    Marginal,
    Modes,
    Process,
    colors,
    sample,
    schedules,
    trajectory,
)
from rgdiff_core.bases import FourierBasis, PixelBasis, WaveletBasis
from rgdiff_core.sampling import (
    DDIM,
    GRIDS,
    METHODS,
    PredictorCorrector,
    grids,
    reverse,
    time_grid,
)

ODES = [name for name, method in METHODS.items() if method.ode]
SITE = torch.arange(6.0, dtype=torch.float64)
COVARIANCE = torch.exp(-(SITE[:, None] - SITE).abs() / 4) + 0.3
DENSE = DenseGaussian(PixelBasis((1, 1, 6)), COVARIANCE)


def dense_process(schedule: schedules.Schedule) -> Process:
    return Process(DENSE.basis, colors.White(), schedule, DENSE.modes)


@pytest.mark.parametrize("name", ODES)
def test_the_order_of_convergence_for_correlated_components(name):
    """With scalar white noise the flow of N(0, C) is known in C's eigenbasis, and the free theory
    of the model, which has no correlations, is not it."""
    process = dense_process(schedules.Cosine())
    schedule = schedules.LinearGamma(-24.0, 4.0)
    process = dense_process(schedule)
    start = torch.randn(4, 1, 1, 6, generator=generator(), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(COVARIANCE)
    level = process.level(1.0)
    first = (level.alpha.mean() ** 2 * values + level.sigma.mean() ** 2).sqrt()
    exact = (start.flatten(1) @ vectors) / first * values.sqrt() @ vectors.T
    order, steps = METHODS[name].order, (40, 80, 160)

    def error(n: int) -> float:
        *_, last = reverse(DENSE, process, start, n, name)
        return float((last.x.flatten(1) - exact).square().mean().sqrt())

    errors = [error(n) for n in steps]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders[-1] == pytest.approx(order, abs=0.35 * order**0.5), (errors, orders)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", ["fourier", "haar", "pca"])
@pytest.mark.parametrize(
    "schedule",
    [schedules.Cutoff(), schedules.EDM(), schedules.WaveletLevels(0.5)],
    ids=lambda s: type(s).__name__,
)
def test_the_interaction_picture_is_exact_for_gaussian_data_in_3_steps(schedule, name, grid):
    model, process = made(schedule, name)
    mean, covariance = truth(model)
    x = sample(model, process, 20_000, 3, "interaction", generator(), grid=grid)
    assert_moments(x, mean, covariance)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "dpmpp_2m_sde", "ancestral", "interaction"])
def test_a_point_mass_is_reached_exactly_in_one_step(name):
    shape = (1, 4, 4)
    basis = FourierBasis(shape)
    mean = torch.randn(shape, generator=generator(), dtype=torch.float64)
    modes = Modes(basis.scale.double(), mean, torch.full(shape, 1e-16, dtype=torch.float64))
    model = GaussianDenoiser(basis, modes).double()
    process = Process(model.basis, colors.White(normalize=False), schedules.Cutoff(), modes)
    for steps in (1, 3):
        x = sample(model, process.double(), 4, steps, name, generator())
        torch.testing.assert_close(
            model.basis.analyze(x), mean.expand(4, *shape), atol=1e-6, rtol=0
        )


def test_ddim_with_all_noise_fresh_is_ancestral_and_with_none_the_ode():
    model, process = made()
    pairs = ((DDIM(1.0), "ancestral"), (DDIM(0.0), "ddim"))
    for method, name in pairs:
        one = sample(model, process, 3, 7, method, generator(5))
        assert torch.equal(one, sample(model, process, 3, 7, name, generator(5)))
    assert not DDIM(0.5).ode and DDIM(0.0).ode
    with pytest.raises(ValueError, match=r"eta = 1.5 is outside \[0, 1\]"):
        DDIM(1.5)


def test_the_corrector_restores_the_variance_that_the_predictor_loses():
    """Ancestral steps alone lose a good part of the variance at a sharp cutoff in 12 steps."""
    schedule = schedules.Cutoff(schedules.SigmoidKernel(0.05), gamma_min=-9.0, gamma_max=6.0)
    model, process = made(schedule)
    variance = model.modes.variance

    def lost(method: str | PredictorCorrector) -> float:
        c = process.basis.analyze(sample(model, process, 4000, 12, method, generator()))
        return float(1 - (c.var(0) / variance).mean())

    assert lost("ancestral") > 0.15
    assert lost(PredictorCorrector(strength=2.0, corrections=4)) < lost("ancestral") / 2


def test_a_finished_level_is_bit_identical_afterwards():
    """Wavelet levels strictly one after another: what is done stays as it is."""
    shape = (1, 8, 8)
    model = GaussianDenoiser.fit(WaveletBasis(shape, levels=3), fields(shape, 80).float())
    process = Process(model.basis, colors.Matched(), schedules.WaveletLevels(0.0), model.modes)
    scale = model.basis.scale.expand(shape)
    ranks = torch.unique(scale, return_inverse=True)[1]
    levels = int(ranks.max()) + 1
    for name in ("shell", "dpmpp_2m_sde", "ancestral", "interaction"):
        states = list(trajectory(model, process, 2, 4 * levels, name, generator()))
        for level in range(levels):
            done = states[4 * (level + 1)].components[:, ranks == level]
            for state in states[4 * (level + 1) :]:
                assert torch.equal(state.components[:, ranks == level], done)
            before = states[4 * (level + 1) - 1].components[:, ranks == level]
            assert not torch.equal(before, done)


@pytest.mark.parametrize("name", ODES)
def test_gradients_of_a_whole_trajectory_are_finite(name):
    """Finished components divide by no noise, in the backward pass too."""
    shape = (1, 4, 4)
    model = GaussianDenoiser.fit(WaveletBasis(shape), fields(shape)).double()
    process = Process(model.basis, colors.White(), schedules.WaveletLevels(0.3), model.modes)
    c = torch.randn(2, *shape, dtype=torch.float64, generator=generator(), requires_grad=True)
    *_, last = reverse(model, process.double(), c, 12, name)
    (slope,) = torch.autograd.grad(last.components.sum(), c)
    assert slope.isfinite().all() and (slope.abs() > 0).all()


# --- against diffusers -----------------------------------------------------------------------

TRAINING_STEPS, STEPS = 1000, 20


class Peers:
    """One discrete noise schedule, as ours and as diffusers', and one denoiser for both."""

    def __init__(self) -> None:
        self.schedule = schedules.LinearBeta()
        self.process = dense_process(self.schedule)
        t = (torch.arange(TRAINING_STEPS, dtype=torch.float64) + 1) / TRAINING_STEPS
        products = self.process.level(t).alpha.flatten(1)[:, 0] ** 2
        before = torch.cat((torch.ones(1, dtype=torch.float64), products[:-1]))
        self.betas = (1 - products / before).numpy()

    def epsilon(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return the predicted noise of fields at signal level alpha."""
        one = torch.ones(1, 1, 6, dtype=torch.float64)
        sigma = (1 - alpha**2).sqrt()
        mean = DENSE.posterior(x, Marginal(alpha * one, sigma * one)).mean
        return (x - alpha * mean) / sigma


PEERS = Peers()


@contextmanager
def quiet() -> Iterator[None]:
    """Leave diffusers' deprecation warnings out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ours(name: str, timesteps: list[int], start: Tensor) -> list[Tensor]:
    """Return our states at diffusers' timesteps."""
    grid = [(step + 1) / TRAINING_STEPS for step in timesteps] + [0.0]
    assert grid[0] == 1
    states = reverse(DENSE, PEERS.process, start, len(timesteps), name, grid=grid)
    return [state.components for state in states]


def start_at(batch: int = 3) -> Tensor:
    return torch.randn(batch, 1, 1, 6, generator=generator(7), dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("ddim", DDIMScheduler, {"clip_sample": False}),
        (
            "dpmpp_2m",
            DPMSolverMultistepScheduler,
            {"final_sigmas_type": "zero", "algorithm_type": "dpmsolver++", "solver_order": 2},
        ),
    ],
)
def test_steps_agree_with_diffusers(name, kind, options):
    scheduler = kind(
        TRAINING_STEPS, trained_betas=PEERS.betas, timestep_spacing="trailing", **options
    )
    with quiet():
        scheduler.set_timesteps(STEPS)
    timesteps = scheduler.timesteps.tolist()
    x = start_at()
    states = ours(name, timesteps, x)
    for index, step in enumerate(timesteps):
        alpha = scheduler.alphas_cumprod[step].double().sqrt()
        with quiet():
            x = scheduler.step(PEERS.epsilon(x, alpha), step, x).prev_sample
        torch.testing.assert_close(states[index + 1], x, atol=1e-4, rtol=1e-4)


def test_heun_agrees_with_diffusers_where_the_trapezoid_stands():
    with quiet():
        scheduler = HeunDiscreteScheduler(
            TRAINING_STEPS, trained_betas=PEERS.betas, timestep_spacing="trailing"
        )
        scheduler.set_timesteps(STEPS)
    every = scheduler.timesteps.tolist()
    timesteps = [*every[::2]]
    x = start_at()
    states = ours("heun", timesteps, x)
    y = x * math.sqrt(1 + float(scheduler.sigmas[0]) ** 2)  # diffusers' variable is χ/α
    compared = 0
    for call, step in enumerate(every):
        sigma = scheduler.sigmas[call].double()
        alpha = (1 + sigma**2).rsqrt()
        with quiet():
            y = scheduler.step(PEERS.epsilon(y * alpha, alpha), step, y).prev_sample
        if call % 2 == 0 and call + 1 < len(every):
            continue  # the predictor's half
        index = call // 2 + 1
        after = scheduler.sigmas[call + 1].double()
        torch.testing.assert_close(states[index], y * (1 + after**2).rsqrt(), atol=2e-4, rtol=1e-3)
        compared += 1
    assert compared == STEPS


# --- time grids ------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("steps", [1, 2, 17])
def test_grids_fall_from_one_to_zero(grid, steps):
    for schedule in (schedules.Cutoff(), schedules.EDM(), schedules.FlowMatching()):
        model, process = made(schedule)
        times = time_grid(process, model.modes, steps, grid)
        assert len(times) == steps + 1 and times[0] == 1 and times[-1] == 0
        assert all(b < a for a, b in itertools.pairwise(times))


def test_the_logsnr_grid_is_uniform_in_the_mean_log_snr():
    model, process = made(schedules.LinearBeta(), color=colors.Matched())
    times = torch.tensor(time_grid(process, model.modes, 10, "logsnr"), dtype=torch.float64)
    falls = process.level(times).gamma.clamp(-12, 12).mean((1, 2, 3)).diff()
    assert float((falls / falls.mean() - 1).abs().max()) < 0.05


def test_the_angle_grid_turns_equally():
    """θ = arctan(σS/α√Σ), written out; its mean over components falls by equal amounts."""
    model, process = made(schedules.SoftConditioning())
    times = torch.tensor(time_grid(process, model.modes, 12, "angle"), dtype=torch.float64)
    level = process.marginal(times)
    theta = torch.atan2(level.std, level.alpha * model.modes.variance.sqrt())
    turns = theta.mean((1, 2, 3)).diff()
    assert float((turns / turns.mean() - 1).abs().max()) < 0.02


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_is_the_same_whatever_is_tabulated_at_once(grid, monkeypatch):
    model, process = made(schedules.SoftConditioning())
    whole, tabulated = time_grid(process, model.modes, 7, grid), []
    level = Process.level

    def watched(self: Process, t: Tensor) -> schedules.Level:
        found = level(self, t)
        tabulated.append(found.gamma.numel())
        return found

    monkeypatch.setattr(grids, "BLOCK", 100 * process.noise_variance.numel())
    monkeypatch.setattr(Process, "level", watched)
    assert time_grid(process, model.modes, 7, grid) == whole
    assert max(tabulated, default=0) <= grids.BLOCK


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (torch.linspace(1, 0, 4), None),
        (np.linspace(1, 0, 4), None),
        (torch.tensor([1.0, 0.5, math.nan, 0.0]), "grid = nan must be a finite number"),
        (torch.tensor([1.0, 0.7, 0.7, 0.0]), "must fall, but 0.7 is followed by 0.7"),
        (torch.eye(4), r"grid = tensor\(.* must be numbers that fall from 1 to 0"),
        (["one", 0.5, 0.2, 0.0], "grid = 'one' must be numbers that fall from 1 to 0"),
    ],
)
def test_a_grid_may_be_a_tensor_or_an_array(times, said):
    model, process = made()
    if said is None:
        even = sample(model, process, 2, 3, "shell", generator(), grid=(1, 2 / 3, 1 / 3, 0))
        found = sample(model, process, 2, 3, "shell", generator(), grid=times)
        torch.testing.assert_close(found, even, rtol=1e-4, atol=1e-5)
        return
    with pytest.raises(ValueError, match=said):
        sample(model, process, 2, 3, "shell", grid=times)


@pytest.mark.parametrize(
    ("grid", "match"),
    [
        ("exact", "grid = 'exact' is not one of uniform, logsnr, angle, gaussian"),
        ((1.0, 0.5, 0.0), "3 steps need 4 times, but the grid has 3"),
        ((1.0, 0.5, 0.5, 0.0), "must fall, but 0.5 is followed by 0.5"),
        ((0.9, 0.5, 0.2, 0.0), "runs from 0.9 to 0, not from 1 to 0"),
        ((1.0, math.nan, 0.2, 0.0), "grid = nan must be a finite number"),
    ],
)
def test_bad_grids_are_one_sentence(grid, match):
    model, process = made()
    with pytest.raises(ValueError, match=match):
        trajectory(model, process, 2, 3, "shell", grid=grid)
