"""Fits of power spectra: power laws and free propagators, with errors from the images."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.devices import doubled
from rgdiff_core.spectra.power import Spectrum
from rgdiff_core.statistics import Estimate, jackknife_error

__all__ = ["FreeTheoryFit", "PowerLawFit", "fit_free_theory", "fit_power_law"]

TINY = 1e-300
MAX_GROUPS = 50  # of images, of which the errors of fits leave out one at a time


@dataclass(frozen=True)
class PowerLawFit:
    """P(k) = amplitude · k^{−exponent}, fitted with errors; chi2 per degree of freedom."""

    amplitude: Estimate
    exponent: Estimate
    chi2: float

    def power(self, k: Tensor) -> Tensor:
        """Return the fitted power at momenta k."""
        return self.amplitude.value * k ** (-self.exponent.value)


@dataclass(frozen=True)
class FreeTheoryFit:
    """P(k) = amplitude / (k² + mass2), fitted with errors; chi2 per degree of freedom."""

    amplitude: Estimate
    mass2: Estimate
    chi2: float

    def power(self, k: Tensor) -> Tensor:
        """Return the fitted power at momenta k."""
        return self.amplitude.value / (k**2 + self.mass2.value)


def fit_power_law(spectrum: Spectrum) -> PowerLawFit:
    r"""Fit a power law to a spectrum without its zero mode, in log P.

    The fitted law is averaged over each shell as the data are. Shells weigh by their relative
    errors. The shells of one image are correlated, and their weights come from the same images, so
    that errors are those of the jackknife of the whole fit: of up to 50 groups of images one is
    left out at a time, powers and weights are those of the others, and a Gauss–Newton step from
    the best fit leads to theirs. χ² counts shells as independent.

    Raises:
        ValueError: Where fewer than three shells have power and error, or nothing fits best.

    References:
        Efron, The jackknife, the bootstrap and other resampling plans (1982), chapter 6.
    """
    return PowerLawFit(*_fit(spectrum, lambda k, p: k**-p, 2.0, -np.inf))


def fit_free_theory(spectrum: Spectrum) -> FreeTheoryFit:
    """Fit a free propagator to a spectrum without its zero mode, in log P.

    m² is kept at or above zero; for a spectrum that rises with k none fits best. Otherwise as
    `fit_power_law`.
    """
    # in units of the smallest momentum, so that both parameters are of order one
    unit = float(spectrum.modes[spectrum.modes > 0].min()) ** 2 if len(spectrum.modes) > 1 else 1.0
    amplitude, mass2, chi2 = _fit(spectrum, lambda k, m: 1 / (k**2 + m * unit), 1.0, 0.0)
    return FreeTheoryFit(amplitude, Estimate(unit * mass2.value, unit * mass2.error), chi2)


def _fit(
    spectrum: Spectrum,
    shape: Callable[[np.ndarray, float], np.ndarray],
    start: float,
    lowest: float,
) -> tuple[Estimate, Estimate, float]:
    """Fit P(k) = amplitude · shape(k, parameter); return both, and chi2 per degree of freedom."""
    from scipy.optimize import curve_fit  # imported late: it would slow down every start

    used = (spectrum.momentum > 0) & (spectrum.power > 0) & (spectrum.error > 0)
    if used.sum() < 3:
        raise ValueError(
            f"a fit needs at least 3 shells with power and error, there are {int(used.sum())}: "
            "use more than one image, and larger ones."
        )
    shells = spectrum.only(used)
    count, power, error = (x.double().numpy() for x in (shells.count, shells.power, shells.error))
    first = np.cumsum(shells.count.numpy()) - shells.count.numpy()

    def log_power(k: np.ndarray, log_amplitude: float, parameter: float) -> np.ndarray:
        return log_amplitude + np.log(np.add.reduceat(shape(k, parameter), first) / count)

    k, relative = shells.modes.numpy(), error / power
    begin = (float(np.log(power).mean() - log_power(k, 0.0, start).mean()), start)
    how = {"absolute_sigma": True, "bounds": ((-np.inf, lowest), (np.inf, np.inf))}
    try:
        best, covariance = curve_fit(log_power, k, np.log(power), begin, relative, **how)
    except RuntimeError:
        raise ValueError(
            f"no parameters fit the {len(power)} shells best: their power does not fall with k."
        ) from None
    errors = np.sqrt(np.diag(covariance))
    if shells.samples is not None:
        step = 1e-4 * max(1.0, abs(best[1]))
        change = log_power(k, best[0], best[1] + step) - log_power(k, *best)
        slope = np.stack((np.ones_like(power), change / step), 1)
        errors = _jackknifed(shells, slope, log_power(k, *best))
    residual = (np.log(power) - log_power(k, *best)) / relative
    amplitude = math.exp(best[0])
    return (
        Estimate(amplitude, amplitude * float(errors[0])),
        Estimate(float(best[1]), float(errors[1])),
        float((residual**2).sum() / (len(power) - 2)),
    )


def _jackknifed(shells: Spectrum, slope: np.ndarray, fitted: np.ndarray) -> list[float]:
    """Return the errors of the parameters of a fit with this slope (n, parameters) and log P."""
    assert shells.samples is not None
    samples = doubled(shells.samples)
    steps = []
    for group in torch.arange(len(samples)).tensor_split(min(len(samples), MAX_GROUPS)):
        rest = samples[~torch.isin(torch.arange(len(samples)), group)]
        power, error = rest.mean(0), shells.error
        if len(rest) > 1:
            own = rest.std(0) / math.sqrt(len(rest))
            error = torch.where(own > 0, own, error)
        weight = (power / error).numpy()
        residual = power.clamp_min(TINY).log().numpy() - fitted
        steps.append(np.linalg.lstsq(slope * weight[:, None], residual * weight)[0])
    return [jackknife_error(values) for values in torch.from_numpy(np.stack(steps, 1))]
