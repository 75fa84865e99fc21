"""Momentum modes: the Fourier basis for periodic fields, the cosine basis for reflecting ones."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases.base import Basis, Shape, checked_shape

__all__ = ["CosineBasis", "FourierBasis"]

MOMENTA = ("continuum", "lattice")
MAX_DENSE = 48  # up to this side two small matrix products are faster than an FFT
MAX_SITES = 100  # up to so many sites one product is faster than two


class FourierBasis(Basis):
    r"""Momentum modes in the real, orthonormal Hartley form.

    With F the unitary FFT of a real field, χ = Re F − Im F. The transform is real, symmetric,
    orthonormal and its own inverse, and it diagonalises every translation-invariant symmetric
    operator, −Δ + m² among them.

    Arguments:
        shape: (C, H, W).
        momentum: "continuum" for |k|, or "lattice" for |k̂|, k̂_μ = 2 sin(k_μ/2).
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.

    References:
        Bracewell, Discrete Hartley transform, J. Opt. Soc. Am. 73 (1983) 1832.
    """

    def __init__(
        self, shape: Shape, momentum: str = "continuum", *, channels: Tensor | None = None
    ) -> None:
        shape = checked_shape(shape)
        axes = [2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64) for n in shape[1:]]
        self.momentum_kind = momentum
        k = _isotropic(axes, momentum)
        super().__init__(shape, _relative(k), k, channels)

    def transform(self, x: Tensor) -> Tensor:
        """Return Re F − Im F."""
        _, h, w = self.shape
        if max(h, w) > MAX_DENSE:
            return _fast_hartley(x)
        if h * w <= MAX_SITES:
            return (x.flatten(-2) @ _hartley(h, w, x.dtype, x.device)).reshape(x.shape)
        # (H, 2W) is read as (2H, W): behind each row's cas transform follows its mirror image
        c = (x @ _cas_pair(w, x.dtype, x.device)).reshape(*x.shape[:-2], 2 * h, w)
        return _cos_sin(h, x.dtype, x.device) @ c

    def inverse_transform(self, c: Tensor) -> Tensor:
        """Return the same transform, which is its own inverse."""
        return self.transform(c)

    def coarse(self, shape: Shape) -> Basis:
        """Return the Fourier basis of a coarser grid."""
        coarse = FourierBasis(shape, self.momentum_kind, channels=self.channels)
        return coarse.to(self.scale)

    def on(self, shape: Shape) -> Basis:
        """Return the Fourier basis of another lattice of even sides: on odd ones the largest
        momentum is not π, so that a scale stands for other waves.
        """
        shape = self._same_channels(shape)
        for side in (*self.shape[1:], *shape[1:]):
            if side % 2:
                raise ValueError(
                    f"a side of {side} sites is odd: its largest momentum is below π, so that "
                    "models cannot move from or to it; the sides must be even."
                )
        return self.coarse(shape)

    def coarse_places(self, side: int, coarse_side: int) -> Tensor:
        """Return the places of the momenta −n/2 ≤ k < n/2, in the order of `fftfreq`."""
        return torch.fft.fftfreq(coarse_side, 1 / coarse_side).round().long() % side

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
    ) -> None:
        shape = checked_shape(shape)
        axes = [math.pi / n * torch.arange(n, dtype=torch.float64) for n in shape[1:]]
        self.momentum_kind = momentum
        k = _isotropic(axes, momentum)
        super().__init__(shape, _relative(k), k, channels)

    def transform(self, x: Tensor) -> Tensor:
        """Return the DCT-II of rows and columns."""
        rows, columns = (_dct_matrix(n, x.dtype, x.device) for n in self.shape[1:])
        return rows @ x @ columns.T

    def inverse_transform(self, c: Tensor) -> Tensor:
        """Return the inverse, the DCT-III."""
        rows, columns = (_dct_matrix(n, c.dtype, c.device) for n in self.shape[1:])
        return rows.T @ c @ columns

    def coarse(self, shape: Shape) -> Basis:
        """Return the cosine basis of a coarser grid."""
        coarse = CosineBasis(shape, self.momentum_kind, channels=self.channels)
        return coarse.to(self.scale)

    def options(self) -> dict[str, str | int | None]:
        """Return the kind of momentum."""
        return {"momentum": self.momentum_kind}


def _fast_hartley(x: Tensor) -> Tensor:
    half = torch.fft.rfft2(x, norm="ortho")
    width = x.shape[-1]
    plus, minus = half.real + half.imag, half.real - half.imag
    # F(-k) = conj F(k): the missing columns are Re + Im of the mirrored ones.
    mirrored = plus[..., 1 : (width + 1) // 2].flip(-1)
    mirrored = torch.cat((mirrored[..., :1, :], mirrored[..., 1:, :].flip(-2)), dim=-2)
    return torch.cat((minus, mirrored), dim=-1)


# cas(a + b) = cos a cas b + sin a cas(-b), with cas = cos + sin: two dense products.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _cos_sin(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (N, 2N) matrix with columns cos, sin, cos, sin, ... of the angles 2π j k/N."""
    wave = _waves(size)
    return torch.stack((wave.real, wave.imag), -1).flatten(1).to(device, dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _cas_pair(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (N, 2N) matrix with the blocks cos + sin and cos − sin."""
    wave = _waves(size)
    return torch.cat((wave.real + wave.imag, wave.real - wave.imag), 1).to(device, dtype)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _hartley(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (HW, HW) matrix of the whole transform, which is symmetric."""
    wave = torch.kron(_waves(height), _waves(width))
    return (wave.real + wave.imag).to(device, dtype)


def _waves(size: int) -> Tensor:
    """Return exp(2πi j k/N)/√N as a complex (N, N) matrix in double precision."""
    return torch.fft.ifft(torch.eye(size, dtype=torch.complex128), norm="ortho")


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _dct_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    from scipy.fft import dct  # imported late: it would slow down every start

    matrix = dct(np.eye(size), axis=0, norm="ortho")
    return torch.from_numpy(np.asarray(matrix)).to(device, dtype)


def _isotropic(axes: list[Tensor], momentum: str) -> Tensor:
    if momentum not in MOMENTA:
        raise ValueError(f"momentum = {momentum!r} is not one of {', '.join(MOMENTA)}.")
    if momentum == "lattice":
        axes = [2 * torch.sin(k / 2) for k in axes]
    return torch.hypot(axes[0][:, None], axes[1][None, :])[None]


def _relative(k: Tensor) -> Tensor:
    return k / k.max().clamp_min(torch.finfo(k.dtype).tiny)
