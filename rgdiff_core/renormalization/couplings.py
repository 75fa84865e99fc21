r"""Effective couplings of configurations, by Schwinger–Dyson equations.

Whatever weight e^{-S} fields were drawn with, for every function O of the field

.. math:: ⟨O \, ∂S/∂φ_x⟩ = ⟨∂O/∂φ_x⟩

The action is taken to be a sum of a few terms,

.. math:: S = \sum_x \Big[ Z \sum_μ (φ_{x+μ} - φ_x)^2 + m^2 φ_x^2 + λ φ_x^4 \Big]
    \quad\Big( + \; K \sum_{\text{diagonals}} (φ_y - φ_x)^2 \Big)

and then the equations are *linear* in its couplings: A c = b, with averages for A and b. Used are,
in this order, O = φ_x, Σ_nn φ, φ_x³, Σ_diagonal φ, φ_x² Σ_nn φ and φ_x⁵. As many equations as
couplings determine them; more are solved by weighted least squares, with the weight from the
scatter of A c − b over configurations at a first c (the two-step generalised method of moments),
and their χ² says whether the terms are enough to be the action of these fields.

Where they are not, what is found is the member of the family that fits the equations used best,
and other equations would give another.

References:
    Gonzalez-Arroyo & Okawa, Renormalized coupling constants by Monte Carlo methods, Phys. Rev.
    D 35 (1987) 672 (Schwinger–Dyson equations for couplings of blocked fields); Falcioni et al.,
    Nucl. Phys. B 265 (1986) 187; Hansen, Econometrica 50 (1982) 1029 (the weights, and χ²).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice import Estimate
from rgdiff_core.lattice.action import neighbours, sites
from rgdiff_core.lattice.gamma import estimate, means
from rgdiff_core.spec import check_whole

__all__ = ["Couplings", "effective_couplings"]

EQUATIONS = 6
FEWEST = 24
"""Fewest configurations: the weights are the inverse of a covariance of six quantities."""


@dataclass(frozen=True)
class Couplings:
    r"""Effective couplings of Σ[Z Σ_μ(Δφ)² + m²φ² + λφ⁴ (+ K Σ_diagonals(Δφ)²)].

    The first ones depend on how the field is normalised; those after do not.

    Attributes:
        z, m2, lam: Z, m² and λ.
        diagonal: K; None where it was not fitted.
        mass: m²/Z̄, in units of the lattice spacing, where Z̄ = Z + 2K is the coefficient of k².
        quartic: λ/Z̄².
        stiffness: Z̄⟨φ²⟩.
        unit_mass: m²⟨φ²⟩.
        unit_quartic: λ⟨φ²⟩². With the two above, the couplings of the field in units in which
            ⟨φ²⟩ = 1.
        chi2: of the equations beyond those that are needed; by chance about `degrees`.
        degrees: number of equations less number of couplings.
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
    chi2: float
    degrees: int

    @property
    def misfit(self) -> float:
        """χ² per degree of freedom: about 1 where the terms suffice; nan without any."""
        return self.chi2 / self.degrees if self.degrees else math.nan


def effective_couplings(
    configurations: Tensor,
    n_chains: int = 1,
    *,
    diagonal: bool = False,
    n_equations: int = EQUATIONS,
) -> Couplings:
    """Fit the couplings of a φ⁴ action to fields.

    Arguments:
        configurations: fields, (n, 1, L, L) or (n, L, L), n ≥ 24, L ≥ 2; those of one chain side
            by side.
        n_chains: number of independent chains; n for independent fields.
        diagonal: fit the term of next-nearest neighbours too, for L ≥ 3.
        n_equations: how many of the equations are used, in the module's order; 3 (4 with the
            diagonal term) to 6.

    Errors are by the Γ-method. Raises `ValueError` for another shape, values that are not finite,
    too few configurations, or fields whose equations have no solution, such as constant ones.
    """
    unknowns = 4 if diagonal else 3
    check_whole("n_equations", n_equations, unknowns, EQUATIONS)
    field = sites(configurations).double()
    if len(field) < FEWEST or field.shape[-1] < unknowns - 1:
        raise ValueError(
            f"{len(field)} fields of size {field.shape[-1]} do not determine the couplings: "
            f"at least {FEWEST} of size {unknowns - 1} or more are needed."
        )
    series = _equations(field, n_equations, unknowns)
    weight = _weight(series, n_chains)

    def couplings(mean: Tensor) -> list[Tensor]:
        found = _solve(mean[:-1].reshape(n_equations, unknowns + 1), weight)
        return _derived(found, mean[-1])

    square = field.square().mean((-2, -1))
    results = estimate(torch.cat([series.flatten(1), square[:, None]], 1), n_chains, couplings)
    mean = series.mean(0)
    residual = _left(mean, _solve(mean, weight))
    extra = results[3:-5]
    return Couplings(
        *results[:3],
        extra[0] if extra else None,
        *results[-5:],
        chi2=float(residual @ weight @ residual) if n_equations > unknowns else 0.0,
        degrees=n_equations - unknowns,
    )


def _equations(field: Tensor, n_equations: int, unknowns: int) -> Tensor:
    """Return A and b of every configuration, averaged over sites, (n, q, p + 1)."""
    near, across = neighbours(field), _across(field)
    square = field.square()
    gradients = [8 * field - 2 * near, 2 * field, 4 * square * field, 8 * field - 2 * across]
    one, cross = torch.ones_like(field), 2 * field * near
    zero = torch.zeros_like(field)
    equations = [
        (field, one),
        (near, zero),
        (square * field, 3 * square),
        (across, zero),
        (square * near, cross),
        (square * square * field, 5 * square * square),
    ]
    rows = [
        torch.stack(
            [(o * g).mean((-2, -1)) for g in gradients[:unknowns]] + [slope.mean((-2, -1))], -1
        )
        for o, slope in equations[:n_equations]
    ]
    return torch.stack(rows, 1)


def _across(field: Tensor) -> Tensor:
    """Return the sum of the four diagonal neighbours of every site."""
    moves = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return torch.stack([field.roll(move, (-2, -1)) for move in moves]).sum(0)


def _left(system: Tensor, couplings: Tensor) -> Tensor:
    """Return A c − b of (..., q, p + 1)."""
    return system[..., :-1] @ couplings - system[..., -1]


def _solve(system: Tensor, weight: Tensor) -> Tensor:
    """Return the c that makes (A c − b)ᵀ W (A c − b) least."""
    matrix, right = system[:, :-1], system[:, -1]
    if matrix.shape[0] == matrix.shape[1]:
        return torch.linalg.solve(matrix, right)
    weighted = matrix.T @ weight
    return torch.linalg.solve(weighted @ matrix, weighted @ right)


def _weight(series: Tensor, n_chains: int) -> Tensor:
    """Return the inverse covariance of the means of A c − b, (q, q), at the c of the first p.

    Errors by the Γ-method, correlations from single configurations.
    """
    count, unknowns = series.shape[1], series.shape[2] - 1
    mean = series.mean(0)
    if int(torch.linalg.matrix_rank(mean[:unknowns, :-1])) < unknowns:
        raise ValueError("the fields are too alike: their equations do not determine couplings.")
    first = torch.linalg.solve(mean[:unknowns, :-1], mean[:unknowns, -1])
    left = _left(series, first)
    errors = torch.tensor([each.error for each in means(left, n_chains)], dtype=torch.float64)
    correlation = torch.corrcoef(left.T).reshape(count, count).cpu()
    covariance = correlation * errors * errors[:, None]
    return torch.linalg.inv(covariance).to(series.device)


def _derived(found: Tensor, square: Tensor) -> list[Tensor]:
    """Return the couplings, and those that do not depend on the field's normalisation."""
    z, m2, lam, *extra = found
    total = z + 2 * sum(extra) if extra else z
    return [
        z,
        m2,
        lam,
        *extra,
        m2 / total,
        lam / total**2,
        total * square,
        m2 * square,
        lam * square**2,
    ]
