"""Evaluate the result of a search on held-out images."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.likelihood.bound import elbo
from rgdiff_core.likelihood.densities import free_log_density
from rgdiff_core.process import Process
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.statistics import Estimate

__all__ = ["Comparison", "compare", "step_bound"]

MAX_IMAGES = 1024  # in one call


@dataclass(frozen=True)
class Comparison:
    """The N-step bounds of two processes on the same images and noise, nats above the free theory.

    Attributes:
        n: Number of images.
        before: Of the first process; negative where the model gains on the free theory.
        after: Of the second process, likewise.
        change: after less before, with the error of the paired difference.
    """

    n: int
    before: Estimate
    after: Estimate
    change: Estimate


def step_bound(
    model: Denoiser,
    process: Process,
    images: Tensor,
    steps: int,
    *,
    grid: Grid = "uniform",
    draws: int = 1,
    seed: int = 0,
) -> Tensor:
    """Return the N-step bound for each image, (B,), nats above the free theory.

    Equal seeds mean equal noise, so that processes compare in pairs.

    Arguments:
        grid: as of `rg.sample`.
        draws: of the noise for each image; the result is their mean.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for x in images.to(process.noise_variance).split(MAX_IMAGES):
        total = torch.zeros(len(x), dtype=torch.float64)
        for _ in range(draws):
            total += elbo(model, process, x, steps, generator, grid=grid).cpu().double()
        parts.append(free_log_density(model, x).cpu().double() - total / draws)
    return torch.cat(parts)


def compare(
    model: Denoiser,
    before: Process,
    after: Process,
    images: Tensor,
    steps: int,
    *,
    draws: int = 4,
    seed: int = 1,
) -> Comparison:
    """Return the N-step bounds of two processes on images (n, C, H, W), uniform in t."""
    first, second = (
        step_bound(model, process, images, steps, draws=draws, seed=seed)
        for process in (before, after)
    )
    return Comparison(len(images), *(Estimate.of(x) for x in (first, second, second - first)))
