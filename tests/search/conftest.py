"""Data whose exact denoiser is known: components that are mixtures of two Gaussians."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.denoisers import Denoiser, Posterior

SHAPE, APART, NARROW = (1, 4, 4), 0.9, 0.3  # centres at ±0.9 and deviations of 0.3, in units


class Mixture(Denoiser):
    """The exact denoiser where every component is ±APART with Gaussian noise, times its size."""

    def posterior(self, c, marginal):
        size = self.modes_variance.sqrt() / (APART**2 + NARROW**2) ** 0.5
        a, s2 = APART * size, (NARROW * size) ** 2
        alpha, noise = marginal.alpha, marginal.std**2
        total = alpha**2 * s2 + noise
        mean = torch.tanh(alpha * a * c / total) * a * noise / total + alpha * s2 * c / total
        return Posterior(mean, self.modes_variance * noise / total)


@dataclass(frozen=True)
class Toy:
    """The mixture's denoiser and fields drawn from it."""

    model: Denoiser
    images: Tensor
    fresh: Tensor

    def process(self, schedule, color=None):
        """Return a process in its basis."""
        color = color or rg.colors.White()
        return rg.Process(self.model.basis, color, schedule, self.model.modes)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Let small arrays be computed on one thread, where they are fastest."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def toy() -> Toy:
    """Return the toy in double precision; coarse components are larger than fine ones."""
    generator = torch.Generator().manual_seed(5)
    basis = rg.bases.FourierBasis(SHAPE).double()
    size = 1 / (0.2 + basis.scale.double())
    shape = (6000, *SHAPE)
    sign = torch.randint(0, 2, shape, generator=generator).double() * 2 - 1
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = basis.synthesize(size * (APART * sign + NARROW * noise))
    variance = size**2 * (APART**2 + NARROW**2)
    modes = rg.Modes(basis.scale.double(), torch.zeros_like(size), variance)
    return Toy(Mixture(basis, modes), x[:4000], x[4000:])
