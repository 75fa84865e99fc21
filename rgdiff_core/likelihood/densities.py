"""What densities are made of: samples that carry one, the prior, Gaussians, volumes."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import check_fields
from rgdiff_core.denoisers import Denoiser, check_count
from rgdiff_core.process import Generators, Process, white_noise

__all__ = [
    "Flowed",
    "FoldedError",
    "free_log_density",
    "log_prior",
    "log_volume",
    "normal_log_density",
    "prior_components",
]


class FoldedError(ValueError):
    """A sampler's map folds, so that what it draws can't be weighed."""

    def __init__(self, steps: int) -> None:
        super().__init__(
            f"steps = {steps} are too few for this process: the sampler's map folds, so its "
            "samples can't be reweighted."
        )


@dataclass(frozen=True, eq=False)
class Flowed:
    """Fields x (n, C, H, W) and their log density (n,), nats.

    Attributes:
        evaluations: of the denoiser, for each field.
        folded: whether the map that made the fields is seen to fold, so that the density is that
            of one of its sheets only; never true of the flow.
    """

    x: Tensor
    log_density: Tensor
    evaluations: int
    folded: bool = False


def prior_components(
    model: Denoiser, process: Process, n: int, generator: Generators = None
) -> Tensor:
    """Draw components of χ/r at t = 1, (n, C, H, W), from where samples start."""
    check_count(model, n)
    prior = model.prior(process)
    noise = white_noise((n, *process.basis.shape), process.noise_variance, generator)
    return (prior.mean + prior.std * noise) / process.level(1.0).magnitude


def log_prior(model: Denoiser, process: Process, c: Tensor) -> Tensor:
    """Return the log density (B,) of components c (B, C, H, W) of χ/r at t = 1 where samples
    start.
    """
    prior, last = model.prior(process), process.level(1.0).magnitude
    return normal_log_density((c * last - prior.mean) / prior.std) - log_volume(
        prior.std / last, c
    )


def normal_log_density(z: Tensor) -> Tensor:
    """Return the log density (B,) of N(0, 1) in every component of z (B, C, H, W)."""
    return -(z**2 + math.log(2 * math.pi)).flatten(1).sum(1) / 2


def log_volume(scale: Tensor, x: Tensor) -> Tensor:
    """Return Σ log scale over all components of fields like x (B, C, H, W)."""
    return torch.log(scale).expand(x.shape[1:]).sum()


def free_log_density(model: Denoiser, x: Tensor) -> Tensor:
    """Return log N(x; μ, Σ), (B,), in nats: the free theory with the model's mean and variance.

    Raises `ValueError` for fields that do not fit the model, and where a variance is zero.
    """
    check_fields(x, model.basis)
    check_count(model, len(x))
    if not (model.free_variance > 0).all():
        raise ValueError(
            "fields have no finite density given components that are known exactly: every "
            "reliability known must be below 1."
        )
    root = model.free_variance.sqrt()
    z = (model.basis.analyze(x) - model.free_mean) / root
    return normal_log_density(z) - log_volume(root, x)
