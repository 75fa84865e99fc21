r"""What every denoiser is, and the exact posterior of Gaussian data.

A denoiser returns the posterior of χ(0) given χ(t), mean and variance, per component. It works in
components of χ/r, where every process preserves variance, and (α, σS) is all that it takes of the
process. Score = (α D − χ)/(σ² S²).

For Gaussian data with mean μ and variance Σ the posterior is exact, and with it the score of the
free theory:

    D = μ + αΣ (χ − αμ)/(α²Σ + σ²S²),    V = Σ σ²S²/(α²Σ + σ²S²),    score = −(χ − αμ)/(α²Σ +
    σ²S²).
"""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor, nn

from rgdiff_core.bases import Basis
from rgdiff_core.bases.base import Shape
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.lattice.line import CouplingLine, Couplings
from rgdiff_core.process import Marginal, Prior, Process

__all__ = [
    "NULL_LABEL",
    "DelegatingDenoiser",
    "Denoiser",
    "GaussianDenoiser",
    "Posterior",
    "check_count",
    "check_labels",
    "free_error",
    "gaussian_posterior",
    "gaussian_score",
    "moved_basis",
]

NULL_LABEL = -1  # any class


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of the components χ(0): mean (B, C, H, W) and variance, which broadcasts
    against it.
    """

    mean: Tensor
    variance: Tensor


class Denoiser(nn.Module, abc.ABC):
    """A denoiser in a basis, with the modes of its data. Derived classes write `posterior`."""

    basis: Basis
    modes_mean: Tensor
    modes_variance: Tensor

    class_names: tuple[str, ...] = ()  # of the classes that it can be conditioned on
    line: CouplingLine | None = None  # of the couplings that it can be conditioned on
    couplings: Couplings | None = None  # (m², λ) that it is conditioned on, as set by `at`
    card: Mapping[str, Any] = MappingProxyType({})  # what a loaded model's file records

    def __init__(self, basis: Basis, modes: Modes) -> None:
        super().__init__()
        if modes.mean is None or modes.variance is None:
            raise ValueError("a denoiser needs the data's mean and variance: use Modes.fit.")
        if modes.shape[1:] != basis.shape[1:] or modes.shape[0] not in (1, basis.shape[0]):
            raise ValueError(f"modes of {modes.shape} do not fit a basis of shape {basis.shape}.")
        self.basis = basis
        for name in ("scale", "mean", "variance", "momentum"):
            self.register_buffer(f"modes_{name}", getattr(modes, name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """Return basis and shape, and what else tells the denoiser from others, on one line."""
        parts = [str(self.basis), *self.details()]
        if self.num_classes:
            parts.append(f"{self.num_classes} classes")
        if self.couplings is not None:
            parts.append("m² = {:g}, λ = {:g}".format(*self.couplings))
        if self.trained_on:
            parts.append(f"trained on {self.trained_on}")
        return ", ".join(parts)

    def details(self) -> tuple[str, ...]:
        """Return what a kind of denoisers adds to its basis there."""
        return (str(self.modes),)

    @property
    def modes(self) -> Modes:
        """Return the modes of the data, on the denoiser's device."""
        names = ("scale", "mean", "variance", "momentum")
        return Modes(*(getattr(self, f"modes_{name}") for name in names))

    @property
    def num_classes(self) -> int:
        """Return the number of classes that the denoiser can be conditioned on, 0 for none."""
        return len(self.class_names)

    @property
    def trained_on(self) -> str:
        """Return the name of the data set that a loaded model was trained on, "" where its file
        names none.
        """
        return str(self.card.get("data", ""))

    def given(self, class_labels: Tensor | None) -> "Denoiser":
        """Return the denoiser of fields of given classes, which shares all weights with this one.

        Arguments:
            class_labels: int64 (B,), or (1,) for one class in the whole batch; -1 is the null
                label, any class. None leaves the model as it is.

        Raises `ValueError` for a label that does not exist, and for labels of a denoiser without
        classes.
        """
        if class_labels is not None:
            check_labels(class_labels, self.num_classes)
        return self

    def at(self, m2: float, lam: float) -> "Denoiser":
        """Return the denoiser of lattice fields at given couplings (m², λ), which shares all
        weights with this one; its modes are those of these couplings, and a process for it should
        be built with them.

        Raises `ValueError` for couplings outside the line that the denoiser was trained along, and
        for a denoiser of one theory.
        """
        raise ValueError(
            f"m² = {m2:g}, λ = {lam:g} was asked for, but this model is not conditioned on "
            "couplings."
        )

    def on(self, shape: Shape, modes: Modes | ModesLine) -> "Denoiser":
        """Return the denoiser of fields of another lattice, which shares all weights with this
        one.

        Arguments:
            shape: (C, H, W).
            modes: of the basis there (`basis.on(shape)`), with the mean and the variance of the
                fields; of a model along a line of couplings, those at its points.

        Raises `ValueError` for a denoiser that belongs to one lattice.
        """
        del modes
        raise ValueError(
            f"a {type(self).__name__} belongs to fields of {self.basis.shape[1]}×"
            f"{self.basis.shape[2]} sites and cannot move to {shape[1]}×{shape[2]}."
        )

    @abc.abstractmethod
    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the posterior of χ(0) given components c of χ(t)/r and the marginal of χ/r."""

    @property
    def free_mean(self) -> Tensor:
        """Return the mean of the free theory that the denoiser corrects, as (C, H, W) or more."""
        return self.modes_mean

    @property
    def free_variance(self) -> Tensor:
        """Return the variances of the free theory that the denoiser corrects, (C, H, W)."""
        return self.modes_variance

    def free(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the free theory's posterior."""
        return gaussian_posterior(c, marginal, self.free_mean, self.free_variance)

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return f = (D − m)/√V, (B, C, H, W): what goes beyond the free theory's posterior N(m,
        V), in units of its deviation; 0 where nothing is uncertain.
        """
        free = self.free(c, marginal)
        beyond = self.posterior(c, marginal).mean - free.mean
        certain = free.variance <= 0
        return torch.where(certain, 0.0, beyond * torch.rsqrt(free.variance + certain))

    def prior(self, process: Process) -> Prior:
        """Return where samples start at t = 1: the process' prior, with the denoiser's data
        statistics where the process has none.
        """
        return process.prior(self.modes)

    def denoise(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the posterior mean of the data, as fields (B, C, H, W), given fields x at times
        t.
        """
        c = self.basis.analyze(x) / process.level(t).magnitude
        return self.basis.synthesize(self.posterior(c, process.vp_marginal(t)).mean)

    def forward(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return what `denoise` does: a model is called as model(x, t, process)."""
        return self.denoise(x, t, process)

    def score(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the score ∇ log p_t(φ) at fields x (B, C, H, W) and times t, as fields."""
        magnitude = process.level(t).magnitude
        c = self.basis.analyze(x) / magnitude
        return self.basis.synthesize(self.component_score(c, process.vp_marginal(t)) / magnitude)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return (α D − χ)/(σ² S²), (B, C, H, W), the score of the components c of χ/r.

        Where there is little noise the two terms cancel to rounding: a denoiser that knows a
        better form writes it.
        """
        mean = self.posterior(c, marginal).mean
        return (marginal.alpha * mean - c) / marginal.std**2


class DelegatingDenoiser(Denoiser):
    """A denoiser that changes what another one returns, and shares its free theory and prior.

    Arguments:
        model: the other one, whose basis and modes it has.
    """

    def __init__(self, model: Denoiser) -> None:
        super().__init__(model.basis, model.modes)
        self.model = model

    def extra_repr(self) -> str:
        return repr(self.model)

    @property
    def free_mean(self) -> Tensor:
        """Return the mean of the free theory that the model corrects."""
        return self.model.free_mean

    @property
    def free_variance(self) -> Tensor:
        """Return the variances of the free theory that the model corrects."""
        return self.model.free_variance

    def prior(self, process: Process) -> Prior:
        """Return the model's prior."""
        return self.model.prior(process)

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the model's posterior; what derives from this class changes it."""
        return self.model.posterior(c, marginal)


def moved_basis(basis: Basis, shape: Shape, modes: Modes | ModesLine) -> Basis:
    """Return a basis on another lattice, for modes that are given there.

    Raises `ValueError` where the basis cannot move, and for modes of another basis.
    """
    found = basis.on(shape)
    for each in modes.modes if isinstance(modes, ModesLine) else (modes,):
        own = each.scale.shape[1:] == found.scale.shape[1:]
        if not own or not torch.allclose(each.scale.to(found.scale), found.scale, atol=1e-5):
            raise ValueError(f"the modes of shape {each.shape} are not those of {found}.")
    return found


def check_labels(class_labels: Tensor, num_classes: int) -> None:
    """Raise `ValueError` unless the labels are int64 (B,), each -1 or in [0, num_classes)."""
    if num_classes == 0:
        raise ValueError("class_labels were given, but this model has no classes.")
    if not isinstance(class_labels, Tensor):
        raise ValueError(
            f"class_labels = {class_labels!r} must be a tensor of class numbers, as "
            "torch.tensor([3])."
        )
    if class_labels.ndim != 1 or class_labels.dtype != torch.int64 or len(class_labels) == 0:
        raise ValueError(
            f"class_labels must be int64 of shape (B,), got {class_labels.dtype} of shape "
            f"{tuple(class_labels.shape)}."
        )
    wrong = class_labels[(class_labels < NULL_LABEL) | (class_labels >= num_classes)]
    if len(wrong):
        raise ValueError(
            f"class label {int(wrong[0])} is outside [0, {num_classes - 1}] and is not -1, the "
            "null label."
        )


def check_count(model: Denoiser, n: int) -> None:
    """Raise `ValueError` where n samples are asked of a denoiser that belongs to so many fields,
    as one that is conditioned on a part of each.
    """
    given = len(model.free_mean) if model.free_mean.ndim == 4 else 1
    if given not in (1, n):
        raise ValueError(f"{n} samples do not fit a model that is given {given} fields.")


def gaussian_score(c: Tensor, marginal: Marginal, mean: Tensor, variance: Tensor) -> Tensor:
    """Return −(χ − αμ)/(α²Σ + σ²S²) of components c (B, C, H, W), exact at any noise level.

    Arguments:
        mean: of the data's components; it broadcasts against (C, H, W).
        variance: of the data's components, likewise.
    """
    return (marginal.alpha * mean - c) / marginal.total_variance(variance)


def gaussian_posterior(c: Tensor, marginal: Marginal, mean: Tensor, variance: Tensor) -> Posterior:
    """Return the exact posterior of components c (B, C, H, W) for Gaussian data.

    Arguments:
        mean: of the data's components; it broadcasts against (C, H, W).
        variance: of the data's components, likewise.
    """
    alpha, gain = marginal.alpha, variance / marginal.total_variance(variance)
    return Posterior(mean + alpha * gain * (c - alpha * mean), gain * marginal.std**2)


class GaussianDenoiser(Denoiser):
    """The free theory: the exact posterior of Gaussian data with the given mean and variances.

    It serves every process in its basis.
    """

    @classmethod
    def fit(cls, basis: Basis, images: Tensor, *, symmetries: str = "none") -> Self:
        """Fit mean and variances to images (N, C, H, W), N ≥ 2, as `Modes.fit` does."""
        return cls(basis, Modes.fit(basis, images, symmetries=symmetries))

    def on(self, shape: Shape, modes: Modes | ModesLine) -> "GaussianDenoiser":
        """Return the free theory on another lattice; see `Denoiser.on`."""
        if isinstance(modes, ModesLine):
            raise ValueError("a free theory has one spectrum, not those of a line of couplings.")
        return GaussianDenoiser(moved_basis(self.basis, shape, modes), modes)

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the exact Gaussian posterior."""
        return gaussian_posterior(c, marginal, self.modes_mean, self.modes_variance)

    def component_score(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return −(χ − αμ)/(α²Σ + σ²S²), exact at any noise level."""
        return gaussian_score(c, marginal, self.modes_mean, self.modes_variance)

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return zeros: the free theory does not interact."""
        del marginal
        return torch.zeros_like(c)

    def log_density(self, x: Tensor, t: Tensor | float, process: Process) -> Tensor:
        """Return the exact log density (B,), in nats, of fields x at times t."""
        marginal = process.marginal(t)
        variance = marginal.total_variance(self.modes_variance)
        c = self.basis.analyze(x) - marginal.alpha * self.modes_mean
        terms = c**2 / variance + torch.log(2 * torch.pi * variance)
        return -terms.expand(c.shape).flatten(1).sum(1) / 2


def free_error(
    data: Tensor, noise: Tensor, marginal: Marginal, mean: Tensor, variance: Tensor
) -> Tensor:
    """Return (m − χ(0))/√V = (α√Σ ε − σS (χ(0) − μ)/√Σ)/√T, T = α²Σ + σ²S², (B, C, H, W).

    It is written with μ − χ(0) and ε, for m − χ(0) cancels where there is little noise.

    Arguments:
        data: components χ(0), (B, C, H, W).
        noise: ε, white, in component space.
        marginal: α and σS at the noise level.
        mean: μ of the Gaussian; broadcasts against (C, H, W).
        variance: Σ of the Gaussian; likewise.
    """
    root = variance.sqrt()
    total = marginal.total_variance(variance).sqrt()
    return (marginal.alpha * root * noise - marginal.std * (data - mean) / root) / total
