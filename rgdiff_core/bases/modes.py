r"""What is known of the components of a field in a basis: their scale, and the data's mean and
variance.
"""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from rgdiff_core.bases import Basis, check_images
from rgdiff_core.bases.moments import PRIOR_COUNT, component_moments
from rgdiff_core.spec import check_whole

__all__ = ["MeasuredModes", "Modes"]


@dataclass(frozen=True, eq=False)
class Modes:
    r"""Scales of the components, with the data's mean μ_k and variance Σ_k where there are data.

    Attributes:
        scale: (C or 1, H, W), in [0, 1], 0 the coarsest.
        mean: (C, H, W) or None.
        variance: (C, H, W), > 0, or None.
        momentum: (C or 1, H, W), |k| in radians per lattice spacing; without a basis √2 π · scale,
            the continuum momentum of an even-sized lattice.
    """

    scale: Tensor
    mean: Tensor | None = None
    variance: Tensor | None = None
    momentum: Tensor = None  # type: ignore[assignment]  # set below where it is not given

    def __post_init__(self) -> None:
        if self.scale.ndim != 3:
            raise ValueError(f"scale must be (C or 1, H, W), got {tuple(self.scale.shape)}.")
        if not ((self.scale >= 0) & (self.scale <= 1)).all():
            raise ValueError("every scale must be in [0, 1].")
        if self.momentum is None:
            object.__setattr__(self, "momentum", sqrt(2) * pi * self.scale)
        if self.momentum.shape != self.scale.shape:
            raise ValueError(
                f"momentum {tuple(self.momentum.shape)} and scale "
                f"{tuple(self.scale.shape)} differ."
            )
        if not ((self.momentum >= 0) & self.momentum.isfinite()).all():
            raise ValueError("every momentum must be finite and not negative.")
        if self.mean is None and self.variance is None:
            return
        if self.mean is None or self.variance is None:
            raise ValueError("mean and variance come together: one of them is missing.")
        channels, *size = self.scale.shape
        for x in (self.mean, self.variance):
            if x.ndim != 3 or [*x.shape[1:]] != size or channels not in (1, len(x)):
                raise ValueError(
                    f"mean and variance {tuple(x.shape)} do not fit scale "
                    f"{tuple(self.scale.shape)}."
                )
        if self.mean.shape != self.variance.shape:
            raise ValueError(
                f"mean {tuple(self.mean.shape)} does not fit variance "
                f"{tuple(self.variance.shape)}."
            )
        if not ((self.variance > 0) & self.variance.isfinite()).all():
            raise ValueError(
                "every variance must be positive and finite, "
                f"the least is {float(self.variance.min()):g}."
            )
        if not self.mean.isfinite().all():
            raise ValueError("every mean must be finite.")

    def __repr__(self) -> str:
        if self.variance is None:
            return f"Modes({self.shape}, without data)"
        return f"Modes({self.shape}, of data with mean variance {float(self.variance.mean()):.4g})"

    @classmethod
    def of(cls, basis: Basis) -> "Modes":
        """Return the modes of a basis, without data."""
        return cls(basis.scale, momentum=basis.momentum)

    @classmethod
    def fit(
        cls,
        basis: Basis,
        images: Tensor,
        *,
        symmetries: str = "none",
        prior_count: float = PRIOR_COUNT,
    ) -> "Modes":
        r"""Estimate mean and variance of every component from images.

        The estimates, and what few images are worth, are explained in `rgdiff_core.bases.moments`.

        Arguments:
            images: (N, C, H, W), N ≥ 2.
            symmetries: "none", or "lattice" where the law of the images is invariant under
                translations, reflections, rotations by 90° (of a square lattice) and φ → −φ: then
                μ = 0, and Σ is that of all images moved by all symmetries.
            prior_count: n₀ ≥ 0; 0 for the plain sample variance.

        Raises:
            ValueError: For images of another shape, fewer than two, or all equal.
        """
        check_images(images, least=2)
        if not 0 <= prior_count <= 1e6:
            raise ValueError(f"prior_count = {prior_count!r} is outside [0, 1e6].")
        moments = component_moments(basis, images, symmetries, prior_count)
        return cls(
            basis.scale.to(images),
            moments.mean.to(images),
            moments.variance.to(images),
            basis.momentum.to(images),
        )

    def to(self, like: Tensor) -> "Modes":
        """Return a copy of the modes on the device and in the dtype of another tensor."""
        tensors = (self.scale, self.mean, self.variance, self.momentum)
        # the device first: not every device has every precision
        moved = (None if x is None else x.to(like.device).to(like, copy=True) for x in tensors)
        return Modes(*moved)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C or 1, H, W): that of the variance where there are data, else that of the
        scale.
        """
        c, h, w = (self.scale if self.variance is None else self.variance).shape
        return c, h, w

    def variance_for(self, what: str) -> Tensor:
        """Return Σ, (C, H, W), for what cannot do without; raises `ValueError` where there are no
        data.

        Arguments:
            what: needs it, in words, as "the bound".
        """
        if self.variance is None:
            raise ValueError(f"{what} needs the data's variance: use Modes.fit(basis, images).")
        return self.variance

    def per_component(self, name: str, values: tuple[float, ...]) -> Tensor:
        """Return numbers given in the order of the flattened components, as (C or 1, H, W).

        Raises `ValueError` where there are neither C·H·W nor H·W of them.
        """
        h, w = self.scale.shape[1:]
        channels, rest = divmod(len(values), h * w)
        if rest or channels < 1 or (channels > 1 and self.shape[0] not in (1, channels)):
            raise ValueError(
                f"{name} has {len(values)} entries, but there are {self.shape} components."
            )
        return torch.tensor(values).to(self.scale).reshape(channels, h, w)

    def floored_scale(self) -> Tensor:
        """Return the scale with zero replaced by half its smallest non-zero value (1 if there is
        none).
        """
        return _floored(self.scale)

    def floored_momentum(self) -> Tensor:
        """Return the momentum with zero replaced by half its smallest non-zero value (1 if
        none).
        """
        return _floored(self.momentum)


@dataclass(frozen=True, eq=False)
class MeasuredModes:
    """Modes of lattice fields whose variances are known up to an error.

    Attributes:
        modes: with mean and variance.
        error: standard error of log Σ, the relative one of Σ, (C, H, W).
    """

    modes: Modes
    error: Tensor

    @classmethod
    def fit(cls, basis: Basis, images: Tensor, groups: int) -> "MeasuredModes":
        """Estimate modes from lattice fields, with the lattice's symmetries, and the error from
        the spread over groups of fields that are independent of one another.

        Arguments:
            images: (N, C, H, W), of equal chains side by side, or independent fields.
            groups: 2 to N/2, of consecutive fields; whole chains each.

        Raises:
            ValueError: As `Modes.fit`, and for a number of groups outside its range.
        """
        check_whole("groups", groups, 2, len(images) // 2)
        parts = images.tensor_split(groups)
        # a group is moderated by as much as the whole, else its spread would come out too small
        prior = PRIOR_COUNT / groups
        fitted = [
            Modes.fit(basis, part, symmetries="lattice", prior_count=prior).variance
            for part in parts
        ]
        logs = torch.stack([x.log() for x in fitted if x is not None])
        whole = Modes.fit(basis, images, symmetries="lattice")
        return cls(whole, logs.std(0) / groups**0.5)


def _floored(k: Tensor) -> Tensor:
    positive = k[k > 0]
    least = positive.min() / 2 if len(positive) else torch.ones_like(k).max()
    return torch.where(k > 0, k, least)
