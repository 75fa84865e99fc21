"""A colour that changes with time: its SDE, samplers, likelihood, files, and what is refused."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gaussians import generator, made, truth
from laws import assert_moments, fields
from scipy.integrate import solve_ivp
from scipy.stats import multivariate_normal
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core import Process, schedules
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import BlendedColor, Matched, MovingColor, PowerLaw, White
from rgdiff_core.process import ProcessSpec
from rgdiff_core.search import learn
from rgdiff_core.spec import from_json
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess, FixedProcessSampler

BLUE = PowerLaw(-1.0)
MOVES = [
    (MovingColor(White(), BLUE), schedules.Cosine()),
    (MovingColor(Matched(), White(), schedules.CosinePath()), schedules.LinearGamma(-9.0, 6.0)),
    (MovingColor(White(), Matched(), schedules.ExponentialPath()), schedules.Cutoff()),
    (MovingColor(BLUE, Matched()), schedules.VE(0.005, 20.0)),
]
every_move = pytest.mark.parametrize(("color", "schedule"), MOVES)


def spectrum(color: MovingColor, t: float, process: Process) -> Tensor:
    """Return S_k²(t) by its definition."""
    start, end = (np.log(c.variance(process.modes).numpy()) for c in (color.start, color.end))
    share = float(color.path.ordinate(torch.tensor(t, dtype=torch.float64)))
    return torch.from_numpy(np.exp(share * start + (1 - share) * end))


@every_move
def test_the_field_has_noise_of_the_present_colour(color, schedule):
    process = made(schedule, color=color)[1]
    for t in (0.0, 0.3, 0.8, 1.0):
        level = schedule.level(torch.tensor(t, dtype=torch.float64), process.modes)
        noise = spectrum(color, t, process)
        marginal = process.marginal(t)
        torch.testing.assert_close(
            marginal.alpha, level.alpha.expand_as(marginal.alpha), atol=1e-8, rtol=1e-6
        )
        torch.testing.assert_close(
            marginal.std,
            (level.sigma * noise.sqrt()).expand_as(marginal.std),
            atol=1e-8,
            rtol=1e-6,
        )
        now = color.variance_at(torch.tensor([t], dtype=torch.float64), process.modes)
        torch.testing.assert_close(now[0], noise.expand_as(now[0]))


@every_move
def test_the_sdes_moments_reach_the_marginal(color, schedule):
    """ṁ = f m and v̇ = 2 f v + g² from drift and diffusion, against α and σ S(t)."""
    process = made(schedule, color=color)[1]
    a, b, shape = 0.1, 0.9, process.noise_variance.shape

    def rates(t: float, state: np.ndarray) -> np.ndarray:
        mean, variance = state.reshape(2, *shape)
        f, g = process.drift(t).numpy(), process.diffusion(t).numpy()
        return np.stack((f * mean, 2 * f * variance + g**2)).ravel()

    def moments(t: float) -> np.ndarray:
        level = schedule.level(torch.tensor(t, dtype=torch.float64), process.modes)
        variance = level.sigma**2 * spectrum(color, t, process)
        return np.stack([x.expand(shape).numpy() for x in (level.alpha, variance)]).ravel()

    found = solve_ivp(rates, (a, b), moments(a), method="RK45", rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.y[:, -1], moments(b), rtol=1e-4, atol=1e-7)


@every_move
def test_transitions_compose(color, schedule):
    process = made(schedule, color=color)[1]
    first, second, whole = (process.transition(*p) for p in ((0.2, 0.5), (0.5, 0.9), (0.2, 0.9)))
    torch.testing.assert_close(second.alpha * first.alpha, whole.alpha)
    torch.testing.assert_close(torch.hypot(second.alpha * first.std, second.std), whole.std)


@pytest.mark.parametrize(("method", "steps"), [("interaction", 3), ("shell", 4)])
@every_move
def test_samplers_are_exact_for_gaussian_data(color, schedule, method, steps):
    model, process = made(schedule, color=color)
    mean, covariance = truth(model)
    assert_moments(rg.sample(model, process, 20_000, steps, method, generator()), mean, covariance)


@every_move
def test_the_likelihood_of_gaussian_data_is_theirs(color, schedule):
    model, process = made(schedule, color=color)
    mean, covariance = truth(model)
    x = fields((1, 4, 4), 3)
    found = rg.log_likelihood(model, process, x, steps=20)
    exact = multivariate_normal.logpdf(x.flatten(1).numpy(), mean.numpy(), covariance.numpy())
    torch.testing.assert_close(found, torch.from_numpy(exact), atol=0.05, rtol=0)


def test_a_colour_that_stays_is_the_colour():
    still, moving = (made(color=c)[1] for c in (BLUE, MovingColor(BLUE, BLUE)))
    for t in (0.0, 0.4, 1.0):
        for a, b in zip(
            vars(still.marginal(t)).values(), vars(moving.marginal(t)).values(), strict=True
        ):
            torch.testing.assert_close(a, b)


def test_it_is_written_and_read():
    color, schedule = MOVES[1]
    process = made(schedule, color=color)[1]
    again = Process.from_json(process.to_json()).double()
    assert again.color == color and again.schedule == schedule
    torch.testing.assert_close(again.marginal(0.4).std, process.marginal(0.4).std)
    noise = FixedProcess(color, schedule)
    assert FixedProcess.from_json(noise.to_json()) == noise
    spec = ProcessSpec(BasisSpec(), color, schedule)
    assert ProcessSpec.from_json(spec.to_json()) == spec


def test_a_training_batch_has_its_noise():
    color, schedule = MOVES[0]
    model, process = made(schedule, color=color)
    sampler = FixedProcess(color, schedule).sampler(model.basis, model.modes, Objective(), 0)
    assert isinstance(sampler, FixedProcessSampler) and sampler.process.color == color
    torch.testing.assert_close(
        sampler.process.double().marginal(0.6).std, process.marginal(0.6).std
    )


def test_where_a_log_snr_would_rise_it_is_refused_by_component_and_time():
    """Matched noise first and white noise last: the loudest component's noise falls fastest."""
    schedule, color = schedules.LinearGamma(-0.2, 0.2), MovingColor(Matched(), White())
    modes = made()[1].modes
    log_fall = Matched().variance(modes).log() - White().variance(modes).log()
    assert float(log_fall.max()) > 0.4  # γ rises by 0.4 in all
    worst = tuple(map(int, torch.unravel_index(log_fall.argmax(), log_fall.shape)))
    with pytest.raises(ValueError, match="the colour changes too fast for LinearGamma") as caught:
        made(schedule, color=color)
    said = str(caught.value)
    assert f"of component {worst}," in said and "at t = 0.00" in said
    assert f"at a rate of {float(log_fall.max()) - 0.4:.2g}," in said and said.endswith(".")
    made(schedules.LinearGamma(-0.2, float(log_fall.max()) - 0.1), color=color)


def test_a_rise_between_evenly_spaced_times_is_refused():
    path = schedules.CutoffPath((0.0, 0.5, 0.505, 1.0), (1.0, 1.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"too fast for LinearGamma.*at t = 0\.50 the log-SNR"):
        made(schedules.LinearGamma(-9.0, 6.0), color=MovingColor(PowerLaw(3.0), White(), path))


def test_a_rise_on_average_between_two_times_is_refused():
    """A step of the colour far shorter than the spacing, off the knots of any path."""

    @dataclass(frozen=True)
    class _Abrupt(schedules.Path):
        def ordinate(self, t: Tensor) -> Tensor:
            return torch.sigmoid((0.503 - t) / 2e-5)

    with pytest.raises(ValueError, match="too fast for LinearGamma"):
        made(
            schedules.LinearGamma(-9.0, 6.0), color=MovingColor(PowerLaw(3.0), White(), _Abrupt())
        )


def test_a_shifted_schedule_cannot_come_from_a_file():
    shifted = MovingColor(White(), BLUE).effective(schedules.Cutoff())
    with pytest.raises(ValueError, match="_ShiftedSchedule"):
        from_json(shifted.to_json())


def test_a_blend_of_colours_does_not_move():
    for pair in ((MovingColor(), White()), (White(), MovingColor())):
        with pytest.raises(ValueError, match="a blend of colours needs a colour that does not"):
            BlendedColor(*pair, 0.5)


def test_one_group_after_another_leaves_no_room():
    with pytest.raises(ValueError, match="closer colours, or a schedule that adds noise"):
        made(schedules.Sequential(), color=MovingColor(White(), BLUE))


def test_a_hard_cutoff_jumps_over_it():
    cutoff = schedules.Cutoff(schedules.HardKernel())
    process = made(cutoff, color=MovingColor(White(), BLUE))[1]
    assert process.marginal(0.5).std.isfinite().all()


def test_moving_colours_do_not_nest():
    with pytest.raises(ValueError, match=r"end = MovingColor\(…\) must be a colour that"):
        MovingColor(White(), MovingColor())


def test_searches_for_a_schedule_need_a_colour_that_stays():
    model, process = made(schedules.LinearGamma(-9.0, 6.0), color=MovingColor(White(), BLUE))
    with pytest.raises(ValueError, match="does not change with time, got MovingColor"):
        learn(model, process, fields((1, 4, 4), 8), steps=4, rounds=1)
    with pytest.raises(ValueError, match="a learned schedule needs a colour"):
        LearnedProcess(color=MovingColor(White(), BLUE))
    assert math.isfinite(float(process.level(1.0).gamma.max()))
