r"""Effective couplings of configurations, by Schwinger–Dyson equations.

Whatever weight e^{-S} fields were drawn with, for every function O of the field

.. math:: ⟨O \, ∂S/∂φ_x⟩ = ⟨∂O/∂φ_x⟩

The action is taken to be a sum of a few terms,

.. math:: S = \sum_x \Big[ Z \sum_μ (φ_{x+μ} - φ_x)^2 + m^2 φ_x^2 + λ φ_x^4 \Big]
    \quad\Big( + \; K \sum_{\text{diagonals}} (φ_y - φ_x)^2 \Big)

and then the equations are *linear* in its couplings: A c = b, with averages for A and b. Used are,
in this order, O = φ_x, Σ_nn φ, φ_x³, Σ_diagonal φ, φ_x² Σ_nn φ and φ_x⁵. As many equations as
couplings determine them, the others are a test: their left sides A c − b should vanish, and

.. math:: χ^2 = r^T C^{-1} r, \qquad r = A_2 c - b_2,\; c = A_1^{-1} b_1

with the covariance C of r that has the errors of c in it. This χ² is also the least that any c
gives for all equations weighted by their covariance (Hansen's J).

Where χ² is large the terms are not enough to be the action of these fields, as for blocked fields,
whose action has every term that symmetry allows. The couplings found are then those for which the
simplest equations hold, and other equations would give others. The weighted least squares of all
six have a little less statistical error where the terms suffice, and where they do not they give
up just the simplest equations, whose errors are least in common; so they aren't used.

References:
    Gonzalez-Arroyo & Okawa, Renormalized coupling constants by Monte Carlo methods, Phys. Rev.
    D 35 (1987) 672 (Schwinger–Dyson equations for couplings of blocked fields); Falcioni et al.,
    Nucl. Phys. B 265 (1986) 187; Hansen, Econometrica 50 (1982) 1029 (the test); Gottlob,
    Hasenbusch & Pinn, hep-lat/9601014 (how far actions of few terms carry).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice.action import neighbours, sites
from rgdiff_core.lattice.gamma import estimate
from rgdiff_core.statistics import Estimate

__all__ = ["Couplings", "effective_couplings"]

MIN_CONFIGURATIONS = 24
"""Fewest configurations: χ² has the inverse of the covariance of up to three quantities."""

PURE = 5
"""Couplings that do not depend on the field's normalization."""

SINGULAR = 1e-10
"""Relative to the largest singular value, what counts as zero."""


@dataclass(frozen=True)
class Couplings:
    r"""Effective couplings of Σ[Z Σ_μ(Δφ)² + m²φ² + λφ⁴ (+ K Σ_diagonals(Δφ)²)].

    The first ones depend on how the field is normalized; those up to `unit_quartic` do not.

    Attributes:
        z: Z.
        m2: m².
        lam: λ.
        diagonal: K; None where it was not fitted.
        mass: m²/Z̄, in units of the lattice spacing, where Z̄ = Z + 2K is the coefficient of k².
        quartic: λ/Z̄².
        stiffness: Z̄⟨φ²⟩.
        unit_mass: m²⟨φ²⟩.
        unit_quartic: λ⟨φ²⟩². With the two above, the couplings of the field in units in which
            ⟨φ²⟩ = 1.
        residuals: A c − b of the equations that are a test, in the order of the module's
            docstring; 0 where the terms suffice.
        chi2: of the residuals; by chance about their number.
    """

    z: Estimate
    m2: Estimate
    lam: Estimate
    diagonal: Estimate | None
    mass: Estimate
    quartic: Estimate
    stiffness: Estimate
    unit_mass: Estimate
    unit_quartic: Estimate
    residuals: tuple[Estimate, ...]
    chi2: float

    @property
    def misfit(self) -> float:
        """χ² per degree of freedom: about 1 where the terms suffice. It grows with the number of
        configurations where they do not.
        """
        return self.chi2 / len(self.residuals)


def effective_couplings(
    configurations: Tensor, n_chains: int = 1, *, diagonal: bool = False
) -> Couplings:
    """Find the couplings of a φ⁴ action for fields.

    Arguments:
        configurations: fields, (n, 1, L, L) or (n, L, L), n ≥ 24, L ≥ 2; those of one chain side
            by side.
        n_chains: number of independent chains; n for independent fields.
        diagonal: let the action have the term of diagonal neighbours too; for L ≥ 3.

    Errors are by the Γ-method. Raises `ValueError` for another shape, values that are not finite,
    too few configurations, or fields whose equations have no solution, such as constant ones.
    """
    unknowns = 4 if diagonal else 3
    field = sites(configurations).double()
    if len(field) < MIN_CONFIGURATIONS or field.shape[-1] < unknowns - 1:
        raise ValueError(
            f"{len(field)} fields with L = {field.shape[-1]} do not determine the couplings: at "
            f"least {MIN_CONFIGURATIONS} with L = {unknowns - 1} or more are needed."
        )
    if not bool(torch.isfinite(field).all()):
        raise ValueError("configurations hold a value that is not a finite number.")
    series = _equations(field, unknowns)
    mean = series.mean(0)
    if int(torch.linalg.matrix_rank(mean[:unknowns, :-1], rtol=SINGULAR)) < unknowns:
        raise ValueError("the fields are too alike: their equations do not determine couplings.")
    square = field.square().mean((-2, -1))
    shape = series.shape[1:]
    results = estimate(
        torch.cat([series.flatten(1), square[:, None]], 1),
        n_chains,
        lambda means: _solved(means[:-1].reshape(shape), means[-1]),
    )
    z, m2, lam = results[:3]
    mass, quartic, stiffness, unit_mass, unit_quartic = results[unknowns : unknowns + PURE]
    residuals = tuple(results[unknowns + PURE :])
    return Couplings(
        z=z,
        m2=m2,
        lam=lam,
        diagonal=results[3] if diagonal else None,
        mass=mass,
        quartic=quartic,
        stiffness=stiffness,
        unit_mass=unit_mass,
        unit_quartic=unit_quartic,
        residuals=residuals,
        chi2=_chi2(series, residuals),
    )


def _equations(field: Tensor, unknowns: int) -> Tensor:
    """Return A and b of every configuration, averaged over sites, (n, 6, p + 1)."""
    near, across = neighbours(field), _across(field)
    square = field.square()
    cube = square * field
    gradients = [8 * field - 2 * near, 2 * field, 4 * cube, 8 * field - 2 * across]
    zero = torch.zeros_like(field)
    # O and ∂O/∂φ_x
    equations = [
        (field, torch.ones_like(field)),
        (near, zero),
        (cube, 3 * square),
        (across, zero),
        (square * near, 2 * field * near),
        (square * cube, 5 * square * square),
    ]
    rows = [
        [(o * gradient).mean((-2, -1)) for gradient in gradients[:unknowns]]
        + [slope.mean((-2, -1))]
        for o, slope in equations
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], 1)


def _across(field: Tensor) -> Tensor:
    """Return the sum of the four diagonal neighbours of every site."""
    moves = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return torch.stack([field.roll(move, (-2, -1)) for move in moves]).sum(0)


def _solved(system: Tensor, square: Tensor) -> list[Tensor]:
    """Return the couplings, those that do not depend on the field's normalization, and the
    residuals, of averages (6, p + 1) and ⟨φ²⟩.
    """
    matrix, right = system[:, :-1], system[:, -1]
    count = matrix.shape[1]
    found = torch.linalg.solve(matrix[:count], right[:count])
    z, m2, lam = found[:3]
    total = z + 2 * found[3:].sum()
    pure = [m2 / total, lam / total**2, total * square, m2 * square, lam * square**2]
    return [*found, *pure, *(matrix[count:] @ found - right[count:])]


def _chi2(series: Tensor, residuals: tuple[Estimate, ...]) -> float:
    """Return χ² of the residuals: errors as given, correlations those of single configurations."""
    system = series.mean(0)
    matrix, right = system[:, :-1], system[:, -1]
    count = matrix.shape[1]
    found = torch.linalg.solve(matrix[:count], right[:count])
    left = series[..., :-1] @ found - series[..., -1]
    # how r follows the averages, c's dependence on them included
    follow = torch.linalg.solve(matrix[:count].T, matrix[count:].T)
    fluctuations = left[:, count:] - left[:, :count] @ follow
    correlation = torch.corrcoef(fluctuations.T).cpu()
    values = torch.tensor([each.value for each in residuals], dtype=torch.float64)
    errors = torch.tensor([each.error for each in residuals], dtype=torch.float64)
    if not bool((errors > 0).all()):
        return math.nan
    pulls = values / errors
    return float(pulls @ torch.linalg.solve(correlation, pulls))
