"""φ⁴ theory on a periodic square lattice: action, hybrid Monte Carlo, observables."""

from rgdiff_core.lattice.action import Hopping, Phi4
from rgdiff_core.lattice.estimate import Estimate
from rgdiff_core.lattice.free import FreeField
from rgdiff_core.lattice.hmc import HMCResult, hmc, leapfrog
from rgdiff_core.lattice.observables import (
    Correlator,
    action_density,
    correlator,
    effective_sample_size,
    observables,
    schwinger_dyson,
)

__all__ = [
    "Correlator",
    "Estimate",
    "FreeField",
    "HMCResult",
    "Hopping",
    "Phi4",
    "action_density",
    "correlator",
    "effective_sample_size",
    "hmc",
    "leapfrog",
    "observables",
    "schwinger_dyson",
]
