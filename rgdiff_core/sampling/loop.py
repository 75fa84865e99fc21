"""The loop of a sampler: levels tabulated at the start, one step of a method after another.

Nothing within a trajectory waits for the device: what the host must know of the levels is asked
once, before the first step. Fields are synthesized only where somebody looks at them.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.bases.base import same_basis
from rgdiff_core.denoisers import Denoiser, GuidanceCurve, Interval, check_count, guided
from rgdiff_core.process import Process, white_noise
from rgdiff_core.sampling.grids import Grid, time_grid
from rgdiff_core.sampling.interface import Memory, Method, NoiseLevel, StepContext
from rgdiff_core.sampling.methods import METHODS, Shell
from rgdiff_core.seeds import Generators, check_generators, source
from rgdiff_core.spec import check_whole

__all__ = ["State", "check_model", "sample", "trajectory", "reverse", "usual_method"]

MAX_STEPS = 10_000
MAX_SAMPLES = 100_000


@dataclass(frozen=True, eq=False)
class State:
    """A state on the way from noise to data.

    Attributes:
        step: 0 for the prior, `steps` for the data.
        time: t, from 1 down to 0.
        components: of χ/r, (n, C, H, W).
        mean: the denoiser's mean in the step that led here, components; None at step 0.
        basis: their basis.
        magnitude: r at this time.
    """

    step: int
    time: float
    components: Tensor
    mean: Tensor | None
    basis: Basis
    magnitude: Tensor | float

    @cached_property
    def x(self) -> Tensor:
        """Return the fields φ(t), (n, C, H, W)."""
        return self.basis.synthesize(self.components * self.magnitude)

    @cached_property
    def denoised(self) -> Tensor | None:
        """Return the denoiser's mean as fields (n, C, H, W); None at step 0."""
        return None if self.mean is None else self.basis.synthesize(self.mean)


@dataclass(frozen=True, eq=False)
class _Levels:
    """The levels of all steps.

    Attributes:
        times: steps + 1 of them.
        gamma: (steps + 1, C or 1, H, W), finite.
        magnitude: r, which broadcasts with it.
        clean: as gamma, where a component is finished: it has reached its least noise.
        still: (steps, …), where a step leaves a component as it is.
        any_clean: by step, whether a component is finished.
        any_still: by step, whether it leaves a component as it is.
        any_finishing: by step, whether it finishes a component.
    """

    times: tuple[float, ...]
    gamma: Tensor
    magnitude: Tensor
    clean: Tensor
    still: Tensor
    any_clean: list[bool]
    any_still: list[bool]
    any_finishing: list[bool]

    @classmethod
    def of(cls, process: Process, times: tuple[float, ...]) -> "_Levels":
        level = process.level(torch.tensor(times, dtype=torch.float64).to(process.noise_variance))
        gamma = level.gamma
        clean = gamma <= gamma[-1]
        clean[0], clean[-1] = False, True
        still = clean[:-1] | (gamma[1:] == gamma[:-1]) & ~clean[1:]
        finishing = clean[1:] & ~clean[:-1]
        asked = torch.stack([x.flatten(1).any(1) for x in (clean[:-1], still, finishing)])
        return cls(times, gamma, level.magnitude, clean, still, *asked.tolist())

    def noises(self, step: int, color: Tensor) -> tuple[NoiseLevel, NoiseLevel]:
        """Return the levels from which and to which a step goes."""
        before = self.clean[step] if self.any_clean[step] else None
        gamma = self.gamma[step + 1]
        if not self.any_finishing[step]:
            return NoiseLevel(self.gamma[step], color, before), NoiseLevel(gamma, color, before)
        after = self.clean[step + 1]
        gamma = torch.where(after & ~self.clean[step], -math.inf, gamma)
        return NoiseLevel(self.gamma[step], color, before), NoiseLevel(gamma, color, after)


def check_model(model: Denoiser, process: Process) -> None:
    """Raise `ValueError` unless the model's basis is the process'."""
    if not same_basis(model.basis, process.basis):
        raise ValueError(
            f"the model's basis ({type(model.basis).__name__} {model.basis.shape}) is not the "
            f"process' "
            f"({type(process.basis).__name__} {process.basis.shape})."
        )


def _method(method: str | Method) -> Method:
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise ValueError(f"method = {method!r} is not one of {', '.join(METHODS)}.")
    return METHODS[method]


def _check_reverse(model: Denoiser, process: Process, steps: int, method: Method) -> None:
    check_whole("steps", steps, 1, MAX_STEPS)
    if method.ode and not process.schedule.continuous:
        raise ValueError(
            f"method = {method.title!r} integrates an ODE and this schedule jumps: use 'shell'."
        )
    check_model(model, process)
    if not process.schedule.continuous and not isinstance(method, Shell):
        warnings.warn(method.at_jumps, stacklevel=3)


def reverse(
    model: Denoiser,
    process: Process,
    c: Tensor,
    steps: int = 50,
    method: str | Method = "dpmpp_2m",
    generator: Generators = None,
    *,
    grid: Grid = "uniform",
) -> Iterator[State]:
    """Return an iterator over the states from given components of χ/r at t = 1 to the data.

    Gradients flow through it where they are on. Arguments and errors as in `trajectory`.

    Arguments:
        c: (n, C, H, W), components at t = 1.
    """
    check_generators(generator, len(c))
    check_count(model, len(c))
    taken = _method(method)
    _check_reverse(model, process, steps, taken)
    return _reverse(
        model, process, c, taken, generator, time_grid(process, model.modes, steps, grid)
    )


def _reverse(
    model: Denoiser,
    process: Process,
    c: Tensor,
    method: Method,
    generator: Generators,
    times: tuple[float, ...],
) -> Iterator[State]:
    levels, basis, shape = _Levels.of(process, times), process.basis, c.shape
    last, memory = len(times) - 1, None

    def draw() -> Tensor:
        return white_noise(shape, c, generator)

    yield State(0, 1.0, c, None, basis, levels.magnitude[0])
    for i in range(last):
        level_t, level_s = levels.noises(i, process.noise_variance)
        span, finishing = (times[i], times[i + 1]), levels.any_finishing[i]
        step = StepContext(model, process, c, level_t, level_s, span, draw, finishing, memory)
        taken = method.step(step)
        c = torch.where(levels.still[i], c, taken.c) if levels.any_still[i] else taken.c
        memory: Memory | None = taken.memory
        size = 1.0 if i + 1 == last else levels.magnitude[i + 1]
        yield State(i + 1, times[i + 1], c, taken.mean, basis, size)


_quiet_reverse = torch.no_grad()(_reverse)


def trajectory(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 50,
    method: str | Method = "dpmpp_2m",
    generator: Generators = None,
    *,
    grid: Grid = "uniform",
    seed: int | None = None,
    class_labels: Tensor | None = None,
    guidance_scale: float | GuidanceCurve = 1.0,
    guidance_interval: Interval | None = None,
) -> Iterator[State]:
    """Return an iterator over the states from the prior to the data, steps + 1 of them.

    The prior is the model's at t = 1: the process', with the model's data statistics where the
    process has none.

    Arguments:
        model: a denoiser in the process' basis.
        n: number of samples, 1 to 100,000.
        steps: 1 to 10,000.
        method: a name in METHODS, or a `Method`.
        generator: one generator, or n of them, one stream per sample; or a walk between two
            samples (`seeds.walk`).
        grid: the times: "uniform", "logsnr", "angle" (see `grids`), or the steps + 1 times.
        seed: in place of generators, the streams of a seed: sample i is the same whatever n is.
        class_labels: int64 (n,), or (1,) for all, of a model with classes; -1 for any class.
        guidance_scale: s of classifier-free guidance, 0 to 50; 1 is off. A curve gives each scale
            of the field its own.
        guidance_interval: of the log-SNR in which guidance acts; default: everywhere.

    Raises `ValueError` for a value outside its range, a basis that differs, an ODE method with a
    schedule that jumps, for a seed together with generators, and for guidance without labels.
    """
    check_whole("n", n, 1, MAX_SAMPLES)
    random = source(n, generator, seed)
    model = guided(model, class_labels, guidance_scale, guidance_interval)
    if class_labels is not None and len(class_labels) not in (1, n):
        raise ValueError(f"{len(class_labels)} class_labels were given for {n} samples.")
    check_count(model, n)
    taken = _method(method)
    _check_reverse(model, process, steps, taken)
    times = time_grid(process, model.modes, steps, grid)
    with torch.no_grad():
        prior = model.prior(process)
        noise = white_noise((n, *process.basis.shape), prior.std, random)
        c = (prior.mean + prior.std * noise) / process.level(1.0).magnitude
    return _quiet_reverse(model, process, c, taken, random, times)


def sample(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 50,
    method: str | Method = "dpmpp_2m",
    generator: Generators = None,
    callback: Callable[[State], None] | None = None,
    *,
    grid: Grid = "uniform",
    seed: int | None = None,
    class_labels: Tensor | None = None,
    guidance_scale: float | GuidanceCurve = 1.0,
    guidance_interval: Interval | None = None,
    progress: bool = False,
) -> Tensor:
    """Draw n fields (n, C, H, W). Arguments and errors as in `trajectory`.

    Arguments:
        callback: called with every `State`; it may raise to cancel.
        progress: whether to show a progress bar, in a terminal or a notebook.
    """
    states = trajectory(
        model,
        process,
        n,
        steps,
        method,
        generator,
        grid=grid,
        seed=seed,
        class_labels=class_labels,
        guidance_scale=guidance_scale,
        guidance_interval=guidance_interval,
    )
    if progress:
        from tqdm.auto import tqdm

        states = tqdm(states, "Sampling", total=steps + 1, unit="state")
    state = None
    for state in states:
        if callback is not None:
            callback(state)
    if state is None:
        raise ValueError("the trajectory is empty.")
    return state.x


def usual_method(process: Process) -> str:
    """Return the name of the method that fits a process where none was chosen."""
    return "dpmpp_2m" if process.schedule.continuous else "shell"
