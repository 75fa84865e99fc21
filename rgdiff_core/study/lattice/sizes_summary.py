"""The study of sizes as JSON and as tables, from its cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rgdiff_core.lattice.exponents import exponent
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.lattice.sizes import (
    ACTION,
    FIRST,
    PUBLISHED,
    SizeStudy,
    cell_of,
    published_action,
    reference_cell,
    title_of,
)
from rgdiff_core.study.lattice.sizes_cost import cost_rows
from rgdiff_core.study.lattice.sizes_measures import OBSERVABLES
from rgdiff_core.study.lattice.sizes_relaxed import relaxed_rows
from rgdiff_core.study.lattice.sizes_steps import steps_rows

__all__ = ["GIVEN", "lines", "summary"]

SYMBOLS = ("χ", "⟨|M|⟩", "Binder", "⟨φ²⟩", "energy", "ξ")
KINDS = {
    "run": "spectrum of the run",
    "scaling": "spectrum by scaling",
    "grown": "grown by an octave from the run",
    "chain": "grown from 8×8, octave by octave",
}
COSTS = {"hmc": "hybrid Monte Carlo", "clusters": "hybrid Monte Carlo with clusters"}
SCALING = {  # what grows with which exponent, and its sign
    "susceptibility": ("gamma/nu", 1.0),
    "abs_magnetization": ("beta/nu", -1.0),
    "slope": ("1/nu", 1.0),
}
LEAST = 16  # size from which on exponents are fitted
GIVEN = ("susceptibility", "abs_magnetization", "binder", "correlation_length")
"""What the long waves fix, which grown fields take over from a run: no test of the model."""
BY_SPECTRUM = ("susceptibility",)  # what it gives to drawn fields, if the network leaves it


def summary(
    study: SizeStudy, sizes: Sequence[int], models: Sequence[str], away: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what is there of the study: observables of every kind of sample at every size, each
    with its distance from hybrid Monte Carlo in standard errors of the difference; None for what
    grown fields were given. Fields grown from a run's long waves are compared with the fields of
    that run which these are of, in pairs.

    Arguments:
        away: models of which the couplings of the literature are told.
    """
    there = [size for size in sizes if study.cell(f"hmc-{size}") is not None]
    rows = [_at(study, size, models) for size in there]
    found = {"action": asdict(ACTION), "observables": list(OBSERVABLES), "sizes": rows}
    found |= {"exponents": _exponents(study, there, models)}
    found |= {"cost": list(cost_rows(study, there, models))}
    found |= {"steps": list(steps_rows(study, there, models))}
    found |= {"relaxed": list(_relaxed(study, there, models))}
    return found | {"published": list(_published(study, away))}


def _published(study: SizeStudy, models: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Return what there is at the couplings of the literature."""
    for size in PUBLISHED if study.numbers.weighed else ():
        action = published_action(size)
        run = study.cell(reference_cell(size, action))
        for name in models:
            cell = study.cell(cell_of(name, size, "published"))
            if run is not None and cell is not None:
                result, truth = cell["result"], run["result"]["observables"]
                row = {"model": title_of(name), "size": size, "lam": action.lam}
                ess = result["ess"]
                row |= {"n": result["n"], "ess": ess and ess | {"n": result["weighed"]}}
                yield row | {"observables": dict(_compared(result["observables"], truth, ()))}


def _relaxed(
    study: SizeStudy, sizes: Sequence[int], models: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield what trajectories of Monte Carlo make of a model's fields, beside the run's."""
    for row, observables in relaxed_rows(study, sizes, models):
        truth = (study.cell(f"hmc-{row['size']}") or {})["result"]["observables"]
        given = GIVEN if row["kind"] != "run" else ()
        yield row | {"observables": dict(_compared(observables, truth, given))}


def _exponents(
    study: SizeStudy, sizes: Sequence[int], models: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the critical exponents that each kind of sample shows on lattices from 16×16 on,
    "given" where waves or spectrum fix one, None where values are too noisy to have one. Errors
    take the sizes for independent, which those of fields that are grown octave by octave are not.
    """
    runs = {}
    for size in (each for each in sizes if each >= LEAST):
        slope = study.slope(size)
        if slope is not None:
            runs[size] = _with_slope((study.cell(f"hmc-{size}") or {})["result"], slope)
    if len(runs) < 2:
        return []
    rows = [{"model": None, "kind": "hmc"} | _row(runs, ())]
    for name in models:
        for kind in KINDS:
            found = {}
            for size in runs:
                same = "grown" if kind == "chain" and size == FIRST else kind
                cell = study.cell(cell_of(name, size, same))
                if cell is not None and "slope" in cell["result"]:
                    result = cell["result"]
                    found[size] = _with_slope(result, Estimate(**result["slope"]))
            if len(found) > 1:
                row = _row(found, BY_SPECTRUM if kind in ("run", "scaling") else GIVEN)
                rows.append({"model": title_of(name), "kind": kind} | row)
    return rows


def _with_slope(result: Mapping[str, Any], slope: Estimate) -> dict[str, Estimate]:
    kept = {name: Estimate(**result["observables"][name]) for name in SCALING if name != "slope"}
    return kept | {"slope": slope.scaled(-1.0)}


def _row(found: Mapping[int, Mapping[str, Estimate]], given: Sequence[str]) -> dict[str, Any]:
    """Return the exponents of a kind of sample, those that can be had."""
    row: dict[str, Any] = {"sizes": list(found)}
    for quantity, (name, sign) in SCALING.items():
        values = {size: each[quantity] for size, each in found.items()}
        if quantity in given:
            row[name] = "given"
        elif all(each.value > 0 and each.error > 0 for each in values.values()):
            row[name] = exponent(values).scaled(sign).to_dict()
        else:
            row[name] = None
    return row


def _at(study: SizeStudy, size: int, models: Sequence[str]) -> dict[str, Any]:
    reference = study.cell(f"hmc-{size}") or {}
    truth = reference["result"]["observables"]
    rows = []
    for name in models:
        weighed = study.cell(cell_of(name, size, "weighed"))
        if weighed is not None and study.numbers.weighed:
            ess = weighed["result"]["ess"] | {"n": weighed["result"]["n"]}
            rows.append({"model": title_of(name), "kind": "weighed", "ess": ess})
        for kind in KINDS:
            cell = study.cell(cell_of(name, size, kind))
            if cell is not None:
                given = GIVEN if kind in ("grown", "chain") else ()
                found = dict(_compared(cell["result"]["observables"], truth, given))
                found |= _paired(cell["result"].get("paired", {}), found, truth)
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


def _paired(
    pairs: Mapping[str, Any], found: Mapping[str, Any], truth: Mapping[str, Any]
) -> dict[str, dict[str, float | None]]:
    """Return the entries of `_compared` whose distance is known of pairs."""
    changes = {name: Estimate(**change) for name, change in pairs.items()}
    return {
        name: found[name]
        | {
            "deviation": change.value / change.error,
            "percent": 100 * change.value / truth[name]["value"],
        }
        for name, change in changes.items()
    }


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
    for row in found["published"]:
        cells = (
            f"{s} [{_distance(row['observables'][n])}]"
            for n, s in zip(OBSERVABLES, SYMBOLS, strict=True)
        )
        told.append(
            f"{row['model']}, L = {row['size']}, λ = {row['lam']:g}: ESS "
            f"{_written(row['ess']) if row['ess'] else '–'}; "
            f"{', '.join(cells)}"
        )
    for row in found["cost"]:
        title = COSTS[row["way"]] if row["model"] is None else f"{row['model']}, {row['way']}"
        told.append(f"{row['size']}×{row['size']}, {title}: {row['seconds']:.3g} s a field")
    for row in found["exponents"]:
        own = f"{row['model']}, {KINDS.get(row['kind'])}"
        title = "hybrid Monte Carlo" if row["model"] is None else own
        names = [name for name, _ in SCALING.values() if isinstance(row[name], dict)]
        if names:
            parts = (f"{name} = {_written(row[name])}" for name in names)
            told.append(f"{title}, L = {', '.join(map(str, row['sizes']))}: {', '.join(parts)}")
    return told


def _distance(number: Mapping[str, float | None]) -> str:
    deviation = number["deviation"]
    return "given" if deviation is None else f"{deviation:+.1f}"


def _written(number: Mapping[str, float]) -> str:
    return f"{number['value']:.4g} ± {number['error']:.2g}"
