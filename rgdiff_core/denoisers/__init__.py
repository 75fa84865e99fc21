"""Denoisers: the posterior of the data, given a noised field.

`base` has what every denoiser is and the exact posterior of Gaussian data, `network` the learned
denoiser that corrects it, `guidance` what leads samples to a class, or away from a weaker model,
`two_sites` the exact denoiser of the smallest interacting theory.
"""

from rgdiff_core.denoisers.base import (
    NULL_LABEL,
    DelegatingDenoiser,
    Denoiser,
    GaussianDenoiser,
    Posterior,
    check_count,
    check_labels,
    gaussian_posterior,
    gaussian_score,
)
from rgdiff_core.denoisers.guidance import (
    GuidanceCurve,
    Guided,
    Interval,
    free_theory,
    guided,
    log_snr,
)
from rgdiff_core.denoisers.model_spec import ModelSpec
from rgdiff_core.denoisers.network import NetworkDenoiser
from rgdiff_core.denoisers.noise_state import NoiseState
from rgdiff_core.denoisers.two_sites import TwoSites

__all__ = [
    "NULL_LABEL",
    "DelegatingDenoiser",
    "Denoiser",
    "GaussianDenoiser",
    "GuidanceCurve",
    "Guided",
    "Interval",
    "ModelSpec",
    "NetworkDenoiser",
    "NoiseState",
    "Posterior",
    "TwoSites",
    "check_count",
    "check_labels",
    "free_theory",
    "gaussian_posterior",
    "gaussian_score",
    "guided",
    "log_snr",
]
