r"""Mean and variance of the components of images in a basis, estimated from a few of them.

**Few images** determine a variance badly (relative error √(2/d) with d degrees of freedom), so
each is moderated towards what its channel has at its scale, T, the empirical Bayes estimate

.. math:: Σ_k = (n_0 T + d s_k^2) / (n_0 + d).

T is a geometric mean over a band of the scale, freed of its bias: the mean of log s² is
log Σ + ψ(d/2) − log(d/2). A spectrum that is steep within a band is thus not governed by its
loudest mode. No variance is below 1e-8 of the mean variance.

**Symmetries of a lattice.** Where the law of the fields is invariant under translations,
reflections, rotations by 90° and φ → −φ, the mean vanishes and the covariance is diagonal in the
Fourier basis, with equal variances on the orbit of each momentum. So the power is averaged over
the orbit, and the variance of the components of any other basis follows from it exactly. That is
what averaging over all images moved by all symmetries gives.

**Principal components** that are found in the very images whose variance is measured overfit
them: large variances come out too large, small ones too small. There the variance is that of the
nonlinear shrinkage of Ledoit and Wolf, which estimates the data's own variance along each sample
eigenvector.

References:
    Smyth, Linear models and empirical Bayes methods, Stat. Appl. Genet. Mol. Biol. 3 (2004) 3.
    Ledoit and Wolf, Analytical nonlinear shrinkage of large-dimensional covariance matrices,
    Ann. Statist. 48 (2020) 3043.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import Basis, FourierBasis, PCABasis
from rgdiff_core.bases.base import principal_axes
from rgdiff_core.devices import doubled

__all__ = [
    "MAX_DIMENSION",
    "PRIOR_COUNT",
    "SYMMETRIES",
    "Moments",
    "component_covariance",
    "component_moments",
    "has_uncorrelated_components",
    "shrunk_eigenvalues",
]

SYMMETRIES = ("none", "lattice")
PRIOR_COUNT = 4.0  # degrees of freedom that a band's variance counts as
BANDS = 32  # of the scale, per channel
FLOOR = 1e-8  # of the mean variance, the smallest variance
MAX_DIMENSION = 4096  # components of a full covariance
CHUNK = 4096  # images that are analysed at once
MIN_SHRUNK = 12  # images, below which the shrinkage formula has no kernel
PROBED = 16  # principal components whose correlations are looked at


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of every component, both (C, H, W), in double precision where the device
    has it.
    """

    mean: Tensor
    variance: Tensor


def component_moments(
    basis: Basis, images: Tensor, symmetries: str = "none", prior_count: float = PRIOR_COUNT
) -> Moments:
    """Estimate the mean and variance of every component of images in a basis.

    Arguments:
        images: (N, C, H, W), N ≥ 2.
        symmetries: "none" or "lattice".
        prior_count: n₀ ≥ 0 in degrees of freedom; 0 for sample variances.

    Returns:
        Mean and variance, (C, H, W) each.

    Raises:
        ValueError: For symmetries of another name, and where all images are equal.
    """
    if symmetries not in SYMMETRIES:
        raise ValueError(f"symmetries = {symmetries!r} is not one of {', '.join(SYMMETRIES)}.")
    if symmetries == "lattice":
        return _lattice_moments(basis, images, prior_count)
    c = torch.cat([basis.analyze(x) for x in images.split(CHUNK)])
    variance, mean = (doubled(x) for x in torch.var_mean(c, dim=0))
    freedom = torch.full_like(variance, len(images) - 1)
    if prior_count > 0 and isinstance(basis, PCABasis) and _fitted_to(c):
        return Moments(mean, _floored(_shrunk(variance, len(images) - 1)))
    return Moments(mean, _moderated(variance, freedom, basis.scale, prior_count))


def component_covariance(basis: Basis, images: Tensor, symmetries: str = "none") -> Tensor:
    """Estimate the full covariance matrix of the components of images in a basis.

    Without symmetries its eigenvalues are the shrunk ones of the sample covariance, so that it is
    of use with fewer images than components.

    Arguments:
        images: (N, C, H, W), more than 12 where there are no symmetries.
        symmetries: "none" or "lattice".

    Returns:
        (D, D) for the D = C·H·W flattened components, in double precision where the device has
        it.

    Raises:
        ValueError: For more than 4096 components, and for too few images.
    """
    count = math.prod(basis.shape)
    if count > MAX_DIMENSION:
        raise ValueError(f"a covariance of {count} components is outside [1, {MAX_DIMENSION}].")
    if symmetries == "lattice":
        fourier, power = _lattice_power(basis, images, PRIOR_COUNT)
        elements = torch.cat([*_elements(basis, images)])
        parts = fourier.analyze(elements).to(power)
        weighted = torch.einsum("nchw,cdhw->ndhw", parts, power)
        return weighted.flatten(1) @ parts.flatten(1).T
    if len(images) <= MIN_SHRUNK:
        raise ValueError(f"{len(images)} images are too few: more than {MIN_SHRUNK} are needed.")
    c = torch.cat([doubled(basis.analyze(x)).flatten(1) for x in images.split(CHUNK)])
    axes, variance = principal_axes(torch.cov(c.T).reshape(count, count))
    return (axes.T * shrunk_eigenvalues(variance.clamp_min(0), len(images) - 1)) @ axes


def has_uncorrelated_components(basis: Basis, symmetries: str = "none") -> bool:
    """Return whether the covariance of the data is diagonal in a basis: in principal components of
    the data, and of a lattice's configurations in Fourier modes.
    """
    return isinstance(basis, PCABasis) or (
        symmetries == "lattice" and isinstance(basis, FourierBasis) and basis.shape[0] == 1
    )


def _lattice_moments(basis: Basis, images: Tensor, prior_count: float) -> Moments:
    """Return vanishing means, and the variances of images moved by all symmetries of a lattice."""
    fourier, power = _lattice_power(basis, images, prior_count)
    if isinstance(basis, FourierBasis):
        variance = torch.stack([power[i, i] for i in range(len(power))])
    else:
        elements = (fourier.analyze(x).to(power) for x in _elements(basis, images))
        each = [torch.einsum("nchw,ndhw,cdhw->n", x, x, power) for x in elements]
        variance = _floored(torch.cat(each).reshape(basis.shape))
    return Moments(torch.zeros_like(variance), variance)


def _lattice_power(
    basis: Basis, images: Tensor, prior_count: float
) -> tuple[FourierBasis, Tensor]:
    """Return the Fourier basis of the same channels, and the covariance of the channels at every
    momentum, (C, C, H, W), of images moved by all symmetries of a lattice.
    """
    c, h, w = basis.shape
    fourier = FourierBasis((c, h, w), channels=basis.channels).to(images)
    parts = (doubled(fourier.analyze(x)).flatten(2) for x in images.split(CHUNK))
    total = torch.stack([torch.einsum("nck,ndk->cdk", f, f) for f in parts]).sum(0)
    orbit = _orbits(h, w).to(images.device).flatten()
    size = torch.bincount(orbit)
    power = torch.zeros(c, c, len(size)).to(total).index_add_(2, orbit, total)
    power = (power / (size * len(images)))[..., orbit].reshape(c, c, h, w)
    plain = torch.stack([power[i, i] for i in range(c)])
    freedom = (size * len(images))[orbit].reshape(h, w).expand(c, h, w).to(power)
    variance = _moderated(plain, freedom, fourier.scale, prior_count)
    factor = (variance / _floored(plain)).sqrt()
    power = power * factor * factor[:, None]
    for i in range(c):  # what vanishes in all images has a floor
        power[i, i] = variance[i]
    return fourier, power


def _elements(basis: Basis, like: Tensor) -> Iterator[Tensor]:
    """Yield the fields of unit components (n, C, H, W), in order."""
    count = math.prod(basis.shape)
    for rows in torch.arange(count, device=like.device).split(CHUNK // 4):
        unit = torch.nn.functional.one_hot(rows, count).to(like)
        yield basis.synthesize(unit.reshape(-1, *basis.shape))


def _orbits(height: int, width: int) -> Tensor:
    """Return the number of the orbit of every momentum, (H, W): under reflections, and under
    exchange of the axes where they have equal length.
    """
    label = torch.arange(height * width).reshape(height, width)
    for axis in (0, 1):
        label = torch.minimum(label, label.flip(axis).roll(1, axis))
    if height == width:
        label = torch.minimum(label, label.T)
    return torch.unique(label, return_inverse=True)[1]


def _floored(variance: Tensor) -> Tensor:
    least = FLOOR * variance.mean()
    if least == 0:
        raise ValueError("all images are equal: their variance is zero.")
    return variance.clamp_min(float(least))


def _moderated(variance: Tensor, freedom: Tensor, scale: Tensor, prior_count: float) -> Tensor:
    """Return variances (C, H, W), moderated towards those of their bands."""
    variance = _floored(variance)
    half = freedom / 2
    unbiased = torch.log(variance) + torch.log(half) - torch.digamma(half)
    band = (scale.to(variance) * BANDS).long().clamp(0, BANDS - 1).expand(variance.shape)
    channel = torch.arange(len(variance), device=variance.device)[:, None, None]
    place = (band + BANDS * channel).flatten()
    count = torch.bincount(place, freedom.flatten(), BANDS * len(variance)).clamp_min(1)
    total = torch.bincount(place, (unbiased * freedom).flatten(), BANDS * len(variance))
    target = torch.exp(total / count).to(variance)[place].reshape(variance.shape)
    return _floored((prior_count * target + freedom * variance) / (prior_count + freedom))


def _fitted_to(c: Tensor) -> bool:
    """Return whether principal components (N, C, H, W) were found in these very images: then
    their sample correlations vanish.
    """
    if len(c) <= MIN_SHRUNK:
        return False
    first = doubled(c.flatten(1)[:, : min(PROBED, len(c) - 1)])
    correlation = torch.corrcoef(first.T).nan_to_num()
    off = correlation - torch.diag(torch.diagonal(correlation))
    return first.shape[1] > 1 and bool(off.abs().max() < 0.1 / len(c) ** 0.5)


def _shrunk(variance: Tensor, freedom: int) -> Tensor:
    """Return the shrunk variances (C, H, W) of principal components."""
    falling, order = variance.flatten().sort(descending=True)
    shrunk = torch.empty_like(falling)
    shrunk[order] = shrunk_eigenvalues(falling, freedom)
    return shrunk.reshape(variance.shape)


def shrunk_eigenvalues(eigenvalues: Tensor, freedom: int) -> Tensor:
    r"""Return the data's variance along the eigenvectors of a sample covariance, estimated from
    its eigenvalues alone.

    With the density f of the sample eigenvalues, estimated by an Epanechnikov kernel of width
    n^{−1/3} λ, its Hilbert transform H f and the concentration c = p/n:

    .. math:: d = λ / [(π c λ f(λ))^2 + (1 − c − π c λ H_f(λ))^2].

    Arguments:
        eigenvalues: (p,), falling, at least zero.
        freedom: n, the images less one, at least 12.

    Returns:
        (p,), falling.

    References:
        Ledoit and Wolf, Ann. Statist. 48 (2020) 3043, section 4.7 and theorem 4.2.
    """
    if freedom < MIN_SHRUNK:
        raise ValueError(f"freedom = {freedom} must be at least {MIN_SHRUNK}.")
    p, n = len(eigenvalues), freedom
    rising = doubled(eigenvalues).flip(0)[max(0, p - n) :]
    rising = rising.clamp_min(float(rising.max()) * 1e-14)
    c, width = p / n, n ** (-1 / 3)
    parts = [_density(x, rising, width) for x in rising.split(CHUNK // 8)]
    density, hilbert = (torch.cat(x) for x in zip(*parts, strict=True))
    if p <= n:
        real = 1 - c - math.pi * c * rising * hilbert
        found = rising / ((math.pi * c * rising * density) ** 2 + real**2)
    else:
        h, root = width, math.sqrt(5)
        edge = math.log(abs((1 + root * h) / (1 - root * h)))
        at_zero = 3 / (10 * h**2) + 3 / (4 * root * h) * (1 - 1 / (5 * h**2)) * edge
        at_zero = at_zero / math.pi * (1 / rising).mean()
        null = 1 / (math.pi * (p - n) / n * at_zero)
        found = rising / (math.pi**2 * rising**2 * (density**2 + hilbert**2))
        found = torch.cat((null.expand(p - n), found))
    return _monotone(found).flip(0).to(eigenvalues)


def _density(at: Tensor, eigenvalues: Tensor, width: float) -> tuple[Tensor, Tensor]:
    """Return the density of eigenvalues and its Hilbert transform at some of them, by an
    Epanechnikov kernel of a width relative to each eigenvalue.
    """
    root, bandwidth = math.sqrt(5), width * eigenvalues
    x = (at[:, None] - eigenvalues) / bandwidth
    bulge = 3 / (4 * root) * (1 - x**2 / 5)
    logarithm = ((root - x) / (root + x)).abs().log().nan_to_num(0.0, 0.0, 0.0)
    hilbert = (bulge * logarithm - 3 / 10 * x) / math.pi
    return (bulge.clamp_min(0) / bandwidth).mean(1), (hilbert / bandwidth).mean(1)


def _monotone(rising: Tensor) -> Tensor:
    """Return the nearest sequence that never falls."""
    from scipy.optimize import isotonic_regression  # imported late: it would slow down every start

    return torch.from_numpy(isotonic_regression(rising.cpu().numpy()).x.copy()).to(rising)
