"""What an independent field costs on lattices of many sizes: a part of the study of sizes.

Hybrid Monte Carlo with and without clusters, 2τ_int of |M| trajectories a field; fields of a
model that are drawn from noise, and those that are grown octave by octave, for which a field of
16×16 of Monte Carlo is counted too. All in seconds of the processor, of one thread.
Thermalization, training and the spectrum of the waves, which is of a run of Monte Carlo at the
same size, come on top, and a model's fields are as right as the rest of the study says.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import torch

from rgdiff_core.evaluation.lattice.efficiency import monte_carlo_efficiency
from rgdiff_core.lattice import HMC
from rgdiff_core.sampling import sample
from rgdiff_core.sampling.growth import by_blocks, coarse_fields, grow, standard_process
from rgdiff_core.study.lattice.sizes import (
    ACTION,
    FIRST,
    SizeStudy,
    cell_of,
    generator_of,
    model_of,
    title_of,
)

__all__ = ["compute_cost", "cost_rows"]

CLUSTERS = (0, 1)
SITES = 2**14  # of all chains, and of a model's fields that are timed together
ROUNDS = 3


def compute_cost(study: SizeStudy, sizes: Sequence[int], models: Sequence[str]) -> None:
    """Compute what is missing; raises `OutOfTimeError` where that has to wait."""
    for size in sizes:
        _monte_carlo(study, size)
        for name in models:
            _model(study, name, size)


def cost_rows(
    study: SizeStudy, sizes: Sequence[int], models: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the processor seconds of an independent field by size and way: "hmc", "clusters",
    "drawn", and "chain" for those that are grown from 16×16 of Monte Carlo, blocked to 8×8.
    """
    octaves: dict[str, tuple[int, float]] = {}  # the last size that was grown to, and the sum
    for size in sizes:
        found = (study.cell(f"cost-hmc-{size}") or {"result": {}})["result"]
        seconds = {}
        for clusters, way in zip(CLUSTERS, ("hmc", "clusters"), strict=True):
            if str(clusters) in found:
                each = found[str(clusters)]
                rate, error = each["per_second"]["value"], each["per_second"]["error"]
                seconds[way] = 1 / rate
                row = {"seconds": 1 / rate, "error": error / rate**2}
                yield {"way": way, "model": None, "size": size, "before": each["before"]} | row
        for name in models:
            cell = study.cell(cell_of(name, size, "cost"))
            if cell is None:
                continue
            about = {"model": title_of(name), "size": size}
            if "drawn" in cell["result"]:
                yield {"way": "drawn", "seconds": cell["result"]["drawn"]} | about
            if size == FIRST and "clusters" in seconds:
                octaves[name] = size // 2, seconds["clusters"]
            last, total = octaves.get(name, (0, 0.0))
            if "octave" in cell["result"] and size == 2 * last:
                octaves[name] = size, total + cell["result"]["octave"]
                yield {"way": "chain", "seconds": octaves[name][1]} | about


def _monte_carlo(study: SizeStudy, size: int) -> None:
    """Compute the cell of hybrid Monte Carlo: without clusters τ_int grows about as L²."""
    many = study.numbers.reference
    lengths = {0: max(200, many * size**2 // 3200), 1: max(100, many // 8)}
    chains = max(2, SITES // size**2)
    inputs = {"action": asdict(ACTION), "size": size, "lengths": list(lengths.values())}

    def compute() -> dict[str, Any]:
        return {
            str(clusters): asdict(
                monte_carlo_efficiency(
                    ACTION,
                    size,
                    lengths[clusters],
                    chains,
                    generator_of(size, 5),
                    settings=HMC(cluster=clusters),
                    clock=time.process_time,
                )
            )
            for clusters in CLUSTERS
        }

    study.cells.read_or_compute(f"cost-hmc-{size}", inputs | {"chains": chains}, compute)


def _model(study: SizeStudy, name: str, size: int) -> None:
    """Compute the cell of a model: seconds of a field that is drawn, and of an octave."""
    n, steps = max(2, SITES // size**2), study.numbers.steps
    inputs = {"size": size, "n": n, "steps": steps, "run": study.reference(size)["finished"]}

    def compute() -> dict[str, Any]:
        model, modes = model_of(name), study.modes(size).modes
        blocks, fields = by_blocks(model), study.fields(size)[:n]
        found = {}
        if not blocks:
            moved = model.on((1, size, size), modes)
            process = standard_process(moved)
            found["drawn"] = _seconds(lambda: sample(moved, process, n, steps, "interaction"), n)
        if size >= FIRST:
            given = coarse_fields(fields, blocks=blocks)
            count = len(given)
            found["octave"] = _seconds(
                lambda: grow(model, given, 1, modes=(modes,), steps=steps), count
            )
        return found

    study.cells.read_or_compute(cell_of(name, size, "cost"), inputs, compute)


def _seconds(work: Callable[[], torch.Tensor], n: int) -> float:
    """Return the median of the processor's seconds for each of n fields, after a first try."""
    work()
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        found.append((time.process_time() - begun) / n)
    return statistics.median(found)
