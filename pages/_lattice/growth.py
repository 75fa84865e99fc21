"""Growing lattices for the Lattice page, in the background, beside hybrid Monte Carlo."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import rgdiff_core as rg
from pages._shared import jobs
from pages._shared.sampling import models
from pages._shared.sampling.setting import Setting
from rgdiff_core.bases.modes import MeasuredModes, Modes
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.lattice import HMC, Phi4, hmc, observables
from rgdiff_core.sampling.growth import OCTAVE, coarse_fields, grow, redrawn, rescaled
from rgdiff_core.seeds import fold_in
from rgdiff_core.spectra.power import Spectrum, power_spectrum
from rgdiff_core.statistics import Estimate

__all__ = ["MAX_SIDE", "Fields", "Growth", "Octave", "begin", "find", "taken_over"]

LINE, PREFIX = "measuring", "grow/"
MAX_SIDE = 128
SITES = 2**16  # of all fields of one side, at most
FIELDS = 256  # at most
CHAINS = 32
REFERENCES = 4  # fields of hybrid Monte Carlo for each that is drawn
STEPS = 12  # of the sampler


@dataclass(frozen=True)
class Growth:
    """What is grown.

    Attributes:
        model: its name.
        start: side of the blocked fields that it begins with.
        octaves: how often the side is doubled.
    """

    model: str
    start: int
    octaves: int

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
        """Measure fields of chains of equal length, of as many chains as fields if independent."""
        found = observables(x, n_chains=chains)
        return cls(x, found, power_spectrum(x, momentum="lattice"), seconds)


@dataclass(frozen=True, eq=False)
class Octave:
    """Fields that were grown to a side.

    Attributes:
        given: the coarse fields, (n, 1, L/2, L/2).
        grown: given their long waves.
        reference: of hybrid Monte Carlo on the same lattice.
        modes: on that lattice, by the reference.
    """

    given: Tensor
    grown: Fields
    reference: Fields
    modes: Modes


def find(growth: Growth) -> jobs.Task | None:
    """Return the work that grows this, done or under way; None where it was not begun."""
    return jobs.find(_key(growth))


def begin(growth: Growth) -> None:
    """Queue the work; its `live` is the list of the octaves that are there."""
    jobs.begin(LINE, _key(growth), "Growing", partial(_work, growth))


def _key(growth: Growth) -> str:
    version = models.version(growth.model)
    return f"{PREFIX}{growth.model}/{version}/{growth.start}/{growth.octaves}"


def _work(growth: Growth, task: jobs.Task) -> list[Octave]:
    model, action = _opened(growth.model)
    task.live = []
    with task.interruptible():
        for octave in _octaves(growth, model, action, task):
            task.live = [*task.live, octave]
    return task.live


def _octaves(growth: Growth, model: Denoiser, action: Phi4, task: jobs.Task) -> Iterator[Octave]:
    total, done = sum(2 * side**2 for side in growth.sides), 0
    before: Octave | None = None
    for side in growth.sides:

        def progress(part: int, parts: int, done: int = done, side: int = side) -> None:
            text = f"hybrid Monte Carlo, {side}×{side}"
            task.progress(done + side**2 * part // parts, total, text)

        reference, modes = _reference(action, side, model, progress)
        done += side**2
        task.progress(done, total, f"drawing {side}×{side}")
        n = _count(side)
        if before is None:
            given = coarse_fields(reference.x[:: max(1, len(reference.x) // n)][:n])
        else:
            given = rescaled(before.grown.x[:n], before.modes, modes)
        begun = time.perf_counter()
        x = grow(model, given, 1, _generator(side, 1), modes=(modes,), steps=STEPS)
        before = Octave(given, Fields.of(x, n, time.perf_counter() - begun), reference, modes)
        done += side**2
        yield before


def _count(side: int) -> int:
    """Return how many fields of a side are drawn."""
    return max(CHAINS // REFERENCES, min(FIELDS, SITES // side**2))


def _reference(
    action: Phi4, side: int, model: Denoiser, progress: Callable[[int, int], None]
) -> tuple[Fields, Modes]:
    """Return fields of hybrid Monte Carlo, and their modes."""
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
    found = Fields.of(run.configurations, CHAINS, time.perf_counter() - begun)
    modes = MeasuredModes.fit(model.basis.on((1, side, side)), found.x, CHAINS).modes
    return found, modes


def _opened(name: str) -> tuple[Denoiser, Phi4]:
    source = models.load(models.fitted(Setting(name)))
    action = rg.data.action_of(source.data)
    if action is None:
        raise ValueError(f"{name} is not of a lattice theory.")
    return source.denoiser, action


def taken_over(growth: Growth, octave: Octave, cutoff: float) -> Tensor:
    """Return fields of the reference whose waves below a cutoff, a share of the largest momentum,
    are kept, and whose others the model draws: the same noise at every cutoff.
    """
    model, _ = _opened(growth.model)
    x = octave.reference.x
    side, n = x.shape[-1], _count(x.shape[-1])
    moved = model.on((1, side, side), octave.modes)
    return redrawn(moved, x[:: max(1, len(x) // n)][:n], cutoff, _generator(side, 2), steps=STEPS)


def _generator(side: int, part: int) -> torch.Generator:
    return torch.Generator().manual_seed(fold_in(side, part))
