"""Errors of sums, ratios and the jackknife, against closed forms and repeated draws."""

import math

import pytest
import torch
from scipy.ndimage import uniform_filter1d

from rgdiff_core.statistics import Estimate, jackknife, jackknife_error, moving_average


def test_sums_and_differences_of_independent_estimates():
    one, other = Estimate(3.0, 0.3), Estimate(1.0, 0.4)
    assert (one + other).to_dict() == {"value": 4.0, "error": pytest.approx(0.5)}
    assert (one - other).to_dict() == {"value": 2.0, "error": pytest.approx(0.5)}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ratio_scatters_as_it_says(sign):
    one, other = Estimate(3.0 * sign, 0.06), Estimate(2.0, 0.05)
    ratio = one.ratio(other)
    n = 100_000
    draws = (one.value + one.error * torch.randn(n)) / (other.value + other.error * torch.randn(n))
    assert ratio.value == pytest.approx(1.5 * sign)
    # Of second order is 0.1 %; the spread of n draws is known to 1/√(2n) = 0.2 %.
    assert ratio.error == pytest.approx(float(draws.std()), rel=0.001 + 4 / math.sqrt(2 * n))


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = torch.randn(50, dtype=torch.float64)
    found = jackknife(lambda rows: float(x[rows].mean()), list(torch.arange(50).split(1)))
    assert found.value == pytest.approx(float(x.mean()))
    assert found.error == pytest.approx(Estimate.of(x).error)


def test_groups_may_be_interleaved():
    x = torch.arange(12.0, dtype=torch.float64) ** 2
    groups = [torch.arange(12)[first::3] for first in range(3)]
    found = jackknife(lambda rows: float(x[rows].mean()), groups)
    without = torch.stack([x[torch.arange(12) % 3 != each].mean() for each in range(3)])
    assert found == Estimate(float(x.mean()), jackknife_error(without))
    means = torch.stack([x[group].mean() for group in groups])
    assert found.error == pytest.approx(float(means.std()) / math.sqrt(3))


@pytest.mark.parametrize("window", [1, 2, 5, 30])
def test_a_moving_average_is_scipys(window):
    x = torch.randn(20, dtype=torch.float64)
    theirs = uniform_filter1d(x.numpy(), window, mode="nearest", origin=(window - 1) // 2)
    torch.testing.assert_close(moving_average(x, window), torch.as_tensor(theirs))


def test_a_moving_average_needs_a_window():
    with pytest.raises(ValueError, match="window = 0"):
        moving_average(torch.ones(3), 0)
