"""Gaussians with any correlations, exactly, and the processes that tests draw them by."""

import torch
from laws import BASES, dense, fields
from torch import Tensor

from rgdiff_core import (
    Denoiser,
    GaussianDenoiser,
    Marginal,
    Modes,
    Posterior,
    Process,
    colors,
    schedules,
)
from rgdiff_core.bases import PixelBasis

SHAPE = (1, 4, 4)
FREE = colors.FreeTheory()
CUTOFF = schedules.Cutoff()


def made(
    schedule: schedules.Schedule = CUTOFF, name: str = "fourier", color: colors.Color = FREE
) -> tuple[GaussianDenoiser, Process]:
    model = GaussianDenoiser.fit(BASES[name](SHAPE), fields(SHAPE, 60)).double()
    return model, Process(model.basis, color, schedule, model.modes).double()


def truth(model: Denoiser) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the data, dense, in field space."""
    u = dense(model.basis).T
    return u @ model.modes.mean.flatten(), u @ torch.diag(model.modes.variance.flatten()) @ u.T


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class DenseGaussian(Denoiser):
    """Gaussian data whose components are correlated: each one's mean depends on all the others."""

    def __init__(self, basis: PixelBasis, covariance: Tensor):
        one = torch.ones(basis.shape, dtype=torch.float64)
        super().__init__(basis, Modes(one * 0, one * 0, one))
        self.covariance = covariance

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        a = torch.diag(marginal.alpha.expand(self.basis.shape).flatten())
        noise = torch.diag((marginal.std**2).expand(self.basis.shape).flatten())
        gain = self.covariance @ a @ torch.linalg.inv(a @ self.covariance @ a + noise)
        variance = (self.covariance - gain @ a @ self.covariance).diagonal().clamp_min(0)
        return Posterior((c.flatten(1) @ gain.T).reshape(c.shape), variance.reshape(c.shape[1:]))
