r"""What a model is trained on: one process, or all of them.

A denoiser of basis-diagonal noise needs to know n_k = σ_kS_k/α_k and nothing else of the process.
The universal model is trained over random colours and schedules: scalar ones, cutoffs with every
kernel, from soft to hard conditioning, from white to matched noise.

Randomness is a function of (seed, step) alone, so that a run can be resumed anywhere.
"""

import abc
import math
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from rgdiff_core import schedules
from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Color, Matched
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.process import Marginal, Process
from rgdiff_core.schedules import Schedule
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import Spec, check_range, check_whole
from rgdiff_core.training.losses import NoiseBatch, Objective, weights
from rgdiff_core.training.random_processes import random_process

__all__ = [
    "NoiseSampler",
    "NoiseSource",
    "FixedProcess",
    "FixedProcessSampler",
    "Universal",
    "steps_at_once",
    "white_level",
]

AHEAD = 8  # processes that are tabulated before a GPU needs them
LEVELS, FEW_LEVELS = 64, 4  # times of a process in the universal mixture; of large fields
MAX_WINDOW = 1 << 28  # values of all processes in the mixture: 1 GiB in float32
LEVEL_LIMIT = 16.0  # |γ| of white noise in the table that others are compared with
TABLE = 257  # times at which a process is tabulated to find slices of equal information
MIN_PASSED = 1e-6  # of what passes in all, below which times are uniform
MAX_STEPS, MAX_VALUES = 16, 1 << 17  # of what is drawn at once


def steps_at_once(values: int) -> int:
    """Return for how many steps to draw at once, given how many values a step takes.

    For small fields the calls cost more than the numbers.
    """
    return max(1, min(MAX_STEPS, MAX_VALUES // max(1, values)))


class NoiseSampler(abc.ABC):
    """Draws noise levels. Derived classes write `draw`."""

    @abc.abstractmethod
    def draw(self, step: int, n: int) -> NoiseBatch:
        """Return noise levels for n samples, a function of the seed, the step, n, and of what was
        learned so far.
        """

    def adapt(self, model: Denoiser, images: Tensor, step: int) -> None:
        """Learn from a model and training images (N, C, H, W) before a step of the weights; most
        samplers learn nothing.
        """
        return None

    def learned(self) -> "FixedProcess | None":
        """Return the process that was learned so far, None where nothing is."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learned, for a checkpoint."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` returned."""
        return None


class NoiseSource(Spec):
    """What processes a model is trained on. Derived classes write `sampler`."""

    @abc.abstractmethod
    def sampler(self, basis: Basis, modes: Modes, objective: Objective, seed: int) -> NoiseSampler:
        """Return what draws noise levels, on the device of the modes."""

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ValueError` where fields (C, H, W) are too large for the source."""
        return None


@dataclass(frozen=True)
class FixedProcess(NoiseSource):
    """One process.

    Arguments:
        color: S.
        schedule: γ_k(t).
    """

    former_kinds: ClassVar[tuple[str, ...]] = ("OneProcess",)

    color: Color = Matched()
    schedule: Schedule = schedules.Cutoff()

    def sampler(self, basis: Basis, modes: Modes, objective: Objective, seed: int) -> NoiseSampler:
        """Return the sampler; raises `ValueError` where the process does not fit the modes."""
        return FixedProcessSampler(
            Process(basis, self.color, self.schedule, modes), modes, objective, seed
        )

    def on(self, model: Denoiser) -> Process:
        """Return the process in a model's basis, with the statistics of the model's data."""
        return Process(model.basis, self.color, self.schedule, model.modes)


@dataclass(frozen=True)
class Universal(NoiseSource):
    """Random processes, and random times of each.

    Arguments:
        processes: how many contribute to a batch, 1 to 4096. The newest takes the place of the
            oldest.
        every: steps from one new process to the next, 1 to 1000.
        curves: the share of processes whose colour is a power of the data's spectrum, from white
            to steeper than the data, or a random curve on it, in [0, 1].

    What is drawn from is a table of 1 GiB in float32 at most: of large fields each process is
    there at fewer than 64 times, but at least 4.
    """

    processes: int = 64
    every: int = 1
    curves: float = 0.0

    def __post_init__(self) -> None:
        check_range("curves", self.curves, 0, 1)
        check_whole("processes", self.processes, 1, 4096)
        check_whole("every", self.every, 1, 1000)

    def sampler(self, basis: Basis, modes: Modes, objective: Objective, seed: int) -> NoiseSampler:
        """Return the sampler; raises `ValueError` for fields that are too large."""
        return _Many(self, basis, modes, objective, seed)

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ValueError` where so many processes of fields (C, H, W) take too much memory."""
        self.levels(shape)

    def levels(self, shape: Sequence[int]) -> int:
        """Return at how many times each process is tabulated for fields (C, H, W): 64, or as
        many as memory allows; raises `ValueError` where that is fewer than 4.
        """
        each = 3 * math.prod(shape)  # α, σS and the weight
        levels = min(LEVELS, MAX_WINDOW // (self.processes * each))
        if levels < FEW_LEVELS:
            most = MAX_WINDOW // (FEW_LEVELS * each)
            fields = "×".join(map(str, shape))
            raise ValueError(
                f"processes = {self.processes} of fields {fields} take more than 1 GiB of memory: "
                + (f"take at most {most}." if most else "such fields are too large for any.")
            )
        return levels


class _Clock:
    """Places of times in [0, 1] for a process: equal slices of time, of information, or of a
    normal density of the log noise level.
    """

    def __init__(self, process: Process, modes: Modes, objective: Objective) -> None:
        self.table: Tensor | None = None
        self.weighted = objective.times == "importance"
        if objective.times == "stratified" or modes.variance is None:
            return
        t = torch.linspace(0, 1, TABLE).to(modes.variance)
        if self.weighted:
            snr = torch.exp(-process.level(t).gamma) / process.noise_variance
            information = torch.log1p(modes.variance * snr).mean((1, 2, 3))
            passed = (information[0] - information).clamp_min(0)
        else:
            level = white_level(process.vp_marginal(t), modes)
            place = torch.special.ndtr((level - objective.level_mean) / objective.level_std)
            passed = (place - place[0]).clamp_min(0)
        # a little of uniform time, so that no stretch is left out
        share = torch.where(passed[-1] > MIN_PASSED, passed / passed[-1].clamp_min(MIN_PASSED), t)
        self.table = 0.9 * share + 0.1 * t
        self.times = t

    def place(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return times for uniform u (n,), and dt/du there."""
        if self.table is None:
            return u, torch.ones_like(u)
        right = torch.searchsorted(self.table, u).clamp(1, TABLE - 1)
        step = self.times[1]
        slope = step / (self.table[right] - self.table[right - 1])
        t = self.times[right - 1] + (u - self.table[right - 1]) * slope
        return t.clamp(0, 1), slope if self.weighted else torch.ones_like(u)


def white_level(marginal: Marginal, modes: Modes) -> Tensor:
    """Return the γ at which white noise leaves as large a mean posterior variance, (B,).

    Arguments:
        marginal: α and σS of χ/r, each (B, C or 1, H, W).
        modes: of the data, with variances.
    """
    variance = modes.variance_for("the white level")
    levels = torch.linspace(-LEVEL_LIMIT, LEVEL_LIMIT, TABLE).to(variance)
    spread = (variance.mean() * torch.exp(levels))[:, None, None, None]
    known = (variance * spread / (variance + spread)).mean((1, 2, 3)).log()
    wanted = marginal.posterior_variance(variance).mean((1, 2, 3)).log()
    right = torch.searchsorted(known, wanted).clamp(1, TABLE - 1)
    part = (wanted - known[right - 1]) / (known[right] - known[right - 1]).clamp_min(1e-12)
    return torch.lerp(levels[right - 1], levels[right], part.clamp(0, 1))


class FixedProcessSampler(NoiseSampler):
    """Random times of one process."""

    def __init__(self, process: Process, modes: Modes, objective: Objective, seed: int) -> None:
        self.process, self.modes, self.objective, self.seed = process, modes, objective, seed
        self.clock = _Clock(process, modes, objective)
        self.kept: dict[tuple[int, int], NoiseBatch] = {}  # the last draw, by number and n

    def draw(self, step: int, n: int) -> NoiseBatch:
        steps = steps_at_once(n * self.modes.scale.numel())
        number, place = divmod(step, steps)
        if (number, n) not in self.kept:
            self.kept.clear()
            self.kept[number, n] = self._several(number, n, steps)
        return self.kept[number, n].rows(slice(place * n, (place + 1) * n))

    def _several(self, number: int, n: int, steps: int) -> NoiseBatch:
        generator = torch.Generator().manual_seed(fold_in(self.seed, number))
        return _levels(self.process, self.modes, self.objective, self.clock, n, generator, steps)


class _Many(NoiseSampler):
    """A window over an endless sequence of random processes.

    The levels of a process are tabulated once, when it enters, and drawn from while it stays. For
    a GPU they are tabulated by threads of the CPU ahead of time, so that it never waits.
    """

    def __init__(
        self, source: Universal, basis: Basis, modes: Modes, objective: Objective, seed: int
    ) -> None:
        self.source, self.basis = source, basis
        self.objective, self.seed = objective, seed
        self.levels = source.levels(basis.shape)
        shape = (3, source.processes, self.levels, *basis.shape)
        self.window = modes.scale.new_empty(shape)  # α, σS and the weight
        self.modes = modes.to(modes.scale.cpu())
        self.threads = _one_thread_each(AHEAD) if self.window.is_cuda else None
        self.ahead: dict[int, Future[Tensor]] = {}
        self.last: int | None = None  # the newest process in the window, by its number

    def draw(self, step: int, n: int) -> NoiseBatch:
        newest = step // self.source.every
        if self.last != newest:
            follows = self.last == newest - 1
            for index in range(
                newest if follows else newest - self.source.processes + 1, newest + 1
            ):
                self._enter(index)
            self.last = newest
        generator = torch.Generator().manual_seed(fold_in(self.seed, step, 1))
        rows = self.window.flatten(1, 2)
        chosen = torch.randint(rows.shape[1], (n,), generator=generator)
        alpha, std, weight = rows[:, _sent(chosen, rows)]
        return NoiseBatch(Marginal(alpha, std), weight)

    def _enter(self, index: int) -> None:
        """Put the levels of a process in the place of the one that leaves."""
        if self.threads is None:
            table = self._table(index)
        else:
            for each in range(index, index + 1 + AHEAD):
                if each not in self.ahead:
                    self.ahead[each] = self.threads.submit(self._table, each)
            table = self.ahead.pop(index).result()
        self.window[:, index % self.source.processes].copy_(table, non_blocking=True)

    def _table(self, index: int) -> Tensor:
        """Return α, σS and the weight of a process, (3, levels, C, H, W), on the CPU."""
        seed = fold_in(self.seed, index)
        chance, curves = random.Random(seed), self.source.curves
        process = random_process(self.basis, self.modes, chance, curves)
        clock = _Clock(process, self.modes, self.objective)
        generator = torch.Generator().manual_seed(seed)
        batch = _levels(process, self.modes, self.objective, clock, self.levels, generator)
        table = self.modes.scale.new_empty((3, self.levels, *self.basis.shape))
        values = (batch.marginal.alpha, batch.marginal.std, batch.weight)
        for place, value in zip(table, values, strict=True):
            place.copy_(value.expand_as(place))
        return table if self.threads is None else table.pin_memory()


def _sent(x: Tensor, like: Tensor) -> Tensor:
    """Return a tensor of the CPU on the device of another, which the host does not wait for."""
    return x.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else x


def _one_thread_each(threads: int) -> ThreadPoolExecutor:
    """Return threads in each of which torch computes on one core."""
    return ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))


def _levels(
    process: Process,
    modes: Modes,
    objective: Objective,
    clock: _Clock,
    n: int,
    generator: torch.Generator,
    steps: int = 1,
) -> NoiseBatch:
    """Return the levels of a process at n times for each step, one in each of n slices."""
    slices = torch.cat([torch.randperm(n, generator=generator) for _ in range(steps)])
    u = (slices + torch.rand(len(slices), generator=generator)) / n
    t, slope = clock.place(_sent(u.to(process.noise_variance.dtype), process.noise_variance))
    marginal = process.vp_marginal(t)
    weight = weights(objective.weighting, process, t, modes, marginal)
    return NoiseBatch(marginal, weight * slope[:, None, None, None])
