"""What some trajectories of hybrid Monte Carlo make of a model's fields: a part of the study of
sizes.

A chain of hybrid Monte Carlo forgets where it began, its short waves first, so that trajectories
after a model's fields make them exact, scale by scale: what local updates are slow at, a model has
done, and what a model gets wrong at short distances, they mend. The step is tuned on the way, as
while chains thermalize. Costs are seconds of the processor, of one thread.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from safetensors.torch import load_file

from rgdiff_core.lattice import trajectories
from rgdiff_core.study.lattice.sizes import (
    ACTION,
    FIRST,
    SizeStudy,
    cell_of,
    generator_of,
    title_of,
)
from rgdiff_core.study.lattice.sizes_measures import RUNAWAY, measured

__all__ = ["COUNTS", "compute_relaxed", "relaxed_rows"]

COUNTS = (0, 1, 2, 4, 8, 16, 32)  # trajectories
KINDS = ("run", "grown", "chain")  # of fields, as of `SizeStudy`
TUNING = 10**6  # trajectories, all of them


def compute_relaxed(study: SizeStudy, sizes: Sequence[int], models: Sequence[str]) -> None:
    """Compute what is missing; raises `OutOfTimeError` where that has to wait."""
    for size in sizes:
        for name in models:
            for kind in KINDS:
                _relaxed(study, name, size, kind)


def relaxed_rows(
    study: SizeStudy, sizes: Sequence[int], models: Sequence[str]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield what is measured after numbers of trajectories: what of, and the observables."""
    for size in sizes:
        for name in models:
            for kind in KINDS:
                cell = study.cell(cell_of(name, size, f"relaxed-{kind}"))
                for after, found in (cell or {"result": {}})["result"].items():
                    row = {"model": title_of(name), "size": size, "kind": kind, "n": found["n"]}
                    row |= {"trajectories": int(after), "seconds": found["seconds"]}
                    yield row, found["observables"]


def _relaxed(study: SizeStudy, name: str, size: int, kind: str) -> None:
    """Compute the cell of the fields of a kind; nothing where these are not there."""
    source = study.cell(cell_of(name, size, kind))
    if source is None or (kind == "chain" and size == FIRST):
        return
    path = study.cells.path(cell_of(name, size, kind), ".safetensors")
    inputs = {"from": source["finished"], "counts": list(COUNTS)}

    def compute() -> dict[str, Any]:
        x = load_file(path)["fields"]
        generator, n = generator_of(size, 8), len(x)
        found, seconds = {"0": measured(x) | {"seconds": 0.0}}, 0.0
        if not bool((x.abs() < RUNAWAY).all()):
            return found
        start = x.squeeze(1)
        run = trajectories(ACTION, size, n, generator, thermalization=TUNING, start=start)
        for done in range(1, COUNTS[-1] + 1):
            begun = time.process_time()
            fields = next(run).phi[:, None]
            seconds += time.process_time() - begun
            if done in COUNTS:
                found[str(done)] = measured(fields) | {"seconds": seconds / n}
        return found

    study.cells.read_or_compute(cell_of(name, size, f"relaxed-{kind}"), inputs, compute)
