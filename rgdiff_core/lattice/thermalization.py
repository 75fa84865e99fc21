r"""The history of a run, and from where on its chains had thermalized.

Action and |M|, M the mean field, start somewhere and drift to their equilibrium. Geweke's test
compares their averages over the first tenth and the last half of a stretch of Monte Carlo time:
while the chains are in equilibrium the difference is zero but for noise. Here the noise is known
whatever the autocorrelations are, since the chains are independent: it is the scatter of the
differences over the chains (for fewer than 16 chains, it is estimated from the autocorrelation
time). A drift is what noise would give once in a thousand times.

References:
    Geweke, in Bayesian Statistics 4 (1992) 169.
    Monte Carlo errors with less errors, Wolff, hep-lat/0306017 (automatic windowing).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.statistics import Estimate

__all__ = ["History", "autocorrelation_time", "drifts"]

STARTS = 20  # where the stationary part is looked for, in equal parts of the history
SCATTER = 16  # fewest chains whose scatter is an error
CHANCE = 1e-3


@dataclass(frozen=True, eq=False)
class History:
    """What every chain did, trajectory by trajectory, thermalization included.

    Attributes:
        magnetization: M, the mean of the field with its sign, (T, n_chains) float64.
        action: S, (T, n_chains) float64.
        thermalization: How many of the T trajectories were discarded.
    """

    magnetization: Tensor
    action: Tensor
    thermalization: int

    @property
    def measured(self) -> "History":
        """The part after thermalization."""
        kept = slice(self.thermalization, None)
        return History(self.magnetization[kept], self.action[kept], 0)

    @property
    def thermalized_at(self) -> int:
        """The trajectory from which on neither action nor |M| drifts, to a twentieth of all; 0
        where they never do, their number where they always do.
        """
        length = len(self.action)
        starts = (length * part // STARTS for part in range(STARTS))
        return next((t for t in starts if not self._drifts(t)), length)

    @property
    def warning(self) -> str | None:
        """A sentence where the chains had not thermalized when measuring began; else None."""
        if not self._drifts(self.thermalization):
            return None
        return (
            f"the chains had not thermalized when measuring began after {self.thermalization} "
            f"trajectories: action or |M| drift until about trajectory {self.thermalized_at}."
        )

    def _drifts(self, start: int) -> bool:
        return drifts(self.action[start:]) or drifts(self.magnetization[start:].abs())


def drifts(series: Tensor) -> bool:
    """Tell whether a series (T, chains) drifts; False for fewer than 20 values of Monte Carlo
    time, which show nothing.
    """
    from scipy.special import ndtri, stdtrit

    length, chains = series.shape
    if length < 20:
        return False
    first, last = series[: length // 10].double(), series[length - length // 2 :].double()
    difference = first.mean(0) - last.mean(0)
    if chains >= SCATTER:
        threshold = stdtrit(chains - 1, 1 - 0.5 * CHANCE)
        error = float(difference.std()) / math.sqrt(chains)
    else:
        tau = autocorrelation_time(last).value
        shares = (min(1.0, 2 * tau / len(part)) / chains for part in (first, last))
        threshold = ndtri(1 - 0.5 * CHANCE)
        error = math.sqrt(float(last.var(correction=0)) * sum(shares))
    return bool(abs(float(difference.mean())) > threshold * error)


def autocorrelation_time(series: Tensor) -> Estimate:
    r"""Estimate the integrated autocorrelation time of several chains of one observable.

    .. math:: τ = ½ + \sum_{t=1}^{W} ρ(t)

    with the mean taken over all chains and the window W the smallest with W ≥ 5τ(W), or the
    whole series where there is none. The error is Madras and Sokal's, τ√(2(2W+1)/N).

    Arguments:
        series: (T, chains), Monte Carlo time first.

    Returns:
        τ in units of the spacing of the series; ½ for independent or constant data.
    """
    length, chains = series.shape
    centred = series.double() - series.double().mean()
    # Padded with zeros so that the correlation does not wrap round.
    spectrum = torch.fft.rfft(centred, n=2 * length, dim=0).abs() ** 2
    covariance = torch.fft.irfft(spectrum, n=2 * length, dim=0)[:length].mean(1)
    covariance = covariance / torch.arange(length, 0, -1, device=series.device)
    if not float(covariance[0]) > 0:
        return Estimate(0.5, 0.0)
    tau = 0.5 + torch.cumsum(covariance[1:] / covariance[0], 0)
    tau = torch.cat([tau.new_tensor([0.5]), tau])
    windows = torch.arange(length, device=series.device)
    closed = torch.nonzero((windows >= 5 * tau) & (windows > 0))
    window = int(closed[0]) if len(closed) else length - 1
    value = max(0.5, float(tau[window]))
    return Estimate(value, value * math.sqrt(2 * (2 * window + 1) / (length * chains)))
