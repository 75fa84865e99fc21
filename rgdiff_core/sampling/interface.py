"""What a sampler's step is given and gives back, and what several of them share."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.process import Marginal, Process
from rgdiff_core.spec import Spec

__all__ = [
    "Memory",
    "Method",
    "NoiseLevel",
    "StepContext",
    "StepResult",
    "added_noise",
    "ddim_step",
    "extrapolated",
    "into_picture",
    "out_of_picture",
]

Memory = tuple[Tensor, ...]  # the denoiser's mean in a step, its length, and what else it leaves


@dataclass(frozen=True, eq=False)
class NoiseLevel:
    """The noise level of χ/r at one time.

    Attributes:
        gamma: per component; −∞ where a step goes to the data themselves.
        color: S².
        clean: where components are finished and carry no noise, or None for nowhere.
    """

    gamma: Tensor
    color: Tensor
    clean: Tensor | None = None

    @property
    def alpha(self) -> Tensor:
        return torch.sigmoid(-self.gamma).sqrt()

    @property
    def sigma2(self) -> Tensor:
        return torch.sigmoid(self.gamma)

    @property
    def std(self) -> Tensor:
        return (self.sigma2 * self.color).sqrt()

    @property
    def marginal(self) -> Marginal:
        """Return (α, σS) as denoisers receive it: (1, 0) for finished components."""
        if self.clean is None:
            return Marginal(self.alpha, self.std)
        return Marginal(
            torch.where(self.clean, 1.0, self.alpha), torch.where(self.clean, 0.0, self.std)
        )


@dataclass(frozen=True, eq=False)
class StepContext:
    """Where a step starts and ends, and the model that it evaluates.

    Attributes:
        model: as of `sample`.
        process: as of `sample`.
        c: components of χ/r at the level `level_t`; (n, C, H, W).
        level_t: the level at its start, finite everywhere.
        level_s: the level at its end.
        times: (t, s).
        draw: draws white noise like c.
        finishing: whether some components go to the data themselves.
        memory: of the step before.
    """

    model: Denoiser
    process: Process
    c: Tensor
    level_t: NoiseLevel
    level_s: NoiseLevel
    times: tuple[float, float]
    draw: Callable[[], Tensor]
    finishing: bool
    memory: Memory | None

    def mean(self) -> Tensor:
        """Return the denoiser's mean at the start of the step."""
        return self.model.posterior(self.c, self.level_t.marginal).mean


@dataclass(frozen=True, eq=False)
class StepResult:
    """Where a step arrived, the denoiser's mean at its start, and what the next should know."""

    c: Tensor
    mean: Tensor
    memory: Memory | None = None


@dataclass(frozen=True)
class Method(Spec):
    """A sampler's step. Derived classes write `step`.

    Attributes:
        ode: whether it integrates the probability-flow ODE, which needs a continuous schedule, and
            draws nothing after the prior.
        order: of convergence, in distribution for the stochastic ones.
        evaluations: of the denoiser in each step.
        at_jumps: what it does where a schedule jumps, as a hard cutoff does; one sentence.
        title: its display name, and `help`: one line on it.
    """

    ode = False
    order = 1
    evaluations = 1
    title = ""
    help = ""
    at_jumps = (
        "Where the schedule is discontinuous, this step sets newly resolved modes to their mean, "
        "which loses their variance: use the shell step."
    )

    @abc.abstractmethod
    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""


def into_picture(ctx: StepContext, c: Tensor, noise: NoiseLevel) -> Tensor:
    """Return z = (χ − αμ)/√T."""
    total = _total(ctx, noise)
    return (c - noise.alpha * ctx.model.free_mean) / torch.where(total > 0, total, 1.0).sqrt()


def out_of_picture(ctx: StepContext, z: Tensor, noise: NoiseLevel) -> Tensor:
    """Return χ = αμ + √T z."""
    return noise.alpha * ctx.model.free_mean + _total(ctx, noise).sqrt() * z


def _total(ctx: StepContext, noise: NoiseLevel) -> Tensor:
    """Return T = α²Σ + σ²S²."""
    return Marginal(noise.alpha, noise.std).total_variance(ctx.model.free_variance)


def ddim_step(ctx: StepContext, mean: Tensor, eta: float | Tensor) -> Tensor:
    """Return α_sD and the noise that is kept, a share η of it drawn afresh, which may depend on
    the component: the DDIM step.
    """
    level_t, level_s = ctx.level_t, ctx.level_s
    eps = (ctx.c - level_t.alpha * mean) / level_t.std
    if not isinstance(eta, Tensor) and eta == 0:
        return level_s.alpha * mean + level_s.std * eps
    fresh = eta * level_s.std * torch.sqrt(added_noise(level_t, level_s) / level_t.sigma2)
    kept = torch.sqrt((level_s.std**2 - fresh**2).clamp_min(0))
    return level_s.alpha * mean + kept * eps + fresh * ctx.draw()


def added_noise(level_t: NoiseLevel, level_s: NoiseLevel) -> Tensor:
    """Return q = 1 − α_t²/α_s²."""
    return -torch.expm1((softplus(level_s.gamma) - softplus(level_t.gamma)).clamp_max(0))


def extrapolated(memory: Memory | None, value: Tensor, length: Tensor) -> Tensor:
    """Return the value half a step ahead, from those of this step and of the last.

    A component that has only just begun to move has no reliable slope yet, and a step of infinite
    length, to the data themselves, has no middle: there it stays as it is.
    """
    if memory is None:
        return value
    before, passed = memory[:2]
    weight = (length / (2 * torch.where(passed > 0, passed, 1.0))).clamp_max(1)
    weight = torch.where((passed > 0) & (length < math.inf), weight, 0.0)
    return value + weight * (value - before)
