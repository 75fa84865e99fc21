"""Principal components: the basis that a data set chooses itself."""

import math
from typing import Self

import torch
from torch import Tensor

from rgdiff_core.bases.base import (
    Basis,
    Shape,
    check_images,
    checked_shape,
    mix,
    principal_axes,
    rotation,
)
from rgdiff_core.devices import doubled

__all__ = ["PCABasis"]

MAX_PCA_DIMENSION = 4096


class PCABasis(Basis):
    """Principal components of a data set, from the largest variance to the smallest.

    Build it with `PCABasis.fit(images)`. With noise colour "matched" this is whitened PCA.

    Arguments:
        shape: (C, H, W).
        vectors: (D, D), D = C·H·W, orthonormal rows, sorted by variance.
        channels: orthonormal (C, C) rotation of the channels, applied before.
    """

    vectors: Tensor

    def __init__(self, shape: Shape, vectors: Tensor, *, channels: Tensor | None = None) -> None:
        shape = checked_shape(shape)
        d = math.prod(shape)
        if tuple(vectors.shape) != (d, d):
            raise ValueError(f"vectors must have shape ({d}, {d}), got {tuple(vectors.shape)}.")
        # V Vᵀ x = x for one x orthogonal to nothing: as good as V Vᵀ = 1, and D times cheaper
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
        shape = checked_shape(tuple(images.shape[1:]))
        d = math.prod(shape)
        if d > MAX_PCA_DIMENSION:
            raise ValueError(f"PCA of {d} components is outside [1, {MAX_PCA_DIMENSION}].")
        x = images if channels is None else mix(rotation(channels, shape).to(images), images)
        vectors, _ = principal_axes(torch.cov(doubled(x.flatten(1).T)).reshape(d, d))
        return cls(shape, vectors.to(images), channels=channels)

    def transform(self, x: Tensor) -> Tensor:
        """Return V x."""
        return (x.flatten(-3) @ self.vectors.to(x.dtype).T).reshape(x.shape)

    def inverse_transform(self, c: Tensor) -> Tensor:
        """Return Vᵀ c."""
        return (c.flatten(-3) @ self.vectors.to(c.dtype)).reshape(c.shape)
