r"""Finite-size scaling of a scan: where curves of different sizes cross, and their collapse.

Near the transition, with t = (g - g_c)/|g_c| of the coupling g that was varied, a quantity of
dimension zero depends on t L^{1/ν} alone, up to corrections of order L^{-ω}:

.. math:: U(g, L) = \tilde U(t L^{1/ν}) + u L^{-ω}

so that curves of sizes L₁ < L₂ cross at

.. math:: g_×(L_1, L_2) = g_c + a \frac{L_1^{-ω} - L_2^{-ω}}{L_2^{1/ν} - L_1^{1/ν}}

The Binder cumulant U₄ and ξ/L are two such quantities; both families of crossings go to the same
g_c, from which it is extrapolated. Exponents are those of the Ising class in two dimensions, to
which the transition belongs: ν = 1, β = 1/8, γ = 7/4, η = 1/4. The correction comes from the part
of χ that is not singular, ω = γ/ν = 7/4; the exponent of the leading irrelevant operator that is
found for φ⁴ lies between 4/3 and 2, and by how much these change the result is its systematic
error. Crossings of the smallest sizes, where further corrections are felt, are left out while χ²
is above 2½ per degree of freedom; what is left of it above 1 goes into the error.

Each curve is a polynomial in the window |t| L^{1/ν} ≤ 2½, of the degree with the least χ² + 2 ·
degree; where the window lies, a first pass with all points says. Errors are from repeating the
fits with every measured value moved at random by its error.

References:
    Universal amplitude ratios in the critical two-dimensional Ising model on a torus, Salas &
    Sokal, arXiv:cond-mat/9904038 (U₄ and ξ/L at criticality).
    Corrections to scaling in the 2D φ⁴ model, Kaupužs & Melnik, arXiv:2407.09856 (ω).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from rgdiff_core.lattice.scan import PhaseScan, ScanPoint
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate

__all__ = [
    "CROSSING",
    "ISING",
    "Collapsed",
    "Criticality",
    "Crossing",
    "Exponents",
    "collapse",
    "criticality",
]


@dataclass(frozen=True)
class Exponents:
    """Critical exponents, and the values at criticality of what has no dimension.

    Attributes:
        nu: Exponent of the correlation length.
        beta: Exponent of the magnetization.
        gamma: Exponent of the susceptibility.
        eta: Exponent of the two-point function.
        binder: U₄ on a periodic square at the critical point, as L → ∞.
        ratio: ξ/L there.
    """

    nu: float
    beta: float
    gamma: float
    eta: float
    binder: float
    ratio: float


ISING = Exponents(1.0, 1 / 8, 7 / 4, 1 / 4, 0.61069, 0.905049)
"""The Ising class in two dimensions: exponents exact, U₄ and ξ/L of Salas & Sokal."""

CROSSING = {"binder": "Binder cumulant", "ratio": "ξ/L"}
"""The quantities of dimension zero by name, and what people call them."""

OMEGA, OMEGAS = 7 / 4, (4 / 3, 2.0)
DRAWS = 400
DEGREES = (2, 6)
WINDOW, MIN_POINTS = 2.5, 5
GRID = 2001
POOR = 2.5  # χ² per degree of freedom
MISSING = 0.1  # of the draws may show no crossing
UNSEEN = "in more than a tenth of the repetitions the curves do not cross in the range"


@dataclass(frozen=True)
class Crossing:
    """Where the curves of two sizes cross.

    Attributes:
        quantity: A name of `CROSSING`.
        sizes: L₁ < L₂.
        coupling: There; nan with a warning where the curves do not cross in the scanned range.
        height: The quantity there.
    """

    quantity: str
    sizes: tuple[int, int]
    coupling: Estimate
    height: Estimate


@dataclass(frozen=True)
class Criticality:
    """The critical coupling that a scan shows.

    Attributes:
        crossings: Of neighbouring sizes, for each quantity.
        smallest: The smallest size that the extrapolation uses.
        coupling: Extrapolated to L → ∞, with its statistical error.
        systematic: By how much it changes with the exponent of the correction.
        misfit: χ² per degree of freedom of the extrapolation; nan where none is left.
        published: From the literature; nan where it is not known.
    """

    crossings: tuple[Crossing, ...]
    smallest: int
    coupling: Estimate
    systematic: float
    misfit: float
    published: float

    @property
    def error(self) -> float:
        """Statistical and systematic error together."""
        return math.hypot(self.coupling.error, self.systematic)


@dataclass(frozen=True)
class Collapsed:
    """One size's curve on the axes on which all sizes fall on one.

    Attributes:
        size: L.
        x: t L^{1/ν}, negative in the broken phase.
        y: The scaled quantity.
        error: Of y.
    """

    size: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    error: tuple[float, ...]


def collapse(
    scan: PhaseScan, quantity: str, critical: float, exponents: Exponents = ISING
) -> tuple[Collapsed, ...]:
    """Return the curves of a scan on scaled axes.

    Arguments:
        scan: The scan, complete or not.
        quantity: "abs_magnetization" is scaled by L^{β/ν}, "susceptibility" and
            "connected_susceptibility" by L^{-γ/ν}; "binder" and "ratio" stay as they are.
        critical: g_c, not 0.
        exponents: With which.

    Raises:
        ValueError: For another quantity, or critical = 0.
    """
    powers = {
        "abs_magnetization": exponents.beta / exponents.nu,
        "susceptibility": -exponents.gamma / exponents.nu,
        "connected_susceptibility": -exponents.gamma / exponents.nu,
        "binder": 0.0,
        "ratio": 0.0,
    }
    if quantity not in powers:
        raise ValueError(f"quantity = {quantity!r} is not one of {', '.join(powers)}.")
    if critical == 0:
        raise ValueError("critical = 0 gives no reduced coupling; it must differ from 0.")
    curves = []
    for size in scan.spec.sizes:
        factor = size ** powers[quantity]
        points = scan.curve(size)
        found: list[Estimate] = [getattr(point, quantity) for point in points]
        x = [(p.coupling - critical) / abs(critical) * size ** (1 / exponents.nu) for p in points]
        curves.append(
            Collapsed(
                size,
                tuple(x),
                tuple(factor * each.value for each in found),
                tuple(factor * each.error for each in found),
            )
        )
    return tuple(curves)


def criticality(
    scan: PhaseScan, generator: torch.Generator | None = None, *, draws: int = DRAWS
) -> Criticality:
    """Find the critical coupling from the crossings of a scan's curves.

    Arguments:
        scan: With at least two sizes of four points each; sizes with fewer are left out.
        generator: Of the repetitions; by default one that is seeded with the scan's seed.
        draws: How many repetitions, 100 to 10,000.

    Raises:
        ValueError: Where there are too few points, or draws is out of its range.
    """
    check_whole("draws", draws, 100, 10_000)
    if generator is None:
        generator = torch.Generator().manual_seed(scan.spec.seed)
    sizes = [size for size in scan.spec.sizes if len(_usable(scan.curve(size))) >= 4]
    if len(sizes) < 2:
        raise ValueError(
            f"{len(sizes)} of the sizes {scan.spec.sizes} have four points or more; crossings "
            "need two such sizes."
        )
    first = _crossings(scan, sizes, math.nan, draws, generator)
    seen = [where[0] for where, _ in first.values() if math.isfinite(where[0])]
    centre = float(np.median(seen)) if seen else math.nan
    tables = _crossings(scan, sizes, centre, draws, generator)
    crossings = tuple(
        Crossing(quantity, pair, _summary(where), _summary(height))
        for (quantity, pair), (where, height) in tables.items()
    )
    found = {key: where for key, (where, _) in tables.items()}
    coupling, misfit = _extrapolated(found, OMEGA)
    pairs = list(pairwise(sizes))
    while misfit > POOR and len(pairs) > 2:
        found = {key: where for key, where in found.items() if key[1] != pairs[0]}
        pairs = pairs[1:]
        coupling, misfit = _extrapolated(found, OMEGA)
    others = [_extrapolated(found, omega)[0].value for omega in OMEGAS]
    try:
        published = scan.spec.published
    except ValueError:
        published = math.nan
    systematic = max(abs(other - coupling.value) for other in others)
    return Criticality(crossings, pairs[0][0], coupling, systematic, misfit, published)


def _usable(points: Sequence[ScanPoint]) -> list[ScanPoint]:
    """Return the points with a value and an error of all that crosses."""
    return [
        point
        for point in points
        if all(math.isfinite(getattr(point, name).value) for name in CROSSING)
        and all(0 < getattr(point, name).error < math.inf for name in CROSSING)
    ]


Key = tuple[str, tuple[int, int]]


def _crossings(
    scan: PhaseScan, sizes: Sequence[int], centre: float, draws: int, generator: torch.Generator
) -> dict[Key, tuple[np.ndarray, np.ndarray]]:
    """Return where the curves of neighbouring sizes cross, and their height there, both
    (1 + draws,), from fits about a centre, or to all points where it is nan.
    """
    grid = np.linspace(scan.spec.low, scan.spec.high, GRID)
    tables = {}
    for quantity in CROSSING:
        curves = {}
        for size in sizes:
            points = _near(_usable(scan.curve(size)), size, centre)
            curves[size] = _curve(points, quantity, grid, draws, generator)
        for pair in pairwise(sizes):
            tables[quantity, pair] = _cross(curves, pair, grid)
    return tables


def _near(points: Sequence[ScanPoint], size: int, centre: float) -> Sequence[ScanPoint]:
    """Return the points in the window about the centre, and at least the nearest few."""
    if math.isnan(centre):
        return points
    nearest = sorted(points, key=lambda point: abs(point.coupling - centre))
    reach = WINDOW * abs(centre) / size ** (1 / ISING.nu)
    inside = [point for point in nearest if abs(point.coupling - centre) <= reach]
    return inside if len(inside) >= MIN_POINTS else nearest[:MIN_POINTS]


def _curve(
    points: Sequence[ScanPoint],
    quantity: str,
    grid: np.ndarray,
    draws: int,
    generator: torch.Generator,
) -> np.ndarray:
    """Return the fitted curve on the grid, (1 + draws, GRID), the first as it was measured; nan
    outside the points.
    """
    found: list[Estimate] = [getattr(point, quantity) for point in points]
    couplings = np.array([point.coupling for point in points])
    values, errors = (np.array([getattr(e, n) for e in found]) for n in ("value", "error"))
    noise = torch.randn((draws, len(points)), generator=generator, dtype=torch.float64).numpy()
    table = np.concatenate([values[None], values + errors * noise])
    low, high = couplings.min(), couplings.max()

    def basis(x: np.ndarray, degree: int) -> np.ndarray:
        return np.polynomial.legendre.legvander((2 * x - low - high) / (high - low), degree)

    fits = {}
    for degree in range(DEGREES[0], min(DEGREES[1], len(points) - 2) + 1):
        columns = basis(couplings, degree)
        coefficients = (table / errors) @ np.linalg.pinv(columns / errors[:, None]).T
        misfit = np.square((columns @ coefficients[0] - values) / errors).sum()
        fits[degree] = misfit + 2 * degree, coefficients
    degree = min(fits, key=lambda each: fits[each][0])
    curve = fits[degree][1] @ basis(grid, degree).T
    curve[:, (grid < low) | (grid > high)] = math.nan
    return curve


def _cross(
    curves: Mapping[int, np.ndarray], pair: tuple[int, int], grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where two curves cross and their height there, both (1 + draws,), nan where they do
    not: of several crossings the one at which the larger lattice's curve falls off fastest.
    """
    small, large = curves[pair[0]], curves[pair[1]]
    difference = large - small
    falls = difference[:, :-1] - difference[:, 1:]
    crosses = (difference[:, :-1] > 0) & (difference[:, 1:] <= 0)
    best = np.where(crosses, falls, -math.inf).argmax(1)
    rows = np.arange(len(difference))
    seen = crosses[rows, best]
    share = np.where(seen, difference[rows, best] / np.where(seen, falls[rows, best], 1), math.nan)
    where = grid[best] + share * (grid[1] - grid[0])
    height = small[rows, best] + share * (small[rows, best + 1] - small[rows, best])
    return where, height


def _summary(values: np.ndarray) -> Estimate:
    """Return the value as measured, with the error from the repetitions."""
    drawn = values[1:]
    if not math.isfinite(values[0]) or np.isnan(drawn).mean() > MISSING:
        return Estimate(math.nan, math.nan, None, UNSEEN)
    return Estimate(float(values[0]), float(np.nanstd(drawn, ddof=1)))


def _extrapolated(found: Mapping[Key, np.ndarray], omega: float) -> tuple[Estimate, float]:
    """Return g_c, and χ² per degree of freedom, from the crossings (1 + draws,) of each quantity
    and pair of sizes.
    """
    kept = {key: _summary(where) for key, where in found.items()}
    kept = {key: each for key, each in kept.items() if math.isfinite(each.error)}
    if not kept:
        return Estimate(math.nan, math.nan, None, UNSEEN), math.nan
    table = np.stack([np.nan_to_num(found[key], nan=kept[key].value) for key in kept], 1)
    # Crossings of neighbouring pairs share a curve: by this both are made independent.
    whiten = np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(table[1:].T))))
    # A separate correction for each quantity that has two crossings or more.
    names = [name for name in CROSSING if sum(key[0] == name for key in kept) > 1]
    columns = [np.ones(len(kept))]
    columns += [
        np.array([_shift(pair, omega) if name == each else 0.0 for each, pair in kept])
        for name in names
    ]
    basis, values = whiten @ np.stack(columns, 1), table @ whiten.T
    solution = values @ np.linalg.pinv(basis).T
    left = len(kept) - len(columns)
    misfit = np.square(basis @ solution[0] - values[0]).sum() / left if left else math.nan
    error = float(solution[1:, 0].std(ddof=1)) * math.sqrt(np.fmax(1.0, misfit))
    return Estimate(float(solution[0, 0]), error), float(misfit)


def _shift(pair: tuple[int, int], omega: float) -> float:
    """Return the shift of a crossing in units of its amplitude a."""
    small, large = pair
    power = 1 / ISING.nu
    return (small**-omega - large**-omega) / (large**power - small**power)
