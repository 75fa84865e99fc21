r"""Bases U: where information sits.

The components of a field are χ = U†φ, with U real and orthogonal, so that white noise stays white and densities do not
change. Components keep the field's shape (C, H, W). Each has a *scale* in [0, 1] (0 the coarsest, 1 the finest) and a
*momentum* |k| in radians per lattice spacing, which the colours use:

======= ==================================== =============================================
basis   scale                                momentum
======= ==================================== =============================================
pixel   0                                    0
Fourier |k| / max |k|                        \|k\|, or the lattice's k̂_μ = 2 sin(k_μ/2)
cosine  |k| / max |k|                        as Fourier, with k_μ = π n_μ / L
wavelet level (approximation 0, finest 1)    π 2^{-j} √2 for the level with j halvings
PCA     rank / (D − 1)                       √2 π √(rank / (D − 1)), as in Weyl's law in 2-D
======= ==================================== =============================================

Every basis can first rotate the colour channels by an orthonormal C×C matrix (`decorrelation`).
"""

import math
from functools import lru_cache
from typing import Self

import numpy as np
import pywt
import torch
from torch import Tensor, nn

__all__ = [
    "Basis",
    "CosineBasis",
    "FourierBasis",
    "PCABasis",
    "PixelBasis",
    "WaveletBasis",
    "check_images",
    "decorrelation",
    "orthogonal_wavelets",
]

Shape = tuple[int, int, int]
MAX_SIZE = 1024
MAX_PCA_DIMENSION = 4096
MOMENTA = ("continuum", "lattice")


def check_images(images: Tensor, least: int = 1) -> None:
    """Raise `ValueError` in one sentence unless `images` is (N, C, H, W), finite, with N ≥ `least`."""
    if images.ndim != 4:
        raise ValueError(f"images must have shape (N, C, H, W), got {tuple(images.shape)}.")
    if len(images) < least:
        raise ValueError(f"{len(images)} images are too few: at least {least} are needed here.")
    if not torch.isfinite(images).all():
        raise ValueError("the images contain NaN or infinite values.")


def decorrelation(images: Tensor) -> Tensor:
    """Return the orthonormal (C, C) matrix whose rows are the principal axes of the channels.

    Arguments:
        images: (N, C, H, W). The channels' covariance is taken over images and pixels.
    """
    check_images(images)
    pixels = images.movedim(1, 0).flatten(1)
    covariance = torch.cov(pixels).reshape(len(pixels), len(pixels)).double()
    return _principal_axes(covariance)[0].to(images)


def _principal_axes(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvectors as rows (largest variance first, largest entry positive) and variances."""
    variance, vectors = torch.linalg.eigh(covariance)
    rows = vectors.flip(1).T.contiguous()
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return rows * torch.where(largest < 0, -1.0, 1.0), variance.flip(0)


class Basis(nn.Module):
    """An orthogonal change of basis of fields of shape (C, H, W).

    Attributes:
        shape: (C, H, W).
        scale: (C or 1, H, W), in [0, 1], 0 the coarsest.
        momentum: (C or 1, H, W), |k| ≥ 0 in radians per lattice spacing.
        channels: (C, C) orthonormal rotation of the colour channels, or None.

    Raises `ValueError` for a shape that is not three positive integers, or that the basis can't have.
    """

    scale: Tensor
    momentum: Tensor
    channels: Tensor | None

    def __init__(self, shape: Shape, scale: Tensor, momentum: Tensor, channels: Tensor | None):
        super().__init__()
        self.shape = shape
        self.register_buffer("scale", scale.to(torch.get_default_dtype()))
        self.register_buffer("momentum", momentum.to(torch.get_default_dtype()))
        self.register_buffer("channels", None if channels is None else _rotation(channels, shape))

    def analyze(self, x: Tensor) -> Tensor:
        """Return the components U†x of fields x: (..., C, H, W) → (..., C, H, W)."""
        self._check(x)
        return self._forward(x if self.channels is None else _mix(self.channels, x))

    def synthesize(self, c: Tensor) -> Tensor:
        """Return the fields U c of components c: (..., C, H, W) → (..., C, H, W)."""
        self._check(c)
        x = self._inverse(c)
        return x if self.channels is None else _mix(self.channels.T, x)

    def _check(self, x: Tensor) -> None:
        if tuple(x.shape[-3:]) != self.shape:
            raise ValueError(f"expected fields (..., {self.shape}), got {tuple(x.shape)}.")
        if not torch.is_floating_point(x):
            raise ValueError(f"fields must be floating-point numbers, got {x.dtype}.")

    def _forward(self, x: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not say how to analyse a field.")

    def _inverse(self, c: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not say how to synthesise a field.")

    def options(self) -> dict[str, str | int | None]:
        """Return what, beside shape and tensors, is needed to build this basis again."""
        return {}


class PixelBasis(Basis):
    """The identity: components are pixels, as in standard diffusion.

    Arguments:
        shape: (C, H, W).
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.
    """

    def __init__(self, shape: Shape, *, channels: Tensor | None = None):
        shape = _checked_shape(shape)
        zero = torch.zeros(1, *shape[1:])
        super().__init__(shape, zero, zero, channels)

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _inverse(self, c: Tensor) -> Tensor:
        return c


class FourierBasis(Basis):
    r"""Momentum modes in the real, orthonormal Hartley form.

    With F the unitary FFT of a real field, χ = Re F − Im F. The transform is real, symmetric, orthonormal and its
    own inverse, and it diagonalises every translation-invariant symmetric operator, −Δ + m² among them.

    Arguments:
        shape: (C, H, W).
        momentum: "continuum" for |k|, or "lattice" for |k̂|, k̂_μ = 2 sin(k_μ/2).
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.

    References:
        Bracewell, Discrete Hartley transform, J. Opt. Soc. Am. 73 (1983) 1832.
    """

    def __init__(
        self, shape: Shape, momentum: str = "continuum", *, channels: Tensor | None = None
    ):
        shape = _checked_shape(shape)
        axes = [2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in shape[1:]]
        self.momentum_kind = momentum
        k = _isotropic(axes, momentum)
        super().__init__(shape, _relative(k), k, channels)

    def _forward(self, x: Tensor) -> Tensor:
        half = torch.fft.rfft2(x, norm="ortho")
        width = x.shape[-1]
        plus, minus = half.real + half.imag, half.real - half.imag
        # F(-k) = conj F(k): the missing columns are Re + Im of the mirrored ones.
        mirrored = plus[..., 1 : (width + 1) // 2].flip(-1)
        mirrored = torch.cat((mirrored[..., :1, :], mirrored[..., 1:, :].flip(-2)), dim=-2)
        return torch.cat((minus, mirrored), dim=-1)

    def _inverse(self, c: Tensor) -> Tensor:
        return self._forward(c)

    def options(self) -> dict[str, str | int | None]:
        """Return the kind of momentum."""
        return {"momentum": self.momentum_kind}


class CosineBasis(Basis):
    """The orthonormal discrete cosine transform (DCT-II), which suits reflecting borders.

    Arguments:
        shape: (C, H, W).
        momentum: "continuum" for k_μ = π n_μ/L, or "lattice" for 2 sin(k_μ/2).
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.
    """

    def __init__(
        self, shape: Shape, momentum: str = "continuum", *, channels: Tensor | None = None
    ):
        shape = _checked_shape(shape)
        axes = [math.pi / n * torch.arange(n, dtype=torch.float64) for n in shape[1:]]
        self.momentum_kind = momentum
        k = _isotropic(axes, momentum)
        super().__init__(shape, _relative(k), k, channels)

    def _forward(self, x: Tensor) -> Tensor:
        rows, columns = (_dct_matrix(n, x.dtype, x.device) for n in self.shape[1:])
        return rows @ x @ columns.T

    def _inverse(self, c: Tensor) -> Tensor:
        rows, columns = (_dct_matrix(n, c.dtype, c.device) for n in self.shape[1:])
        return rows.T @ c @ columns

    def options(self) -> dict[str, str | int | None]:
        """Return the kind of momentum."""
        return {"momentum": self.momentum_kind}


class WaveletBasis(Basis):
    """Orthogonal wavelets of PyWavelets, periodised, in Mallat's layout.

    The layout is that of `pywt.coeffs_to_array(pywt.wavedec2(x, wavelet, "periodization", levels))`. The filters'
    tabulated digits limit their orthogonality (dmey most of all), so each level's matrix is replaced by the nearest
    orthogonal one; that changes coefficients by up to 1e-8, for dmey by up to 1e-2.

    Arguments:
        shape: (C, H, W), H and W divisible by 2^levels.
        wavelet: a name from `orthogonal_wavelets()`.
        levels: number of levels, ≥ 1; None for as many as the shape allows.
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.

    References:
        Mallat, A theory for multiresolution signal decomposition, IEEE PAMI 11 (1989) 674.
    """

    def __init__(
        self,
        shape: Shape,
        wavelet: str = "haar",
        levels: int | None = None,
        *,
        channels: Tensor | None = None,
    ):
        shape = _checked_shape(shape)
        if wavelet not in orthogonal_wavelets():
            known = ", ".join(pywt.families())
            raise ValueError(
                f"wavelet = {wavelet!r} is not an orthogonal wavelet of PyWavelets (families: {known})."
            )
        most = _halvings(math.gcd(*shape[1:]))
        if most < 1:
            raise ValueError(f"wavelets need even sizes, got {shape[1]} × {shape[2]}.")
        if levels is not None and (not 1 <= levels <= most or levels != int(levels)):
            raise ValueError(f"levels = {levels} is outside [1, {most}] for {shape[1:]} pixels.")
        self.wavelet = wavelet
        self.levels = most if levels is None else int(levels)
        level = _mallat_levels(shape[1:], self.levels)
        momentum = math.sqrt(2) * math.pi * 2.0 ** (level - self.levels)
        super().__init__(shape, level / self.levels, momentum, channels)

    def _step(self, size: int, x: Tensor) -> Tensor:
        return _wavelet_matrix(self.wavelet, size, x.dtype, x.device)

    def _forward(self, x: Tensor) -> Tensor:
        return self._descend(x, self.levels)

    def _descend(self, x: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return x
        h, w = x.shape[-2:]
        c = self._step(h, x) @ x @ self._step(w, x).T
        coarse = self._descend(c[..., : h // 2, : w // 2], levels - 1)
        top = torch.cat((coarse, c[..., : h // 2, w // 2 :]), dim=-1)
        return torch.cat((top, c[..., h // 2 :, :]), dim=-2)

    def _inverse(self, c: Tensor) -> Tensor:
        return self._ascend(c, self.levels)

    def _ascend(self, c: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return c
        h, w = c.shape[-2:]
        coarse = self._ascend(c[..., : h // 2, : w // 2], levels - 1)
        top = torch.cat((coarse, c[..., : h // 2, w // 2 :]), dim=-1)
        c = torch.cat((top, c[..., h // 2 :, :]), dim=-2)
        return self._step(h, c).T @ c @ self._step(w, c)

    def options(self) -> dict[str, str | int | None]:
        """Return the wavelet's name and the number of levels."""
        return {"wavelet": self.wavelet, "levels": self.levels}


class PCABasis(Basis):
    """Principal components of a data set, from the largest variance to the smallest.

    Build it with `PCABasis.fit(images)`. With noise colour "matched" this is whitened PCA.

    Arguments:
        shape: (C, H, W).
        vectors: (D, D), D = C·H·W, orthonormal rows, sorted by variance.
        channels: orthonormal (C, C) rotation of the channels, applied before.
    """

    vectors: Tensor

    def __init__(self, shape: Shape, vectors: Tensor, *, channels: Tensor | None = None):
        shape = _checked_shape(shape)
        d = math.prod(shape)
        if tuple(vectors.shape) != (d, d):
            raise ValueError(f"vectors must have shape ({d}, {d}), got {tuple(vectors.shape)}.")
        # V Vᵀ x = x for one x that is orthogonal to nothing: as good as V Vᵀ = 1, and D times cheaper
        probe = torch.sin(torch.arange(1.0, d + 1)).to(vectors)
        if not torch.allclose(vectors @ (vectors.T @ probe), probe, atol=1e-3):
            raise ValueError("vectors must be an orthonormal matrix.")
        rank = torch.arange(d, dtype=torch.float64).reshape(shape) / max(d - 1, 1)
        super().__init__(shape, rank, math.sqrt(2) * math.pi * rank.sqrt(), channels)
        self.register_buffer("vectors", vectors)

    @classmethod
    def fit(cls, images: Tensor, *, channels: Tensor | None = None) -> Self:
        """Find the principal components of images (N, C, H, W), N ≥ 2, C·H·W ≤ 4096.

        With fewer images than components the last ones complete the basis and carry no variance.
        """
        check_images(images, least=2)
        shape = _checked_shape(tuple(images.shape[1:]))
        d = math.prod(shape)
        if d > MAX_PCA_DIMENSION:
            raise ValueError(f"PCA of {d} components is outside [1, {MAX_PCA_DIMENSION}].")
        x = images if channels is None else _mix(_rotation(channels, shape).to(images), images)
        vectors, _ = _principal_axes(torch.cov(x.flatten(1).T.double()).reshape(d, d))
        return cls(shape, vectors.to(images.dtype), channels=channels)

    def _forward(self, x: Tensor) -> Tensor:
        return (x.flatten(-3) @ self.vectors.to(x.dtype).T).reshape(x.shape)

    def _inverse(self, c: Tensor) -> Tensor:
        return (c.flatten(-3) @ self.vectors.to(c.dtype)).reshape(c.shape)


@lru_cache(maxsize=1)
def orthogonal_wavelets() -> tuple[str, ...]:
    """Return the names of all orthogonal wavelets that PyWavelets has."""
    return tuple(n for n in pywt.wavelist(kind="discrete") if pywt.Wavelet(n).orthogonal)


# Kept tensors must serve training too, so they are never made in inference mode.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _wavelet_matrix(
    wavelet: str, size: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    low, high = pywt.dwt(np.eye(size), wavelet, mode="periodization", axis=0)
    left, _, right = np.linalg.svd(np.concatenate((low, high)))
    return torch.from_numpy(left @ right).to(device, dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _dct_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    from scipy.fft import dct  # imported late: it would slow down every start

    matrix = dct(np.eye(size), axis=0, norm="ortho")
    return torch.from_numpy(np.asarray(matrix)).to(device, dtype)


def _mallat_levels(size: tuple[int, ...], levels: int) -> Tensor:
    level = torch.full(size, float(levels), dtype=torch.float64)
    for j in range(1, levels + 1):
        level[: size[0] >> j, : size[1] >> j] = levels - j
    return level[None]


def _halvings(size: int) -> int:
    return (size & -size).bit_length() - 1


def _isotropic(axes: list[Tensor], momentum: str) -> Tensor:
    if momentum not in MOMENTA:
        raise ValueError(f"momentum = {momentum!r} is not one of {', '.join(MOMENTA)}.")
    if momentum == "lattice":
        axes = [2 * torch.sin(k / 2) for k in axes]
    return torch.hypot(axes[0][:, None], axes[1][None, :])[None]


def _relative(k: Tensor) -> Tensor:
    return k / k.max().clamp_min(torch.finfo(k.dtype).tiny)


def _rotation(channels: Tensor, shape: Shape) -> Tensor:
    c = shape[0]
    if tuple(channels.shape) != (c, c):
        raise ValueError(f"channels must have shape ({c}, {c}), got {tuple(channels.shape)}.")
    gram = channels.double() @ channels.double().T
    if not torch.allclose(gram, torch.eye(c).to(gram), atol=1e-4):
        raise ValueError("channels must be an orthonormal matrix.")
    return channels


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix.to(x.dtype) @ x.flatten(-2)).reshape(x.shape)


def _checked_shape(shape: tuple[int, ...]) -> Shape:
    # n >= 1 first: it is false for NaN
    if len(shape) != 3 or not all(n >= 1 and (n == math.inf or n == int(n)) for n in shape):
        raise ValueError(f"shape = {tuple(shape)} must be three positive integers (C, H, W).")
    if max(shape) > MAX_SIZE:
        raise ValueError(f"shape = {tuple(shape)} has a side outside [1, {MAX_SIZE}].")
    c, h, w = (int(n) for n in shape)
    return c, h, w
