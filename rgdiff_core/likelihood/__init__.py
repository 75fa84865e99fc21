"""The density of what a model samples: by the flow, and by a bound."""

from rgdiff_core.likelihood.bound import elbo, excess, step_weights
from rgdiff_core.likelihood.flow import (
    DIVERGENCES,
    Flowed,
    log_likelihood,
    sample_with_density,
)

__all__ = [
    "DIVERGENCES",
    "Flowed",
    "elbo",
    "excess",
    "log_likelihood",
    "sample_with_density",
    "step_weights",
]
