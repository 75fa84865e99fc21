"""Evaluations of the network a site at equal accuracy: a part of the study of sizes.

Fields are drawn with more and more steps of the sampler from the same noise. What a number of
steps is off by is compared with many steps in pairs of fields: the sampler's error alone, whatever
the network's. A number is enough where it and all larger ones leave ⟨φ²⟩, the energy and χ
within 1 %; between numbers the error is taken for a power of them.

- *drawn*: with white noise and noise of the data's spectrum, all scales at once or behind a
  sigmoid cutoff, on steps of equal time and on those that suit Gaussian data.
- *octave*: grown by an octave from the coarse part of a run's fields. Growing octave by octave
  takes the sum over the octaves, each with its share of the sites.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.lattice.observables import LOCAL, moments
from rgdiff_core.process import Process
from rgdiff_core.sampling import sample
from rgdiff_core.sampling.growth import by_blocks, coarse_fields, grow
from rgdiff_core.schedules import Cutoff, LinearGamma, SigmoidKernel
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.lattice.sizes import (
    FIRST,
    SizeStudy,
    cell_of,
    evenly,
    generator_of,
    model_of,
    title_of,
)
from rgdiff_core.study.lattice.sizes_measures import tamed

__all__ = ["BOUND", "MOST", "WAYS", "compute_steps", "enough", "steps_rows"]

STEPS, MOST = (2, 4, 8, 16, 32), 64
BOUND = 0.01  # share of the value with the most steps
SHARE, FEWEST, MANY = 8, 4, 128  # one in so many of the study's samples; fields
GRIDS = ("uniform", "gaussian")
OCTAVE, CHAIN = "octave", "chain"
COLUMNS = {"susceptibility": 1, "phi2": LOCAL["phi2"], "energy": LOCAL["energy"]}  # of `moments`


def _cutoff() -> Cutoff:
    return Cutoff(SigmoidKernel(0.3))


WAYS: Mapping[str, Callable[[Denoiser], Process]] = {
    "white": lambda m: Process(m.basis, White(), LinearGamma(-9.0, 6.0), m.modes),
    "matched": lambda m: Process(m.basis, Matched(), LinearGamma(-9.0, 6.0), m.modes),
    "white, cutoff": lambda m: Process(m.basis, White(), _cutoff(), m.modes),
    "matched, cutoff": lambda m: Process(m.basis, Matched(), _cutoff(), m.modes),
}
"""Processes that fields are drawn with."""


def compute_steps(study: SizeStudy, sizes: Sequence[int], models: Sequence[str]) -> None:
    """Compute what is missing; raises `OutOfTimeError` where that has to wait."""
    for size in sizes:
        for name in models:
            for way in () if by_blocks(model_of(name)) else WAYS:
                _drawn(study, name, size, way)
            if size >= FIRST:
                _octave(study, name, size)


def steps_rows(
    study: SizeStudy, sizes: Sequence[int], models: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield by size, model and way what numbers of steps are off by, and how many evaluations a
    site are enough, on the better grid; None where the most are not. "chain" is what growing
    from 8×8 octave by octave takes.
    """
    sums: dict[str, tuple[int, float]] = {}  # the last size that was grown to, and what it took
    for size in sizes:
        for name in models:
            about = {"model": title_of(name), "size": size}
            for way in (*WAYS, OCTAVE):
                cell = study.cell(cell_of(name, size, f"steps-{way}"))
                if cell is None:
                    continue
                grid, changed = _better(cell["result"])
                needed = enough(changed)
                yield about | {"way": way, "grid": grid, "changes": changed, "enough": needed}
                last, before = sums.get(name, (FIRST // 2, 0.0))
                if way == OCTAVE and needed is not None and size == 2 * last:
                    sums[name] = size, needed + before / 4
                    yield about | {"way": CHAIN, "grid": grid, "enough": sums[name][1]}


def enough(changed: Mapping[str, Mapping[str, Mapping[str, float]]]) -> float | None:
    """Return the evaluations from which on nothing is off by more than the bound; None where the
    most that were tried are.

    Arguments:
        changed: by number of steps and observable, what it is off by as a share.
    """
    worst = {
        int(steps): max(abs(each["value"]) for each in found.values())
        for steps, found in changed.items()
    }
    tried = sorted(worst)
    bad = [steps for steps in tried if not worst[steps] <= BOUND]
    if not bad:
        return float(tried[0])
    if bad[-1] == tried[-1]:
        return None
    few, many = bad[-1], tried[tried.index(bad[-1]) + 1]
    if not 0 < worst[many] <= worst[few] < math.inf:
        return float(many)
    order = math.log(worst[few] / worst[many]) / math.log(many / few)
    return few * (worst[few] / BOUND) ** (1 / order)


def _better(found: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the grid on which the fewest steps are enough."""
    return min(found.items(), key=lambda item: enough(item[1]) or math.inf)


def _drawn(study: SizeStudy, name: str, size: int, way: str) -> None:
    """Compute the cell of fields that are drawn from noise."""
    n = _fields(study, size)

    def compute() -> dict[str, Any]:
        model = model_of(name).on((1, size, size), study.modes(size).modes)
        process = WAYS[way](model)

        def draw(steps: int, grid: str) -> Tensor:
            generator = generator_of(size, 6)
            return sample(model, process, n, steps, "interaction", generator, grid=grid)

        return _off_by(draw, GRIDS)

    _kept(study, name, size, way, n, compute)


def _octave(study: SizeStudy, name: str, size: int) -> None:
    """Compute the cell of fields that are grown by an octave."""
    n = _fields(study, size)

    def compute() -> dict[str, Any]:
        model, modes, fields = model_of(name), study.modes(size).modes, study.fields(size)
        given = coarse_fields(fields[evenly(len(fields), n)], blocks=by_blocks(model))

        def draw(steps: int, grid: str) -> Tensor:
            del grid
            generator = generator_of(size, 7)
            return grow(model, given, 1, generator, modes=(modes,), steps=steps)

        return _off_by(draw, GRIDS[:1])

    _kept(study, name, size, OCTAVE, n, compute)


def _fields(study: SizeStudy, size: int) -> int:
    """Return how many fields tell what a number of steps is off by."""
    n = study.numbers.at(size, study.numbers.samples) // SHARE
    return min(MANY, max(FEWEST, n))


def _kept(
    study: SizeStudy,
    name: str,
    size: int,
    way: str,
    n: int,
    compute: Callable[[], dict[str, Any]],
) -> None:
    tried = [*STEPS, MOST]
    inputs = {"n": n, "tried": tried, "run": study.reference(size)["finished"]}
    study.cells.read_or_compute(cell_of(name, size, f"steps-{way}"), inputs, compute)


def _off_by(draw: Callable[[int, str], Tensor], grids: Sequence[str]) -> dict[str, Any]:
    """Return by grid, number of steps and observable what fields are off by, as a share."""
    exact = moments(tamed(draw(MOST, grids[0])))
    return {
        grid: {str(steps): _changes(moments(tamed(draw(steps, grid))), exact) for steps in STEPS}
        for grid in grids
    }


def _changes(found: Tensor, exact: Tensor) -> dict[str, dict[str, float]]:
    change = found - exact
    return {
        name: Estimate.of(change[:, i]).scaled(1 / float(exact[:, i].mean())).to_dict()
        for name, i in COLUMNS.items()
    }
