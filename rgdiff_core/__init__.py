"""rgdiff: renormalization-group inspired diffusion models.

The core library: bases, noise colours, schedules, processes, denoisers, samplers, spectra,
lattices and data.
"""

import importlib
from types import ModuleType

from rgdiff_core import bases, colors, data, lattice, schedules, spectra
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import (
    Denoiser,
    GaussianDenoiser,
    ModelSpec,
    NetworkDenoiser,
    Posterior,
)
from rgdiff_core.denoisers.files import list_pretrained, load_model, load_pretrained, save_model
from rgdiff_core.likelihood import elbo, log_likelihood
from rgdiff_core.process import Marginal, Process, ProcessSpec
from rgdiff_core.sampling import sample, trajectory
from rgdiff_core.sampling.growth import grow

lattice.grow = grow  # pyright: ignore[reportAttributeAccessIssue]  # it samples: above its floor

__version__ = "0.1.0"

__all__ = [
    "Denoiser",
    "GaussianDenoiser",
    "Marginal",
    "ModelSpec",
    "Modes",
    "NetworkDenoiser",
    "Posterior",
    "Process",
    "ProcessSpec",
    "bases",
    "colors",
    "data",
    "elbo",
    "lattice",
    "list_pretrained",
    "load_model",
    "load_pretrained",
    "log_likelihood",
    "sample",
    "save_model",
    "schedules",
    "spectra",
    "trajectory",
]

LATER = ("evaluation", "search", "training")  # slow to import, so when they are first asked for


def __getattr__(name: str) -> ModuleType:
    if name in LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LATER})
