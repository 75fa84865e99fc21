r"""Power spectra, and the information that is left at each scale.

The power of a field at momentum k is |F φ|²(k) with F the unitary 2-D FFT, so that its mean over
k is the mean square of the pixels. Radial spectra average it over shells of |k| and the channels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgdiff_core.bases import Basis, FourierBasis, check_images
from rgdiff_core.bases.modes import Modes
from rgdiff_core.devices import doubled
from rgdiff_core.process import Generators, Process, white_noise
from rgdiff_core.statistics import Estimate

__all__ = [
    "Profile",
    "Spectrum",
    "basis_functions",
    "data_log_snr",
    "draw_noise",
    "information",
    "information_left",
    "log_distance",
    "power_spectrum",
    "profile",
    "radial_average",
]


MIN_BINS = 12  # below it a small lattice's momenta would share shells


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A radial power spectrum.

    Attributes:
        scale: (n,), mean |k| / max |k| of each bin; the first bin is k = 0 alone.
        momentum: (n,), mean |k| in radians per pixel.
        power: (n,), isotropic power.
        error: (n,), standard error of the power over images; NaN for a single image.
        count: (n,), modes per bin and channel.
        modes: (sum of count,), |k| of every mode, bin after bin.
        samples: (N, n), power of each image, from which fits have their errors; None where only
            the means are known.
    """

    scale: Tensor
    momentum: Tensor
    power: Tensor
    error: Tensor
    count: Tensor
    modes: Tensor
    samples: Tensor | None = None

    def between(self, low: float, high: float) -> "Spectrum":
        """Return the shells with low ≤ |k| ≤ high, in radians per pixel."""
        return self.only((self.momentum >= low) & (self.momentum <= high))

    def only(self, use: Tensor) -> "Spectrum":
        """Return the shells that are marked, (n,) bool."""
        return Spectrum(
            self.scale[use],
            self.momentum[use],
            self.power[use],
            self.error[use],
            self.count[use],
            self.modes[use.repeat_interleave(self.count)],
            None if self.samples is None else self.samples[:, use],
        )

    def over_chains(self, n_chains: int) -> "Spectrum":
        """Return the spectrum with its errors over chains, of which images side by side may be
        correlated.

        Arguments:
            n_chains: number of independent chains of equal length, at least 2.

        Raises:
            ValueError: Where the images are not known, or are not as many in every chain.
        """
        if self.samples is None or n_chains < 2 or len(self.samples) % n_chains:
            count = 0 if self.samples is None else len(self.samples)
            raise ValueError(f"{count} images are not {n_chains} chains of equal length.")
        means = self.samples.unflatten(0, (n_chains, -1)).mean(1)
        return replace(self, error=means.std(0) / math.sqrt(n_chains))


def power_spectrum(
    images: Tensor, bins: int | None = None, *, momentum: str = "continuum"
) -> Spectrum:
    """Return the radial power spectrum of images (N, C, H, W), with its error over images.

    Arguments:
        bins: number of shells beside k = 0, uniform in |k|; default: half the longer side, at
            least 12. Shells without modes are left out.
        momentum: "continuum" or "lattice", as in `FourierBasis`.

    Raises `ValueError` for images that are not (N, C, H, W) or contain NaN, and for bins outside
    [1, 512].
    """
    check_images(images)
    basis = FourierBasis((1, images.shape[-2], images.shape[-1]), momentum)
    count, mean = _shells(basis, bins)
    transforms = (torch.fft.fft2(doubled(x), norm="ortho") for x in images.split(512))
    power = torch.cat([mean(f.abs().square().mean(1).cpu()) for f in transforms])
    error = power.std(0) / math.sqrt(len(power)) if len(power) > 1 else power[0] * math.nan
    scale, k = mean(basis.scale[0].double()), mean(basis.momentum[0].double())
    modes = basis.momentum.flatten().double().sort().values  # shells are ordered by |k|
    return Spectrum(scale, k, power.mean(0), error, count.long(), modes, power)


def radial_average(
    values: Tensor, bins: int | None = None, *, momentum: str = "continuum"
) -> Tensor:
    """Average what every Fourier component has, (..., C, H, W), over channels and shells.

    The shells are those of `power_spectrum`: a colour's variance in a `FourierBasis` becomes the
    power spectrum of its noise, (..., n).
    """
    basis = FourierBasis((1, values.shape[-2], values.shape[-1]), momentum)
    return _shells(basis, bins)[1](doubled(values).mean(-3).cpu())


def log_distance(one: Spectrum, other: Spectrum) -> Estimate:
    """Return the root mean square over bins of log(P/P'), for spectra with the same bins.

    The error is what it would be, on average, for two measurements of the same spectrum: a value
    near its error says that no difference is seen.

    Raises `ValueError` where the bins differ.
    """
    if one.power.shape != other.power.shape or not torch.allclose(one.momentum, other.momentum):
        raise ValueError("the two spectra have different bins.")
    ratio = torch.log(one.power.double() / other.power.double())
    noise = (one.error / one.power) ** 2 + (other.error / other.power) ** 2
    return Estimate(float((ratio**2).mean().sqrt()), float(noise.double().mean().sqrt()))


def _shells(basis: FourierBasis, bins: int | None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the shells' number of modes, and what averages (..., H, W) over them, to (..., n)."""
    bins = max(MIN_BINS, max(basis.shape[1:]) // 2) if bins is None else bins
    if not 1 <= bins <= 512:
        raise ValueError(f"bins = {bins} is outside [1, 512].")
    scale = basis.scale.flatten().double()
    shell = torch.where(scale > 0, torch.ceil(scale * bins).clamp(1, bins), 0).long()
    occupied, shell = torch.unique(shell, return_inverse=True)
    count = torch.bincount(shell, minlength=len(occupied)).double()

    def mean(values: Tensor) -> Tensor:
        values = values.flatten(-2)
        total = torch.zeros(*values.shape[:-1], len(occupied), dtype=torch.float64)
        return total.index_add_(-1, shell, values) / count

    return count, mean


@dataclass(frozen=True, eq=False)
class Profile:
    """What components of about the same scale have in common.

    Attributes:
        scale: (n,), mean scale (or momentum) of each bin; 0 has its own bin.
        mean: (n,), of the quantity.
        low: (n,), its 10 % quantile.
        high: (n,), its 90 % quantile.
        count: (n,), components per bin.
    """

    scale: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor
    count: Tensor


def profile(values: Tensor, scale: Tensor, bins: int = 32) -> Profile:
    """Gather a quantity that every component has, (C or 1, H, W), by the components' scale.

    Where there are more than `bins` different scales they are gathered in geometric bins.

    Arguments:
        scale: (C or 1, H, W), the scale or the momentum of a `Basis`.
        bins: in [1, 512].
    """
    if not 1 <= bins <= 512:
        raise ValueError(f"bins = {bins} is outside [1, 512].")
    values, scale = (doubled(x.flatten()) for x in torch.broadcast_tensors(values, scale))
    label = scale
    if len(torch.unique(scale.float())) > bins:
        least = scale[scale > 0].min()
        share = torch.log(scale.clamp_min(least) / least) / torch.log(scale.max() / least)
        label = torch.where(scale > 0, 1 + torch.floor(share * bins).clamp_max(bins - 1), 0)
    label = torch.unique(label.float(), return_inverse=True)[1]
    groups = [label == index for index in range(int(label.max()) + 1)]
    at, mean = (torch.stack([x[group].mean() for group in groups]) for x in (scale, values))
    low, high = (torch.stack([values[g].quantile(q) for g in groups]) for q in (0.1, 0.9))
    return Profile(at, mean, low, high, torch.bincount(label))


def basis_functions(
    basis: Basis, count: int, coarsest: float = 0.0, finest: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return the fields of single components from coarse to fine, and their scales.

    Components are ranked by scale, and those shown are evenly spaced in the logarithm of the
    rank, so that every octave has its share. Where channels share their scales, those of the
    first channel are shown.

    Arguments:
        count: how many, at least 1; fewer where the range holds fewer.
        coarsest, finest: the range, as a share of log rank, 0 ≤ coarsest ≤ finest ≤ 1.

    Returns:
        Fields (n, C, H, W) of unit norm, and scales (n,).
    """
    if count < 1 or not 0 <= coarsest <= finest <= 1:
        raise ValueError(
            f"count = {count} must be at least 1, and coarsest = {coarsest:g}, finest = "
            f"{finest:g} in order within [0, 1]."
        )
    scale = basis.scale.flatten()
    share = torch.linspace(coarsest, finest, count, dtype=torch.float64)
    rank = torch.unique((len(scale) ** share).round().long() - 1).clamp(0, len(scale) - 1)
    chosen = torch.argsort(scale, stable=True)[rank]
    units = torch.zeros(len(rank), math.prod(basis.shape)).to(scale)
    units[torch.arange(len(rank)), chosen] = 1
    return basis.synthesize(units.reshape(-1, *basis.shape)), scale[chosen]


def draw_noise(basis: Basis, variance: Tensor, n: int, generator: Generators = None) -> Tensor:
    """Draw noise U S U†ε, (n, C, H, W), with ε white in field space: the prior of a full flow.

    The same generator gives the same ε for every colour and basis.

    Arguments:
        variance: S_k², (C or 1, H, W), from `Color.variance`.
    """
    eps = white_noise((n, *basis.shape), variance, generator)
    return basis.synthesize(variance.sqrt() * basis.analyze(eps))


def data_log_snr(process: Process, t: Tensor | float, modes: Modes | None = None) -> Tensor:
    """Return log(α_k²Σ_k/(σ_k²S_k²)), the data log-SNR of every component, (*t.shape, C, H, W).

    Arguments:
        modes: where the data variance is taken from; default: the process' own.
    """
    modes = process.modes if modes is None else modes
    variance = modes.variance_for("the data log-SNR")
    return torch.log(variance / process.noise_variance) - process.level(t).gamma


def information(log_snr: Tensor) -> Tensor:
    """Return ½ log₂(1 + SNR), the bits that a Gaussian component's noised value tells of it."""
    return torch.nn.functional.softplus(log_snr) / (2 * math.log(2))


def information_left(
    process: Process,
    t: Tensor | float,
    modes: Modes | None = None,
    covariance: Tensor | None = None,
) -> Tensor:
    r"""Return the Gaussian mutual information of φ(0) and φ(t), in bits.

    With the data's full covariance C, and D = α²/(σ²S²) of every component,

    .. math:: I = \tfrac12 \log_2 \det(1 + D^{1/2} C D^{1/2}),

    which does not depend on the basis that one and the same process is written in. Without it
    components count as independent, which is an upper bound: the sum over the diagonal of C.

    Arguments:
        t: () or (B,).
        modes: where the data variance is taken from; default: the process' own.
        covariance: (D, D) of the data's components in the process' basis, from
            `component_covariance`.

    Returns:
        Bits, of the shape of t.

    Raises:
        ValueError: For a covariance that does not fit the components.
    """
    if covariance is None:
        return information(data_log_snr(process, t, modes)).flatten(-3).sum(-1)
    level, count = process.level(t), math.prod(process.basis.shape)
    if tuple(covariance.shape) != (count, count):
        raise ValueError(
            f"the covariance has the shape {tuple(covariance.shape)}, not ({count}, {count})."
        )
    log_ratio = doubled(-level.gamma - torch.log(process.noise_variance))
    shape = (*log_ratio.shape[:-3], *process.basis.shape)
    each = torch.exp(log_ratio.expand(shape).flatten(-3) / 2)
    covariance, one = doubled(covariance), torch.eye(count).to(each)
    found = [
        torch.linalg.slogdet(one + d[:, None] * covariance * d).logabsdet
        for d in each.reshape(-1, count)
    ]
    return torch.stack(found).reshape(shape[:-3]) / (2 * math.log(2))
