r"""Denoisers: what the data were, given a noised field.

A denoiser returns the posterior of χ(0) given χ(t), mean and variance, per component. It works in
components of χ/r, where every process preserves variance, and all that it is told of the process
is (α, σS). Score = (α D − χ)/(σ² S²).

For Gaussian data with mean μ and variance Σ the posterior is exact, and with it the score of the
free theory:

    D = μ + αΣ (χ − αμ)/(α²Σ + σ²S²),    V = Σ σ²S²/(α²Σ + σ²S²),    score = −(χ − αμ)/(α²Σ +
    σ²S²).
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from rgdiff_core.bases import Basis
from rgdiff_core.modes import Modes
from rgdiff_core.process import Marginal, Process

__all__ = ["Denoiser", "GaussianDenoiser", "Posterior"]


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of the components χ(0): mean (B, C, H, W) and variance, which broadcasts
    against it.
    """

    mean: Tensor
    variance: Tensor


class Denoiser(nn.Module):
    """A denoiser in a basis, with the modes of its data. Derived classes write `posterior`."""

    basis: Basis
    modes_mean: Tensor
    modes_variance: Tensor

    def __init__(self, basis: Basis, modes: Modes) -> None:
        super().__init__()
        if modes.mean is None or modes.variance is None:
            raise ValueError("a denoiser needs the data's mean and variance: use Modes.fit.")
        self.basis = basis
        for name in ("scale", "mean", "variance", "momentum"):
            self.register_buffer(f"modes_{name}", getattr(modes, name))

    @property
    def modes(self) -> Modes:
        """Return the modes of the data, on the denoiser's device."""
        names = ("scale", "mean", "variance", "momentum")
        return Modes(*(getattr(self, f"modes_{name}") for name in names))

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the posterior of χ(0) given components c of χ(t)/r and the marginal of χ/r."""
        raise TypeError(f"{type(self).__name__} does not say what its posterior is.")

    def denoise(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the posterior mean of the data, as fields (B, C, H, W), given fields x at times
        t.
        """
        c = self.basis.analyze(x) / process.level(t).magnitude
        return self.basis.synthesize(self.posterior(c, process.preserved(t)).mean)

    def score(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the score ∇ log p_t(φ) at fields x (B, C, H, W) and times t, as fields."""
        magnitude = process.level(t).magnitude
        c = self.basis.analyze(x) / magnitude
        return self.basis.synthesize(self.component_score(c, process.preserved(t)) / magnitude)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return (α D − χ)/(σ² S²), (B, C, H, W), the score of the components c of χ/r.

        Where there is little noise the two terms cancel to rounding: a denoiser that knows a
        better form writes it.
        """
        mean = self.posterior(c, marginal).mean
        return (marginal.alpha * mean - c) / marginal.std**2


class GaussianDenoiser(Denoiser):
    """The free theory: the exact posterior of Gaussian data with the given mean and variances.

    It serves every process in its basis.
    """

    @classmethod
    def fit(cls, basis: Basis, images: Tensor) -> Self:
        """Fit mean and variances to images (N, C, H, W), N ≥ 2."""
        return cls(basis, Modes.fit(basis, images))

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the exact Gaussian posterior."""
        alpha, noise = marginal.alpha, marginal.std**2
        mu, prior = self.modes_mean, self.modes_variance
        total = alpha**2 * prior + noise
        mean = mu + alpha * prior * (c - alpha * mu) / total
        return Posterior(mean, prior * noise / total)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return −(χ − αμ)/(α²Σ + σ²S²), exact at any noise level."""
        total = marginal.alpha**2 * self.modes_variance + marginal.std**2
        return (marginal.alpha * self.modes_mean - c) / total

    def log_density(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the exact log density (B,), in nats, of fields x at times t."""
        marginal = process.marginal(t)
        variance = marginal.alpha**2 * self.modes_variance + marginal.std**2
        c = self.basis.analyze(x) - marginal.alpha * self.modes_mean
        terms = c**2 / variance + torch.log(2 * torch.pi * variance)
        return -terms.expand(c.shape).flatten(1).sum(1) / 2
