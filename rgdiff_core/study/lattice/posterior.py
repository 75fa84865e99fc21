r"""What a perfect denoiser would say: the mean of e^{−S(φ)} N(χ; αφ, σ²S²), by Monte Carlo.

For a theory with a known action the posterior of the data, given a noised field, can be sampled.
With its mean D* the error of a model is known by scale and noise level, and with it how far the
model's samples are from the theory,

    KL(p|q) ≤ ½ ∫ Σ_k E|D_k − D*_k|²/V_k |d log V_k|,

over all noise levels, with nothing subtracted. Two independent estimates of D* make the square
unbiased: |D − D*|² = E (D − D̂₁)(D − D̂₂). One chain starts from the field that was noised, which
is itself drawn from the posterior; the other from the free theory's posterior. The mean of the
gradient g of the exponent is zero, and for a Gaussian y − V g is the same for every y: so the mean
is taken of y − a g, of which little is left to fluctuate where there is little noise; each chain's
a is the other's regression coefficient, so that the estimates stay independent.

The chains are hybrid Monte Carlo with the exponent's mean curvature for a mass, so that all
components turn alike. Between the wells they do not move, so after each trajectory the signs of
the mean field and of all else are drawn again, given the rest, and all four choices are counted
with their probabilities.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import gaussian_posterior
from rgdiff_core.lattice import Phi4
from rgdiff_core.process import Marginal

__all__ = ["ChainPosterior", "posterior_means"]

STEPS, TURN = 6, 1.5  # leapfrog steps of a trajectory, and its length; ½π turns a Gaussian round
SETTLE = 0.25  # share of the trajectories that is left out


@dataclass(frozen=True, eq=False)
class ChainPosterior:
    """Two independent estimates of the posterior mean of components, each (n, 1, L, L).

    Attributes:
        first: from one chain.
        second: from the other.
        acceptance: of their proposals.
    """

    first: Tensor
    second: Tensor
    acceptance: float


class _Target:
    """−log of the posterior density of components y given components c, and its gradient."""

    def __init__(self, action: Phi4, basis: Basis, c: Tensor, marginal: Marginal) -> None:
        self.action, self.basis, self.c = action, basis, c
        self.alpha, self.noise = marginal.alpha, marginal.std**2

    def energy(self, y: Tensor) -> Tensor:
        misfit = (self.c - self.alpha * y) ** 2 / (2 * self.noise)
        return self.action(self.basis.synthesize(y)) + misfit.sum((1, 2, 3))

    def gradient(self, y: Tensor) -> Tensor:
        phi = self.basis.synthesize(y)
        force = self.action.force(phi[:, 0])[:, None]
        return -self.basis.analyze(force) - self.alpha * (self.c - self.alpha * y) / self.noise


@torch.no_grad()
def posterior_means(
    action: Phi4,
    basis: Basis,
    modes: Modes,
    x: Tensor,
    c: Tensor,
    marginal: Marginal,
    trajectories: int,
    generator: torch.Generator,
) -> ChainPosterior:
    """Return the posterior means of the data given noised fields.

    Arguments:
        modes: of the data, with mean and variance.
        x: fields (n, 1, L, L) that were noised.
        c: components of χ/r, (n, 1, L, L), made from them.
        marginal: of χ/r for each field, (n, 1, L, L).
    """
    double = Marginal(marginal.alpha.double(), marginal.std.double())
    c, basis = c.double(), deepcopy(basis).double()
    mu, variance = modes.mean, modes.variance
    if mu is None or variance is None:
        raise ValueError("the posterior needs the data's mean and variance: use Modes.fit.")
    free = gaussian_posterior(c, double, mu.double(), variance.double())
    drawn = torch.randn(c.shape, generator=generator, dtype=c.dtype)
    starts = torch.cat([basis.analyze(x.double()), free.mean + free.variance.sqrt() * drawn])
    both = Marginal(*(torch.cat([part, part]) for part in (double.alpha, double.std)))
    target = _Target(action, basis, torch.cat([c, c]), both)
    # the mean curvature of S in each component, which is at least 1/Σ: more, where there are wells
    phi2 = float((x.double() ** 2).mean())
    bend = 2 * (modes.momentum.double() ** 2 + action.m2) + 12 * action.lam * phi2
    sizes = 1 / (both.alpha**2 / both.std**2 + bend)
    y, energy = starts, target.energy(starts)
    sums, kept, accepted = torch.zeros(4, *y.shape, dtype=y.dtype), 0, 0.0
    signs = _signs(modes)
    for number in range(trajectories):
        y, energy, share = _trajectory(target, y, energy, sizes, generator)
        accepted += share
        energies = torch.stack([energy, *(target.energy(sign * y) for sign in signs[1:])])
        chances = torch.softmax(-energies, 0)
        if number >= SETTLE * trajectories:
            for sign, chance in zip(signs, chances, strict=True):
                sums += chance[:, None, None, None] * _counted(target, sign * y)
            kept += 1
        chosen = torch.multinomial(chances.T, 1, generator=generator)[:, 0]
        y, energy = signs[chosen] * y, energies[chosen, torch.arange(len(y))]
    mean, slope, product, square = sums / kept
    coefficient = (product - mean * slope) / (square - slope**2).clamp_min(1e-30)
    # as for a Gaussian at most: a chain that hardly moved gives no information
    coefficient = torch.minimum(coefficient.clamp_min(0), torch.cat([free.variance] * 2))
    others = torch.cat(coefficient.chunk(2)[::-1])
    first, second = (mean - others * slope).chunk(2)
    return ChainPosterior(first, second, accepted / trajectories)


def _trajectory(
    target: _Target, y: Tensor, energy: Tensor, size: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Take a trajectory with mass 1/V; return where it ends, the energy there, and the share of
    proposals that was accepted.
    """
    root = size.sqrt()
    # momenta in units of their own deviation 1/√V; lengths differ, lest an orbit close
    v = torch.randn(y.shape, generator=generator, dtype=y.dtype)
    step = TURN / STEPS * (0.7 + 0.6 * float(torch.rand((), generator=generator)))
    before = energy + (v**2).sum((1, 2, 3)) / 2
    new = y
    v = v - step / 2 * root * target.gradient(new)
    for i in range(STEPS):
        new = new + step * root * v
        v = v - (step if i < STEPS - 1 else step / 2) * root * target.gradient(new)
    there = target.energy(new)
    fall = before - there - (v**2).sum((1, 2, 3)) / 2
    taken = torch.rand(len(y), generator=generator, dtype=y.dtype).log() < fall
    y = torch.where(taken[:, None, None, None], new, y)
    return y, torch.where(taken, there, energy), float(taken.double().mean())


def _signs(modes: Modes) -> Tensor:
    """Return the four choices of signs of the mean field and of all else, (4, 1, L, L)."""
    still = modes.momentum.double() == 0
    both = [torch.where(still, a, b) for a in (1.0, -1.0) for b in (1.0, -1.0)]
    return torch.stack(both).double()


def _counted(target: _Target, y: Tensor) -> Tensor:
    """Return what is averaged: y, the gradient g, y g and g²."""
    g = target.gradient(y)
    return torch.stack((y, g, y * g, g * g))
