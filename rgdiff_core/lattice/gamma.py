r"""Errors of Monte Carlo averages, and of functions of them, by the Γ-method.

For averages ā of series a_i and a function f, all that matters to first order is one series of
fluctuations, δ_i = Σ_q ∂f/∂ā_q (a_iq − ā_q); the derivative is automatic. With Γ(t) its
autocovariance,

.. math:: σ_f^2 = \frac{2 τ_{int}}{N} Γ(0), \qquad
    τ_{int} = \tfrac12 + \sum_{t=1}^{W} Γ(t)/Γ(0)

and the window W is chosen where cutting off and noise cost about the same. The tests compare with
`pyerrors`, which takes longer to import than torch.

**Several chains.** Deviations are from the common mean, as Wolff prescribes: from the means of the
chains, one by one, they would take 2τ/T off the variance in chains of T measurements, nearly half
the error squared for T = 20. No pair of measurements is of two chains.

**Short chains.** No window closes in chains of a few τ. Where a chain is shorter than 20 τ and
there are at least 20 chains, the error is that of the scatter of the chains' means, which is right
however long τ is, since chains are independent; with fewer chains the result carries a warning.

**Independent data** are chains of one measurement each, n_chains = n: then the error is the usual
one.

References:
    Monte Carlo errors with less errors, Wolff, arXiv:hep-lat/0306017.
    pyerrors: a Python framework for error analysis of Monte Carlo data, arXiv:2209.14371.
"""

import math
from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["chain_lengths", "estimate", "means"]

MIN_SAMPLES = 8
"""Fewest measurements along chains that an error is estimated from."""

LONG = 20
"""In autocorrelation times, how long a chain has to be for the window to close."""

STRETCH = 2.0
"""S of the automatic window: the supposed time of exponential decay, in units of τ_int."""

MIN_CHAINS = 20
"""Fewest chains whose scatter gives an error; it is then known to a sixth."""

SHORT_CHAINS = "the chains are shorter than 20 autocorrelation times; the error may be too small"
LOWER_BOUND = "the chains are shorter than 20 autocorrelation times; this is a lower bound"
UNDEFINED = "the measured averages are outside the range where this quantity is defined"


def chain_lengths(n: int, n_chains: int) -> list[int]:
    """Return how many of n measurements each chain has: all the same, or the first ones one more.

    Raises:
        ValueError: Unless 1 ≤ n_chains ≤ n.
    """
    check_whole("n_chains", n_chains, 1, n)
    short, longer = divmod(n, n_chains)
    return [short + 1] * longer + [short] * (n_chains - longer)


def means(series: Tensor, n_chains: int) -> list[Estimate]:
    """Return the mean of each of q series with its error; arguments and errors as `estimate`."""
    return estimate(series, n_chains, lambda mean: list(mean))


@overload
def estimate(series: Tensor, n_chains: int, function: Callable[[Tensor], Tensor]) -> Estimate:
    """Estimate one function."""


@overload
def estimate(
    series: Tensor, n_chains: int, function: Callable[[Tensor], Sequence[Tensor]]
) -> list[Estimate]:
    """Estimate several functions."""


def estimate(
    series: Tensor, n_chains: int, function: Callable[[Tensor], Tensor | Sequence[Tensor]]
) -> Estimate | list[Estimate]:
    """Estimate functions of Monte Carlo averages, with errors that allow for autocorrelation.

    Arguments:
        series: q quantities measured n times, (n, q), or (n,) for q = 1; the measurements of one
            chain stand together in Monte Carlo order, chain lengths are equal or the first ones
            longer by one.
        n_chains: Number of independent chains; n for independent measurements.
        function: From the q averages, a float64 tensor (q,), to a number or several: a tensor of
            no dimension or a sequence of such, computed by torch so that it can be differentiated.

    Returns:
        One estimate, or a list where the function returns a sequence. `tau_int` is in units of
        the spacing of the measurements, None for independent ones. Where the chains are too
        short for the error to be sure, or the function is not defined at the averages (value and
        error are then nan), `warning` says so.

    Raises:
        ValueError: For too few measurements, a wrong n_chains, or values that are not finite.
    """
    table = _checked(series, n_chains)
    with torch.inference_mode(False), torch.enable_grad():
        mean = table.mean(0).requires_grad_()
        result = function(mean)
        single = isinstance(result, Tensor)
        parts = [result] if isinstance(result, Tensor) else list(result)
        # One at a time, so that the derivative of one that is undefined stays out of the others'.
        gradients = [torch.autograd.grad(part, mean, retain_graph=True)[0] for part in parts]
    fluctuations = (table - mean.detach()) @ torch.stack(gradients, 1)
    found = [
        _one(float(part.detach()), delta, n_chains)
        for part, delta in zip(parts, fluctuations.unbind(1), strict=True)
    ]
    return found[0] if single else found


def _checked(series: Tensor, n_chains: int) -> Tensor:
    """Return the series as (n, q) in float64 on the CPU, or say what is wrong with them."""
    table = series[:, None] if series.ndim == 1 else series
    if table.ndim != 2:
        raise ValueError(f"series has shape {tuple(series.shape)}; it must be (n, q) or (n,).")
    n = len(table)
    needed = 2 if n_chains == n else MIN_SAMPLES
    if n < needed:
        raise ValueError(
            f"{n} measurement{'s' if n != 1 else ''} in {n_chains} "
            f"chain{'s' if n_chains != 1 else ''} give no error; at least {needed} are needed."
        )
    check_whole("n_chains", n_chains, 1, n)
    if not bool(torch.isfinite(table).all()):
        raise ValueError("series holds a value that is not a finite number.")
    return table.detach().to("cpu", torch.float64)


def _one(value: float, delta: Tensor, n_chains: int) -> Estimate:
    """Return the estimate whose fluctuations are delta (n,)."""
    if not (math.isfinite(value) and bool(torch.isfinite(delta).all())):
        return Estimate(value if math.isfinite(value) else math.nan, math.nan, None, UNDEFINED)
    n = len(delta)
    if n_chains == n:
        return Estimate(value, float(delta.std()) / math.sqrt(n))
    if not bool(delta.any()):
        return Estimate(value, 0.0, Estimate(0.5, 0.0))
    lengths = chain_lengths(n, n_chains)
    error, tau = _windowed(delta.numpy(), lengths)
    if lengths[-1] >= LONG * tau.value:
        return Estimate(value, error, tau)
    if n_chains >= MIN_CHAINS:
        return _scatter(value, delta, lengths)
    return Estimate(value, error, Estimate(tau.value, tau.error, None, LOWER_BOUND), SHORT_CHAINS)


def _windowed(delta: np.ndarray, lengths: Sequence[int]) -> tuple[float, Estimate]:
    """Return error and autocorrelation time of the mean of delta (n,).

    With the automatic window, eqs. (50) to (52) of Wolff, the bias of the mean corrected,
    eq. (49), and the error of τ_int from eq. (42).
    """
    n = len(delta)
    gamma = _autocovariance(delta, lengths)[: n // 2]
    if gamma[0] == 0:  # squares too small for a float
        return 0.0, Estimate(0.5, 0.0)
    rho = gamma / gamma[0]
    tau = np.maximum(np.cumsum(rho) - 0.5, 0.5 + np.finfo(float).eps)
    window = np.arange(1, len(tau))
    decay = STRETCH / np.log((2 * tau[1:] + 1) / (2 * tau[1:] - 1))
    closed = np.exp(-window / decay) < decay / np.sqrt(window * n)
    w = int(window[closed.argmax()]) if closed.any() else len(tau) - 1
    tau_int = float(tau[w]) * (1 + (2 * w + 1) / n) / (1 + 1 / n)
    spread = float(2 * tau[w] * np.sqrt(abs(w + 0.5 - tau[w]) / n))
    error = math.sqrt(2 * tau_int * gamma[0] * (1 + 1 / n) / n)
    return error, Estimate(tau_int, spread)


def _autocovariance(delta: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Return Γ(t) at t = 0, …, T − 1, T the longest chain: the mean over all pairs of a chain."""
    times, length = np.arange(lengths[0]), np.asarray(lengths)[:, None]
    rows = np.zeros((len(lengths), lengths[0]))
    rows[times < length] = delta
    power = np.abs(np.fft.rfft(rows, 2 * lengths[0])) ** 2
    pairs = (length - times).clip(0).sum(0)
    return np.fft.irfft(power.sum(0))[: lengths[0]] / pairs


def _scatter(value: float, delta: Tensor, lengths: Sequence[int]) -> Estimate:
    """Return the estimate with the error from the scatter of the means of chains."""
    n, chains = len(delta), len(lengths)
    # Weighted by length, so that their mean is that of all measurements.
    parts = torch.stack([part.sum() for part in delta.split(list(lengths))]) * (chains / n)
    error = float(parts.std()) / math.sqrt(chains)
    tau = 0.5 * n * error**2 / float(delta.square().mean())
    spread = tau * math.sqrt(2 / (chains - 1))
    return Estimate(value, error, Estimate(tau, spread, None, LOWER_BOUND))
