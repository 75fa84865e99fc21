"""Effective samples a second: what is counted, by a clock that is known."""

import itertools
import math

import pytest
import torch

from rgdiff_core.evaluation import WeightedSamples, flow_metrics
from rgdiff_core.evaluation.lattice.efficiency import model_efficiency, monte_carlo_efficiency
from rgdiff_core.lattice import HMC, FreeField, hmc

pytestmark = pytest.mark.usefixtures("one_thread")

FREE = FreeField(0.3, 4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_of_a_perfect_model_every_sample_counts():
    x = FREE.sample(400, seeded(), dtype=torch.float64)
    log_q = -FREE.action(x) - FREE.log_z
    weights, metropolis = model_efficiency(
        flow_metrics(WeightedSamples(FREE.action, x, log_q, -FREE.action(x) - log_q, 1)), 8.0
    )
    for found in (weights, metropolis):
        assert (found.samples, found.seconds) == (400, 8.0)
        assert found.effective.value == pytest.approx(400)
        assert found.per_second.value == pytest.approx(50)
    assert weights.tau_int is None and metropolis.tau_int is not None
    assert metropolis.tau_int.value == pytest.approx(0.5)


def test_monte_carlo_counts_one_in_two_autocorrelation_times():
    """The clock ticks once a reading: 1 s before the first measurement, 1 s for all of them."""
    ticks = itertools.count()
    found = monte_carlo_efficiency(
        FREE.action, 4, 300, 100, seeded(1), clock=lambda: float(next(ticks))
    )
    assert found.samples == 30_000 and found.before == 1
    assert found.seconds == pytest.approx(300 / 299)
    assert found.tau_int is not None
    assert found.effective.value == pytest.approx(30_000 / (2 * found.tau_int.value))
    assert found.per_second.value == pytest.approx(found.effective.value / found.seconds)
    # the scatter of chains' means is a second way to the autocorrelation time
    run = hmc(FREE.action, 4, 30_000, 100, seeded(2), thinning=1)
    means = run.configurations.double().mean((1, 2, 3)).abs().reshape(100, 300)
    tau = 150 * float(means.mean(1).var()) / float(means.var())
    error = math.hypot(found.tau_int.error, tau * math.sqrt(2 / 99))
    assert abs(found.tau_int.value - tau) < 4 * error


def test_clusters_shorten_the_autocorrelation_of_the_magnetization():
    def tau(cluster: int) -> float:
        settings = HMC(cluster=cluster)
        found = monte_carlo_efficiency(
            FreeField(0.05, 8).action, 8, 150, 60, seeded(3), settings=settings
        )
        assert found.tau_int is not None
        return found.tau_int.value

    assert tau(1) < 0.7 * tau(0)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="n_trajectories = 5"):
        monte_carlo_efficiency(FREE.action, 4, 5)
