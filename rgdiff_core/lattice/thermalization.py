r"""The history of a run, and where in it the chains had thermalised.

The averages over the chains of the action and of |M|, M the mean field, start somewhere and drift
to their equilibrium. Chodera's rule discards the first t₀ of T trajectories such that most
independent measurements are left,

.. math:: t_0 = \arg\max_t \frac{T - t}{2 τ_{int}(t)}

with τ_int(t) that of the series from t on: too small a t leaves the drift in, which reads as a
long autocorrelation; too large a t throws away good data.

References:
    Chodera, J. Chem. Theory Comput. 12 (2016) 1799, bioRxiv 021659.
    Monte Carlo errors with less errors, Wolff, hep-lat/0306017 (automatic windowing).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice.estimate import Estimate

__all__ = ["History", "autocorrelation_time", "burn_in", "stationary"]

CANDIDATES = 40


@dataclass(frozen=True, eq=False)
class History:
    """What every chain did, trajectory by trajectory, thermalisation included.

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
        """The part after thermalisation."""
        kept = slice(self.thermalization, None)
        return History(self.magnetization[kept], self.action[kept], 0)

    @property
    def thermalized_at(self) -> int:
        """The trajectory from which on action and |M|, averaged over chains, are stationary by
        Chodera's rule; 0 for the first.
        """
        return max(burn_in(self.action.mean(1)), burn_in(self.magnetization.abs().mean(1)))

    @property
    def warning(self) -> str | None:
        """A sentence where the chains had not thermalised when measuring began; else None."""
        at = self.thermalized_at
        if at <= self.thermalization:
            return None
        return (
            f"the chains had not thermalised after the {self.thermalization} trajectories that "
            f"were discarded: they drifted until trajectory {at}."
        )


def burn_in(series: Tensor) -> int:
    """Return how many of the first values of a series (T,) are to be discarded, at most ¾ T."""
    length = len(series)
    starts = sorted({(3 * length * i) // (4 * CANDIDATES) for i in range(CANDIDATES + 1)})
    left = {t: length - t for t in starts if length - t >= 4}
    worth = {t: n / (2 * autocorrelation_time(series[t:, None]).value) for t, n in left.items()}
    return max(worth, key=worth.__getitem__, default=0)


def stationary(averages: Tensor) -> bool:
    """Tell whether several series (T, q) are stationary over their second halves."""
    return all(2 * burn_in(series) <= len(series) for series in averages.unbind(1))


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
