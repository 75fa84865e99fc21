"""What is known of a theory without any model."""

from dataclasses import dataclass
from typing import Any

import torch

from rgdiff_core import data
from rgdiff_core.lattice import Phi4, hmc, observables
from rgdiff_core.lattice.thermodynamic import thermodynamic_integration
from rgdiff_core.statistics import Estimate

__all__ = ["ReferenceValues", "measure", "reference_values_from"]

SEED = 2026


@dataclass(frozen=True)
class ReferenceValues:
    """A theory's numbers.

    Attributes:
        log_z: by thermodynamic integration.
        action: ⟨S⟩.
        susceptibility: V⟨M²⟩.
        entropy: ⟨S⟩ + log Z: the least that any model's NLL can be.
    """

    log_z: Estimate
    action: Estimate
    susceptibility: Estimate

    @property
    def entropy(self) -> Estimate:
        error = (self.log_z.error**2 + self.action.error**2) ** 0.5
        return Estimate(self.log_z.value + self.action.value, error)


def measure(name: str, log_z: int, reference: int) -> dict[str, Any]:
    """Compute a theory's numbers by hybrid Monte Carlo, as plain values.

    Arguments:
        name: of a data set of a lattice.
        log_z: configurations at each node of the integral.
        reference: configurations for the averages.
    """
    theory, size = lattice_of(name)
    generator = torch.Generator().manual_seed(SEED)
    z = thermodynamic_integration(theory, size, log_z, generator)
    run = hmc(theory, size, reference, generator=generator)
    chi = observables(run.configurations, n_chains=run.n_chains)["susceptibility"]
    per_chain = theory(run.configurations.double())
    chains = torch.stack([part.mean() for part in per_chain.tensor_split(run.n_chains)])
    found = {"log_z": z.estimate, "action": Estimate.of(chains), "susceptibility": chi}
    return {k: v.to_dict() for k, v in found.items()} | {
        "m2": theory.m2,
        "lam": theory.lam,
        "size": size,
        "method": "thermodynamic integration; hybrid Monte Carlo",
        "acceptance": run.acceptance,
    }


def lattice_of(name: str) -> tuple[Phi4, int]:
    """Return the action and the size of a data set; raises `ValueError` where it is no lattice."""
    theory = data.action_of(name)
    if theory is None:
        raise ValueError(f"{name!r} is no lattice data set.")
    size = next(item.shape[-1] for item in data.available() if item.name == name)
    return theory, size


def reference_values_from(result: dict[str, Any]) -> ReferenceValues:
    """Return the numbers that `measure` computed."""
    names = ("log_z", "action", "susceptibility")
    return ReferenceValues(*(Estimate(result[n]["value"], result[n]["error"]) for n in names))
