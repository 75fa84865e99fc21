"""Cells to results: means over seeds with errors, and differences to the baseline, paired by seed.

What is written needs no arithmetic any more. Errors of means over seeds are standard errors; they
know of everything that differs between seeds, but not of the held-out configurations, which are
the same for all: that error stands beside them as `sampling_error`. For KL it is exact, since
every run keeps its values; elsewhere it is that of one run, and of a difference as if the two arms
had other configurations, which errs on the large side.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from rgdiff_core.files.stored import reading
from rgdiff_core.spec import load_json, to_dict
from rgdiff_core.study.cells import OutOfTimeError
from rgdiff_core.study.lattice import measures
from rgdiff_core.study.lattice.arms import (
    ABLATION,
    ARMS,
    BASELINE,
    LRS,
    REVERSED,
    SCHEDULE_SCAN,
    THEORIES,
    Arm,
)
from rgdiff_core.study.lattice.distance import BANDS, EDGES
from rgdiff_core.study.lattice.study import Study, mean_score

__all__ = ["METRICS", "over_seeds", "summary"]

Cell = dict[str, Any]
METRICS: dict[str, tuple[str, str]] = {  # of a run or its flow: what it is, and its unit
    "kl": ("KL(p|q) of the stochastic sampler, at most: by the denoiser's error", "nats"),
    "ends": ("of it, what lies beyond the ends of the schedule", "nats"),
    "nll": ("−log q of held-out configurations, at most: the bound", "nats"),
    "bound_kl": ("the same, by the bound on held-out configurations", "nats"),
    "flow_nll": ("−log q of held-out configurations by the probability flow", "nats"),
    "flow_kl": ("KL(p|q) of the probability flow", "nats"),
    "reverse_kl": ("KL(q|p) of the probability flow", "nats"),
    "ess": ("effective sample size of the probability flow", ""),
    "acceptance": ("acceptance of independence Metropolis", ""),
}

SHARED = ("nll", "bound_kl", "flow_nll", "flow_kl")  # means over configurations all seeds share


def summary(study: Study) -> dict[str, Any] | None:
    """Return a theory's results from the cells that are there, None while there is no truth."""
    study = replace(study, cells=replace(study.cells, until=float("-inf")))
    truth = _found(study.reference_values_cell)
    if truth is None:
        return None
    theory = truth["result"]
    runs = {
        arm.name: _all(
            lambda seed, arm=arm: _with_flow(study, arm, seed), range(study.budget.seeds)
        )
        for arm in ARMS.values()
    }
    done = sum(map(len, runs.values()))
    return {
        "theory": {"data": study.data, "title": THEORIES[study.data]}
        | {name: theory[name] for name in ("m2", "lam", "size")},
        "budget": to_dict(study.budget),
        "truth": _truth(study, runs),
        "complete": {"runs": done, "of": len(ARMS) * study.budget.seeds},
        "rates": sorted(LRS),
        "metrics": {name: {"title": t, "unit": unit} for name, (t, unit) in METRICS.items()},
        "baseline": BASELINE,
        "arms": [_arm(study, arm, runs) for arm in ARMS.values() if runs[arm.name]],
        "search": [row for arm in ARMS.values() for row in _search(study, arm)],
        "samplers": [row for arm in ARMS.values() for row in _samplers(study, arm)],
        "ablation": _ablation(study, ABLATION),
        "ablation_reversed": _ablation(study, REVERSED),
        "schedule_scan": _schedule_scan(study),
        "scale_edges": [i / BANDS for i in range(BANDS + 1)],
        "log_snr_edges": list(EDGES),
        "runs": [_without_inputs(cell) for each in runs.values() for cell in each],
        "processor_minutes": _minutes(study),
    }


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean of values of several seeds, its standard error (None for one), and n."""
    n = len(values)
    error = statistics.stdev(values) / n**0.5 if n > 1 else None
    return {"value": statistics.fmean(values), "error": error, "n": n}


def _found(cell: Callable[[], Cell]) -> Cell | None:
    try:
        return cell()
    except OutOfTimeError:
        return None


def _all(cell: Callable[[int], Cell], numbers: Iterable[int]) -> list[Cell]:
    """Return the cells of these numbers that are there."""
    found = [_found(lambda number=number: cell(number)) for number in numbers]
    return [each for each in found if each is not None]


def _truth(study: Study, runs: dict[str, list[Cell]]) -> dict[str, Any]:
    truth = study.reference_values
    numbers = {
        "log_z": truth.log_z,
        "action": truth.action,
        "entropy": truth.entropy,
        "susceptibility": truth.susceptibility,
    }
    found: dict[str, Any] = {k: v.to_dict() for k, v in numbers.items()}
    first = next((cells[0] for cells in runs.values() if cells), None)
    return found | {"gaussian_kl": first and first["result"]["gaussian_kl"]}


def _metric(cell: Cell, name: str) -> float:
    return cell["result"][name]["value"]


def _own_error(cells: list[Cell], name: str) -> float:
    """Return the error that a metric has within one run, over its configurations."""
    return statistics.fmean(cell["result"][name]["error"] for cell in cells)


def _with_flow(study: Study, arm: Arm, seed: int) -> Cell:
    """Return a final run's cell with what is known of its flow."""
    run, flow = study.run(arm, seed), _found(lambda: study.flow(arm, seed))
    return run | {"result": (flow["result"] if flow else {}) | run["result"]}


def _both(cells: list[Cell], name: str) -> list[Cell]:
    """Return the cells that have a metric, a finite one."""
    found = ((cell, cell["result"].get(name) or {}) for cell in cells)
    return [cell for cell, metric in found if metric.get("value") is not None]


def _arm(study: Study, arm: Arm, runs: dict[str, list[Cell]]) -> dict[str, Any]:
    cells = runs[arm.name]
    results = [cell["result"] for cell in cells]
    metrics: dict[str, Any] = {
        name: over_seeds([_metric(c, name) for c in known])
        for name in METRICS
        if (known := _both(cells, name))
    }
    config = cells[0]["inputs"]["config"]
    values = [study.values(arm, r["seed"])["kl"] for r in results]
    sampling = study.estimate(sum(values[1:], values[0]) / len(values)).error
    metrics["kl"]["sampling_error"] = math.hypot(sampling, _own_error(cells, "ends"))
    for name in SHARED:
        if name in metrics:
            metrics[name]["sampling_error"] = _own_error(_both(cells, name), name)
    gaussian = results[0]["gaussian_kl"]["value"]
    share = [_metric(cell, "kl") / gaussian for cell in cells]
    return {
        "name": arm.name,
        "title": arm.title,
        "about": arm.about,
        "schedule_title": results[0]["schedule"],
        "lr": results[0]["lr"],
        "lr_at_edge": results[0]["lr"] in (min(LRS), max(LRS)),
        "basis": config["basis"],
        "color": config["noise"]["color"],
        "schedule": config["noise"]["schedule"],
        "model": config["model"],
        "objective": config["objective"],
        "parameters": results[0]["parameters"],
        "seeds": [r["seed"] for r in results],
        "metrics": metrics,
        "share_of_gaussian": over_seeds(share),
        "against_baseline": _against(study, arm, cells, runs[BASELINE], values),
        "curve": [
            {"step": r["step"]}
            | {
                name: over_seeds([x["points"][i][name]["value"] for x in results])
                for name in ("kl", "nll", "bound_kl")
            }
            for i, r in enumerate(results[0]["points"])
        ],
        "table": _mean_table([x["table"] for x in results]),
        "seconds": over_seeds([cell["seconds"] for cell in cells]),
    }


def _against(
    study: Study, arm: Arm, cells: list[Cell], baseline: list[Cell], values: list[Tensor]
) -> dict[str, Any] | None:
    """Return each metric less the baseline's, paired by seed; None for the baseline itself."""
    others = {cell["result"]["seed"]: cell for cell in baseline}
    pairs = [(c, others[s]) for c in cells if (s := c["result"]["seed"]) in others]
    if arm.name == BASELINE or not pairs:
        return None
    found: dict[str, Any] = {
        name: over_seeds([_metric(mine, name) - _metric(its, name) for mine, its in known])
        for name in METRICS
        if (known := [p for p in pairs if len(_both([*p], name)) == 2])
    }
    same = [
        mine - study.values(ARMS[BASELINE], cell["result"]["seed"])["kl"]
        for mine, cell in zip(values, cells, strict=True)
        if cell["result"]["seed"] in others
    ]
    sampling = study.estimate(sum(same[1:], same[0]) / len(same)).error
    noises = [side[0]["inputs"]["config"]["noise"] for side in (cells, baseline)]
    beyond = (
        [0.0] if noises[0] == noises[1] else [_own_error(c, "ends") for c in (cells, baseline)]
    )
    found["kl"]["sampling_error"] = math.hypot(sampling, *beyond)
    for name in SHARED:
        if name in found:
            sides = (_own_error(_both([*side], name), name) for side in zip(*pairs, strict=True))
            found[name]["sampling_error"] = math.hypot(*sides)
    return found


def _mean_table(tables: Sequence[list[list[float]]]) -> list[list[float]]:
    rows = zip(*tables, strict=True)
    return [[statistics.fmean(x) for x in zip(*row, strict=True)] for row in rows]


def _search(study: Study, arm: Arm) -> list[dict[str, Any]]:
    try:
        cells, best = study.search(arm), min(study.finals(arm), key=mean_score)
    except OutOfTimeError:
        return []
    return [
        cell["result"] | {"chosen": cell in best, "seconds": cell["seconds"]} for cell in cells
    ]


def _samplers(study: Study, arm: Arm) -> list[dict[str, Any]]:
    rows = []
    for steps in study.budget.evaluations:
        cells = _all(
            lambda seed, steps=steps: study.samplers(arm, seed, steps), range(study.budget.seeds)
        )
        for i, method in enumerate(measures.METHODS if cells else ()):
            found = [cell["result"]["rows"][i] for cell in cells]
            rows.append(
                {
                    "arm": arm.name,
                    "method": method,
                    "nfe": steps,
                    "susceptibility_percent": over_seeds(
                        [row["susceptibility_percent"] for row in found]
                    )
                    | {
                        "sampling_error": sum(
                            row["susceptibility_percent_error"] ** 2 for row in found
                        )
                        ** 0.5
                        / len(found)
                    },
                    "susceptibility_sigma": [row["susceptibility_sigma"] for row in found],
                }
                | _exact(found)
            )
    return rows


def _exact(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return effective sample size and KL(q|p) of the seeds where the map does not fold."""
    whole = [row for row in rows if row.get("ess") and row["reverse_kl"]["value"] is not None]
    if not whole:
        return {"ess": None, "reverse_kl": None, "folded": sum("folded" in row for row in rows)}
    return {
        "ess": over_seeds([row["ess"]["value"] for row in whole]),
        "reverse_kl": over_seeds([row["reverse_kl"]["value"] for row in whole]),
        "folded": len(rows) - len(whole),
    }


def _ablation(study: Study, arms: Sequence[Arm]) -> list[dict[str, Any]]:
    if study.data not in study.budget.ablation:
        return []
    rows: list[dict[str, Any]] = []
    last: dict[int, float] = {}
    for arm in arms:
        cells = _all(
            lambda seed, arm=arm: study.ablation_step(arm, seed),
            range(study.budget.ablation_seeds),
        )
        if not cells:
            continue
        now = {cell["result"]["seed"]: _metric(cell, "kl") for cell in cells}
        change = [now[seed] - last[seed] for seed in now if seed in last]
        rows.append(
            {
                "name": arm.name,
                "title": arm.title,
                "kl": over_seeds(list(now.values())) | {"sampling_error": _own_error(cells, "kl")},
                "change": over_seeds(change) if change else None,
                "table": _mean_table([cell["result"]["table"] for cell in cells]),
            }
        )
        last = now
    return rows


def _schedule_scan(study: Study) -> list[dict[str, Any]]:
    if study.data not in study.budget.schedule_scan:
        return []
    rows = []
    for color in ("white", "matched"):
        for index, (kernel, number, schedule) in enumerate(
            SCHEDULE_SCAN[: study.budget.schedules]
        ):
            cell = _found(lambda color=color, index=index: study.place(color, index))
            if cell is not None:
                row = {"color": color, "kernel": kernel, "number": number or None}
                row |= {"schedule": to_dict(schedule), "kl": cell["result"]["kl"]}
                rows.append(row)
    return rows


def _without_inputs(cell: Cell) -> Cell:
    return cell["result"] | {
        "config": cell["inputs"]["config"],
        "seconds": cell["seconds"],
        "finished": cell["finished"],
    }


def _minutes(study: Study) -> float:
    """Return the processor minutes of all cells on disk, damaged ones left out."""
    seconds = 0.0
    for path in study.cells.folder.glob("*.json"):
        with suppress(ValueError, OSError), reading(path):
            seconds += load_json(path.read_text(encoding="utf-8"))["processor_seconds"]
    return round(seconds / 60, 1)
