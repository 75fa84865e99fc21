"""Schedules γ_k(t): when each component is erased. `base` has the theory and the interface."""

from rgdiff_core.schedules.base import Level, Schedule
from rgdiff_core.schedules.cutoff import BlendedSchedule, Cutoff
from rgdiff_core.schedules.flows import (
    BlurringDiffusion,
    Carosso,
    InverseHeat,
    InverseRG,
    Polchinski,
)
from rgdiff_core.schedules.kernels import (
    BumpKernel,
    ButterworthKernel,
    CosinePath,
    CutoffPath,
    ExponentialKernel,
    ExponentialPath,
    GaussianKernel,
    HardKernel,
    Kernel,
    LinearPath,
    LitimKernel,
    LogarithmicPath,
    Path,
    SigmoidKernel,
)
from rgdiff_core.schedules.learned import LearnedGamma
from rgdiff_core.schedules.ordered import (
    Sequential,
    SoftConditioning,
    WaveletLevels,
)
from rgdiff_core.schedules.scalar import EDM, VE, Cosine, FlowMatching, LinearBeta, LinearGamma

__all__ = [
    "EDM",
    "VE",
    "BlendedSchedule",
    "BlurringDiffusion",
    "BumpKernel",
    "ButterworthKernel",
    "Carosso",
    "Cosine",
    "CosinePath",
    "Cutoff",
    "CutoffPath",
    "ExponentialKernel",
    "ExponentialPath",
    "FlowMatching",
    "GaussianKernel",
    "HardKernel",
    "InverseHeat",
    "InverseRG",
    "Kernel",
    "LearnedGamma",
    "Level",
    "LinearBeta",
    "LinearGamma",
    "LinearPath",
    "LitimKernel",
    "LogarithmicPath",
    "Path",
    "Polchinski",
    "Schedule",
    "Sequential",
    "SigmoidKernel",
    "SoftConditioning",
    "WaveletLevels",
]
