"""A target whose density, denoiser and samples are all exact: a mixture of Gaussians."""

import copy
import math

import torch
from laws import BASES
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import Denoiser, Posterior, check_labels, gaussian_posterior
from rgdiff_core.process import Marginal, Process

__all__ = ["LabelledMixture", "Mixture", "mixture"]


class Mixture(Denoiser):
    """Gaussians of given means and variances of the components, (J, C, H, W), in equal shares."""

    def __init__(self, basis, means, variances):
        mean = means.mean(0)
        spread = (variances + (means - mean) ** 2).mean(0)
        modes = Modes.of(basis)
        super().__init__(basis, Modes(modes.scale, mean, spread, modes.momentum))
        self.means, self.variances = means, variances

    def logs(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return the log density of every Gaussian at c, with its share, (J, B)."""
        total = marginal.alpha**2 * self.variances[:, None] + marginal.std**2
        centred = c - marginal.alpha * self.means[:, None]
        terms = centred**2 / total + torch.log(2 * math.pi * total)
        return -terms.flatten(2).sum(2) / 2 - math.log(len(self.means))

    def posterior(self, c, marginal):
        share = torch.softmax(self.logs(c, marginal), 0)[..., None, None, None]
        parts = [
            gaussian_posterior(c, marginal, m, v)
            for m, v in zip(self.means, self.variances, strict=True)
        ]
        mean = (share * torch.stack([p.mean for p in parts])).sum(0)
        second = torch.stack([p.variance + p.mean**2 for p in parts])
        return Posterior(mean, (share * second).sum(0) - mean**2)

    def log_density(self, x: Tensor, process: Process | None = None) -> Tensor:
        """Return the exact log density (B,) of the data x, or of what a process makes of them at
        t = 0.
        """
        c, one = self.basis.analyze(x), torch.ones_like(self.modes_mean)
        marginal = Marginal(one, 0 * one) if process is None else process.marginal(0.0)
        return torch.logsumexp(self.logs(c, marginal), 0)

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Draw n fields."""
        generator = torch.Generator().manual_seed(seed)
        j = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, *self.basis.shape, generator=generator, dtype=self.means.dtype)
        return self.basis.synthesize(self.means[j] + self.variances[j].sqrt() * noise)


class LabelledMixture(Mixture):
    """A mixture whose classes are its Gaussians, the first for label 0."""

    class_names = ("low", "high")
    labels: Tensor | None = None

    def given(self, class_labels: Tensor | None) -> "LabelledMixture":
        """Return the mixture of fields of given classes."""
        if class_labels is None:
            return self
        check_labels(class_labels, self.num_classes)
        view = copy.copy(self)
        view.labels = class_labels
        return view

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the exact posterior, of the label's Gaussian alone where there is one."""
        both = super().posterior(c, marginal)
        if self.labels is None:
            return both
        label = self.labels.expand(len(c))
        known = (label >= 0)[:, None, None, None]
        chosen = label.clamp_min(0)
        one = gaussian_posterior(c, marginal, self.means[chosen], self.variances[chosen])
        mean = torch.where(known, one.mean, both.mean)
        return Posterior(mean, torch.where(known, one.variance, both.variance))


def mixture(shape: tuple[int, int, int] = (1, 2, 2), basis: str = "cosine", n: int = 2) -> Mixture:
    """Return a mixture of n Gaussians that overlap a little, in a few components."""
    generator = torch.Generator().manual_seed(4)
    means = 0.8 * torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    variances = 0.1 + 0.3 * torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    return Mixture(BASES[basis](shape).double(), means, variances)
