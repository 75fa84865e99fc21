"""`rgdiff study schedules`: what few steps cost a perfect denoiser, by process and theory.

No network is trained. The perfect denoiser's mean comes from posterior Monte Carlo (`perfect`),
and the KL of a sampler's N steps is a functional of it (`gaps`). All processes noise the same
fields with the same noise, so that their differences are better known than each. Time grids are
those of samplers, and the best one of each process, chosen on fields of their own: with it the
curve in the space of noise levels counts, and not the pace along it.

Cells hold batches of fields, so that a study that was stopped goes on where it was.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.process import Process, ProcessSpec
from rgdiff_core.sampling import time_grid
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import to_dict
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.lattice.entrants import BASELINE, CASES, ENTRANTS, LARGEST, Case
from rgdiff_core.study.lattice.gaps import (
    Functional,
    NoiseCurve,
    ancestral_law,
    best_grid,
    functional,
    noise_curve,
)
from rgdiff_core.study.lattice.perfect import Sites, dense, draw, strengths

__all__ = ["FEW", "STEPS", "Numbers", "Schedules"]

STEPS = (4, 8, 16, 32, 64)
FIRST = (
    BASELINE,
    "matched-gaussian",
    "matched-linear",
    "haar-0",
    "matched-butterworth-2",
    "white-butterworth-2",
)
EARLY = 2  # batches of those that come first
SEED = 1904
POOL = 4  # batches of fields that the spectrum is taken from
POOL_FIELDS = 256
PILOT = 128  # fields that a time grid is chosen by
BEFORE = -1  # in place of a batch
OTHERS = 10_000  # batches further on are the starts of second chains
LEADERS = 4
FEW = 16  # steps by which the leaders are known


@dataclass(frozen=True)
class Numbers:
    """How much is computed.

    Attributes:
        batches: of fields, of every theory and process.
        fields: in a batch.
        trajectories: of each of the two chains of a field, at every noise level, at 6×6.
        groups: of a batch's fields, of which the means are kept.
    """

    batches: int = 16
    fields: int = 256
    trajectories: int = 64
    groups: int = 4


@lru_cache(maxsize=64)
def _fields(case: Case, batch: int, fields: int) -> Tensor:
    """Return a batch of independent fields, (n, L²) float64."""
    shape = (1, case.size, case.size)
    quadratic, transform = dense(case.action, FourierBasis(shape))
    unit = torch.ones(len(quadratic), dtype=torch.float64)
    # no more than the chain's mass depends on this ⟨φ²⟩, with which P = 2(1 − Δ)
    phi2 = (1 - case.action.m2) / (6 * case.action.lam)
    sites = Sites(quadratic, case.action.lam, transform, unit, phi2)
    return draw(sites, fields, torch.Generator().manual_seed(fold_in(SEED, 1, batch)))


@dataclass(frozen=True, eq=False)
class _Prepared:
    process: Process
    modes: Modes
    sites: Sites
    curve: NoiseCurve


@lru_cache(maxsize=128)
def _prepared(case: Case, spec: ProcessSpec) -> _Prepared:
    """Return a process with the spectrum of fields that nothing else is measured on."""
    x = torch.cat([_fields(case, -1 - number, POOL_FIELDS) for number in range(POOL)])
    images = x.reshape(-1, 1, case.size, case.size)
    basis = spec.basis.build(images).double()
    modes = Modes.fit(basis, images, symmetries="lattice")
    process = Process(basis, spec.color, spec.schedule, modes)
    variance = modes.variance_for("a schedule").flatten()
    quadratic, transform = dense(case.action, basis)
    phi2 = float((x**2).mean())
    sites = Sites(quadratic, case.action.lam, transform, variance, phi2)
    return _Prepared(process, modes, sites, noise_curve(process, modes))


def _strengths(case: Case, made: _Prepared, numbers: Numbers, batch: int) -> Iterator[Tensor]:
    """Yield h of every field and component, (n, K), from the last node to the first."""
    x, other = (_fields(case, number, numbers.fields) for number in (batch, batch + OTHERS))
    generator = torch.Generator().manual_seed(fold_in(SEED, 2, batch))
    trajectories = numbers.trajectories * case.longer
    return strengths(made.sites, made.curve.levels, x, other, trajectories, generator)


def _grids(case: Case, spec: ProcessSpec, numbers: Numbers) -> dict[str, Any]:
    """Return what is known of a process before anything is measured.

    Its best time grids, chosen on fields of their own; the Gaussian law of the ancestral sampler,
    in nats, on the grid of equal steps of the mean log-SNR; and the largest variance of a
    component over the smallest.
    """
    made = _prepared(case, spec)
    pilot = replace(numbers, fields=PILOT)
    mean = torch.stack([h.mean(0) for h in _strengths(case, made, pilot, -100)]).flip(0)
    law = {}
    for n in STEPS:
        times = time_grid(made.process, made.modes, n, "logsnr")
        law[str(n)] = ancestral_law(made.curve.at(times[::-1])[1])
    variance = made.sites.variance
    return {
        "grids": {str(n): list(best_grid(made.modes, made.curve, mean, n)) for n in STEPS},
        "ancestral_law": law,
        "condition": float(variance.max() / variance.min()),
    }


def _batch(
    case: Case, spec: ProcessSpec, numbers: Numbers, grids: Mapping[str, Any], batch: int
) -> dict[str, Any]:
    """Return the gaps of a batch of fields as means over groups of them."""
    made = _prepared(case, spec)
    what = _functional(made, grids)
    total = what.constants.expand(numbers.fields, -1).clone()
    nodes = what.weights.flip(1).unbind(1)
    for h, weights in zip(_strengths(case, made, numbers, batch), nodes, strict=True):
        total += h @ weights.T
    groups = torch.stack([part.mean(0) for part in total.chunk(numbers.groups)])
    return {"names": list(what.names), "groups": groups.tolist()}


def _functional(made: _Prepared, grids: Mapping[str, Any]) -> Functional:
    chosen = {
        "best": [tuple(grids[str(n)]) for n in STEPS],
        **{
            name: [time_grid(made.process, made.modes, n, name) for n in STEPS]
            for name in ("angle", "logsnr")
        },
    }
    return functional(made.modes, made.curve, chosen)


@dataclass(frozen=True)
class Schedules:
    """The study.

    Arguments:
        cells: of each theory, by name.
        numbers: how much is computed.
    """

    cells: Mapping[str, Cells]
    numbers: Numbers = Numbers()

    def parts(self, theories: Iterable[str] | None = None) -> Iterator[tuple[str, str, int]]:
        """Yield what is to be computed: theory, process and batch.

        First come a few batches of a few processes, then a batch of all at a time, last of the
        theories on which only the best processes of another are measured.
        """
        chosen = sorted(self.cells if theories is None else theories, key=lambda t: CASES[t].few)
        for batch in range(min(EARLY, self.numbers.batches)):
            for theory in (each for each in chosen if not CASES[each].few):
                known = self.processes(theory)
                yield from ((theory, name, batch) for name in FIRST if name in known)
        for batch in range(self.numbers.batches):
            for theory in chosen:
                yield from ((theory, name, batch) for name in self.processes(theory))

    def processes(self, theory: str) -> tuple[str, ...]:
        """Return the names of the processes that are measured on a theory; where these are the
        best ones of another, only the baseline before that has a batch of all.
        """
        if not CASES[theory].few:
            return tuple(ENTRANTS)
        if LARGEST not in self.cells:
            return (BASELINE,)
        cells = {name: self.found(LARGEST, name, 0) for name in ENTRANTS}
        name = f"shell best {FEW}"
        sums = {
            entrant: sum(group[cell["names"].index(name)] for group in cell["groups"])
            for entrant, cell in cells.items()
            if cell is not None
        }
        if len(sums) < len(ENTRANTS):
            return (BASELINE,)
        return tuple(dict.fromkeys([BASELINE, *sorted(sums, key=sums.__getitem__)]))[:LEADERS]

    def found(self, theory: str, name: str, batch: int) -> dict[str, Any] | None:
        """Return a finished batch, None where it is not there."""
        cell = self._cell(theory, name, batch)
        return None if cell is None else cell["result"]

    def before(self, theory: str, name: str) -> dict[str, Any] | None:
        """Return what was known of a process beforehand, None where it is not there."""
        cell = self._cell(theory, name, BEFORE)
        return None if cell is None else cell["result"]

    def complete(self, theories: Iterable[str]) -> bool:
        """Return whether all batches of theories are there."""
        return all(self.found(*part) is not None for part in self.parts(theories))

    def compute(self, theory: str, name: str, batch: int) -> None:
        """Compute a batch, and before the first the time grids, where they are not there.

        Raises `OutOfTimeError` where it would have to be begun too late.
        """
        case, spec, cells = CASES[theory], ENTRANTS[name].spec, self.cells[theory]
        grids = cells.read_or_compute(
            f"{name}-grids",
            self._inputs(theory, name, BEFORE),
            lambda: _grids(case, spec, self.numbers),
        )["result"]["grids"]
        cells.read_or_compute(
            f"{name}-{batch}",
            self._inputs(theory, name, batch),
            lambda: _batch(case, spec, self.numbers, grids, batch),
        )

    def seconds(self) -> float:
        """Return the processor time of all finished cells."""
        found = (
            self._cell(theory, name, batch)
            for theory in self.cells
            for name in self.processes(theory)
            for batch in (BEFORE, *range(self.numbers.batches))
        )
        return sum(cell.get("processor_seconds", 0.0) for cell in found if cell is not None)

    def _cell(self, theory: str, name: str, batch: int) -> dict[str, Any] | None:
        suffix = "grids" if batch == BEFORE else str(batch)
        return self.cells[theory].read(f"{name}-{suffix}", self._inputs(theory, name, batch))

    def _inputs(self, theory: str, name: str, batch: int) -> dict[str, Any]:
        case, numbers = CASES[theory], self.numbers
        return {
            "action": [case.action.m2, case.action.lam, case.size],
            "process": to_dict(ENTRANTS[name].spec),
            "fields": numbers.fields,
            "trajectories": numbers.trajectories * case.longer,
            "groups": numbers.groups,
            "steps": list(STEPS),
            "seed": SEED,
            "batch": batch,
        }
