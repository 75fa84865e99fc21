r"""Optimize a cutoff schedule for a given denoiser and number of steps, without training it.

The shell sampler in N steps has a variational bound (`likelihood.bound`); above the free theory's
negative log-likelihood it is

    L_N = ½ Σ_i Σ_k (1 − V_k(t_{i+1})/V_k(t_i)) E[excess_k(t_i)],    1 = t_0 > … > t_N = 0,

and of a schedule it uses only γ_k at the times t_i. For a cutoff schedule these are
functions of the ordinates of Λ(t), and of the kernel's one number where it has one; L_N is
differentiated through χ(t) = αχ(0) + σSε with ε held fixed, through V and through the denoiser.

The ordinates fall from 1 to 0 by increments that are a softmax, so that Λ(t) never rises.

References:
    Kingma et al., 2107.00630 (schedules learnt through the bound, there while training).
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rgdiff_core.colors import check_still
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import hosted
from rgdiff_core.likelihood.bound import excess_at, step_weights_at
from rgdiff_core.process import Marginal, Process, clamped, white_noise
from rgdiff_core.sampling import check_model
from rgdiff_core.schedules import Cutoff, Level, Schedule
from rgdiff_core.schedules.kernels import (
    MAX_POINTS,
    ButterworthKernel,
    CutoffPath,
    Kernel,
    SigmoidKernel,
    monotone_cubic,
)
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.statistics import Estimate

__all__ = [
    "BETAS",
    "SearchBudget",
    "CutoffParameters",
    "Draw",
    "Moving",
    "SearchObjective",
    "Progress",
    "bound_at",
    "descend",
    "improve",
    "few_steps",
    "set_gradients",
    "terms_at",
]

MAX_VALUES = 1 << 20  # of fields in one call of the denoiser
S = TypeVar("S", bound=Schedule)
Found = TypeVar("Found", bound=Schedule, covariant=True)
BETAS = 0.9, 0.99  # of Adam
SHAPES = {SigmoidKernel: ("width", 1e-3, 10.0), ButterworthKernel: ("order", 0.25, 32.0)}


class Moving(Protocol[Found]):
    """A schedule with parameters."""

    def __call__(self, t: Tensor, process: Process) -> Marginal:
        """Return the marginal of χ/r at times (N,), differentiable in the parameters."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what is optimized, and what is not (`requires_grad`)."""
        ...

    def schedule(self) -> Found:
        """Return the present schedule as a spec."""
        ...


@dataclass(frozen=True)
class SearchObjective:
    """What is made least: a mean over images and noise.

    Attributes:
        steps: N, times in a round.
        times: returns the times of a round at which the marginals of χ/r are needed.
        value: called with the model, fields (B, C, H, W), these marginals and white noise
            (N, B, C, H, W); returns what each image adds, (B,).
    """

    steps: int
    times: Callable[[torch.Generator], Tensor]
    value: Callable[[Denoiser, Tensor, Marginal, Tensor], Tensor]


@dataclass(frozen=True)
class SearchBudget:
    """Gradient steps, images in each, and Adam's rate at the start."""

    rounds: int
    batch: int
    rate: float


@dataclass(frozen=True)
class Progress(Generic[S]):
    """Where a search stands.

    Attributes:
        round: gradient steps that are done.
        rounds: gradient steps in all.
        objective: of the present schedule on this round's images: L_N, in nats above the free
            theory, or the second moment that `learn` makes least.
        change: the same less that of the schedule at the start, on the same images and noise.
        schedule: the present one.
        eta_s: seconds left.
    """

    round: int
    rounds: int
    objective: Estimate
    change: Estimate
    schedule: S
    eta_s: float


class CutoffParameters(nn.Module):
    """A cutoff schedule whose ordinates, and whose kernel's number, are parameters.

    Arguments:
        start: the schedule that it is at first, at equally spaced points of its path.
        points: how many.
        shape: whether the kernel's number is a parameter, where the kernel has one.
    """

    times: Tensor

    def __init__(self, start: Cutoff, points: int, shape: bool) -> None:
        super().__init__()
        self.start = start
        times = torch.linspace(0, 1, points, dtype=torch.float64)
        self.register_buffer("times", times)
        falls = -start.path.ordinate(times).diff()
        self.logits = nn.Parameter(falls.clamp_min(1e-3 / points).log())
        named = SHAPES.get(type(start.kernel)) if shape else None
        self.named = named
        number = math.log(getattr(start.kernel, named[0])) if named else 0.0
        self.log_number = nn.Parameter(
            torch.tensor(number, dtype=torch.float64), requires_grad=named is not None
        )

    def values(self) -> Tensor:
        """Return the ordinates, (points,), from 1 to 0."""
        falls = torch.softmax(self.logits, 0)
        one = torch.ones_like(falls[:1])
        return torch.cat((one, 1 - falls.cumsum(0)[:-1], 0 * one))

    def forward(self, t: Tensor, process: Process) -> Marginal:
        """Return the marginal of χ/r at times (N,), differentiable in the parameters."""
        like = process.noise_variance
        ordinate = monotone_cubic(self.times, self.values(), t)[:, None, None, None]
        ordinate = ordinate.to(like.dtype).to(like)  # gradients come back in this precision
        moving = copy.copy(self.start)
        object.__setattr__(moving, "kernel", self._kernel(like))
        gamma = moving.at_ordinate(ordinate, process.modes)
        level = clamped(Level(gamma, torch.ones_like(gamma)))
        return Marginal(level.alpha, level.sigma * process.noise_variance.sqrt())

    def _kernel(self, like: Tensor) -> Kernel:
        """Return the kernel with its number as a tensor: no spec, but differentiable."""
        kernel = copy.copy(self.start.kernel)
        if self.named is not None:
            name, low, high = self.named
            number = self.log_number.exp().clamp(low, high)
            object.__setattr__(kernel, name, number.to(like.dtype).to(like))
        return kernel

    @torch.no_grad()
    def schedule(self) -> Cutoff:
        """Return the present schedule as a spec."""
        kernel = self.start.kernel
        if self.named is not None:
            name, low, high = self.named
            kernel = replace(kernel, **{name: float(self.log_number.exp().clamp(low, high))})
        values = self.values().clamp(0, 1).cummin(0).values
        path = CutoffPath(tuple(self.times.tolist()), tuple(values.tolist()))
        return replace(self.start, kernel=kernel, path=path)


def improve(
    model: Denoiser,
    process: Process,
    images: Tensor,
    steps: int,
    *,
    rounds: int = 200,
    points: int | None = None,
    shape: bool = True,
    batch: int = 64,
    rate: float = 0.05,
    seed: int = 0,
) -> Iterator[Progress[Cutoff]]:
    """Return an iterator over the states of a search; to cancel it is to stop iterating.

    Arguments:
        model: a denoiser in the process' basis.
        process: where to start; its schedule is a `Cutoff` with a continuous kernel. A path that
            is not given by points starts from points on it.
        images: to optimize on, (n, C, H, W).
        steps: N of the sampler, uniform in t, 1 to 1000.
        rounds: gradient steps, 1 to 100,000; the rate falls to zero by a cosine.
        points: control points of the result, equally spaced, 2 to 64; default: N + 1 of them,
            all that the sampler uses, or 64.
        shape: whether the kernel's width or order is optimized too.
        batch: images in each round.
        rate: of Adam.

    Raises `ValueError` for a value outside its range, another schedule, or a basis that differs.
    """
    check_whole("steps", steps, 1, 1000)
    check_whole("rounds", rounds, 1, 100_000)
    check_whole("batch", batch, 2, 1 << 16)
    check_range("rate", rate, 0, 10, low_open=True)
    points = min(steps + 1, MAX_POINTS) if points is None else points
    check_whole("points", points, 2, MAX_POINTS)
    check_model(model, process)
    check_still(process.color, "the search for a schedule")
    if not isinstance(process.schedule, Cutoff):
        kind = type(process.schedule).__name__
        raise ValueError(f"{kind} has no control points: start from a Cutoff schedule.")
    if not process.schedule.continuous:
        kind = type(process.schedule.kernel).__name__
        raise ValueError(f"{kind} jumps and has no gradient: choose another kernel.")
    if len(images) < 2:
        raise ValueError(f"{len(images)} images are too few to search on.")
    curve = CutoffParameters(process.schedule, points, shape).to(
        hosted(process.noise_variance).device
    )
    budget = SearchBudget(rounds, batch, rate)
    return descend(model, process, images, curve, few_steps(steps), budget, seed)


def few_steps(steps: int) -> SearchObjective:
    """Return L_N in so many steps, uniform in t, as what is made least."""
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1]
    return SearchObjective(steps, lambda _: times, bound_at)


def descend(
    model: Denoiser,
    process: Process,
    images: Tensor,
    curve: Moving[S],
    objective: SearchObjective,
    budget: SearchBudget,
    seed: int,
) -> Iterator[Progress[S]]:
    """Return an iterator over the states of a descent: of `improve` and of `learn`."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [p for p in curve.parameters() if p.requires_grad]
    start = copy.deepcopy(curve)
    adam = torch.optim.Adam(parameters, lr=budget.rate, betas=BETAS)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, budget.rounds)
    began = time.monotonic()
    for index in range(budget.rounds + 1):
        draw = Draw.of(objective, process, images, budget.batch, generator)
        value = set_gradients(objective, model, process, curve, draw)
        with torch.no_grad():
            before = draw.value(objective, model, process, start)
            now, change = Estimate.of(value), Estimate.of(value - before)
        left = (budget.rounds - index) * (time.monotonic() - began) / (index + 1)
        yield Progress(index, budget.rounds, now, change, curve.schedule(), left)
        adam.step()
        falling.step()


@dataclass(frozen=True, eq=False)
class Draw:
    """What an objective is estimated on: fields (B, C, H, W), white noise (N, B, C, H, W), times.

    Equal draws make the values of two schedules comparable in pairs.
    """

    x: Tensor
    noise: Tensor
    times: Tensor

    @classmethod
    def of(
        cls,
        objective: SearchObjective,
        process: Process,
        images: Tensor,
        batch: int,
        generator: torch.Generator,
    ) -> "Draw":
        """Draw a batch of images (n, C, H, W), noise and times."""
        chosen = torch.randint(len(images), (batch,), generator=generator)
        x = images[chosen.to(images.device)].to(process.noise_variance)
        n = objective.steps
        noise = white_noise((n * batch, *x.shape[1:]), x, generator).unflatten(0, (n, batch))
        return cls(x, noise, objective.times(generator))

    def value(
        self,
        objective: SearchObjective,
        model: Denoiser,
        process: Process,
        curve: Moving[Schedule],
    ) -> Tensor:
        """Return the objective of a schedule for each image, (B,)."""
        times = self.times.to(next(curve.parameters()).device)
        return objective.value(model, self.x, curve(times, process), self.noise)


def set_gradients(
    objective: SearchObjective,
    model: Denoiser,
    process: Process,
    curve: Moving[Schedule],
    draw: Draw,
) -> Tensor:
    """Leave the gradient of an objective in a schedule's parameters; return its values (B,)."""
    parameters = [p for p in curve.parameters() if p.requires_grad]
    with torch.enable_grad():
        value = draw.value(objective, model, process, curve)
        gradients = torch.autograd.grad(value.mean(), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return value.detach()


def bound_at(model: Denoiser, x: Tensor, marginal: Marginal, noise: Tensor) -> Tensor:
    """Return L_N for each image, (B,), nats above the free theory; differentiable in the marginal.

    Arguments:
        x: fields (B, C, H, W).
        marginal: of χ/r at the N times that steps start from, latest first, (N, C or 1, H, W).
        noise: white, (N, B, C, H, W), in component space.
    """
    n = len(noise)
    alpha, std = (a.expand(n, *a.shape[1:]) for a in (marginal.alpha, marginal.std))
    data = Marginal(torch.ones_like(alpha[:1]), torch.zeros_like(std[:1]))
    levels = Marginal(torch.cat((alpha, data.alpha)), torch.cat((std, data.std)))
    weights = step_weights_at(levels, model.free_variance)
    return terms_at(model, x, marginal, noise, weights).sum(0)


def terms_at(
    model: Denoiser, x: Tensor, marginal: Marginal, noise: Tensor, weights: Tensor
) -> Tensor:
    """Return ½ Σ_k weight_k excess_k of each time and image, (N, B); differentiable.

    Arguments:
        x: as in `bound_at`.
        marginal: as in `bound_at`.
        noise: as in `bound_at`.
        weights: (N, C or 1, H, W).
    """
    n, b = noise.shape[:2]
    alpha, std = (a.expand(n, *noise.shape[2:]) for a in (marginal.alpha, marginal.std))
    together = max(1, MAX_VALUES // noise[0].numel())

    def part(alpha: Tensor, std: Tensor, noise: Tensor) -> Tensor:
        rows = Marginal(alpha.repeat_interleave(b, 0), std.repeat_interleave(b, 0))
        return excess_at(model, x.repeat(len(noise), 1, 1, 1), rows, noise.flatten(0, 1))

    parts = zip(alpha.split(together), std.split(together), noise.split(together), strict=True)
    # what does not fit into one call is computed again on the way back, not kept
    excess = (
        [checkpoint(part, *p, use_reentrant=False) for p in parts]
        if together < n
        else [part(*p) for p in parts]
    )
    terms = weights[:, None] * torch.cat(excess).unflatten(0, (n, b))
    return terms.sum((2, 3, 4)) / 2
