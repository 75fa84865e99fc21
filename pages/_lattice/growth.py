"""Growing lattices for the Lattice page, in the background, beside hybrid Monte Carlo."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st
import torch
from torch import Tensor

import rgdiff_core as rg
from pages._sampling import models
from pages._sampling.setting import Setting
from pages._sampling.turns import visitor
from pages._shared import jobs
from pages._shared.lanes import SHORT, Interruptible, in_turn
from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import MeasuredModes, Modes
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.lattice import HMC, Phi4, hmc, observables
from rgdiff_core.sampling.growth import (
    OCTAVE,
    by_blocks,
    coarse_fields,
    grow,
    redrawn,
    rescaled,
)
from rgdiff_core.schedules import Sequential, WaveletLevels
from rgdiff_core.seeds import fold_in
from rgdiff_core.spectra.power import Spectrum, power_spectrum
from rgdiff_core.statistics import Estimate
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess, Universal

__all__ = [
    "MAX_SIDE",
    "HALF",
    "Fields",
    "Growth",
    "Octave",
    "begin",
    "dominated",
    "find",
    "grows",
    "lineage",
    "taken_over",
]

LINE, PREFIX = "measuring", "grow/"
KEPT = 4  # growths, of all visitors
MAX_SIDE = 128
SITES = 2**16  # of all fields of one side, at most
FIELDS = 256  # at most
CHAINS = 32  # the first half of which gives long waves, the other half is compared with
HALF = CHAINS // 2
REFERENCES = 4  # fields of hybrid Monte Carlo for each that is drawn
STEPS = 12  # of the sampler
HEAVY = 10.0  # errors per field in units of HMC's, from which few fields dominate
IN_TURN = (Sequential, WaveletLevels)  # schedules that erase details before averages


def _some(fields: Tensor, n: int) -> Tensor:
    return fields[:: _stride(len(fields), n)][:n]


def _stride(count: int, n: int) -> int:
    return max(1, count // n)


@dataclass(frozen=True)
class Growth:
    """What is grown.

    Attributes:
        model: its name.
        version: of the model, which changes as it is trained.
        start: side of the blocked fields that it begins with.
        octaves: how often the side is doubled.
    """

    model: str
    version: str
    start: int
    octaves: int

    @property
    def key(self) -> str:
        """What its work is found by."""
        return f"{PREFIX}{self.model}/{self.version}/{self.start}/{self.octaves}"

    @property
    def sides(self) -> list[int]:
        """The sides that fields are grown to."""
        return [self.start * OCTAVE**octave for octave in range(1, self.octaves + 1)]


@dataclass(frozen=True, eq=False)
class Fields:
    """Fields and what is measured of them.

    Attributes:
        x: (n, 1, L, L).
        observables: by name.
        spectrum: radial.
        seconds: that they took.
    """

    x: Tensor
    observables: Mapping[str, Estimate]
    spectrum: Spectrum
    seconds: float

    @classmethod
    def of(cls, x: Tensor, chains: int, seconds: float) -> "Fields":
        """Measure fields of chains of equal length, or fields that were grown from such."""
        spectrum = power_spectrum(x, momentum="lattice").over_chains(chains)
        return cls(x, observables(x, n_chains=chains), spectrum, seconds)

    def some(self, n: int) -> Tensor:
        """Return n of the fields, equally many of each chain or of every so many-th."""
        return _some(self.x, n)


def dominated(found: Fields, reference: Fields) -> list[str]:
    """Return the observables whose error is so large, per field, that a few fields dominate it."""
    per_field = math.sqrt(len(found.x) / len(reference.x))
    return [
        name
        for name, each in found.observables.items()
        if each.error * per_field > HEAVY * reference.observables[name].error
    ]


@dataclass(frozen=True, eq=False)
class Octave:
    """Fields that were grown to a side.

    Attributes:
        given: the coarse fields, (n, 1, L/2, L/2).
        grown: given their long waves, or these as averages of blocks.
        reference: of chains of hybrid Monte Carlo on the same lattice that nothing was grown from.
        origin: fields of the other chains, whose coarse part was given in the first octave.
        modes: of the waves on that lattice, by the reference.
        blocks: whether coarse fields are averages of blocks.
    """

    given: Tensor
    grown: Fields
    reference: Fields
    origin: Tensor
    modes: Modes
    blocks: bool

    @property
    def beginning(self) -> Tensor:
        """As many fields of the origin as were grown, of all chains."""
        return _some(self.origin, len(self.grown.x))


def lineage(octaves: Sequence[Octave], n: int) -> list[list[int]]:
    """Return which fields of each octave the first n of the last one were grown from."""
    numbers = [list(range(min(n, len(octaves[-1].grown.x))))]
    for before, each in zip(octaves[-2::-1], octaves[:0:-1], strict=True):
        stride = _stride(len(before.grown.x), len(each.grown.x))
        numbers.append([stride * number for number in numbers[-1]])
    return numbers[::-1]


def find(growth: Growth) -> jobs.Task | None:
    """Return the work that grows this, done or under way; None where it was not begun."""
    return jobs.find(growth.key)


def begin(growth: Growth) -> None:
    """Queue the work; its `live` is the list of the octaves that are there. Of what was grown
    before, by all visitors, the last few are kept.
    """
    for task in jobs.listed(PREFIX)[: -KEPT + 1]:
        jobs.forget(task.key)
    jobs.begin(LINE, growth.key, "Growing", partial(_work, growth))


def _work(growth: Growth, task: jobs.Task) -> list[Octave]:
    model, action = _opened(growth)
    task.live = []
    with task.interruptible():
        for octave in _octaves(growth, model, action, task):
            task.live = [*task.live, octave]
    return task.live


def _octaves(growth: Growth, model: Denoiser, action: Phi4, task: jobs.Task) -> Iterator[Octave]:
    total, done = sum(2 * side**2 for side in growth.sides), 0
    before, blocks = None, by_blocks(model)
    for side in growth.sides:

        def progress(part: int, parts: int, done: int = done, side: int = side) -> None:
            text = f"HMC, {side}×{side}"
            task.progress(done + side**2 * part // parts, total, text)

        reference, origin, modes = _reference(action, side, model, progress)
        done += side**2
        task.progress(done, total, f"drawing {side}×{side}")
        n = _count(side)
        if before is None:
            given = coarse_fields(_some(origin, n), blocks=blocks)
        else:
            given = rescaled(before.grown.some(n), before.modes, modes, blocks=blocks)
        begun = time.perf_counter()
        x = grow(model, given, 1, _generator(side, 1), modes=(modes,), steps=STEPS)
        grown = Fields.of(x, min(n, HALF), time.perf_counter() - begun)
        before = Octave(given, grown, reference, origin, modes, blocks)
        done += side**2
        yield before


def _count(side: int) -> int:
    """Return how many fields of a side are drawn."""
    return max(CHAINS // REFERENCES, min(FIELDS, SITES // side**2))


def _reference(
    action: Phi4, side: int, model: Denoiser, progress: Callable[[int, int], None]
) -> tuple[Fields, Tensor, Modes]:
    """Return half of the chains of hybrid Monte Carlo, measured, the other half, and the modes of
    the waves.
    """
    begun, n = time.perf_counter(), max(2 * CHAINS, REFERENCES * _count(side))
    run = hmc(
        action,
        side,
        n,
        CHAINS,
        _generator(side, 0),
        settings=HMC(cluster=1),
        progress=progress,
    )
    first, last = run.configurations.chunk(2)
    shape = (1, side, side)
    basis = FourierBasis(shape, "lattice") if by_blocks(model) else model.basis.on(shape)
    modes = MeasuredModes.fit(basis, run.configurations, CHAINS).modes
    return Fields.of(last, HALF, time.perf_counter() - begun), first, modes


def grows(config: TrainConfig) -> bool:
    """Tell whether what is trained by a config draws fine waves given coarse ones, at any side."""
    basis, noise = config.basis, config.noise
    waves = basis.name == "fourier" and isinstance(noise, Universal)
    haar = (basis.name, basis.wavelet, basis.levels) == ("wavelet", "haar", 1)
    schedule = noise.schedule if isinstance(noise, FixedProcess) else None
    blocks = haar and isinstance(schedule, IN_TURN) and schedule.softness == 0
    knows = config.model.conditioning != "time"
    return config.model.network.any_size and knows and (waves or blocks)


def _opened(growth: Growth) -> tuple[Denoiser, Phi4]:
    """Return the model and its theory; raises `ValueError` for one that cannot grow fields."""
    if models.version(growth.model) != growth.version:
        raise ValueError("the model has been trained on since: begin again.")
    source = models.load(models.fitted(Setting(growth.model)))
    model, action = source.denoiser, rg.data.action_of(source.data)
    if action is None:
        raise ValueError(f"{growth.model} is not of a lattice theory.")
    Conditioned(model, torch.zeros(1, *model.basis.shape), torch.zeros(()))
    model.on(model.basis.shape, model.modes)
    return model, action


@st.cache_resource(max_entries=16, show_spinner="Drawing …")
def taken_over(growth: Growth, side: int, cutoff: float, _octave: Octave) -> Tensor:
    """Return fields whose waves up to a cutoff, a share of the largest momentum, are those of the
    octave's origin, and whose others the model draws: the same noise at every cutoff.
    """
    model, _ = _opened(growth)
    moved, x = model.on((1, side, side), _octave.modes), _octave.beginning

    def work(look: Callable[[], None]) -> Tensor:
        with Interruptible(look):
            return redrawn(moved, x, cutoff, _generator(side, 2), steps=STEPS)

    return in_turn(SHORT, visitor(), work)


def _generator(side: int, part: int) -> torch.Generator:
    return torch.Generator().manual_seed(fold_in(side, part))
