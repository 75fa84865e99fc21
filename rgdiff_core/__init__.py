"""rgdiff: renormalization-group inspired diffusion models.

The core library: bases, noise colours, schedules, processes, denoisers, samplers, spectra,
lattices and data.
"""

from rgdiff_core import bases, colors, cutoff, data, lattice, schedules, spectra
from rgdiff_core.denoisers import Denoiser, GaussianDenoiser, Posterior
from rgdiff_core.modes import Modes
from rgdiff_core.process import Marginal, Process
from rgdiff_core.sampling import sample, trajectory

__all__ = [
    "Denoiser",
    "GaussianDenoiser",
    "Marginal",
    "Modes",
    "Posterior",
    "Process",
    "bases",
    "colors",
    "cutoff",
    "data",
    "lattice",
    "sample",
    "schedules",
    "spectra",
    "trajectory",
]
