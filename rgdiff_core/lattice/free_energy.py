r"""The free energy, −log Z, of φ⁴ on a finite lattice: what both ways to it share.

Z = ∫∏dφ e^{−S} has a closed form for λ = 0 only. From there a *bridge* of theories leads to the
one that is asked for,

.. math:: m^2(s) = m_0^2 + (m^2 - m_0^2)\,s^2, \qquad λ(s) = λ s^2, \qquad 0 ≤ s ≤ 1,

and :math:`d \log Z/ds = -⟨∂S/∂s⟩`. `thermodynamic` integrates that, `annealing` weighs fields that
are carried along.

The bridge starts at Hartree's mass, the positive root of m₀² = m² + 6λ⟨φ²⟩₀, with ⟨φ²⟩₀ that of
the free theory itself: the Gaussian nearest to the theory, so that the way is short, in the broken
phase too. λ and m² change together, for where m²(s) ≤ 0, λ(s) must be above 0. The square lets s
begin slowly, where λ is small and the integrand is far from a polynomial in λ.

References:
    Caselle, Cellini, Nada & Panero, 2201.08862 (both ways, as one).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from rgdiff_core.lattice.action import Phi4, sites
from rgdiff_core.lattice.free import FreeField
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["Bridge", "LogZ", "Progress"]

Progress = Callable[[int, int], None] | None

SIZES = (2, 64)


@dataclass(frozen=True, eq=False)
class LogZ:
    """log Z of a theory on a lattice, in nats, with no normalization of the measure ∏dφ.

    Attributes:
        estimate: log Z, with the whole error.
        trajectories: of hybrid Monte Carlo, of all chains together.
        acceptance: of their proposals.
        seconds: how long it took.
    """

    estimate: Estimate
    trajectories: int
    acceptance: float
    seconds: float


@dataclass(frozen=True)
class Bridge:
    """The theories between a free one and the one that is asked for.

    Arguments:
        target: the theory at s = 1.
        size: of the lattice, L, 2 to 64.
        mass2: m₀² > 0 of the free theory at s = 0, at most 10⁶; by `to`, Hartree's.
    """

    target: Phi4
    size: int
    mass2: float

    def __post_init__(self) -> None:
        check_whole("size", self.size, *SIZES)
        check_range("mass2", self.mass2, 0, 1e6, low_open=True)

    @classmethod
    def to(cls, target: Phi4, size: int, mass2: float | None = None) -> "Bridge":
        """Build the bridge to a theory from m₀², by default Hartree's."""
        check_whole("size", size, *SIZES)
        return cls(target, size, _hartree(target, size) if mass2 is None else mass2)

    def theory(self, s: float) -> Phi4:
        """Return the theory at s, 0 to 1."""
        check_range("s", s, 0, 1)
        if s == 1:
            return self.target
        return Phi4(self.mass2 + (self.target.m2 - self.mass2) * s**2, self.target.lam * s**2)

    def difference(self, phi: Tensor, start: float, end: float) -> Tensor:
        """Return S at s = end less S at s = start, (B,) float64, of fields (B, L, L)."""
        square = sites(phi).double() ** 2
        whole = (self.target.m2 - self.mass2 + self.target.lam * square) * square
        return (end**2 - start**2) * whole.sum((-2, -1))

    def slope(self, phi: Tensor, s: float) -> Tensor:
        """Return ∂S/∂s at s, (B,) float64, of fields (B, L, L)."""
        return 2 * s * self.difference(phi, 0.0, 1.0)

    @property
    def start(self) -> FreeField:
        """The theory at s = 0, in closed form."""
        return FreeField(self.mass2, self.size)


def _hartree(target: Phi4, size: int) -> float:
    """Return the root of m₀² = m² + 6λ⟨φ²⟩₀, of which the right side falls as m₀² grows."""
    from scipy.optimize import root_scalar

    if target.lam == 0:
        return target.m2
    # 1/(2 V m₀²) < ⟨φ²⟩₀, so the right side is the larger one at `low`, and the smaller at `high`.
    low = min(1.0, target.lam / (size**2 * (1 + abs(target.m2))))
    high = 1 + abs(target.m2) + 6 * target.lam * FreeField(1.0, size).phi2

    def surplus(log_mass2: float) -> float:
        mass2 = math.exp(log_mass2)
        return target.m2 + 6 * target.lam * FreeField(mass2, size).phi2 - mass2

    bracket = (math.log(low), math.log(high))
    return math.exp(root_scalar(surplus, bracket=bracket, xtol=1e-12).root)
