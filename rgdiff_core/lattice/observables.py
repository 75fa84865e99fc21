r"""Observables of lattice configurations, with errors that allow for autocorrelation.

`hmc` returns the configurations of one chain side by side. Given the number of chains, errors
are those of the Γ-method (`rgdiff_core.lattice.gamma`). Independent fields, such as samples of a
model, are chains of one configuration each: n_chains is then their number, which is also the fast
way. With V = L² and G(x) = ⟨φ_0 φ_x⟩, averages are over sites and both directions throughout.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4, neighbours, sites
from rgdiff_core.lattice.gamma import estimate, means
from rgdiff_core.statistics import Estimate

__all__ = [
    "NAMES",
    "Chains",
    "Correlator",
    "LOCAL",
    "action_density",
    "changes",
    "correlator",
    "dyson_terms",
    "effective_sample_size",
    "moments",
    "observables",
    "observables_of",
    "schwinger_dyson",
]

SITES_AT_ONCE = 2**20

NAMES = (
    "abs_magnetization",
    "susceptibility",
    "connected_susceptibility",
    "binder",
    "phi2",
    "phi4",
    "energy",
    "correlation_length",
)


LOCAL = {"phi2": 3, "phi4": 4, "energy": 5}
"""Local observables that are averages of `moments`, and which."""


class Chains(Protocol):
    """Configurations of several chains, such as `hmc` returns."""

    @property
    def configurations(self) -> Tensor:
        """Return fields (n, 1, L, L), those of one chain side by side."""
        ...

    @property
    def n_chains(self) -> int:
        """Return the number of chains."""
        ...


@dataclass(frozen=True)
class Correlator:
    r"""The correlator at zero spatial momentum and the mass that its fall-off shows.

    Attributes:
        values: C(t) = Σ_y G(y, t) for t = 0, …, ⌊L/2⌋.
        effective_mass: m(t) = arcosh[(C(t-1) + C(t+1)) / (2 C(t))] for t = 1, …, ⌊L/2⌋, which
            does not depend on t where a single state contributes; C is periodic. Where the
            argument is below 1 by noise, value and error are nan.
        mass: The average of m(t) over t ≥ 2 (over t ≥ 1 for L < 6), each weighted by its inverse
            error squared: the pole mass, once higher states have died out.
    """

    values: tuple[Estimate, ...]
    effective_mass: tuple[Estimate, ...]
    mass: Estimate


def observables(
    configurations: Tensor | Chains, *, n_chains: int | None = None
) -> dict[str, Estimate]:
    r"""Measure the standard observables of two-dimensional φ⁴.

    With M = (1/V) Σ_x φ_x: `abs_magnetization` ⟨|M|⟩, `susceptibility` χ = V⟨M²⟩,
    `connected_susceptibility` V(⟨M²⟩ - ⟨|M|⟩²), `binder` 1 - ⟨M⁴⟩/(3⟨M²⟩²), `phi2` ⟨φ²⟩, `phi4`
    ⟨φ⁴⟩, `energy`, the correlator of nearest neighbours ½Σ_μ⟨φ_x φ_{x+μ}⟩, and
    `correlation_length`, the second moment

    .. math:: ξ^2 = \frac{χ/F - 1}{4 \sin^2(π/L)}, \qquad
        F = \sum_x G(x) \cos(2πx_1/L)

    Arguments:
        configurations: Fields in lattice units, (n, 1, L, L) or (n, L, L); those of one chain
            side by side, chain lengths equal or the first ones longer by one. Or a run, as `hmc`
            returns it.
        n_chains: Number of chains; n for independent fields; default: those of the run, or 1.

    Returns:
        Name to value, standard error and, for chains, autocorrelation time in configurations. The
        correlation length is nan, with a warning, where noise leaves χ < F, and for L = 1.

    Raises:
        ValueError: For another shape, values that are not finite, or too few configurations for
            an error: 8 of chains, 2 independent ones.
    """
    fields, chains = _chains(configurations, n_chains)
    size = fields.shape[-1]
    found = estimate(moments(fields), chains, lambda mean: observables_of(mean, size))
    return dict(zip(NAMES, found, strict=True))


def moments(configurations: Tensor) -> Tensor:
    """Return what `observables` averages of each configuration: |M|, M², M⁴, φ², φ⁴, the product
    of nearest neighbours, and |φ_k|² at the lowest momenta, (n, 7) float64.
    """
    field = _checked(configurations)
    size = field.shape[-1]
    m = field.mean((-2, -1))
    lowest = torch.fft.fft2(field)[:, (0, 1 % size), (1 % size, 0)]
    return torch.stack(
        [
            m.abs(),
            m**2,
            m**4,
            (field**2).mean((-2, -1)),
            (field**4).mean((-2, -1)),
            0.25 * (field * neighbours(field)).mean((-2, -1)),
            lowest.abs().square().mean(-1) / size**2,
        ],
        dim=-1,
    )


def changes(configurations: Tensor, parents: Tensor) -> dict[str, Estimate]:
    """Return what independent fields have more of `LOCAL`, in the mean, than the fields that each
    was made from: the difference of averages, with the error of pairs.

    Arguments:
        configurations: (n, 1, L, L).
        parents: (n, 1, L, L).
    """
    change = moments(configurations) - moments(parents)
    return {name: Estimate.of(change[:, column]) for name, column in LOCAL.items()}


def observables_of(mean: Tensor, size: int) -> list[Tensor]:
    """Return the observables, in the order of `NAMES`, of the averages (7,) of `moments`."""
    abs_m, m2, m4, phi2, phi4, energy, f = mean
    volume = size**2
    chi = volume * m2
    return [
        abs_m,
        chi,
        volume * (m2 - abs_m**2),
        1 - m4 / (3 * m2**2),
        phi2,
        phi4,
        energy,
        torch.sqrt(chi / f - 1) / (2 * math.sin(math.pi / size)) if size > 1 else math.nan * chi,
    ]


def action_density(
    action: Phi4, configurations: Tensor | Chains, *, n_chains: int | None = None
) -> Estimate:
    """Measure ⟨S⟩/V; arguments and errors as `observables`."""
    fields, chains = _chains(configurations, n_chains)
    return estimate(action.density(_checked(fields)).mean((-2, -1)), chains, lambda mean: mean[0])


def correlator(configurations: Tensor | Chains, *, n_chains: int | None = None) -> Correlator:
    """Measure the correlator at zero spatial momentum, and the effective mass, for L ≥ 2.

    Arguments, raised errors: as `observables`; also ValueError for L = 1.
    """
    fields, chains = _chains(configurations, n_chains)
    field = _checked(fields)
    size = field.shape[-1]
    if size < 2:
        raise ValueError("a lattice of one site has no correlator; L must be at least 2.")
    # Slices summed over one direction, (n, 2, L); their products at distance t by FFT.
    slices = torch.stack([field.sum(-1), field.sum(-2)], dim=1)
    power = torch.fft.rfft(slices).abs().square()
    half = size // 2
    series = torch.fft.irfft(power, n=size).mean(1)[:, : half + 1] / size**2
    effective = estimate(series, chains, lambda mean: _effective(mean, size))
    mass = _mass(series, chains, effective, size)
    return Correlator(tuple(means(series, chains)), tuple(effective), mass)


def schwinger_dyson(
    action: Phi4, configurations: Tensor | Chains, *, n_chains: int | None = None
) -> Estimate:
    r"""Measure the Schwinger–Dyson identity ⟨φ_x ∂S/∂φ_x⟩ = 1.

    .. math:: -8E + 2(4 + m^2)⟨φ^2⟩ + 4λ⟨φ^4⟩ = 1

    holds exactly for every coupling and size, E being the correlator of nearest neighbours:
    the best single test that configurations belong to the action.

    Arguments:
        action: The theory.
        configurations: As of `observables`.
        n_chains: As of `observables`.

    Returns:
        The left side.

    Raises:
        ValueError: As `observables`.
    """
    fields, chains = _chains(configurations, n_chains)
    return estimate(dyson_terms(action, fields), chains, lambda mean: mean[0] + mean[1])


def dyson_terms(action: Phi4, configurations: Tensor) -> Tensor:
    """Return both terms of the left side of the Schwinger–Dyson identity, configuration by
    configuration: what is quadratic in the fields, and what is of fourth order, (n, 2).

    Raises:
        ValueError: As `observables`.
    """
    field = sites(configurations)
    parts = []
    # In parts, for in float64 all fields at once take several times their memory.
    for some in field.split(max(1, SITES_AT_ONCE // field.shape[-1] ** 2)):
        phi = _checked(some)
        square = phi.square()
        quadratic = 2 * (4 + action.m2) * square - 2 * phi * neighbours(phi)
        parts.append(torch.stack([quadratic, 4 * action.lam * square**2]).mean((-2, -1)).T)
    return torch.cat(parts)


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


def _chains(configurations: Tensor | Chains, n_chains: int | None) -> tuple[Tensor, int]:
    """Return fields and the number of their chains."""
    if isinstance(configurations, Tensor):
        return configurations, 1 if n_chains is None else n_chains
    return configurations.configurations, n_chains or configurations.n_chains


def _checked(configurations: Tensor) -> Tensor:
    """Return the fields as (n, L, L) in float64, or say what is wrong with them."""
    field = sites(configurations)
    if not bool(torch.isfinite(field).all()):
        raise ValueError("configurations hold a value that is not a finite number.")
    return field.double()


def _effective(c: Tensor, size: int) -> list[Tensor]:
    """Return m(t), t = 1, …, ⌊L/2⌋, of C(t), t = 0, …, ⌊L/2⌋."""
    half = size // 2
    after = torch.cat([c[2:], c[size - half - 1 : size - half]])  # C(half + 1) by periodicity
    return [torch.acosh(ratio) for ratio in (c[:-1] + after) / (2 * c[1:])]


def _mass(series: Tensor, n_chains: int, effective: Sequence[Estimate], size: int) -> Estimate:
    """Return the weighted average of m(t) with its error, correlations included."""
    first = 1 if size < 6 else 2
    weights = {
        index: each.error**-2
        for index, each in enumerate(effective)
        if index + 1 >= first and each.error > 0
    }
    if not weights:
        return effective[first - 1]

    def average(mean: Tensor) -> Tensor:
        found = _effective(mean, size)
        total = torch.stack([weight * found[index] for index, weight in weights.items()]).sum()
        return total / sum(weights.values())

    return estimate(series, n_chains, average)
