"""Wavelets: components with a place and a scale."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pywt
import torch
from torch import Tensor

from rgdiff_core.bases.base import Basis, PixelBasis, Shape, checked_shape, laplacian_diagonal

__all__ = ["WaveletBasis", "orthogonal_wavelets"]


class WaveletBasis(Basis):
    """Orthogonal wavelets of PyWavelets, periodised, in Mallat's layout.

    The layout is that of `pywt.coeffs_to_array(pywt.wavedec2(x, wavelet, "periodization",
    levels))`. The filters' tabulated digits limit their orthogonality (dmey most of all), so each
    level's matrix is replaced by the nearest orthogonal one; that changes coefficients by up to
    1e-8, for dmey by up to 1e-2.

    Arguments:
        shape: (C, H, W), H and W divisible by 2^levels.
        wavelet: a name from `orthogonal_wavelets()`.
        levels: number of levels, ≥ 1; None for as many as the shape allows.
        channels: orthonormal (C, C) rotation of the channels, from `decorrelation`.

    The momentum of a level is the root of the mean of −Δ over its components, so that 1/(k² + m²)
    is the free theory's noise as wavelets have it.

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
    ) -> None:
        shape = checked_shape(shape)
        if wavelet not in orthogonal_wavelets():
            known = ", ".join(pywt.families())  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(
                f"wavelet = {wavelet!r} is not an orthogonal wavelet of PyWavelets (families: "
                f"{known})."
            )
        most = _halvings(math.gcd(*shape[1:]))
        if most < 1:
            raise ValueError(f"wavelets need even sizes, got {shape[1]} × {shape[2]}.")
        if levels is not None and (not 1 <= levels <= most or levels != int(levels)):
            raise ValueError(f"levels = {levels} is outside [1, {most}] for {shape[1:]} pixels.")
        self.wavelet = wavelet
        self.levels = most if levels is None else int(levels)
        level = _mallat_levels(shape[1:], self.levels)
        super().__init__(shape, level / self.levels, torch.zeros_like(level), channels)
        self.momentum = self._band_momentum(level).to(self.momentum)

    def _band_momentum(self, level: Tensor) -> Tensor:
        """Return the root of the mean of −Δ over each level, (1, H, W); of each kind one component
        is enough.
        """
        width, kinds = self.shape[2], [*self.kinds_of_components()]
        places = torch.tensor([rows.start * width + columns.start for rows, columns in kinds])
        each = laplacian_diagonal(self, places).double()
        averages, details = each[:1], each[1:].unflatten(0, (self.levels, 3)).mean(1)
        momentum = torch.zeros_like(level)
        for number, k2 in enumerate(torch.cat([averages, details])):
            momentum[level == number] = float(k2.sqrt()) if k2 > 1e-6 else 0.0
        return momentum

    def kinds_of_components(self) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of components that are translates of one another: the
        averages and, from coarse to fine, the three kinds of details of each level.
        """
        _, h, w = self.shape
        yield slice(0, h >> self.levels), slice(0, w >> self.levels)
        for level in range(self.levels, 0, -1):
            top, bottom = slice(0, h >> level), slice(h >> level, h >> level - 1)
            left, right = slice(0, w >> level), slice(w >> level, w >> level - 1)
            yield from ((bottom, left), (top, right), (bottom, right))

    def _step(self, size: int, x: Tensor) -> Tensor:
        return _wavelet_matrix(self.wavelet, size, x.dtype, x.device)

    def transform(self, x: Tensor) -> Tensor:
        """Return the wavelet coefficients, in Mallat's layout."""
        return self._descend(x, self.levels)

    def _descend(self, x: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return x
        h, w = x.shape[-2:]
        c = self._step(h, x) @ x @ self._step(w, x).T
        coarse = self._descend(c[..., : h // 2, : w // 2], levels - 1)
        top = torch.cat((coarse, c[..., : h // 2, w // 2 :]), dim=-1)
        return torch.cat((top, c[..., h // 2 :, :]), dim=-2)

    def inverse_transform(self, c: Tensor) -> Tensor:
        """Return the fields of wavelet coefficients."""
        return self._ascend(c, self.levels)

    def _ascend(self, c: Tensor, levels: int) -> Tensor:
        if levels == 0:
            return c
        h, w = c.shape[-2:]
        coarse = self._ascend(c[..., : h // 2, : w // 2], levels - 1)
        top = torch.cat((coarse, c[..., : h // 2, w // 2 :]), dim=-1)
        c = torch.cat((top, c[..., h // 2 :, :]), dim=-2)
        return self._step(h, c).T @ c @ self._step(w, c)

    def coarse(self, shape: Shape) -> Basis:
        """Return the wavelets of a coarser grid, which has as many levels less; without a level
        they are its pixels.
        """
        halvings = (self.shape[1] // shape[1]).bit_length() - 1
        if halvings == self.levels:
            return PixelBasis(shape, channels=self.channels).to(self.scale)
        if halvings > self.levels:
            raise ValueError(
                f"a grid of {shape[1]}×{shape[2]} is too coarse for {self.levels}-level wavelets "
                f"on {self.shape[1]}×{self.shape[2]}."
            )
        levels = self.levels - halvings
        coarse = WaveletBasis(shape, self.wavelet, levels, channels=self.channels)
        return coarse.to(self.scale)

    def on(self, shape: Shape) -> Basis:
        """Return as many levels of the same wavelets on another lattice."""
        shape = self._same_channels(shape)
        found = WaveletBasis(shape, self.wavelet, self.levels, channels=self.channels)
        return found.to(self.scale)

    def options(self) -> dict[str, str | int | None]:
        """Return the wavelet's name and the number of levels."""
        return {"wavelet": self.wavelet, "levels": self.levels}


@lru_cache(maxsize=1)
def orthogonal_wavelets() -> tuple[str, ...]:
    """Return the names of all orthogonal wavelets that PyWavelets has."""
    return tuple(n for n in pywt.wavelist(kind="discrete") if pywt.Wavelet(n).orthogonal)  # pyright: ignore[reportAttributeAccessIssue]


# Kept tensors must serve training too, so they are never made in inference mode.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _wavelet_matrix(wavelet: str, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    low, high = pywt.dwt(np.eye(size), wavelet, mode="periodization", axis=0)
    left, _, right = np.linalg.svd(np.concatenate((low, high)))
    return torch.from_numpy(left @ right).to(device, dtype)


def _mallat_levels(size: tuple[int, ...], levels: int) -> Tensor:
    level = torch.full(size, float(levels), dtype=torch.float64)
    for j in range(1, levels + 1):
        level[: size[0] >> j, : size[1] >> j] = levels - j
    return level[None]


def _halvings(size: int) -> int:
    return (size & -size).bit_length() - 1
