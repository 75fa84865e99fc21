"""Exponents: against reweighting, a second library's fit, and the Ising class."""

import math

import numpy as np
import pytest
import torch

from rgdiff_core.lattice import HMC, Phi4, hmc
from rgdiff_core.lattice.exponents import exponent, log_slope
from rgdiff_core.statistics import Estimate


def test_the_slope_is_that_of_reweighted_fields():
    """Central differences of ⟨|M|⟩ of the same fields, each weighted by exp(−δ Σφ⁴)."""
    x = torch.randn(500, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    m, quartic = x.mean((1, 2, 3)).abs(), (x**4).sum((1, 2, 3))
    step = 1e-6

    def log_mean(change: float) -> float:
        weights = torch.softmax(-change * quartic, 0)
        return math.log(float((weights * m).sum()))

    found = log_slope(x.float(), len(x))
    expected = (log_mean(step) - log_mean(-step)) / (2 * step)
    assert found.value == pytest.approx(expected, rel=1e-4)
    halves = [log_slope(part, len(part)).value for part in x.chunk(25)]
    assert found.error == pytest.approx(np.std(halves) / 5, rel=0.35)


def test_the_slope_is_the_difference_of_two_runs():
    """Of ⟨|M|⟩ at two couplings, run by hybrid Monte Carlo, 4×4; four standard errors."""
    n, chains, step = 8000, 40, 0.4
    chance = torch.Generator().manual_seed(1)
    logs = {}
    for change in (-step, 0.0, step):
        run = hmc(Phi4(-4.0, 5.0 + change), 4, n, chains, chance, settings=HMC(cluster=1))
        m = run.configurations.double().mean((1, 2, 3)).abs().reshape(chains, -1).mean(1)
        logs[change] = Estimate(math.log(m.mean()), float(m.std() / m.mean()) / chains**0.5)
        if change == 0:
            slope = log_slope(run.configurations, chains)
    expected = (logs[step] - logs[-step]).scaled(1 / (2 * step))
    assert abs(slope.value - expected.value) < 4 * math.hypot(slope.error, expected.error)
    assert slope.error < 0.1 * abs(slope.value)


def test_the_exponent_is_numpys_weighted_fit():
    values = {8: Estimate(2.1, 0.1), 16: Estimate(3.9, 0.15), 64: Estimate(17.0, 1.1)}
    x, y = np.log(list(values)), np.log([each.value for each in values.values()])
    weights = [each.value / each.error for each in values.values()]
    fit, covariance = np.polyfit(x, y, 1, w=weights, cov="unscaled")
    found = exponent(values)
    assert found.value == pytest.approx(fit[0])
    assert found.error == pytest.approx(covariance[0, 0] ** 0.5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({8: Estimate(1.0, 0.1)}, "takes two sizes or more, not 1"),
        ({8: Estimate(1.0, 0.1), 16: Estimate(-2.0, 0.1)}, "-2 ± 0.1 at L = 16 must be positive"),
    ],
)
def test_what_has_no_exponent_is_named(values, said):
    with pytest.raises(ValueError, match=said):
        exponent(values)
