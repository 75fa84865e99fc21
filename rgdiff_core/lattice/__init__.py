"""Theories on a periodic square lattice: φ⁴ with its action, hybrid Monte Carlo and observables;
the Ising model; Gaussian random fields.
"""

from rgdiff_core.lattice.action import Half, Hopping, Phi4
from rgdiff_core.lattice.annealing import (
    AnnealedLogZ,
    UnevenWeights,
    annealed_importance_sampling,
)
from rgdiff_core.lattice.chains import HMC, Trajectory, trajectories
from rgdiff_core.lattice.cluster import wolff
from rgdiff_core.lattice.ensembles import Ensemble, EnsembleSpec, ImportedSpec
from rgdiff_core.lattice.free import FreeField
from rgdiff_core.lattice.free_energy import Bridge, LogZ
from rgdiff_core.lattice.hmc import HMCResult, hmc
from rgdiff_core.lattice.integrators import Leapfrog, Omelyan
from rgdiff_core.lattice.ising import Ising
from rgdiff_core.lattice.observables import (
    Correlator,
    action_density,
    correlator,
    effective_sample_size,
    observables,
    schwinger_dyson,
)
from rgdiff_core.lattice.random_fields import (
    FreeSpectrum,
    GaussianField,
    PowerSpectrum,
    TableSpectrum,
)
from rgdiff_core.lattice.thermalization import History
from rgdiff_core.lattice.thermodynamic import (
    Node,
    ThermodynamicLogZ,
    thermodynamic_integration,
)
from rgdiff_core.statistics import Estimate

__all__ = [
    "AnnealedLogZ",
    "Bridge",
    "Correlator",
    "Ensemble",
    "EnsembleSpec",
    "Estimate",
    "FreeField",
    "FreeSpectrum",
    "GaussianField",
    "HMC",
    "HMCResult",
    "Half",
    "History",
    "Hopping",
    "ImportedSpec",
    "Ising",
    "Leapfrog",
    "LogZ",
    "Node",
    "Omelyan",
    "Phi4",
    "PowerSpectrum",
    "TableSpectrum",
    "ThermodynamicLogZ",
    "Trajectory",
    "UnevenWeights",
    "action_density",
    "annealed_importance_sampling",
    "correlator",
    "effective_sample_size",
    "hmc",
    "observables",
    "schwinger_dyson",
    "thermodynamic_integration",
    "trajectories",
    "wolff",
]
