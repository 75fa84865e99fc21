r"""The posterior mean of φ⁴ at one noise level for a whole batch of fields, fast.

`posterior` serves every field at a noise level of its own. Where all fields share one, the
posterior of the sites φ given noised components,

.. math:: -\log p(φ|y) = S(φ) + \tfrac12 \sum_k r_k ((Uφ)_k - y_k)^2 + \text{const},
          \quad r_k = e^{ℓ_k}/Σ_k,

has one quadratic part. With the mean curvature κ = 12λ⟨φ²⟩ of the interaction added to it,
P = A + κ + UᵀrU = LLᵀ is a Gaussian's precision with mean μ, and in z = Lᵀ(φ − μ)

.. math:: E(z) = \tfrac12 |z|^2 + \sum_x (λ φ_x^4 - \tfrac{κ}{2} φ_x^2).

Hybrid Monte Carlo turns the harmonic part exactly and kicks with the rest. After a trajectory the
mean field may change its sign (Metropolis), and of φ and −φ both are counted with their
probabilities. The gradient g of E has mean zero and E[z g] = 1, so that the mean is taken of
z − g/⟨g²⟩, which hardly fluctuates where there is little noise.

One chain starts from the field that was noised, itself a draw from the posterior; the other goes
on from where it was at a somewhat higher noise level, and at the highest begins with a field of
the theory. The product of both estimates of D* − m is free of their noise, and what is left of
the other level is a small share of (D* − m)² itself.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.lattice.action import Phi4, neighbours

__all__ = ["Deviations", "Sites", "dense", "deviations", "draw", "strengths"]

KICKS = 4  # of a trajectory
TURN = math.pi / 2  # its length: a Gaussian is forgotten
SETTLE = 0.25  # share of the second chain's trajectories that is left out
THERMALIZE = 200  # trajectories of fields without any noised ones


@dataclass(frozen=True, eq=False)
class Sites:
    """A theory with action ½ φᵀAφ + λ Σφ⁴ on a few sites, and a basis of its fields.

    Attributes:
        quadratic: A, (K, K) float64.
        lam: λ.
        transform: U, components of the unit fields: c = φ Uᵀ; (K, K) float64.
        variance: Σ, of the components, (K,) float64.
        phi2: ⟨φ²⟩ of a site.
    """

    quadratic: Tensor
    lam: float
    transform: Tensor
    variance: Tensor
    phi2: float


@dataclass(frozen=True, eq=False)
class Deviations:
    """Two independent estimates of D* − m, and the second chain's end; each (n, K) float64."""

    first: Tensor
    second: Tensor
    end: Tensor


def dense(action: Phi4, basis: Basis) -> tuple[Tensor, Tensor]:
    """Return the matrices A of an action's quadratic part and U of a basis, (K, K) float64."""
    size = basis.shape[-1]
    unit = torch.eye(size**2, dtype=torch.float64).reshape(-1, 1, size, size)
    links = neighbours(unit[:, 0].clone()).flatten(1)
    quadratic = 2 * (4 + action.m2) * unit.flatten(1) - 2 * links
    return quadratic, basis.analyze(unit.to(basis.scale)).double().flatten(1).T


class _Exponent:
    """E(z) of the module's docstring, for fields (n, K) in float32."""

    def __init__(self, theory: Sites, precision: Tensor, pull: Tensor) -> None:
        """Arguments: precision: UᵀrU, (K, K). pull: β = (r y) U, (n, K) float64."""
        self.lam, self.bend = theory.lam, 12 * theory.lam * theory.phi2
        unit = torch.eye(len(precision), dtype=torch.float64)
        self.root = torch.linalg.cholesky(theory.quadratic + precision + self.bend * unit)
        inverse = torch.linalg.solve_triangular(self.root, unit, upper=False)
        shift = pull @ inverse.T
        self.mean = shift @ inverse
        self.origin, self.shift, self.inverse = self.mean.float(), shift.float(), inverse.float()
        self.uniform = self.root.sum(0).float()  # z of the field 1

    def into(self, phi: Tensor) -> Tensor:
        """Return z of fields (n, K) float64."""
        return ((phi - self.mean) @ self.root).float()

    def field(self, z: Tensor) -> Tensor:
        return torch.addmm(self.origin, z, self.inverse)

    def rest(self, phi: Tensor) -> Tensor:
        """Return what is left of E beside ½|z|², (n,)."""
        square = phi * phi
        return (square * (self.lam * square - self.bend / 2)).sum(1)

    def kick(self, phi: Tensor) -> Tensor:
        """Return the gradient of the rest, in z."""
        return (phi * (4 * self.lam * phi * phi - self.bend)) @ self.inverse.T


def draw(theory: Sites, n: int, generator: torch.Generator) -> Tensor:
    """Return n independent fields of the theory itself, (n, K) float64."""
    count = len(theory.quadratic)
    nothing = torch.zeros(n, count, dtype=torch.float64)
    target = _Exponent(theory, torch.zeros(count, count, dtype=torch.float64), nothing)
    z = torch.randn(n, count, generator=generator)
    for _ in range(THERMALIZE):
        z = _moved(target, z, generator)
    sign = torch.randint(2, (n, 1), generator=generator) * 2.0 - 1
    return (sign * target.field(z)).double()


def deviations(
    theory: Sites,
    x: Tensor,
    noise: Tensor,
    level: Tensor,
    start: Tensor,
    trajectories: int,
    generator: torch.Generator,
) -> Deviations:
    """Return estimates of D* − m for noised fields.

    Arguments:
        x: fields that are noised, (n, K) float64.
        noise: white noise of their components, (n, K) float64.
        level: ℓ, the data's log-SNR of each component, (K,) float64.
        start: of the second chain, fields (n, K) float64.
        trajectories: of each chain.
    """
    transform = theory.transform
    r = torch.exp(level) / theory.variance
    y = x @ transform.T + noise / r.sqrt()
    free = y * torch.sigmoid(level)
    precision = transform.T @ (r[:, None] * transform)
    target = _Exponent(theory, precision, torch.cat([r * y] * 2) @ transform)
    z = target.into(torch.cat([x, start]))
    weights = torch.ones(2, trajectories)
    weights[1, : int(SETTLE * trajectories)] = 0
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(len(x), 0)
    mean, slope, square = torch.zeros(3, *z.shape)
    for weight in weights.T[:, :, None]:
        z = _moved(target, z, generator)
        kick, mirrored = target.kick(target.field(z)), -z - 2 * target.shift
        chance = torch.sigmoid((z * z - mirrored * mirrored).sum(1, keepdim=True) / 2)
        mean += weight * (z + chance * (mirrored - z))
        slope += weight * (z + kick + chance * (mirrored - z - 2 * kick))
        square += weight * ((1 - chance) * (z + kick) ** 2 + chance * (mirrored - kick) ** 2)
        z = torch.where(torch.rand(chance.shape, generator=generator) < chance, mirrored, z)
    mean = mean - slope / square.mean(0)
    deviation = (mean @ target.inverse).double() + target.mean
    first, second = (deviation @ transform.T - torch.cat([free, free])).chunk(2)
    return Deviations(first, second, target.field(z)[len(x) :].double())


def strengths(
    theory: Sites,
    levels: Tensor,
    x: Tensor,
    other: Tensor,
    trajectories: int,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield estimates of (D* − m)²/V² at levels that fall, from the last to the first, (n, K).

    Arguments:
        levels: ℓ of each component, (levels, K) float64.
        x: fields that are noised, with the same noise at all levels; (n, K) float64.
        other: fields of the theory that second chains start from, likewise.
        trajectories: of each chain at each level.
    """
    # white in the sites, so that it is the same noise in every basis
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype) @ theory.transform.T
    for level in levels.flip(0):
        found = deviations(theory, x, noise, level, other, trajectories, generator)
        other = found.end
        yield found.first * found.second / (theory.variance * torch.sigmoid(-level)) ** 2


def _moved(target: _Exponent, z: Tensor, generator: torch.Generator) -> Tensor:
    """Take a trajectory, and change the sign of the mean field or leave it."""
    start, n = z, len(z)
    phi = target.field(z)
    v = torch.randn(z.shape, generator=generator)
    before = target.rest(phi) + (z * z + v * v).sum(1) / 2
    step = TURN / KICKS * (0.8 + 0.4 * float(torch.rand((), generator=generator)))
    cosine, sine = math.cos(step), math.sin(step)
    v = v - step / 2 * target.kick(phi)
    for number in range(KICKS):
        z, v = cosine * z + sine * v, cosine * v - sine * z
        phi = target.field(z)
        v = v - (step if number < KICKS - 1 else step / 2) * target.kick(phi)
    after = target.rest(phi) + (z * z + v * v).sum(1) / 2
    chances = torch.rand(2, n, 1, generator=generator).log()
    z = torch.where(chances[0] < (before - after)[:, None], z, start)
    phi = target.field(z)
    mean = phi.mean(1, keepdim=True)
    other = z - 2 * mean * target.uniform
    change = target.rest(phi) - target.rest(phi - 2 * mean) + (z * z - other * other).sum(1) / 2
    return torch.where(chances[1] < change[:, None], other, z)
