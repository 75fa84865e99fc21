"""The density of what a model samples: by the flow, by a bound, and of a sampler's few steps."""

from rgdiff_core.likelihood.bits import bits_per_dim, dequantize
from rgdiff_core.likelihood.bound import elbo, excess
from rgdiff_core.likelihood.densities import Flowed, FoldedError
from rgdiff_core.likelihood.discrete import sampler_density
from rgdiff_core.likelihood.flow import flow_density, log_likelihood, sample_with_density
from rgdiff_core.likelihood.jacobians import DIVERGENCES

__all__ = [
    "DIVERGENCES",
    "Flowed",
    "FoldedError",
    "bits_per_dim",
    "dequantize",
    "elbo",
    "excess",
    "flow_density",
    "log_likelihood",
    "sample_with_density",
    "sampler_density",
]
