r"""Denoising score matching: what a learned denoiser minimizes.

With the Gaussian posterior's variance V, the *unit* loss of component k is |χ_k(0) − D_k|²/V_k: 1
on average for Gaussian data and F = 0, at every noise level. What a network has learnt is its gain
over the Gaussian, the Gaussian's loss less the network's on the same draw, and it is small: the
non-Gaussian part of 6×6 φ⁴ is below 1 nat for all components together.

A weighting is a weight w_k(t) on |χ_k(0) − D_k|²,

- unit:   1/V,
- simple: α²/(σ²S²), the squared error of the noise ε (Ho et al.),
- x0:     1/mean Σ, the squared error of the data,
- v:      1/(σ²S²), the squared error of v = αε − σ χ(0)/S (Salimans & Ho),
- elbo:   ½ d(SNR)/dt = ½ (dγ/dt) α²/(σ²S²), whose integral over t is the bound on −log p,
- edm:    1/mean_k V, the same for all components: EDM's 1/c_out², by the power of the data. The
          other weightings spend most of the loss on the many fine components; this one spends it
          where the picture's power is,
- balanced: 1/√(V_k mean_k V), the geometric mean of unit and edm.

References:
    Ho et al., 2006.11239; Salimans & Ho, 2202.00512; Kingma et al., 2107.00630 (the bound);
    Karras et al., 2206.00364, table 1 (EDM's weighting and its log-normal noise levels).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import NetworkDenoiser, gaussian_posterior
from rgdiff_core.denoisers.base import free_error
from rgdiff_core.process import Marginal, Process
from rgdiff_core.spec import Spec, check_range

__all__ = [
    "LossTerms",
    "NoiseBatch",
    "Objective",
    "TIMES",
    "WEIGHTINGS",
    "by_scale",
    "denoising_loss",
    "weights",
]

WEIGHTINGS = ("unit", "simple", "x0", "v", "elbo", "edm", "balanced")
TIMES = ("stratified", "importance", "lognormal")
SNR_LIMIT = 1e4  # of α²Σ/(σ²S²), beyond which the weightings "simple" and "v" are cut


@dataclass(frozen=True)
class Objective(Spec):
    """What is minimized.

    Arguments:
        weighting: "unit", "simple", "x0", "v", "elbo", "edm" or "balanced".
        times: "stratified" for one time in each of equal slices of [0, 1]; "importance" for
            slices of equal fall of the mean log posterior variance, each sample weighted by the
            length of its slice, so that the expectation is the same; "lognormal" for a normal
            density of the log noise level, which is part of the objective: of γ for white noise,
            and for any other process of the γ at which white noise leaves the same mean posterior
            variance. A tenth of the times is uniform.
        level_mean: mean of that normal density; the default is EDM's, in units of the data's
            variance.
        level_std: its standard deviation, likewise.
    """

    weighting: str = "unit"
    times: str = "stratified"
    level_mean: float = -1.0
    level_std: float = 2.4

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ValueError(
                f"weighting = {self.weighting!r} is not one of {', '.join(WEIGHTINGS)}."
            )
        if self.times not in TIMES:
            raise ValueError(f"times = {self.times!r} is not one of {', '.join(TIMES)}.")
        check_range("level_mean", self.level_mean, -20, 20)
        check_range("level_std", self.level_std, 0.1, 20)


@dataclass(frozen=True, eq=False)
class NoiseBatch:
    """Noise levels for a batch.

    Attributes:
        marginal: α and σS of χ/r, each (B, C or 1, H, W).
        weight: on |χ(0) − D|², which broadcasts to (B, C, H, W).
    """

    marginal: Marginal
    weight: Tensor

    def rows(self, chosen: slice) -> "NoiseBatch":
        """Return some of the samples."""
        alpha, std = self.marginal.alpha[chosen], self.marginal.std[chosen]
        return NoiseBatch(Marginal(alpha, std), self.weight[chosen])

    @classmethod
    def joined(cls, parts: Sequence["NoiseBatch"]) -> "NoiseBatch":
        """Return the samples of several batches as one."""
        alpha = torch.cat([part.marginal.alpha for part in parts])
        std = torch.cat([part.marginal.std for part in parts])
        return cls(Marginal(alpha, std), torch.cat([part.weight for part in parts]))


@dataclass(frozen=True, eq=False)
class LossTerms:
    """A loss and what is logged of it.

    Attributes:
        loss: (), the mean of `weighted`, with gradient.
        weighted: (B, C, H, W), the weighted squared error.
        unit: (B, C, H, W), |χ(0) − D|²/V.
        gain: (B, C, H, W), over the Gaussian: its unit loss less the model's, on the same draw.
    """

    loss: Tensor
    weighted: Tensor
    unit: Tensor
    gain: Tensor


def weights(
    weighting: str, process: Process, t: Tensor, modes: Modes, marginal: Marginal | None = None
) -> Tensor:
    """Return w_k(t) for times (B,), which broadcasts to (B, C, H, W).

    For "simple" and "v" the SNR of data to noise, α²Σ/(σ²S²), is cut at 10⁴, beyond which nothing
    is left to learn.

    Arguments:
        modes: of the data, with variances.
        marginal: of χ/r at t, where it is known already.
    """
    variance = modes.variance_for("the loss")
    marginal = process.vp_marginal(t) if marginal is None else marginal
    if weighting == "unit":
        return 1 / variance + marginal.alpha**2 / marginal.std**2
    if weighting == "edm":
        return 1 / marginal.posterior_variance(variance).mean((-3, -2, -1), keepdim=True)
    if weighting == "balanced":
        own = marginal.posterior_variance(variance)
        return (own * own.mean((-3, -2, -1), keepdim=True)).rsqrt()
    noise = torch.maximum(marginal.std**2, marginal.alpha**2 * variance / SNR_LIMIT)
    snr = marginal.alpha**2 / noise
    if weighting == "simple":
        return snr
    if weighting == "x0":
        return torch.ones_like(snr) / variance.mean()
    if weighting == "v":
        return 1 / noise
    level = process.level(t)
    rate = process.beta(t) / torch.sigmoid(level.gamma)
    return rate * marginal.alpha**2 / marginal.std**2 / 2


def denoising_loss(
    model: NetworkDenoiser,
    x0: Tensor,
    batch: NoiseBatch,
    noise: Tensor,
    class_labels: Tensor | None = None,
) -> LossTerms:
    """Return the loss of a model on fields x0 (B, C, H, W).

    Arguments:
        batch: noise levels for every field.
        noise: white, (B, C, H, W), in component space.
        class_labels: int64 (B,), -1 for the null label, of a model with classes; of a model along
            a line of couplings, the numbers of its points.
    """
    if model.line is not None and class_labels is not None:
        model, class_labels = model.at_points(class_labels), None
    data = model.basis.analyze(x0)
    marginal = batch.marginal
    c = marginal.alpha * data + marginal.std * noise
    gaussian = model.gaussian(c, marginal)
    network_term = model.network_term(c, marginal, gaussian, class_labels)
    free = gaussian.variance.sqrt() * free_error(
        data, noise, marginal, model.reference_mean, model.reference_variance
    )
    error = free + network_term
    with torch.no_grad():
        unit = error**2 / gaussian.variance
        if model.spec.reference == "spectrum":
            gain = -network_term * (2 * free + network_term) / gaussian.variance
        else:
            best = gaussian_posterior(c, marginal, model.modes_mean, model.modes_variance)
            gain = ((best.mean - data) ** 2 - error**2) / best.variance
    weighted = batch.weight * error**2
    return LossTerms(weighted.mean(), weighted.detach(), unit, gain)


def by_scale(values: Tensor, modes: Modes, bands: int = 8) -> Tensor:
    """Return the mean of values (B, C, H, W) in equal bands of scale, (bands,).

    A band without components is nan.
    """
    scale = modes.scale.expand(values.shape[1:]).flatten()
    band = (scale * bands).long().clamp(0, bands - 1)
    mean = values.mean(0).flatten()
    total = mean.new_zeros(bands).index_add_(0, band, mean)
    return total / torch.bincount(band, minlength=bands)
