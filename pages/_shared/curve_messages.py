"""What the curve editor gets: the schedule's tables, its parameter, its paths."""

from dataclasses import replace
from typing import Any, TypeVar

import torch

import rgdiff_core as rg
from pages._shared.color_messages import plain
from pages._shared.knobs import Knob
from pages._shared.menus import describe
from pages._shared.side import MAX_POINTS, Side
from rgdiff_core.bases.spec import BASES
from rgdiff_core.schedules import (
    CosinePath,
    Cutoff,
    CutoffPath,
    ExponentialPath,
    LinearPath,
    LogarithmicPath,
)
from rgdiff_core.spec import Spec
from rgdiff_core.spectra.bands import Bands, tabulate

__all__ = ["centred", "curve_tables", "side_header"]


NAMED_PATHS = {
    "linear": CutoffPath.sampled(LinearPath(), 2),
    "cosine": CutoffPath.sampled(CosinePath(), 5),
    "exponential": CutoffPath.sampled(ExponentialPath(), 6),
    "logarithmic": CutoffPath.sampled(LogarithmicPath(), 6),
}


S = TypeVar("S", bound=Spec)


def centred(side: Side) -> Side:
    """Return a side with all that is dragged at a fixed place."""
    schedule, color = side.schedule, plain(side.color)
    if isinstance(schedule, Cutoff):
        schedule = replace(schedule, path=LinearPath())
    shape, tint = side.knobs()
    return Side(
        side.basis,
        color if tint is None else _centred(tint, color),
        schedule if shape is None else _centred(shape, schedule),
    )


def _centred(knob: Knob, spec: S) -> S:
    inside = knob.low <= knob.value(spec) <= knob.high
    return knob.turn(spec, knob.grid()[knob.steps // 2]) if inside else spec


def side_header(side: Side, proc: rg.Process, bands: Bands) -> dict[str, Any]:
    """Return what the curve's editor is told of a side, without its tables."""
    shape, tint = side.knobs()
    return {
        "title": describe(side.basis, side.color, side.schedule),
        "axis": {
            "label": _axis(side, proc, bands),
            "discrete": bands.discrete,
            "log": getattr(side.schedule, "order", "scale") in ("scale", "level"),
        },
        "nodes": bands.nodes.tolist(),
        "counts": bands.counts.tolist(),
        "path": isinstance(side.schedule, Cutoff),
        "points_max": MAX_POINTS,
        "shape": None if shape is None else _knob_header(shape, side.schedule),
        "tint": None if tint is None else _knob_header(tint, side.color),
        "presets": {
            name: list(zip(*_lists(path), strict=True)) for name, path in NAMED_PATHS.items()
        },
        "note": HINT if isinstance(side.schedule, Cutoff) else "",
    }


def _lists(path: CutoffPath) -> tuple[list[float], list[float]]:
    return [round(t, 4) for t in path.times], [round(y, 4) for y in path.values]


def _knob_header(knob: Knob, spec: Spec) -> dict[str, Any]:
    grid = knob.grid(knob.value(spec))
    return {
        "name": knob.field,
        "label": knob.label,
        "help": knob.help,
        "grid": grid,
        "log": knob.log,
    }


def _axis(side: Side, proc: rg.Process, bands: Bands) -> str:
    order = getattr(side.schedule, "order", "scale")
    if order in ("column", "row"):
        return f"{order} (first to last)"
    if order == "variance":
        return "weak components →"
    if bands.basis is not proc.basis:
        return "|k| / k_max"
    return BASES[side.basis.name].scale


def curve_tables(side: Side, proc: rg.Process, bands: Bands) -> dict[str, torch.Tensor]:
    """Return α, σ and γ over (shape, ordinate, band) and, for a path, the front over (shape,
    ordinate).
    """
    shape = side.knobs()[0]
    turned = [side.schedule]
    if shape is not None:
        turned = [shape.turn(side.schedule, v) for v in shape.grid(shape.value(side.schedule))]
    table = tabulate(proc, turned, bands)
    tables = {"alpha": table.alpha, "sigma": table.sigma, "gamma": table.gamma}
    return tables if table.front is None else tables | {"front": table.front}


HINT = "Drag the points: scales above the curve have become noise."
