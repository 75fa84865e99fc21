r"""Given a part of the data, the rest: zoom, super-resolution, inpainting, with any softness.

What is known of component k is a noisy look at it, y_k = χ_k(0) + τ_k η, of *reliability* κ = Σ/(Σ
+ τ²) in [0, 1]: 1 for known exactly, 0 for unknown. The noised field is another such look, at
level n = σS/α. Two Gaussian looks at one number are one look at a lower level,

    1/n'² = α²/(σ²S²) + 1/τ²,      x' = n'² (α χ/(σ²S²) + y/τ²),

so a denoiser that is conditioned on the level of every component answers exactly the conditional
question, with no guidance and no approximation, and every sampler then draws from the conditional
distribution. This is what a universal denoiser is for; one that is conditioned on the time alone
cannot.
"""

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser, Guided, NetworkDenoiser, Posterior
from rgdiff_core.process import Generators, Marginal, Prior, Process, white_noise
from rgdiff_core.schedules.kernels import SigmoidKernel

__all__ = ["Conditioned", "known_below"]


def known_below(scale: Tensor, cutoff: float, softness: float) -> Tensor:
    """Return κ of components of which those coarser than a cutoff are known, and the finer ones
    ever less: that of a sigmoid kernel.

    Arguments:
        scale: of the components, in [0, 1].
        cutoff: in [0, 1].
        softness: the kernel's width.
    """
    gamma = SigmoidKernel(softness).gamma(scale, torch.full_like(scale, cutoff))
    return torch.sigmoid(-gamma)


class Conditioned(Denoiser):
    """A denoiser of the same data, given a look at some components of given fields.

    Arguments:
        model: a denoiser that is conditioned on the level of every component; it may be guided.
        fields: (n, C, H, W) or (1, C, H, W), of which a part is known; n samples are then drawn.
        known: κ in [0, 1], which broadcasts to (C, H, W) in the model's basis.
        generator: of the look's noise η; one, or one for each field.

    Raises `ValueError` for κ outside [0, 1], fields that do not fit, and a model that is
    conditioned on the time alone.
    """

    def __init__(
        self, model: Denoiser, fields: Tensor, known: Tensor, generator: Generators = None
    ) -> None:
        super().__init__(model.basis, model.modes)
        if not _knows_levels(model):
            raise ValueError(
                "this model is conditioned on the time alone, so no part can be given to it."
            )
        if fields.ndim != 4 or fields.shape[1:] != model.basis.shape:
            raise ValueError(f"fields {tuple(fields.shape)} do not fit {model.basis.shape}.")
        if not ((known >= 0) & (known <= 1)).all():
            raise ValueError("the reliability known of every component must be in [0, 1].")
        self.model = model
        mean, variance = self.modes_mean, self.modes_variance
        self.known = known.to(mean).expand(mean.shape)
        data = model.basis.analyze(fields.to(mean))
        doubt = torch.sqrt(variance * (1 - self.known) / self.known.clamp_min(1e-12))
        look = data + doubt * white_noise(data.shape, data, generator)
        self.look = torch.where(self.known > 0, look, mean)

    def extra_repr(self) -> str:
        return f"{self.model}, {len(self.look)} fields known to {float(self.known.mean()):.0%}"

    @property
    def free_mean(self) -> Tensor:
        """Return μ + κ (y − μ), (n, C, H, W)."""
        return self.modes_mean + self.known * (self.look - self.modes_mean)

    @property
    def free_variance(self) -> Tensor:
        """Return Σ (1 − κ), (C, H, W)."""
        return self.modes_variance * (1 - self.known)

    def _looked(self, c: Tensor, marginal: Marginal) -> tuple[Tensor, Marginal]:
        """Return both looks at the data as one, x' at the level n'."""
        alpha, noise = marginal.alpha, marginal.std**2
        theirs, ours = noise * self.known, self.free_variance  # of κ/(σ²S²κ + α²Σ(1 − κ))
        total = theirs + alpha**2 * ours
        exact = (self.known == 1).expand_as(total)
        total = torch.where(exact & (total <= 0), 1.0, total)
        seen = (theirs * self.look + alpha * ours * c) / total
        level = torch.sqrt(noise * ours / total)
        return torch.where(exact, self.look, seen), Marginal(torch.ones_like(level), level)

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the posterior of the data given the noised components and the look."""
        return self.model.posterior(*self._looked(c, marginal))

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return the model's, at the level of both looks."""
        return self.model.interaction(*self._looked(c, marginal))

    def prior(self, process: Process) -> Prior:
        """Return where samples start: the free theory's, given the look."""
        last = process.marginal(1.0)
        return Prior(last.alpha * self.free_mean, last.total_variance(self.free_variance).sqrt())


def _knows_levels(model: Denoiser) -> bool:
    """Tell whether a model is conditioned on the noise level of every component."""
    if isinstance(model, Guided):
        return _knows_levels(model.model) and _knows_levels(model.reference)
    return not isinstance(model, NetworkDenoiser) or model.spec.conditioning != "time"
