"""The file of `rgdiff study recipe`: budgets side by side, with their cells.

It can be gone on with from the file alone. A run of other arms or seeds joins those of its budget.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import read_json, reading
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.images.recipe import BAND, GUIDANCE, STEPS, RecipeBudget, judged_in
from rgdiff_core.study.images.recipe_arms import BASE, title
from rgdiff_core.study.report import versions

__all__ = ["lines", "restore", "rows", "write"]

Cell = dict[str, Any]
OLDER = {"base": BASE, "steps": None, "samples": 0, "features": ""}  # of files that do not say
JUDGED_BY = (
    "bits per dimension that a model adds to the free theory's where the data log-SNR is between "
    f"{BAND[0]:g} and {BAND[1]:g}, of held-out images in the process of the training, in white "
    "noise where that is not one; labelled models are given the labels; `named`: the share of "
    f"samples whose class the classifier names, at guidance {GUIDANCE:g} in {STEPS} steps; "
    "`kernel`: the kernel distance of their features"
)


def write(path: Path, chosen: RecipeBudget, found: Mapping[str, Sequence[Cell]]) -> None:
    """Write the arms so far, with those that the file has of the same budget, beside the others.

    Arguments:
        found: cells of each arm.
    """
    budget = {
        "size": chosen.size,
        "steps": chosen.steps,
        "core_minutes": None if chosen.steps else chosen.core_minutes,
        "batch": chosen.batch,
        "images": chosen.images,
        "base": chosen.base,
        "samples": chosen.samples,
        "features": chosen.features,
    }
    read = read_json(path).get("budgets", []) if path.is_file() else []
    known = [{**OLDER, **each} for each in read]
    same = [each for each in known if all(each.get(k) == v for k, v in budget.items())]
    arms = _joined(found, chosen, [cell for each in same for cell in each["cells"]])
    seeds = sorted({_seed(cell) for cells in arms.values() for cell in cells})
    entry = {
        "command": _command(chosen, arms, seeds),
        **versions(),
        **budget,
        "seeds": seeds,
        "arms": rows(arms, chosen.base),
        "cells": [cell for cells in arms.values() for cell in cells],
    }
    others = [each for each in known if each not in same]
    whole = {"judged_by": JUDGED_BY, "budgets": [*others, entry]}
    write_text(path, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")


def _joined(
    found: Mapping[str, Sequence[Cell]], chosen: RecipeBudget, known: Iterable[Cell]
) -> dict[str, list[Cell]]:
    """Return the cells of each arm by seed: those found, and what a file has of others; of an arm
    that was found, only those of the same config.
    """
    arms: dict[str, dict[int, Cell]] = {chosen.base: {}}
    for cell in known:
        name = Path(cell["name"]).name.removeprefix(f"{chosen.name}-").rpartition("-")[0]
        if all(_trained(each) == _trained(cell) for each in found.get(name, ())):
            arms.setdefault(name, {})[_seed(cell)] = cell
    for name, cells in found.items():
        arms.setdefault(name, {}).update((_seed(cell), cell) for cell in cells)
    return {name: [cells[seed] for seed in sorted(cells)] for name, cells in arms.items()}


def _command(chosen: RecipeBudget, arms: Iterable[str], seeds: Iterable[int]) -> str:
    """Return the command that makes all of an entry."""
    budget = (
        f"--steps {chosen.steps}" if chosen.steps else f"--core-minutes {chosen.core_minutes:g}"
    )
    features = f"--features {chosen.features} " if chosen.features else ""
    return (
        f"rgdiff study recipe --data {chosen.data} --size {chosen.size} {budget} "
        f"--batch {chosen.batch} --images {chosen.images} --samples {chosen.samples} {features}"
        f"--seeds {' '.join(map(str, seeds))} --base {chosen.base} "
        f"--arms {' '.join(_changes(arms, chosen.base))}"
    )


def _changes(arms: Iterable[str], base: str) -> list[str]:
    """Return what arms change of the base; the base itself where nothing is."""
    return [name.removeprefix(f"{base}+") for name in arms if name != base] or [base]


def restore(path: Path, cells: Cells) -> None:
    """Put the cells that a file of results keeps where they are looked for."""
    if not path.is_file():
        return
    with reading(path):
        for cell in (c for entry in read_json(path)["budgets"] for c in entry["cells"]):
            parts = [cell.pop(part) for part in ("planned", "named") if part in cell]
            for each in (*parts, cell):
                place = cells.path(Path(each["name"]).name)
                if not place.is_file():
                    write_text(place, json.dumps(each) + "\n")


def rows(found: Mapping[str, Sequence[Cell]], base_name: str) -> list[dict[str, Any]]:
    """Return the arms for the file: means over seeds and images, and less the base in pairs of the
    same seed. Of arms that are judged in other noise than the base the band is not compared: it
    holds other components.
    """
    base = {_seed(cell): cell for cell in found.get(base_name, ())}
    rows = []
    for name, cells in found.items():
        seeds = () if name == base_name else map(_seed, cells)
        pairs = [(c, base[seed]) for c, seed in zip(cells, seeds, strict=False) if seed in base]
        config = cells[0]["inputs"]["config"]
        row = {
            "name": name,
            "title": title(name),
            "config": config,
            "steps": [cell["result"]["steps"] for cell in cells],
            "core_minutes": [round(cell["processor_seconds"] / 60, 2) for cell in cells],
            "free_bits": cells[0]["result"]["free_bits"],
        }
        for what in ("named", "kernel"):
            row[what] = _over_seeds(_of_samples(cells, what))
            row[f"{what}_less_base"] = _less(pairs, what)
        for what in ("band", "bits"):
            less = [_values(own, what) - _values(its, what) for own, its in pairs]
            row[what] = _estimate([_values(cell, what) for cell in cells])
            row[f"{what}_less_base"] = _estimate(less) if less else None
        if pairs and judged_in(config) != judged_in(pairs[0][1]["inputs"]["config"]):
            row["band_less_base"] = None
        matched = [_values(c, "matched_bits") for c in cells if "matched_bits" in c["result"]]
        row["matched_bits"] = _estimate(matched) if matched else None
        rows.append(row)
    return rows


def _seed(cell: Cell) -> int:
    return int(cell["inputs"]["config"].get("seed", 0))


def _trained(cell: Cell) -> dict[str, Any]:
    """Return the config of a cell, but for its seed and what follows from a timing."""
    config = cell["inputs"]["config"]
    return {k: v for k, v in config.items() if k not in ("seed", "steps", "warmup")}


def _values(cell: Cell, what: str) -> torch.Tensor:
    return torch.tensor(cell["result"][what], dtype=torch.float64)


def _estimate(values: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Return a mean and its error: over seeds where there are several, else over images."""
    several = len(values) > 1
    found = Estimate.of(torch.stack([v.mean() for v in values]) if several else values[0])
    return {
        "value": found.value,
        "error": found.error,
        "errors_over": "seeds" if several else "images",
    }


def _of_samples(cells: Iterable[Cell], what: str) -> list[dict[str, Any]]:
    """Return the share named of each seed's samples, or their kernel distance, if measured."""
    found = [cell["named"]["result"] for cell in cells if "named" in cell]
    return found if what == "named" else [each["kernel"] for each in found if "kernel" in each]


def _over_seeds(each: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the mean of what was measured of samples, None of nothing: with its error over
    seeds where there are several, else over samples.
    """
    if len(each) < 2:
        return {k: each[0][k] for k in ("value", "error")} if each else None
    found = Estimate.of(torch.tensor([x["value"] for x in each], dtype=torch.float64))
    return {"value": found.value, "error": found.error}


def _less(pairs: Iterable[tuple[Cell, Cell]], what: str) -> dict[str, Any] | None:
    """Return the mean difference of pairs of the same seed, None of fewer than two."""
    measured = [(_of_samples([own], what), _of_samples([its], what)) for own, its in pairs]
    less = [{"value": a["value"] - b["value"]} for [a], [b] in filter(all, measured)]
    return _over_seeds(less) if len(less) > 1 else None


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line for people for each row."""
    lines = []
    for row in rows:
        less = row["band_less_base"]
        change = f", {less['value']:+.5f} ± {less['error']:.5f} on the base" if less else ""
        named = row["named"]
        share = f"; named {named['value']:.3f} ± {named['error']:.3f}" if named else ""
        if kernel := row["kernel"]:
            share += f"; kernel distance {kernel['value']:.4f} ± {kernel['error']:.4f}"
        lines.append(
            f"{row['name']} ({row['title']}): {row['band']['value']:.5f} ± "
            f"{row['band']['error']:.5f} bits/dim in the band{change}{share}"
        )
    return lines
