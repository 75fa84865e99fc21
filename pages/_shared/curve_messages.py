"""What the curve editor gets: the schedule's tables, its parameter, its paths."""

from dataclasses import asdict, replace
from typing import Any, TypeVar

import torch

import rgdiff_core as rg
from pages._shared.color_messages import plain
from pages._shared.drag_parameters import DragParameter
from pages._shared.menus import describe_around, describe_noise, numbered
from pages._shared.process_choice import MAX_POINTS, ProcessChoice
from rgdiff_core.bases.spec import BASES
from rgdiff_core.colors import CurveColor
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

__all__ = ["centred", "curve_tables", "side_header", "side_name"]


NAMED_PATHS = {
    "linear": CutoffPath.sampled(LinearPath(), 2),
    "cosine": CutoffPath.sampled(CosinePath(), 5),
    "exponential": CutoffPath.sampled(ExponentialPath(), 6),
    "logarithmic": CutoffPath.sampled(LogarithmicPath(), 6),
}


S = TypeVar("S", bound=Spec)


def centred(side: ProcessChoice) -> ProcessChoice:
    """Return a side with all that is dragged at a fixed place."""
    schedule, color = side.schedule, plain(side.color)
    if isinstance(schedule, Cutoff):
        schedule = replace(schedule, path=LinearPath())
    shape, tint = side.drag_parameters()
    return replace(
        side,
        color=color if tint is None else _centred(tint, color),
        schedule=schedule if shape is None else _centred(shape, schedule),
    )


def _centred(parameter: DragParameter, spec: S) -> S:
    inside = parameter.low <= parameter.value(spec) <= parameter.high
    return parameter.turn(spec, parameter.grid()[parameter.steps // 2]) if inside else spec


def side_header(side: ProcessChoice, proc: rg.Process, bands: Bands) -> dict[str, Any]:
    """Return the description of a side for the curve's editor, without its tables and its name."""
    shape, tint = side.drag_parameters()
    label = _axis(side, proc, bands)
    return {
        "axis": {
            "label": label,
            "discrete": bands.discrete,
            "counted": bands.discrete and label != MOMENTUM,
            "log": getattr(side.schedule, "order", "scale") in ("scale", "level"),
        },
        "nodes": bands.nodes.tolist(),
        "counts": bands.counts.tolist(),
        "path": isinstance(side.schedule, Cutoff),
        "cutoff": _cutoff_name(label) if bands.basis is proc.basis else "",
        "points_max": MAX_POINTS,
        "shape": None if shape is None else _parameter_header(shape, side.schedule),
        "tint": None if tint is None else _parameter_header(tint, side.color),
        "presets": {
            name: list(zip(*_lists(path), strict=True)) for name, path in NAMED_PATHS.items()
        },
        "note": HINT if isinstance(side.schedule, Cutoff) else "",
    }


def side_name(side: ProcessChoice) -> dict[str, Any]:
    """Return what a side is called, with {} in place of its noise, which is dragged; the names of
    the noise as it is and, without what is drawn on it, as its number is dragged.
    """
    color = plain(side.color)
    name = numbered(color) if side.drag_parameters()[1] else None
    return {
        "pattern": describe_around(side.basis, side.schedule),
        "start": "" if side.start is None else describe_noise(side.start),
        "noise": describe_noise(color),
        "drawn": isinstance(side.color, CurveColor),
        "numbered": None if name is None else asdict(name),
    }


def _lists(path: CutoffPath) -> tuple[list[float], list[float]]:
    return [round(t, 4) for t in path.times], [round(y, 4) for y in path.values]


def _parameter_header(parameter: DragParameter, spec: Spec) -> dict[str, Any]:
    grid = parameter.grid(parameter.value(spec))
    return {
        "name": parameter.field,
        "label": parameter.label,
        "help": parameter.help,
        "grid": grid,
        "log": parameter.log,
    }


def _axis(side: ProcessChoice, proc: rg.Process, bands: Bands) -> str:
    order = getattr(side.schedule, "order", "scale")
    if order in ("column", "row"):
        return f"{order} (first to last)"
    if order == "variance":
        return "weak components →"
    if bands.basis is not proc.basis:
        return MOMENTUM
    return BASES[side.basis.name].scale


def _cutoff_name(label: str) -> str:
    return "Λ/k_max" if label == MOMENTUM else "Λ"


def curve_tables(side: ProcessChoice, proc: rg.Process, bands: Bands) -> dict[str, torch.Tensor]:
    """Return α and σ over (shape, ordinate, band) and, for a path, front and Λ without them."""
    shape = side.drag_parameters()[0]
    turned = [side.schedule]
    if shape is not None:
        turned = [shape.turn(side.schedule, v) for v in shape.grid(shape.value(side.schedule))]
    table = tabulate(proc, turned, bands)
    tables = {"alpha": table.alpha, "sigma": table.sigma}
    paths = {"front": table.front, "cutoff": table.cutoff}
    return tables | {name: path for name, path in paths.items() if path is not None}


MOMENTUM = "|k| / k_max"
HINT = "Scales finer than Λ have become noise; coarser ones are still largely intact."
