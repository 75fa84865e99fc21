"""φ⁴ theory on a periodic square lattice: action, hybrid Monte Carlo, observables."""

from rgdiff_core.lattice.action import Half, Hopping, Phi4
from rgdiff_core.lattice.chains import HMC, Trajectory, trajectories
from rgdiff_core.lattice.cluster import wolff
from rgdiff_core.lattice.estimate import Estimate
from rgdiff_core.lattice.free import FreeField
from rgdiff_core.lattice.hmc import HMCResult, hmc, leapfrog
from rgdiff_core.lattice.integrators import Leapfrog, Omelyan
from rgdiff_core.lattice.observables import (
    Correlator,
    action_density,
    correlator,
    effective_sample_size,
    observables,
    schwinger_dyson,
)
from rgdiff_core.lattice.thermalization import History

__all__ = [
    "Correlator",
    "Estimate",
    "FreeField",
    "HMC",
    "HMCResult",
    "Half",
    "History",
    "Hopping",
    "Leapfrog",
    "Omelyan",
    "Phi4",
    "Trajectory",
    "action_density",
    "correlator",
    "effective_sample_size",
    "hmc",
    "leapfrog",
    "observables",
    "schwinger_dyson",
    "trajectories",
    "wolff",
]
