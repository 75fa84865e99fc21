r"""Guidance: away from a weaker denoiser, along what a better one knows beyond it.

With a denoiser c and a weaker reference u of the same data, samplers are given the mean

    D = u + s (c − u),

with scale s = 1 for c itself. Scores and the interaction picture's forces mix alike, since they
are affine in D. Three references are at hand: the same network with the null label
(classifier-free guidance), an earlier snapshot of it (autoguidance), and the free theory, whose
posterior is known in closed form and costs no evaluation of a network. The scale may depend on the
component, and act in an interval of noise levels only.

References:
    Ho & Salimans, 2207.12598; Karras et al., 2406.02507 (autoguidance); Kynkäänniemi et al.,
    2404.07724 (the interval). The convention of s is that of diffusers and of EDM2; azula's is
    c + ω (c − u), ω = s − 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.bases.base import Shape, same_basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers.base import (
    NULL_LABEL,
    DelegatingDenoiser,
    Denoiser,
    GaussianDenoiser,
    Posterior,
)
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.process import Marginal
from rgdiff_core.schedules.kernels import monotone_cubic
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = [
    "FREE",
    "MAX_SCALE",
    "NULL",
    "GuidanceCurve",
    "Guided",
    "Interval",
    "as_typed",
    "free_theory",
    "guided",
    "in_basis",
    "log_snr",
]

NULL, FREE = "null", "free"  # guides by name: the model without the class, the free theory
MAX_SCALE = 50.0
MAX_LEVEL = 40.0
MAX_POINTS = 64
MAX_TURN = 0.05  # of colour axes, in radians
Interval = tuple[float, float]


@dataclass(frozen=True)
class GuidanceCurve(Spec):
    """A guidance scale for every scale of the field: monotone cubic between points.

    Arguments:
        scales: of the points, rising, from 0 (the coarsest) to 1 (the finest).
        values: s at each of them, 0 to 50.
    """

    scales: tuple[float, ...] = (0.0, 1.0)
    values: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_whole("number of points", len(self.scales), 2, MAX_POINTS)
        if len(self.values) != len(self.scales):
            raise ValueError(f"{len(self.scales)} scales come with {len(self.values)} values.")
        rising = all(a < b for a, b in zip(self.scales, self.scales[1:], strict=False))
        if self.scales[0] != 0 or self.scales[-1] != 1 or not rising:
            raise ValueError(f"scales = {self.scales} must rise from 0 to 1.")
        for value in self.values:
            check_range("guidance scale", value, 0, MAX_SCALE)

    def at(self, scale: Tensor) -> Tensor:
        """Return s for components of given scales, in the shape of `scale`."""
        scales, values = (scale.new_tensor(x) for x in (self.scales, self.values))
        return monotone_cubic(scales, values, scale)


def log_snr(marginal: Marginal, modes: Modes) -> Tensor:
    """Return log(mean α²Σ / mean σ²S²), (B,) or (), of all components together: −γ for white noise
    of the data's power.

    Arguments:
        marginal: α and σS of χ/r, each (B, C or 1, H, W) or without B.
        modes: of the data, with variances.
    """
    variance = modes.variance_for("the signal-to-noise ratio")
    signal = (marginal.alpha**2 * variance).mean((-3, -2, -1))
    noise = (marginal.std**2).mean((-3, -2, -1))
    return torch.log(signal.clamp_min(1e-30)) - torch.log(noise.clamp_min(1e-30))


class Guided(DelegatingDenoiser):
    """D = u + s (c − u), with the variance of c.

    Arguments:
        model: c.
        reference: u, of the same data and in the same basis, but for its colour axes: see
            `in_basis`.
        scale: s, or one for every scale of the field.
        interval: of the log-SNR (`log_snr`) in which s acts; elsewhere c alone; None for all.

    Raises `ValueError` for a scale outside [0, 50], an interval that is upside down or outside
    ±40, and denoisers that do not fit each other.
    """

    guidance: Tensor

    def __init__(
        self,
        model: Denoiser,
        reference: Denoiser,
        scale: float | GuidanceCurve,
        interval: Interval | None = None,
    ) -> None:
        super().__init__(model)
        reference = in_basis(reference, model.basis)
        if isinstance(scale, GuidanceCurve):
            strength = scale.at(self.modes.scale)
        else:
            check_range("guidance_scale", scale, 0, MAX_SCALE)
            strength = torch.full_like(self.modes.scale, scale)
        self.register_buffer("guidance", strength, persistent=False)
        self.reference, self.chosen = reference, scale
        self.interval = None if interval is None else _checked(interval)
        self.alike = _same(model.free_mean, reference.free_mean) and _same(
            model.free_variance, reference.free_variance
        )  # else their interactions are not in the same units

    def extra_repr(self) -> str:
        low, high = (float(each) for each in self.guidance.aminmax())
        scale = f"{low:g}" if low == high else f"{low:g} to {high:g} by scale"
        inside = "" if self.interval is None else f", log-SNR in {self.interval}"
        return f"{self.model}, scale {scale}{inside}, by {type(self.reference).__name__}"

    def on(self, shape: Shape, modes: Modes | ModesLine) -> "Guided":
        """Return the same guidance of both denoisers on another lattice; see `Denoiser.on`."""
        model, reference = (each.on(shape, modes) for each in (self.model, self.reference))
        return Guided(model, reference, self.chosen, self.interval)

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the guided mean and the variance of the model."""
        own, s = self.model.posterior(c, marginal), self._strength(marginal)
        if s is None:
            return own
        other = self.reference.posterior(c, marginal).mean
        return Posterior(other + s * (own.mean - other), own.variance)

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return (D − m)/√V of the guided mean."""
        if not self.alike:  # the reference's own is beyond another free theory
            return super().interaction(c, marginal)
        own, s = self.model.interaction(c, marginal), self._strength(marginal)
        if s is None:
            return own
        other = self.reference.interaction(c, marginal)
        return other + s * (own - other)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return the guided score."""
        own, s = self.model.component_score(c, marginal), self._strength(marginal)
        if s is None:
            return own
        other = self.reference.component_score(c, marginal)
        return other + s * (own - other)

    def _strength(self, marginal: Marginal) -> Tensor | None:
        """Return s, which broadcasts to (B, C, H, W); None where the model is alone at work.

        Beyond the CPU it is 1 there, for the host does not wait to learn of it.
        """
        if self.interval is None:
            return self.guidance
        level = log_snr(marginal, self.modes)[..., None, None, None]
        inside = (level >= self.interval[0]) & (level <= self.interval[1])
        if inside.device.type == "cpu" and not inside.any():
            return None
        return torch.where(inside, self.guidance, 1.0)


class _Turned(Denoiser):
    """A denoiser in a basis whose colour axes are its own but for their signs and a small turn,
    over which the noise of a component counts as that of its counterpart.
    """

    def __init__(self, model: Denoiser, basis: Basis) -> None:
        own, modes = model.basis, model.modes
        if modes.mean is not None:
            modes = replace(modes, mean=basis.analyze(own.synthesize(modes.mean)))
        super().__init__(basis, modes)
        self.model = model

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the model's posterior, its mean turned."""
        own = self.model.basis
        found = self.model.posterior(own.analyze(self.basis.synthesize(c)), marginal)
        return Posterior(self.basis.analyze(own.synthesize(found.mean)), found.variance)


def in_basis(model: Denoiser, basis: Basis) -> Denoiser:
    """Return a denoiser in a basis that may differ from its own by the signs of the colour axes,
    and by the turn of a few degrees that another fit to the same data makes.

    Raises `ValueError` for any other basis.
    """
    own = model.basis
    if own.shape != basis.shape:
        raise ValueError(
            f"the guide is for fields {own.shape}, the model for fields {basis.shape}."
        )
    if same_basis(own, basis):
        return model
    axes = basis.channels, own.channels
    if axes[0] is not None and axes[1] is not None and same_basis(own, basis, axes=False):
        turn = (axes[0] @ axes[1].T).abs()
        if torch.allclose(turn, torch.eye(len(turn)).to(turn), atol=MAX_TURN):
            return _Turned(model, basis)
    raise ValueError(
        f"the guide has another basis ({own}) than the model ({basis}): it must be a model of the "
        "same data in the same basis."
    )


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other.to(one))


def _checked(interval: Sequence[float]) -> Interval:
    if not isinstance(interval, Sequence) or len(interval) != 2:
        raise ValueError(f"guidance_interval = {interval} must be two values of the log-SNR.")
    low, high = interval
    check_range("guidance_interval", low, -MAX_LEVEL, MAX_LEVEL)
    check_range("guidance_interval", high, -MAX_LEVEL, MAX_LEVEL)
    if low >= high:
        raise ValueError(
            f"guidance_interval = ({low:g}, {high:g}) is empty: the first log-SNR must be below "
            "the second."
        )
    return float(low), float(high)


def guided(
    model: Denoiser,
    class_labels: Tensor | None = None,
    scale: float | GuidanceCurve = 1.0,
    interval: Interval | None = None,
    reference: Denoiser | None = None,
) -> Denoiser:
    """Return a model of fields of given classes, guided where the scale is not 1.

    Arguments:
        class_labels: int64 (B,) or (1,), -1 for the null label; None for those of the model.
        scale: s of D = u + s (c − u), 0 to 50: a number, or one for every scale of the field.
        interval: of the log-SNR in which the scale acts; default: everywhere.
        reference: u: an earlier snapshot of the model, say, or `free_theory(model)`. It is used
            as it is, without the class: the labels are the model's alone, and autoguidance by
            class needs `reference.given(class_labels)`. Default: the model with the null label.

    Raises `ValueError` for labels that do not exist, for guidance by the null label without
    labels, and as `Guided`.
    """
    own = model.given(class_labels)
    if interval is not None:
        interval = _checked(interval)
    if not isinstance(scale, GuidanceCurve):
        check_range("guidance_scale", scale, 0, MAX_SCALE)
        if scale == 1:
            return own
    if reference is not None:
        return Guided(own, reference, scale, interval)
    if class_labels is None:
        raise ValueError(
            f"guidance_scale = {scale} needs class_labels: without them there is nothing to "
            "guide to."
        )
    return Guided(own, model.given(torch.tensor([NULL_LABEL])), scale, interval)


def as_typed(scale: float | GuidanceCurve) -> str:
    """Return a scale of guidance, or a bound of its interval, as it is typed: words of its own for
    every number, those of a curve's values with commas between.
    """
    values = scale.values if isinstance(scale, GuidanceCurve) else (scale,)
    return ",".join(short if float(short := f"{x:g}") == x else repr(x) for x in values)


def free_theory(model: Denoiser) -> GaussianDenoiser:
    """Return the Gaussian denoiser with a model's data statistics: a guide that costs nothing."""
    return GaussianDenoiser(model.basis, model.modes)
