r"""Effective independent samples a second: of hybrid Monte Carlo, and of a weighed model.

Of n correlated configurations 1 in 2τ_int is independent, with the autocorrelation time of |M|,
the slowest of the even observables near the critical point. Of n samples of a model, weights leave
n · ESS, and independence Metropolis n/(2τ_int). The time of the model is that of samples with
their densities, without which they are not exact; its training comes on top.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rgdiff_core.evaluation.lattice.quality import FlowMetrics
from rgdiff_core.lattice import HMC, Phi4, trajectories
from rgdiff_core.lattice.gamma import means
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["Efficiency", "model_efficiency", "monte_carlo_efficiency"]


@dataclass(frozen=True)
class Efficiency:
    """How fast something makes independent samples.

    Attributes:
        samples: how many were made.
        effective: how many independent ones they are worth.
        per_second: those, in a second.
        tau_int: in trajectories or proposals; ½ for independent samples. None for weights.
        seconds: it took, without thermalization.
        before: seconds of thermalization.
    """

    samples: int
    effective: Estimate
    per_second: Estimate
    tau_int: Estimate | None
    seconds: float
    before: float


def monte_carlo_efficiency(
    action: Phi4,
    size: int,
    n_trajectories: int = 2000,
    n_chains: int = 8,
    generator: torch.Generator | None = None,
    *,
    settings: HMC | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> Efficiency:
    """Run hybrid Monte Carlo and say how fast it makes independent values of |M|.

    Arguments:
        action: as in `lattice.trajectories`.
        size: as in `lattice.trajectories`.
        n_chains: as in `lattice.trajectories`.
        generator: as in `lattice.trajectories`.
        settings: as in `lattice.trajectories`.
        n_trajectories: of each chain after thermalization, 100 to 10⁶; many τ_int.
        clock: in seconds; `time.process_time` on a busy machine.
        progress: called with (trajectories completed, total) after thermalization.

    Raises `ValueError` for a value out of its range.
    """
    check_whole("n_trajectories", n_trajectories, 100, 10**6)
    run = trajectories(action, size, n_chains, generator, settings=settings or HMC())
    start = clock()
    state = next(run)
    while state.thermalizing:
        state = next(run)
    begun, series = clock(), []
    for done in range(1, n_trajectories + 1):
        series.append(state.magnetization.abs())
        if progress is not None:
            progress(done, n_trajectories)
        if done < n_trajectories:
            state = next(run)
    seconds = clock() - begun
    # the first of them was made before the clock was read
    seconds *= n_trajectories / (n_trajectories - 1)
    samples = n_trajectories * n_chains
    tau = means(torch.stack(series).T.reshape(-1), n_chains)[0].tau_int
    tau = tau or Estimate(0.5, 0.0)
    return _at(samples, _over(samples, tau), tau, seconds, begun - start)


def model_efficiency(quality: FlowMetrics, seconds: float) -> tuple[Efficiency, Efficiency]:
    """Return how fast a model makes independent samples: by weights, and by Metropolis.

    Arguments:
        quality: of samples that were weighed.
        seconds: that it took to draw them with their densities, above 0.
    """
    check_range("seconds", seconds, 0, float(10**9), low_open=True)
    return (
        _at(quality.n, quality.ess.scaled(quality.n), None, seconds, 0.0),
        _at(quality.n, _over(quality.n, quality.tau_int), quality.tau_int, seconds, 0.0),
    )


def _over(samples: int, tau: Estimate) -> Estimate:
    effective = samples / (2 * tau.value)
    return Estimate(effective, effective * tau.error / tau.value)


def _at(
    samples: int, effective: Estimate, tau: Estimate | None, seconds: float, before: float
) -> Efficiency:
    return Efficiency(samples, effective, effective.scaled(1 / seconds), tau, seconds, before)
