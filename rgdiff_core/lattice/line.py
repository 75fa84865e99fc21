r"""Lattice theories along a line of couplings (m², λ), and the modes of their fields on it.

At each of K points of the line mean μ_k and variances Σ_k of the components are fitted to data. In
between, μ_k and log Σ_k are cubic splines in the place on the line, which runs from 0 to 1; the
ends are not-a-knot. Where Σ_k is smooth, their error falls with the fourth power of the distance
of the points, and `ModesLine.spread` estimates it by leaving points out.

References:
    de Boor, A Practical Guide to Splines (1978), chapter IV.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = ["CouplingLine", "Couplings", "ModesLine", "spline"]

Couplings = tuple[float, float]
MAX_POINTS = 64
MAX_COUPLING = 1e6
TOLERANCE = 1e-6  # of a place, and of the distance from the line in units of its length


@dataclass(frozen=True)
class CouplingLine(Spec):
    """Points on a straight line in the plane of the couplings.

    Arguments:
        points: (m², λ) of each, 2 to 64 of them, from one end of the line to the other.
    """

    points: tuple[Couplings, ...]

    def __post_init__(self) -> None:
        check_whole("number of couplings", len(self.points), 2, MAX_POINTS)
        for m2, lam in self.points:
            check_range("m²", m2, -MAX_COUPLING, MAX_COUPLING)
            check_range("λ", lam, 0, MAX_COUPLING)
        if self.points[0] == self.points[-1]:
            raise ValueError(f"the line of couplings ends where it begins, at {self.points[0]}.")
        for point in self.points:
            if self._distance(*point) > TOLERANCE:
                raise ValueError(f"couplings {point} are not on the straight line of the others.")
        if any(a >= b for a, b in itertools.pairwise(self.places)):
            raise ValueError(f"couplings {self.points} must lie one after the other on the line.")

    @property
    def places(self) -> tuple[float, ...]:
        """Return the place of each point, from 0 to 1."""
        return tuple(self._along(*point) for point in self.points)

    @property
    def middle(self) -> Couplings:
        """Return the point in the middle of the list."""
        return self.points[len(self.points) // 2]

    @property
    def title(self) -> str:
        """Return the line for people, as "m² = −4, λ = 4 to 7"."""
        parts = []
        for name, *ends in zip(("m²", "λ"), self.points[0], self.points[-1], strict=True):
            values = dict.fromkeys(f"{end:g}".replace("-", "−") for end in ends)
            parts.append(f"{name} = {' to '.join(values)}")
        return ", ".join(parts)

    def place(self, m2: float, lam: float) -> float:
        """Return the place of couplings, from 0 to 1.

        Raises `ValueError` naming couplings that are not on the line, and the line.
        """
        check_range("m²", m2, -MAX_COUPLING, MAX_COUPLING)
        check_range("λ", lam, -MAX_COUPLING, MAX_COUPLING)
        place = self._along(m2, lam)
        if self._distance(m2, lam) > TOLERANCE or not -TOLERANCE <= place <= 1 + TOLERANCE:
            given = f"m² = {m2:g}, λ = {lam:g}".replace("-", "−")
            raise ValueError(f"{given} is outside the line of couplings {self.title}.")
        return min(1.0, max(0.0, place))

    def at(self, place: float) -> Couplings:
        """Return the couplings (m², λ) at a place in [0, 1]."""
        check_range("place", place, 0, 1)
        (m2, lam), (dm2, dlam) = self.points[0], self._direction()
        return m2 + place * dm2, lam + place * dlam

    def complete(self, m2: float | None, lam: float | None) -> Couplings:
        """Return couplings of which one may be missing: the other, where it varies along the line,
        says which.

        Raises `ValueError` where it does not.
        """
        start, direction = self.points[0], self._direction()
        given = (m2, lam)
        for value, other, a, da, b, db in (
            (m2, lam, start[0], direction[0], start[1], direction[1]),
            (lam, m2, start[1], direction[1], start[0], direction[0]),
        ):
            if value is not None and other is None and da != 0:
                found = b + db * (value - a) / da
                given = (value, found) if value is m2 else (found, value)
        if given[0] is None or given[1] is None:
            raise ValueError(f"m² or λ is missing: a point of {self.title} needs the other too.")
        return given[0], given[1]

    def _direction(self) -> Couplings:
        (m0, l0), (m1, l1) = self.points[0], self.points[-1]
        return m1 - m0, l1 - l0

    def _along(self, m2: float, lam: float) -> float:
        dm2, dlam = self._direction()
        away = m2 - self.points[0][0], lam - self.points[0][1]
        return (away[0] * dm2 + away[1] * dlam) / (dm2**2 + dlam**2)

    def _distance(self, m2: float, lam: float) -> float:
        """Return how far couplings are from the line, in units of its length."""
        dm2, dlam = self._direction()
        away = m2 - self.points[0][0], lam - self.points[0][1]
        return abs(away[0] * dlam - away[1] * dm2) / (dm2**2 + dlam**2)


@dataclass(frozen=True, eq=False)
class ModesLine:
    """The modes of lattice fields as a function of the place on a line of couplings.

    Attributes:
        line: the couplings.
        modes: at each of its points, with data statistics.
    """

    line: CouplingLine
    modes: tuple[Modes, ...]

    def __post_init__(self) -> None:
        if len(self.modes) != len(self.line.points):
            raise ValueError(
                f"{len(self.modes)} modes were given for {len(self.line.points)} couplings."
            )
        for modes in self.modes:
            if modes.mean is None or modes.variance is None:
                raise ValueError("a line of couplings needs the data's mean and variance.")

    @property
    def means(self) -> Tensor:
        """Return μ at each point, (K, C, H, W)."""
        return torch.stack([each.mean for each in self.modes])  # type: ignore[misc]

    @property
    def variances(self) -> Tensor:
        """Return Σ at each point, (K, C, H, W)."""
        return torch.stack([each.variance for each in self.modes])  # type: ignore[misc]

    def at(self, place: float) -> Modes:
        """Return the modes at a place in [0, 1]; at a point, those that were fitted there."""
        like = self.modes[0]
        return Modes(like.scale, *self.statistics(place), like.momentum)

    def statistics(self, place: float) -> tuple[Tensor, Tensor]:
        """Return μ and Σ, each (C, H, W), at a place in [0, 1]."""
        check_range("place", place, 0, 1)
        places = self.line.places
        if place in places:
            point = places.index(place)
            return self.means[point], self.variances[point]
        return self._splines(place)

    def spread(self) -> float:
        """Return an estimate of the relative error of Σ between points: the root mean square of
        log(Σ_k of the spline/Σ_k fitted) at the inner points, each left out in turn.

        It includes the statistical error of the fits, √(2/N) for N fields; nan for two points.
        """
        found = []
        for i, place in enumerate(self.line.places[1:-1], 1):
            _, variance = self._splines(place, without=i)
            found.append(torch.log(variance / self.variances[i]).square().mean())
        return math.sqrt(torch.stack(found).mean()) if found else math.nan

    def _splines(self, place: float, without: int | None = None) -> tuple[Tensor, Tensor]:
        """Return μ and Σ of the splines at a place, one of the points left out."""
        kept = [i for i in range(len(self.modes)) if i != without]
        places = [self.line.places[i] for i in kept]
        mean = spline(places, self.means[kept], place)
        return mean, spline(places, self.variances[kept].log(), place).exp()


def spline(places: Sequence[float], values: Tensor, place: float) -> Tensor:
    """Return the cubic spline through values (K, …) at places (K,), at one more place."""
    from scipy.interpolate import CubicSpline  # slow to load, so only where it is needed

    knots = values.detach().cpu().double().numpy()
    return torch.from_numpy(np.asarray(CubicSpline(places, knots)(place))).to(values)
