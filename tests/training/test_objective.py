"""EDM's objective for any process: its weighting, its noise levels, and the white level."""

import math

import pytest
import torch
from laws import COLORS, SCHEDULES, fitted, name_of
from scipy.stats import kstest, norm

from rgdiff_core import colors, schedules
from rgdiff_core.bases.modes import Modes
from rgdiff_core.process import Process
from rgdiff_core.training.losses import Objective, weights
from rgdiff_core.training.noise_levels import FixedProcess, Universal, white_level

SHAPE = (1, 6, 6)


def times(*t: float) -> torch.Tensor:
    return torch.tensor(t, dtype=torch.float64)


def isotropic(variance: float = 0.25) -> Process:
    """Return white noise for data whose components all have one variance."""
    basis, modes = fitted(SHAPE)
    same = torch.full_like(modes.scale, variance)
    flat = Modes(modes.scale, torch.zeros_like(same), same, modes.momentum)
    return Process(basis, colors.White(False), schedules.LinearGamma(-8, 8), flat)


def test_for_white_noise_and_an_isotropic_spectrum_the_weighting_is_edms():
    process, t = isotropic(), times(0.1, 0.3, 0.5, 0.9)
    marginal = process.vp_marginal(t)
    sigma = marginal.std / marginal.alpha
    edm = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    found = weights("edm", process, t, process.modes)
    torch.testing.assert_close(found.expand_as(edm), edm)


def test_of_any_spectrum_it_is_one_weight_with_which_the_free_theory_has_loss_one():
    basis, modes = fitted(SHAPE)
    process, t = Process(basis, colors.PowerLaw(), schedules.Cutoff(), modes), times(0.2, 0.7)
    marginal, weight = process.vp_marginal(t), weights("edm", process, t, modes)
    assert weight.shape == (2, 1, 1, 1)
    S, n = modes.variance, marginal.std**2
    V = 1 / (1 / S + marginal.alpha**2 / n)  # precisions add
    torch.testing.assert_close((weight * V).mean((1, 2, 3)), torch.ones(2).double())


def test_balanced_weights_are_the_geometric_mean_of_two():
    basis, modes = fitted(SHAPE)
    process, t = Process(basis, colors.PowerLaw(), schedules.Cutoff(), modes), times(0.2, 0.7)
    unit, edm, both = (weights(name, process, t, modes) for name in ("unit", "edm", "balanced"))
    torch.testing.assert_close(both**2, unit * edm)


def test_the_white_level_of_white_noise_is_its_own():
    basis, modes = fitted(SHAPE)
    gamma = torch.linspace(-9, 9, 19, dtype=torch.float64)
    process = Process(basis, colors.White(), schedules.LinearGamma(-9, 9), modes)
    found = white_level(process.vp_marginal((gamma + 9) / 18), modes)
    torch.testing.assert_close(found, gamma, atol=0.01, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_the_white_level_never_falls(schedule):
    basis, modes = fitted((1, 8, 8))
    t = torch.linspace(0, 1, 60, dtype=torch.float64)
    for color in COLORS[:6]:
        level = white_level(Process(basis, color, schedule, modes).vp_marginal(t), modes)
        assert level.isfinite().all() and level.abs().max() <= 16
        assert (level.diff() >= -1e-9).all()
        assert level[-1] > level[0]


def test_lognormal_levels_are_normal_with_a_tenth_of_uniform_time():
    low, high = -12.0, 10.0
    basis, modes = fitted(SHAPE)
    objective = Objective(times="lognormal", level_mean=-1.5, level_std=2.0)
    source = FixedProcess(colors.White(), schedules.LinearGamma(low, high))
    batch = source.sampler(basis, modes, objective, 5).draw(3, 4000)
    gamma = torch.log(batch.marginal.alpha[:, 0, 0, 0] ** -2 - 1)
    law = norm(-1.5, 2.0)

    def wanted(x):
        return 0.9 * (law.cdf(x) - law.cdf(low)) / (law.cdf(high) - law.cdf(low)) + 0.1 * (
            x - low
        ) / (high - low)

    # drawn in equal slices, so nearer than independent draws; and at 257 times, joined by lines
    assert kstest(gamma.numpy(), wanted).statistic < 0.005
    assert kstest(gamma.numpy(), law.cdf).statistic > 0.02


def test_lognormal_times_are_part_of_the_objective_and_importance_is_not():
    basis, modes = fitted(SHAPE)
    source = FixedProcess(colors.White(), schedules.LinearGamma(-8, 8))
    flat, log, weighted = (
        source.sampler(basis, modes, Objective("x0", times), 5).draw(0, 500).weight
        for times in ("stratified", "lognormal", "importance")
    )
    torch.testing.assert_close(log, flat)
    assert weighted.std() > 0.1 * weighted.mean()
    assert float((weighted / flat).mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("mean", [-20.0, 20.0])
def test_where_the_process_has_no_such_level_times_are_uniform(mean):
    basis, modes = fitted(SHAPE)
    objective = Objective(times="lognormal", level_mean=mean, level_std=0.1)
    source = FixedProcess(colors.White(), schedules.LinearGamma(-8, 8))
    batch = source.sampler(basis, modes, objective, 0).draw(0, 100)
    gamma = torch.log(batch.marginal.alpha[:, 0, 0, 0] ** -2 - 1)
    assert (torch.sort(gamma).values.diff() < 0.4).all()
    assert float(gamma.mean()) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("start", [1, 7, 8, 9, 20])
def test_a_universal_run_goes_on_anywhere_with_the_same_draws(every, start):
    basis, modes = fitted(SHAPE)
    source = Universal(4, every)
    walked, resumed = (source.sampler(basis, modes, Objective(), 3) for _ in range(2))
    draws = [walked.draw(step, 16) for step in range(start + 4)]
    for step in range(start, start + 4):
        batch = resumed.draw(step, 16)
        for one, other in (
            (batch.marginal.alpha, draws[step].marginal.alpha),
            (batch.marginal.std, draws[step].marginal.std),
            (batch.weight, draws[step].weight),
        ):
            assert torch.equal(one, other)


def test_processes_change_every_so_many_steps():
    """A window of one process has the 64 levels of that process, for as long as it stays."""
    basis, modes = fitted(SHAPE)
    one = Universal(1, 5).sampler(basis, modes, Objective(), 3)

    def levels(step: int) -> set[float]:
        return set(one.draw(step, 64).marginal.std[:, 0, 0, 0].tolist())

    first, second = (set().union(*(levels(s) for s in range(k, k + 5))) for k in (0, 5))
    assert 32 < len(first) <= 64 and 32 < len(second) <= 64
    assert not first & second


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Objective(level_std=0.0), r"level_std = 0.0 is outside \[0.1, 20\]"),
        (lambda: Objective(level_mean=math.inf), "level_mean = inf must be a finite number"),
        (lambda: Universal(8, 0), r"every = 0 is outside \[1, 1000\]"),
        (
            lambda: white_level(isotropic().vp_marginal(0.5), Modes(torch.zeros(SHAPE))),
            r"the white level needs the data's variance: use Modes\.fit",
        ),
    ],
)
def test_bad_values_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
