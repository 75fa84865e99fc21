r"""Integrators of Hamilton's equations, as specs.

For H = ½Σp² + S[φ] the two exact flows, of φ at fixed p and of p at fixed φ, are composed
symmetrically. Any such composition is reversible and preserves volume, which is what hybrid Monte
Carlo needs; the energy is conserved up to a term ∝ ε², the factor of which tells them apart.

References:
    Omelyan, Mryglod & Folk, Comput. Phys. Commun. 151 (2003) 272 (minimal norm).
    Takaishi & de Forcrand, hep-lat/0505020 (the same in hybrid Monte Carlo).
"""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.spec import Spec

__all__ = ["Integrator", "Leapfrog", "Omelyan"]


class Integrator(Spec):
    """A reversible, volume-preserving integrator of second order."""

    @property
    @abstractmethod
    def forces(self) -> int:
        """Evaluations of the force in each step, the cost of it."""

    @abstractmethod
    def integrate(
        self, action: Phi4, phi: Tensor, momentum: Tensor, *, step_size: float, n_steps: int
    ) -> tuple[Tensor, Tensor]:
        """Follow Hamilton's equations for the time step_size · n_steps.

        Arguments:
            action: The theory.
            phi: Fields, (B, L, L) or (B, 1, L, L).
            momentum: Momenta, of the shape of phi.
            step_size: The time step ε.
            n_steps: Number of steps, at least 1.

        Returns:
            Fields and momenta at the end, of the shape of phi; the arguments stay as they are.
        """


@dataclass(frozen=True)
class Leapfrog(Integrator):
    """Half a kick, drift, half a kick: one force a step."""

    @property
    def forces(self) -> int:
        return 1

    def integrate(
        self, action: Phi4, phi: Tensor, momentum: Tensor, *, step_size: float, n_steps: int
    ) -> tuple[Tensor, Tensor]:
        momentum = momentum.add(action.force(phi), alpha=0.5 * step_size)
        for step in range(n_steps):
            phi = phi.add(momentum, alpha=step_size)
            kick = step_size if step < n_steps - 1 else 0.5 * step_size
            momentum = momentum.add(action.force(phi), alpha=kick)
        return phi, momentum


@dataclass(frozen=True)
class Omelyan(Integrator):
    r"""Omelyan's integrator of minimal norm: two forces a step.

    Drifts of ξε, (1 - 2ξ)ε and ξε with kicks of ½ε between them. The value of ξ minimizes the norm
    of the ε² term, which is then about a tenth of that of the leapfrog of the same step.

    Arguments:
        xi: ξ, in (0, ½).
    """

    xi: float = 0.1931833275037836

    def __post_init__(self) -> None:
        if not 0 < self.xi < 0.5:
            raise ValueError(f"xi = {self.xi} is outside (0, 0.5).")

    @property
    def forces(self) -> int:
        return 2

    def integrate(
        self, action: Phi4, phi: Tensor, momentum: Tensor, *, step_size: float, n_steps: int
    ) -> tuple[Tensor, Tensor]:
        outer, inner = self.xi * step_size, (1 - 2 * self.xi) * step_size
        phi = phi.add(momentum, alpha=outer)
        for step in range(n_steps):
            momentum = momentum.add(action.force(phi), alpha=0.5 * step_size)
            phi = phi.add(momentum, alpha=inner)
            momentum = momentum.add(action.force(phi), alpha=0.5 * step_size)
            phi = phi.add(momentum, alpha=2 * outer if step < n_steps - 1 else outer)
        return phi, momentum
