r"""The two-dimensional Ising model: cluster updates, and what is known exactly.

Spins σ = ±1 on a periodic L×L lattice have the weight e^{-βE} with

.. math:: E = -\sum_x \sum_{μ=1,2} σ_x σ_{x+μ},

both links of a pair counted on the 2×2 lattice. Critical is :math:`β_c = ½ \log(1 + \sqrt 2)`.

**Spins as a continuous field.** What is ±1 exactly has no density. With uniform noise of width 1,
φ = σ + u and |u| < ½, the density of a field is the probability of its spins, p(φ) = P(sign φ), so
that likelihoods and entropies are those of the Ising model. A gap of 1 lies between both signs,
and the symmetries stay.

**Sampling.** One update is a heat bath of all spins, one sublattice after the other, which is
quick where correlations are short, and one cluster of Wolff's, which is quick near the critical
point. Chains are updated side by side.

References:
    Onsager, Phys. Rev. 65 (1944) 117 (energy).
    Kaufman, Phys. Rev. 76 (1949) 1232 (finite lattices).
    Yang, Phys. Rev. 85 (1952) 808 (magnetization).
    Wolff, Phys. Rev. Lett. 62 (1989) 361 (one cluster).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice.action import neighbours, sites
from rgdiff_core.lattice.chains import MAX_SITES, PIECE_SITES
from rgdiff_core.lattice.cluster import clusters
from rgdiff_core.lattice.hmc import MAX_SAMPLES
from rgdiff_core.seeds import device_for
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = ["CRITICAL_BETA", "Ising", "energy_density", "field_of"]

CRITICAL_BETA = 0.5 * math.log(1 + math.sqrt(2))
"""β_c of the infinite lattice."""

MAX_BETA = 20.0
HOT = 1e-6  # β below which the energy of a bond is −β up to terms of third order
MAX_SIZE = 256


@dataclass(frozen=True)
class Ising(Spec):
    """The Ising model on a periodic L×L lattice.

    Arguments:
        beta: β, 0 to 20: the coupling of neighbours over the temperature.
        size: L, even, 2 to 256.

    Raises:
        ValueError: When a number is out of its range.
    """

    beta: float = CRITICAL_BETA
    size: int = 16

    def __post_init__(self) -> None:
        check_range("beta", self.beta, 0, MAX_BETA)
        check_whole("size", self.size, 2, MAX_SIZE)
        if self.size % 2:
            raise ValueError(f"size = {self.size} is odd; an even one from 2 to 256 is needed.")

    @property
    def log_z(self) -> float:
        r"""log Z of this lattice, by Kaufman's four products.

        .. math:: Z = ½ (2 \sinh 2β)^{V/2} \Big[ \prod_r 2\cosh\frac{L γ_{2r+1}}{2}
            + \prod_r 2\sinh\frac{L γ_{2r+1}}{2} + \prod_r 2\cosh\frac{L γ_{2r}}{2}
            + \prod_r 2\sinh\frac{L γ_{2r}}{2} \Big]

        with cosh γ_k = cosh 2β coth 2β − cos(πk/L), r from 0 to L − 1, and γ_0 = 2β + log tanh β,
        which is negative in the symmetric phase.
        """
        if self.beta == 0:
            return self.size**2 * math.log(2)
        return float(_log_z(torch.tensor(self.beta, dtype=torch.float64), self.size))

    @property
    def energy_density(self) -> float:
        """⟨E⟩/V = −(∂ log Z/∂β)/V of this lattice."""
        if self.beta < HOT:
            return -2 * self.beta * (2 if self.size == 2 else 1)
        with torch.inference_mode(False), torch.enable_grad():
            beta = torch.tensor(self.beta, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(_log_z(beta, self.size), beta)
        return -float(slope) / self.size**2

    @property
    def entropy(self) -> float:
        """The entropy of all spins, log Z + β⟨E⟩ in nats: the least −log p of a field."""
        return self.log_z + self.beta * self.size**2 * self.energy_density

    @property
    def infinite_energy_density(self) -> float:
        r"""Onsager's energy of a site of the infinite lattice.

        .. math:: -\coth 2β \Big[1 + \frac{2}{π}(2\tanh^2 2β - 1) K(κ)\Big], \qquad
            κ = \frac{2\sinh 2β}{\cosh^2 2β}
        """
        from scipy.special import ellipk

        if self.beta == 0:
            return 0.0
        tanh = math.tanh(2 * self.beta)
        modulus = 2 * tanh / math.cosh(2 * self.beta)
        factor = 2 * tanh**2 - 1
        # At the critical point K diverges, more slowly than its factor vanishes.
        singular = 0.0 if modulus >= 1 else 2 / math.pi * factor * float(ellipk(modulus**2))
        return -(1 + singular) / tanh

    @property
    def infinite_magnetization(self) -> float:
        """Yang's spontaneous magnetization of the infinite lattice, (1 − sinh⁻⁴ 2β)^{1/8}, 0 in
        the symmetric phase.
        """
        if self.beta <= CRITICAL_BETA:
            return 0.0
        return (1 - math.sinh(2 * self.beta) ** -4) ** 0.125

    def updates(self, n_chains: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Update spins of several chains without end, from random ones.

        Arguments:
            n_chains: Independent chains side by side.
            generator: Source of randomness, on whose device the spins are; torch's own on the
                CPU by default.

        Yields:
            Spins ±1 after each update, (n_chains, L, L) float32.
        """
        check_whole("n_chains", n_chains, 1, MAX_SITES // self.size**2)
        device = device_for(generator)
        shape = (int(n_chains), self.size, self.size)
        bits = torch.randint(2, shape, generator=generator, device=device)
        spins = 2 * bits.to(torch.float32) - 1
        # On the CPU in pieces, as in `chains`: for torch on one thread, and in the cache.
        piece = max(1, PIECE_SITES // self.size**2) if device.type == "cpu" else len(spins)
        while True:
            spins = torch.cat([self._updated(part, generator) for part in spins.split(piece)])
            yield spins

    def _updated(self, spins: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw all spins from the heat bath, and flip one cluster of each chain."""
        device = spins.device
        parity = (torch.arange(self.size)[:, None] + torch.arange(self.size)).to(device) % 2
        for sublattice in (0, 1):
            uniform = torch.rand(spins.shape, generator=generator, device=device)
            up = uniform < torch.sigmoid(2 * self.beta * neighbours(spins))
            spins = torch.where(parity == sublattice, 2 * up.to(spins) - 1, spins)
        # Bonds between equal spins are set with 1 − e^{−2β}.
        chance = -math.expm1(-2 * self.beta)
        bonds = [
            (spins == spins.roll(-1, dim))
            & (torch.rand(spins.shape, generator=generator, device=device) < chance)
            for dim in (-1, -2)
        ]
        first = torch.randint(self.size**2, (len(spins),), generator=generator, device=device)
        flipped = clusters(torch.stack(bonds).cpu().numpy(), first.cpu().numpy())
        return torch.where(torch.from_numpy(flipped).to(device), -spins, spins)

    def sample(
        self,
        n_samples: int,
        n_chains: int,
        generator: torch.Generator | None = None,
        *,
        thermalization: int | None = None,
        thinning: int = 5,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Sample spins.

        Arguments:
            n_samples: Configurations in all, 1 to 1,000,000, of at most 2²⁸ sites together.
            n_chains: Independent chains, 1 to n_samples.
            generator: As in `updates`.
            thermalization: Updates that are discarded, from 1; by default 50 + 2L.
            thinning: Updates from one kept configuration of a chain to the next, from 1.
            progress: Called with (updates completed, total) after each; an exception that it
                raises cancels the run and reaches the caller.

        Returns:
            Spins ±1, (n, L, L) int8, those of one chain side by side; the first chains may be
            longer by one.

        Raises:
            ValueError: When a number is out of its range.
        """
        check_whole("n_samples", n_samples, 1, min(MAX_SAMPLES, MAX_SITES // self.size**2))
        check_whole("n_chains", n_chains, 1, n_samples)
        discarded = 50 + 2 * self.size if thermalization is None else thermalization
        check_whole("thermalization", discarded, 1, 10**6)
        check_whole("thinning", thinning, 1, 10**5)
        rounds = -(-n_samples // n_chains)
        total = discarded + rounds * thinning
        kept = []
        for done, spins in enumerate(self.updates(n_chains, generator), 1):
            if done > discarded and (done - discarded) % thinning == 0:
                kept.append(spins.to(torch.int8))
            if progress is not None:
                progress(done, total)
            if done == total:
                break
        surplus = rounds * n_chains - n_samples
        by_chain = torch.stack(kept, 1)
        whole, cut = by_chain[: n_chains - surplus], by_chain[n_chains - surplus :, :-1]
        return torch.cat([whole.flatten(0, 1), cut.flatten(0, 1)])


def energy_density(spins: Tensor) -> Tensor:
    """Return E/V of spins (B, L, L) or (B, 1, L, L), (B,) float64."""
    field = sites(spins).to(torch.float32)
    return -0.5 * (field * neighbours(field)).mean((-2, -1), dtype=torch.float64)


def field_of(spins: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return spins (n, L, L) with uniform noise in (−½, ½), (n, 1, L, L) float32."""
    noise = torch.rand(spins.shape, generator=generator, device=spins.device)
    return (spins + noise - 0.5)[:, None]


def _log_z(beta: Tensor, size: int) -> Tensor:
    """Return log Z, (), for β > 0, so that it can be differentiated."""
    k = torch.arange(1, 2 * size, dtype=torch.float64)
    gamma = torch.acosh(
        torch.cosh(2 * beta) / torch.tanh(2 * beta) - torch.cos(math.pi * k / size)
    )
    half = 0.5 * size * gamma
    log_cosh = half + torch.log1p(torch.exp(-2 * half))
    log_sinh = half + torch.log(-torch.expm1(-2 * half))
    odd, even = slice(0, None, 2), slice(1, None, 2)  # of k from 1
    first = 0.5 * size * (2 * beta + torch.log(torch.tanh(beta)))
    terms = [
        (log_cosh[odd].sum(), 1),
        (log_sinh[odd].sum(), 1),
        (log_cosh[even].sum() + first, 1),
        (log_cosh[even].sum() - first, 1),
        (log_sinh[even].sum() + first, 1),
        (log_sinh[even].sum() - first, -1),
    ]
    largest = max(float(term.detach()) for term, _ in terms)
    total = torch.stack([sign * torch.exp(term - largest) for term, sign in terms]).sum()
    prefactor = math.log(2) + torch.log(torch.sinh(2 * beta))
    return largest + torch.log(total) + 0.5 * size**2 * prefactor - math.log(2)
