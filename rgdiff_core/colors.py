r"""Noise colours S: how loud the noise is in each component, and so the fixed point that the flow ends in.

A colour gives the stationary variance S_k² of every component. Colours are normalised so that mean_k S_k² equals the data's
mean variance (1 where there are no data), so that they compare at equal power; `normalize=False` keeps their bare value. No
component ever gets S = 0 or ∞: a vanishing momentum counts as half the smallest non-zero one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.modes import Modes
from rgdiff_core.spec import Spec, check_finite, check_range

__all__ = ["BlendedColor", "Color", "CustomColor", "FreeTheory", "Matched", "PowerLaw", "White"]


class Color(Spec):
    """A noise colour. Derived classes are frozen dataclasses that write `bare`."""

    normalize: bool

    def bare(self, modes: Modes) -> Tensor:
        """Return S_k² before normalisation, (C or 1, H, W)."""
        raise TypeError(f"{type(self).__name__} does not say what its variance is.")

    def variance(self, modes: Modes) -> Tensor:
        """Return S_k², (C or 1, H, W), all positive and finite."""
        bare = self.bare(modes)
        if not self.normalize:
            return bare
        power = 1.0 if modes.variance is None else modes.variance.mean()
        return bare * (power / bare.mean())


@dataclass(frozen=True)
class White(Color):
    """White noise, S_k² = 1: the standard choice."""

    normalize: bool = True

    def bare(self, modes: Modes) -> Tensor:
        """Return ones."""
        return torch.ones_like(modes.scale)


@dataclass(frozen=True)
class PowerLaw(Color):
    r"""S_k² = (|k|² + k₀²)^{−p/2}; p = 2 is near to natural images, p < 0 is blue noise.

    Arguments:
        exponent: p, in [−8, 8].
        cutoff: k₀ ≥ 0 in radians per lattice spacing.
    """

    exponent: float = 2.0
    cutoff: float = 0.0
    normalize: bool = True

    def __post_init__(self) -> None:
        check_range("exponent", self.exponent, -8, 8)
        check_range("cutoff", self.cutoff, 0, 100)

    def bare(self, modes: Modes) -> Tensor:
        """Return (|k|² + k₀²)^{−p/2}."""
        return (_momentum(modes, self.cutoff) ** 2 + self.cutoff**2) ** (-self.exponent / 2)


@dataclass(frozen=True)
class FreeTheory(Color):
    r"""S_k² = 1/(k̂² + m²), the propagator of the free field; k̂ is the basis' momentum.

    Arguments:
        mass2: m² ≥ 0 in lattice units.
    """

    mass2: float = 0.1
    normalize: bool = True

    def __post_init__(self) -> None:
        check_range("mass2", self.mass2, 0, 1e6)

    def bare(self, modes: Modes) -> Tensor:
        """Return 1/(k² + m²)."""
        return 1 / (_momentum(modes, self.mass2) ** 2 + self.mass2)


@dataclass(frozen=True)
class Matched(Color):
    """S_k² = Σ_k, the data's own variance: in the PCA basis this is whitened PCA.

    The variances are those of `Modes.fit`, moderated where images are few.
    """

    normalize: bool = True

    def bare(self, modes: Modes) -> Tensor:
        """Return Σ_k; raises `ValueError` where the modes know no data."""
        if modes.variance is None:
            raise ValueError("matched noise needs the data's variance: use Modes.fit(basis, images).")
        return modes.variance


@dataclass(frozen=True)
class CustomColor(Color):
    """Any positive variances, in the order of the flattened components (C or 1, H, W)."""

    variances: tuple[float, ...]
    normalize: bool = True

    def __post_init__(self) -> None:
        for value in self.variances:
            check_finite("variances", value)
            if value <= 0:
                raise ValueError(f"variances = {value!r} must be positive.")

    def bare(self, modes: Modes) -> Tensor:
        """Return the given variances; raises `ValueError` where their number does not fit."""
        return modes.per_component("variances", self.variances)


@dataclass(frozen=True)
class BlendedColor(Color):
    r"""Between two colours, linearly in the amplitude: S = (1 − w) S₁ + w S₂, with w in [0, 1]."""

    first: Color
    second: Color
    weight: float = 0.5
    normalize: bool = False

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0, 1)

    def bare(self, modes: Modes) -> Tensor:
        """Return ((1 − w) S₁ + w S₂)²."""
        first, second = (c.variance(modes).sqrt() for c in (self.first, self.second))
        return torch.lerp(*torch.broadcast_tensors(first, second), self.weight) ** 2


def _momentum(modes: Modes, regulator: float) -> Tensor:
    k = modes.momentum
    return k if regulator > 0 else modes.floored_momentum()
