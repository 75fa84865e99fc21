"""The best times for Gaussian data, and noise that is drawn where scales are not resolved."""

from functools import partial

import numpy as np
import pytest
import torch
from gaussians import generator, made
from scipy import optimize

from rgdiff_core import Modes, Process, colors, sample, schedules
from rgdiff_core.sampling import DDIM, GRIDS, ColoredNoise, Method, time_grid
from rgdiff_core.sampling.interface import NoiseLevel, StepContext


def _turned(process: Process, modes: Modes, times: tuple[float, ...]) -> torch.Tensor:
    """Return log v_k, what DDIM leaves of the variances of Gaussian data, in closed form."""
    level = process.marginal(torch.tensor(times, dtype=torch.float64))
    theta = torch.atan2(level.std, level.alpha * modes.variance.sqrt())
    theta = torch.cat((theta[:-1], torch.zeros_like(theta[-1:])))  # the last step is to the data
    return 2 * torch.log(torch.cos(theta.diff(dim=0))).sum(0)


def _divergence(log_v: torch.Tensor) -> float:
    return float((torch.exp(log_v) - 1 - log_v).sum() / 2)


def test_what_ddim_leaves_of_gaussian_data_is_a_product_of_cosines():
    model, process = made(schedules.SoftConditioning(), color=colors.Matched())
    times = time_grid(process, model.modes, 6, "gaussian")
    x = sample(model, process, 20_000, 6, "ddim", generator(), grid=times)
    c, first = model.basis.analyze(x), process.marginal(torch.ones(1, dtype=torch.float64))
    ended = model.modes.variance * first.alpha[0] ** 2 + first.std[0] ** 2
    wanted = torch.exp(_turned(process, model.modes, times)) * model.modes.variance
    wanted = wanted * first.std[0] ** 2 / ended  # of the free theory's, noise is all there was
    ratio = c.var(0) / wanted
    assert float((ratio - 1).abs().max()) < 5 * (2 / 20_000) ** 0.5


@pytest.mark.parametrize("schedule", [schedules.LinearGamma(-9, 6), schedules.Cutoff()])
@pytest.mark.parametrize("color", [colors.White(), colors.Matched()])
def test_the_gaussian_grid_is_ddims_best_for_gaussian_data(schedule, color):
    """Against the other grids and against SciPy's minimum over all times."""
    model, process = made(schedule, color=color)
    steps = 12
    found = {
        grid: _divergence(
            _turned(process, model.modes, time_grid(process, model.modes, steps, grid))
        )
        for grid in GRIDS
    }
    assert found["gaussian"] <= min(found.values()) * 1.02

    def of(logits: np.ndarray) -> float:
        share = torch.softmax(torch.tensor(logits), 0).cumsum(0)
        return _divergence(_turned(process, model.modes, (1.0, *(1 - share[:-1]).tolist(), 0.0)))

    own = time_grid(process, model.modes, steps, "gaussian")
    least = optimize.minimize(of, np.log(-np.diff(own)), method="BFGS", options={"maxiter": 60})
    assert found["gaussian"] < 1.1 * least.fun


def test_coloured_noise_draws_as_much_as_ddim_where_nothing_is_resolved():
    model, process = made(schedules.SoftConditioning())
    level_t, level_s = (_level(process, t) for t in (0.7, 0.6))
    zero = torch.zeros(1, *model.basis.shape, dtype=torch.float64)

    def stepped(method: Method, w: float) -> torch.Tensor:
        """Return where a step arrives, with w for all random numbers."""
        draw, times = partial(torch.full_like, zero, w), (0.7, 0.6)
        return method.step(
            StepContext(model, process, zero, level_t, level_s, times, draw, False, None)
        ).c

    e, plain = (stepped(m, 1.0) - stepped(m, 0.0) for m in (ColoredNoise(0.5), DDIM(0.5)))
    torch.testing.assert_close((e**2).sum(), (plain**2).sum())
    theta = torch.atan2(level_t.std, level_t.alpha * model.modes.variance.sqrt())
    ratio = (e / plain) ** 2 / torch.sin(theta) ** 2
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
    assert float((e / plain).max() / (e / plain).min()) > 1.2
    with pytest.raises(ValueError, match=r"eta = 0.0 is outside \(0, 1\]"):
        ColoredNoise(0.0)


def _level(process: Process, t: float) -> NoiseLevel:
    return NoiseLevel(process.level(t).gamma, process.noise_variance)
