"""Lattice theories along a line of couplings (m², λ)."""

import itertools
from dataclasses import dataclass

from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = ["CouplingLine", "Couplings"]

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
