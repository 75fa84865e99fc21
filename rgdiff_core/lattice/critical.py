r"""The critical line of φ⁴ in two dimensions, λ_c(m²), from published and measured points.

For m² < 0 there is one λ_c > 0: below it the symmetry φ → -φ is broken on the infinite lattice,
above it the interaction restores it; for m² ≥ 0 it never breaks. In the continuum limit λ → 0 only
the tadpole needs renormalization, and the mass without it,

.. math:: μ^2 = m^2 + 3λ A(μ^2), \qquad A(μ^2) = \int \frac{d^2k}{(2π)^2} \frac{1}{\hat k^2 + μ^2}
    = \frac{2 K(q)}{π (4 + μ^2)}, \quad q = \Big(\frac{4}{4 + μ^2}\Big)^2

with K the complete elliptic integral of parameter q, makes the critical ratio f = λ/μ² finite:
f → 11.1097(22). (In the convention with factors ½, ½μ²φ² + (λ/4)φ⁴, both numbers are the same as
here: φ differs by √2, so that g of (g/4!)φ⁴ is 6λ.) As the bare numbers m² and λ vanish together,
m² ≈ -(3λ/4π) log(32 f/λ), logarithms and all, f hardly varies: it is f that is interpolated, and
the line follows from it. For λ → ∞ the theory becomes the Ising model, κ_c = ¼ log(1 + √2), where
μ² goes to the root μ_∞² = 3.4067 of A(μ²) = ⅔κ_c, and f - λ/μ_∞² has a limit too. Between:

* λ ≤ 1: f = f_0 + aλ log λ + bλ, the form of Schaich & Loinaz, through the points at the ends and
  the one in the middle;
* λ ≥ 1: f - λ/μ_∞² as a monotone cubic in λ/(λ + 10) through the points from there on.

Points on the line (`POINTS` has each with its error):

* f_0, Dürr & Kiel, arXiv:2512.16536, from whose abstract it is.
* κ_c(0.022) = 0.27088, crossings of Binder cumulants, on the card of the data set
  `phi4-generative/phi4-critical-configs` on huggingface.co (hopping convention).
* m_c²(λ = 1) = -1.27251, Schaich & Loinaz, arXiv:0902.0045, as public code quotes it; the
  README of their own program `daschaich/2d_phi4` has two digits of it, and of eight other points.
* κ_c(1) = 0.3403, peaks of the susceptibility of L = 16, 24, 32 extrapolated in 1/L, from
  `annahasenfratz/2d-Phi4`.
* λ_c(m² = -4), and m_c² at λ = 20 and 60: the Binder cumulant of L = 32 and 64 at its universal
  value, by Metropolis and Wolff's clusters; the scans of this program in `results/` agree, at
  λ = 20 within 2.4 standard errors.

Not on the line, but compared with it: κ_c(0.01), κ_c(0.1) and κ_c(0.5), crossings on L = 16 to 32
of the same repository, with its own spread of ± 0.001 (at λ = 0.5 that is 4.26 ± 0.02 for
λ_c(-4)), and values of the README. Kaupužs, Melnik & Rimšāns, arXiv:1406.7491, studied λ = 0.1,
1 and 10 of the hopping convention up to L = 1536.

The line is good to ½ % of m²; near a point it is as good as the point.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.spec import check_range

__all__ = [
    "LITERATURE",
    "MAX_LAM",
    "MIN_M2",
    "POINTS",
    "CriticalPoint",
    "NamedTheory",
    "critical_coupling",
    "critical_mass2",
    "distance",
    "phase",
]

F_0 = 11.1097
ISING_KAPPA = 0.25 * math.log(1 + math.sqrt(2))
JOIN = 1.0  # λ where the two interpolations meet
SCALE = 10.0

MAX_LAM = 60.0
"""The line is known for 0 ≤ λ ≤ MAX_LAM."""

MIN_M2 = -31.9
"""The line is known for MIN_M2 ≤ m² ≤ 0; at `MAX_LAM` it is just below."""


@dataclass(frozen=True)
class CriticalPoint:
    """A point of the critical line.

    Attributes:
        m2: Bare mass squared.
        lam: Coupling.
        error: Standard error of m2 at this lam.
        source: Where it is from.
        used: Whether the line goes through it.
    """

    m2: float
    lam: float
    error: float
    source: str
    used: bool = True

    @property
    def lam_error(self) -> float:
        """Standard error of lam at this m2, by the slope of the line there."""
        low, high = 0.99 * self.lam, min(1.01 * self.lam, MAX_LAM)
        slope = (critical_mass2(high) - critical_mass2(low)) / (high - low)
        return self.error / abs(slope)


def _hopping(
    kappa: float, lam: float, error: float, source: str, *, used: bool = True
) -> CriticalPoint:
    """Return a point of the hopping convention; the error is of κ."""
    action = Phi4.from_hopping(kappa, lam)
    # With m² = m_c²(λ) the line turns by dλ = -2λ dκ/κ: its slope, near -0.8 throughout, enters.
    change = (1 - 2 * lam) / kappa**2 + 0.8 * 2 * action.lam / kappa
    return CriticalPoint(action.m2, action.lam, error * abs(change), source, used)


CARD = "phi4-generative/phi4-critical-configs, κ_c = 0.27088 at λ = 0.022"
SCHAICH = "Schaich & Loinaz, arXiv:0902.0045"
SKETCH = "Schaich & Loinaz, README of daschaich/2d_phi4"
HASENFRATZ = "annahasenfratz/2d-Phi4"
SCAN = "Metropolis and Wolff, L = 32 and 64; scans in results/"

POINTS = (
    _hopping(0.27088, 0.022, 2e-5, CARD),
    CriticalPoint(-1.27251, 1.0, 5e-4, SCHAICH),
    CriticalPoint(-4.0, 4.238, 1e-3, SCAN),
    _hopping(0.340296, 1.0, 1e-4, HASENFRATZ),
    CriticalPoint(-13.274, 20.0, 2e-3, SCAN),
    CriticalPoint(-31.948, 60.0, 4e-3, SCAN),
    _hopping(0.261115, 0.01, 1e-3, HASENFRATZ, used=False),
    _hopping(0.302724, 0.1, 1e-3, HASENFRATZ, used=False),
    _hopping(0.342570, 0.5, 1e-3, HASENFRATZ, used=False),
    CriticalPoint(-0.95, 0.7, 5e-3, SKETCH, used=False),
    CriticalPoint(-0.72, 0.5, 5e-3, SKETCH, used=False),
    CriticalPoint(-0.40, 0.25, 5e-3, SKETCH, used=False),
    CriticalPoint(-0.18, 0.1, 5e-3, SKETCH, used=False),
    CriticalPoint(-0.10, 0.05, 5e-3, SKETCH, used=False),
)
"""Points of the critical line, those that it goes through first, by λ."""


@dataclass(frozen=True)
class NamedTheory:
    """A theory that papers or this program use, for a map of the phase diagram.

    Attributes:
        name: What it is called.
        action: The theory.
        size: Linear size L that it is used at; None for several.
        source: Where.
    """

    name: str
    action: Phi4
    size: int | None
    source: str


ALBERGO = "Albergo, Kanwar & Shanahan, arXiv:1904.12072"
HOPPING = "arXiv:2007.07115, arXiv:2309.17082 (hopping convention, λ = 0.022)"
DATA = "data set of this program"

LITERATURE = (
    NamedTheory("E1", Phi4(-4, 6.975), 6, ALBERGO),
    NamedTheory("E2", Phi4(-4, 6.008), 8, ALBERGO),
    NamedTheory("E3", Phi4(-4, 5.550), 10, ALBERGO),
    NamedTheory("E4", Phi4(-4, 5.276), 12, ALBERGO),
    NamedTheory("E5", Phi4(-4, 5.113), 14, ALBERGO),
    NamedTheory("κ = 0.21", Phi4.from_hopping(0.21, 0.022), None, HOPPING),
    NamedTheory("κ = 0.27", Phi4.from_hopping(0.27, 0.022), None, HOPPING),
    NamedTheory("phi4-6x6", Phi4(-4, 6.975), 6, DATA),
    NamedTheory("phi4-6x6-broken", Phi4(-1, 0.5), 6, DATA),
    NamedTheory("phi4-8x8", Phi4(-4, 6.008), 8, DATA),
    NamedTheory("phi4-8x8-critical", Phi4(-4, 4.2606), 8, DATA),
    NamedTheory("phi4-32x32", Phi4(-4, 4.3), 32, DATA),
)
"""Theories with names, for a map."""


def critical_mass2(lam: float) -> float:
    """Return m_c² of the infinite lattice: the symmetry is broken for m² below it.

    Arguments:
        lam: The coupling λ, 0 to `MAX_LAM`.

    Raises:
        ValueError: Outside this range.
    """
    check_range("lam", lam, 0, MAX_LAM)
    if lam == 0:
        return 0.0
    mass2 = lam / _ratio(lam)
    return mass2 - 3 * lam * _tadpole(mass2)


def critical_coupling(m2: float) -> float:
    """Return λ_c of the infinite lattice, the inverse of `critical_mass2`.

    Arguments:
        m2: The bare mass squared m², from `MIN_M2` to 0.

    Raises:
        ValueError: Outside this range; above it there is no transition.
    """
    check_range("m2", m2, MIN_M2, 0)
    return _root(lambda lam: critical_mass2(lam) - m2, 0, MAX_LAM)


def distance(action: Phi4) -> float:
    """Return m² - m_c²(λ), positive in the symmetric phase, negative in the broken one.

    Raises:
        ValueError: For λ above `MAX_LAM`.
    """
    return action.m2 - critical_mass2(action.lam)


def phase(action: Phi4) -> str:
    """Return the phase of a theory on the infinite lattice, "symmetric" or "broken".

    Within about 1 % of the line the label may be wrong, and on a small lattice nothing sharp
    happens there.

    Raises:
        ValueError: For λ above `MAX_LAM`, unless m² ≥ 0.
    """
    return "symmetric" if action.m2 >= 0 or distance(action) >= 0 else "broken"


def _tadpole(mass2: float) -> float:
    """Return A(μ²)."""
    from scipy.special import ellipkm1

    inverse = 1 / (4 + mass2)
    # 1 - q without cancellation.
    return 2 * inverse / math.pi * float(ellipkm1(mass2 * (8 + mass2) * inverse**2))


def _ratio(lam: float) -> float:
    """Return f = λ/μ² on the line."""
    a, b, limit, cubic = _interpolation()
    if lam <= JOIN:
        return F_0 + a * lam * math.log(lam) + b * lam
    return lam / limit + float(cubic(lam / (lam + SCALE)))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function is zero, to the last digits, between values of opposite sign."""
    from scipy.optimize import root_scalar  # imported late: it would slow down every start

    return float(root_scalar(function, bracket=(low, high), xtol=1e-15, rtol=1e-14).root)


@lru_cache(maxsize=1)
def _interpolation() -> tuple[float, float, float, Callable[[float], Any]]:
    """Return a, b, μ_∞² and the cubic."""
    from scipy.interpolate import PchipInterpolator

    limit = _root(lambda x: _tadpole(x) - 2 * ISING_KAPPA / 3, 1e-3, 100)

    def measured(point: CriticalPoint) -> float:
        return point.lam / _root(lambda x: x - 3 * point.lam * _tadpole(x) - point.m2, 1e-12, 100)

    used = [(point.lam, measured(point)) for point in POINTS if point.used]
    (low, f_low), (_, f_join) = (pair for pair in used if pair[0] <= JOIN)
    b = f_join - F_0  # at λ = JOIN = 1 the logarithm is 0
    a = (f_low - F_0 - b * low) / (low * math.log(low))
    above = [(lam / (lam + SCALE), f - lam / limit) for lam, f in used if lam >= JOIN]
    x, y = zip(*above, strict=True)
    return a, b, limit, PchipInterpolator(x, y)
