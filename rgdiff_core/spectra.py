r"""Power spectra, their fits, and the information that is left at each scale.

The power of a field at momentum k is |F φ|²(k) with F the unitary 2-D FFT, so that its mean over k is the mean square of the
pixels. Radial spectra average it over shells of |k| and over the channels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis, check_images
from rgdiff_core.lattice import Estimate
from rgdiff_core.modes import Modes
from rgdiff_core.process import Process

__all__ = [
    "FreeTheoryFit",
    "PowerLawFit",
    "Spectrum",
    "data_log_snr",
    "fit_free_theory",
    "fit_power_law",
    "information",
    "information_left",
    "power_spectrum",
]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A radial power spectrum.

    Attributes:
        scale: (n,), mean |k| / max |k| of each bin; the first bin is k = 0 alone.
        momentum: (n,), mean |k| in radians per pixel.
        power: (n,), isotropic power.
        error: (n,), standard error of the power over images; NaN for a single image.
        count: (n,), modes per bin and channel.
    """

    scale: Tensor
    momentum: Tensor
    power: Tensor
    error: Tensor
    count: Tensor


def power_spectrum(
    images: Tensor, bins: int | None = None, *, momentum: str = "continuum"
) -> Spectrum:
    """Return the radial power spectrum of images (N, C, H, W), with its standard error over images.

    Arguments:
        bins: number of shells beside k = 0, uniform in |k|; default: half the longer side.
        momentum: "continuum" or "lattice", as in `FourierBasis`.

    Raises `ValueError` for images that are not (N, C, H, W) or contain NaN, and for bins outside [1, 512].
    """
    check_images(images)
    bins = max(1, max(images.shape[-2:]) // 2) if bins is None else bins
    if not 1 <= bins <= 512:
        raise ValueError(f"bins = {bins} is outside [1, 512].")
    c, h, w = images.shape[1:]
    basis = FourierBasis((1, h, w), momentum)
    k, scale = basis.momentum.flatten().double(), basis.scale.flatten().double()
    shell = torch.where(scale > 0, torch.ceil(scale * bins).clamp(1, bins), 0).long()
    occupied, shell = torch.unique(shell, return_inverse=True)
    count = torch.bincount(shell, minlength=len(occupied)).double()

    def shell_mean(values: Tensor) -> Tensor:
        total = torch.zeros(*values.shape[:-1], len(occupied), dtype=torch.float64)
        return total.index_add_(-1, shell, values) / count

    transform = torch.fft.fft2(images.double(), norm="ortho").abs() ** 2
    power = shell_mean(transform.mean(1).flatten(1).cpu())
    error = power.std(0) / math.sqrt(len(power)) if len(power) > 1 else power[0] * math.nan
    return Spectrum(shell_mean(scale), shell_mean(k), power.mean(0), error, count.long())


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
    """Fit a power law to a spectrum without its zero mode, in log P against log k.

    The fit weighs shells by their relative errors. Raises `ValueError` where fewer than three shells have power and error.
    """
    from scipy.optimize import curve_fit  # imported late: it would slow down every start

    k, log_power, error = _fit_data(spectrum)
    (log_amplitude, exponent), covariance = curve_fit(
        lambda x, a, p: a - p * x, np.log(k), log_power, (0.0, 2.0), error, absolute_sigma=True
    )
    errors = np.sqrt(np.diag(covariance))
    amplitude = math.exp(log_amplitude)
    residual = (log_power - log_amplitude + exponent * np.log(k)) / error
    return PowerLawFit(
        Estimate(amplitude, amplitude * float(errors[0])),
        Estimate(float(exponent), float(errors[1])),
        float((residual**2).sum() / (len(k) - 2)),
    )


def fit_free_theory(spectrum: Spectrum) -> FreeTheoryFit:
    """Fit a free propagator to a spectrum without its zero mode, in log P.

    The fit weighs shells by their relative errors; m² is kept positive. Raises `ValueError` as `fit_power_law`.
    """
    from scipy.optimize import curve_fit  # imported late: it would slow down every start

    k, log_power, error = _fit_data(spectrum)

    def model(x: np.ndarray, log_a: float, log_m2: float) -> np.ndarray:
        return log_a - np.log(x**2 + np.exp(log_m2))

    start = (log_power[-1] + 2 * np.log(k[-1]), math.log(k[0] ** 2))
    (log_a, log_m2), covariance = curve_fit(
        model, k, log_power, start, error, absolute_sigma=True, maxfev=20_000
    )
    errors = np.sqrt(np.diag(covariance))
    amplitude, mass2 = math.exp(log_a), math.exp(log_m2)
    residual = (log_power - model(k, log_a, log_m2)) / error
    return FreeTheoryFit(
        Estimate(amplitude, amplitude * float(errors[0])),
        Estimate(mass2, mass2 * float(errors[1])),
        float((residual**2).sum() / (len(k) - 2)),
    )


def _fit_data(spectrum: Spectrum) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    k, power, error = (
        x.double().numpy() for x in (spectrum.momentum, spectrum.power, spectrum.error)
    )
    use = (k > 0) & (power > 0) & (error > 0)
    if use.sum() < 3:
        raise ValueError(
            f"a fit needs at least 3 shells with power and error, there are {int(use.sum())}: "
            "use more than one image, and larger ones."
        )
    return k[use], np.log(power[use]), error[use] / power[use]


def data_log_snr(process: Process, t: Tensor | float, modes: Modes | None = None) -> Tensor:
    """Return log(α_k²Σ_k/(σ_k²S_k²)), the data log-SNR of every component, (*t.shape, C, H, W).

    Arguments:
        modes: where the data variance is taken from; default: the process' own.
    """
    modes = process.modes if modes is None else modes
    if modes.variance is None:
        raise ValueError("the data log-SNR needs the data's variance: use Modes.fit.")
    return torch.log(modes.variance / process.noise_variance) - process.level(t).gamma


def information(log_snr: Tensor) -> Tensor:
    """Return ½ log₂(1 + SNR), the bits that a Gaussian component's noised value tells of it."""
    return torch.nn.functional.softplus(log_snr) / (2 * math.log(2))


def information_left(process: Process, t: Tensor | float, modes: Modes | None = None) -> Tensor:
    """Return the Gaussian mutual information of φ(0) and φ(t), in bits, of the shape of t."""
    return information(data_log_snr(process, t, modes)).flatten(-3).sum(-1)
