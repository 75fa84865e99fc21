r"""Observables of lattice configurations, with errors that allow for correlated chains.

Errors are jackknife errors over blocks of neighbouring configurations. `hmc` returns the
configurations of one chain side by side, so that a block holds whole chains, or long pieces
of one; errors are right where blocks are longer than the autocorrelation time.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4, neighbours, sites
from rgdiff_core.lattice.estimate import Estimate

__all__ = ["effective_sample_size", "observables", "schwinger_dyson"]

BLOCKS = 50


def observables(configurations: Tensor) -> dict[str, Estimate]:
    r"""Measure the standard observables of two-dimensional φ⁴.

    With V = L², M = (1/V) Σ_x φ_x: `abs_magnetization` ⟨|M|⟩, `susceptibility` V⟨M²⟩,
    `binder` 1 - ⟨M⁴⟩/(3⟨M²⟩²), `phi2` ⟨φ²⟩, `phi4` ⟨φ⁴⟩ and `energy`, the mean correlator
    of nearest neighbours ½Σ_μ⟨φ_x φ_{x+μ}⟩.

    Arguments:
        configurations: Fields in lattice units, (n, 1, L, L) or (n, L, L), n ≥ 2; those of
            one chain side by side.

    Returns:
        Name to value and standard error; errors by the jackknife over at most 50 blocks.

    Raises:
        ValueError: For another shape, fewer than two configurations, or values that are not
            finite.
    """
    field = _checked(configurations)
    volume = field.shape[-1] ** 2
    m = field.mean((-2, -1))
    per_configuration = torch.stack(
        [
            m.abs(),
            m**2,
            m**4,
            (field**2).mean((-2, -1)),
            (field**4).mean((-2, -1)),
            0.25 * (field * neighbours(field)).mean((-2, -1)),
        ],
        dim=-1,
    )
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "abs_magnetization": lambda mean: mean[..., 0],
        "susceptibility": lambda mean: volume * mean[..., 1],
        "binder": lambda mean: 1 - mean[..., 2] / (3 * mean[..., 1] ** 2),
        "phi2": lambda mean: mean[..., 3],
        "phi4": lambda mean: mean[..., 4],
        "energy": lambda mean: mean[..., 5],
    }
    return {name: _jackknife(per_configuration, f) for name, f in functions.items()}


def schwinger_dyson(action: Phi4, configurations: Tensor) -> Estimate:
    r"""Measure the Schwinger–Dyson identity ⟨φ_x ∂S/∂φ_x⟩ = 1.

    .. math:: -8E + 2(4 + m^2)⟨φ^2⟩ + 4λ⟨φ^4⟩ = 1

    holds exactly for every coupling and size, E being the correlator of nearest neighbours:
    the best single test that configurations belong to the action.

    Arguments:
        action: The theory.
        configurations: Fields in lattice units, (n, 1, L, L) or (n, L, L), n ≥ 2.

    Returns:
        The left side, with its jackknife error.

    Raises:
        ValueError: As `observables`.
    """
    field = _checked(configurations)
    values = -(field * action.force(field)).mean((-2, -1))
    return _jackknife(values[:, None], lambda mean: mean[..., 0])


def effective_sample_size(action: Phi4, x: Tensor, log_q: Tensor) -> float:
    r"""Return the effective sample size of weighted samples, as a fraction of their number.

    .. math:: \mathrm{ESS}/N = \frac{(\sum_i w_i)^2}{N \sum_i w_i^2},
        \qquad w_i = e^{-S[φ_i]} / q(φ_i)

    Arguments:
        action: The theory.
        x: Samples of the model q, (N, L, L) or (N, 1, L, L), in lattice units.
        log_q: log q of every sample up to one constant, (N,), in nats.

    Returns:
        A number in [0, 1]; 1 where q is proportional to e^{-S}.

    Raises:
        ValueError: When shapes do not match or a weight is not a number.
    """
    if log_q.shape != x.shape[:1] or len(log_q) == 0:
        raise ValueError(
            f"log_q has shape {tuple(log_q.shape)}; one number for each of the "
            f"{len(x)} samples is needed, at least one sample."
        )
    log_w = -action(x.double()) - log_q.double()
    if bool((torch.isnan(log_w) | (log_w == math.inf)).any()):
        raise ValueError("x or log_q gives a weight that is not a finite number.")
    if not bool(torch.isfinite(log_w).any()):
        raise ValueError("log_q and x give every sample the weight 0.")
    log_ess = 2 * torch.logsumexp(log_w, 0) - torch.logsumexp(2 * log_w, 0)
    return min(1.0, float(log_ess.exp()) / len(log_w))


def _checked(configurations: Tensor) -> Tensor:
    """Return the fields as (n, L, L) in float64, or say what is wrong with them."""
    field = sites(configurations)
    if len(field) < 2:
        raise ValueError(f"{len(field)} configuration has no error; at least 2 are needed.")
    if not bool(torch.isfinite(field).all()):
        raise ValueError("configurations hold a value that is not a finite number.")
    return field.double()


def _jackknife(values: Tensor, function: Callable[[Tensor], Tensor]) -> Estimate:
    """Estimate a function of means from values (n, q), leaving out one block at a time."""
    parts = values.tensor_split(min(BLOCKS, len(values)))
    sums = torch.stack([part.sum(0) for part in parts])
    counts = torch.tensor([len(part) for part in parts], device=values.device)[:, None]
    left_out = function((sums.sum(0) - sums) / (len(values) - counts))
    n = len(parts)
    error = math.sqrt((n - 1) * float(((left_out - left_out.mean()) ** 2).mean()))
    return Estimate(float(function(values.mean(0))), error)
