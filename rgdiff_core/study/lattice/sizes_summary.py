"""The study of sizes as JSON and as tables, from its cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rgdiff_core.statistics import Estimate
from rgdiff_core.study.lattice.sizes import (
    ACTION,
    OBSERVABLES,
    SizeStudy,
    cell_of,
    title_of,
)

__all__ = ["GIVEN", "lines", "summary"]

SYMBOLS = ("χ", "⟨|M|⟩", "Binder", "⟨φ²⟩", "energy", "ξ")
KINDS = {
    "run": "spectrum of the run",
    "scaling": "spectrum by scaling",
    "grown": "grown from the run's long waves",
    "chain": "grown from 8×8, octave by octave",
}
GIVEN = ("susceptibility", "abs_magnetization", "binder", "correlation_length")
"""What the long waves fix, which grown fields take over from a run: no test of the model."""


def summary(study: SizeStudy, sizes: Sequence[int], models: Sequence[str]) -> dict[str, Any]:
    """Return what is there of the study: observables of every kind of sample at every size, each
    with its distance from hybrid Monte Carlo in standard errors of the difference; None for what
    grown fields were given.
    """
    rows = [_at(study, size, models) for size in sizes if study.cell(f"hmc-{size}") is not None]
    return {"action": asdict(ACTION), "observables": list(OBSERVABLES), "sizes": rows}


def _at(study: SizeStudy, size: int, models: Sequence[str]) -> dict[str, Any]:
    reference = study.cell(f"hmc-{size}") or {}
    truth = reference["result"]["observables"]
    rows = []
    for name in models:
        weighed = study.cell(cell_of(name, size, "weighed"))
        if weighed is not None:
            ess = weighed["result"]["ess"] | {"n": weighed["result"]["n"]}
            rows.append({"model": title_of(name), "kind": "weighed", "ess": ess})
        for kind in KINDS:
            cell = study.cell(cell_of(name, size, kind))
            if cell is not None:
                given = GIVEN if kind in ("grown", "chain") else ()
                found = dict(_compared(cell["result"]["observables"], truth, given))
                told = {"n": cell["result"]["n"], "seconds": cell["seconds"]}
                rows.append({"model": title_of(name), "kind": kind, "observables": found} | told)
    own = {"n": reference["result"]["n"], "seconds": reference["seconds"]}
    return {"size": size, "reference": {"observables": truth} | own, "rows": rows}


def _compared(
    found: Mapping[str, Any], truth: Mapping[str, Any], given: Sequence[str]
) -> Iterator[tuple[str, dict[str, float | None]]]:
    for name in OBSERVABLES:
        own = Estimate(found[name]["value"], found[name]["error"])
        exact = Estimate(truth[name]["value"], truth[name]["error"])
        percent = 100 * (own.value / exact.value - 1)
        deviation = None if name in given else own.deviation(exact)
        yield name, own.to_dict() | {"deviation": deviation, "percent": percent}


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the study as tables for people."""
    told = []
    for at in found["sizes"]:
        told += ["", f"{at['size']}×{at['size']}"]
        table = [["", *SYMBOLS]]
        truth = at["reference"]["observables"]
        table.append(["hybrid Monte Carlo", *(_written(truth[name]) for name in OBSERVABLES)])
        for row in at["rows"]:
            if row["kind"] == "weighed":
                continue
            cells = (row["observables"][name] for name in OBSERVABLES)
            title = f"{row['model']}, {KINDS[row['kind']]}"
            table.append([title, *(f"{_written(x)} [{_distance(x)}]" for x in cells)])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        told += [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        told += [
            f"ESS of {row['model']}: {_written(row['ess'])}, of {row['ess']['n']} fields"
            for row in at["rows"]
            if row["kind"] == "weighed"
        ]
    return told


def _distance(number: Mapping[str, float | None]) -> str:
    deviation = number["deviation"]
    return "given" if deviation is None else f"{deviation:+.1f}"


def _written(number: Mapping[str, float]) -> str:
    return f"{number['value']:.4g} ± {number['error']:.2g}"
