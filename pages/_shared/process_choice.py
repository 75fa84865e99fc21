"""One process of a page: basis, colour and schedule, with the numbers that are dragged."""

import json
import reprlib
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import rgdiff_core as rg
from pages._shared import cache
from pages._shared.drag_parameters import DragParameter, color_parameter, schedule_parameter
from pages._shared.menus import BASE_COLORS, COLORS, KERNELS, MOTIONS, ORDERS, SCHEDULES
from rgdiff_core.bases import orthogonal_wavelets
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, CurveColor, MovingColor
from rgdiff_core.process import ProcessSpec
from rgdiff_core.schedules import (
    Cutoff,
    CutoffPath,
    LinearPath,
    Path,
    Schedule,
    Sequential,
    SoftConditioning,
)

__all__ = [
    "MAX_POINTS",
    "ProcessChoice",
    "check_menu",
    "choice_of",
    "curve_of",
    "dragged",
    "points_of",
    "process",
    "turned",
]


MAX_POINTS = 12


def check_menu(name: str, value: Any, menu: Container[Any]) -> None:
    """Raise `ValueError` unless the page's menu has an entry for a value."""
    if value not in menu:
        said = value.__name__ if isinstance(value, type) else reprlib.repr(value)
        raise ValueError(f"{name} = {said} is not in this page's menu.")


@dataclass(frozen=True)
class ProcessChoice(ProcessSpec):
    """One process: A, or B when two are compared.

    Arguments:
        start: the colour that the noise has at first, where its colour changes with time; `color`
            is the one that it ends with, and the one that is dragged.
        motion: how it changes from the one to the other.
    """

    former_kinds: ClassVar[tuple[str, ...]] = ("Side",)

    start: Color | None = None
    motion: Path = LinearPath()

    @property
    def noise(self) -> Color:
        """Return the colour of the process, with its change in time."""
        return self.color if self.start is None else self._moving(self.start)

    def _moving(self, start: Color) -> MovingColor:
        return MovingColor(start, self.color, self.motion)

    @property
    def still(self) -> "ProcessChoice":
        """Return the process whose colour is always that of the end."""
        return replace(self, start=None, motion=LinearPath())

    def with_part(self, name: str, value: Any) -> "ProcessChoice":
        """Return the process with another value of a field; a colour that stays has no motion."""
        side = replace(self, **{name: value})
        return side.still if side.start is None else side

    def __post_init__(self) -> None:
        check_menu("color", type(self.color), COLORS)
        if self.start is not None:
            check_menu("start of the colour", type(self.start), BASE_COLORS)
        check_menu("motion of the colour", type(self.motion), MOTIONS)
        if isinstance(self.color, CurveColor):
            check_menu("base of the drawn colour", type(self.color.base), BASE_COLORS)
        check_menu("schedule", type(self.schedule), SCHEDULES)
        if isinstance(self.schedule, Cutoff):
            check_menu("kernel", type(self.schedule.kernel), KERNELS)
        if isinstance(self.schedule, Sequential | SoftConditioning):
            check_menu("order", self.schedule.order, ORDERS)
        check_menu("wavelet", self.basis.wavelet, orthogonal_wavelets())

    def drag_parameters(self) -> tuple[DragParameter | None, DragParameter | None]:
        """Return the parameters of schedule and colour."""
        return schedule_parameter(self.schedule), color_parameter(self.color)

    def drag_values(self) -> tuple[float | None, float | None]:
        """Return the numbers of schedule and colour that these parameters are at."""
        shape, tint = self.drag_parameters()
        return shape and shape.value(self.schedule), tint and tint.value(self.color)


def points_of(schedule: Schedule) -> list[list[float]]:
    """Return the control points of a schedule's path, a straight one where it has none."""
    if not isinstance(schedule, Cutoff):
        return [[0.0, 1.0], [1.0, 0.0]]
    path = schedule.path
    if not isinstance(path, CutoffPath) or len(path.times) > MAX_POINTS:
        path = CutoffPath.sampled(path, 7)
    return [list(p) for p in zip(path.times, path.values, strict=True)]


def curve_of(color: Color) -> list[list[float]] | None:
    """Return the points of a drawn colour: scales, and log-variances over its base."""
    if not isinstance(color, CurveColor):
        return None
    return [list(p) for p in zip(color.scales, color.log_variances, strict=True)]


def dragged(side: ProcessChoice) -> dict[str, Any]:
    """Return the part of a side that the browser owns, as `turned` takes it back."""
    shape, tint = side.drag_values()
    return {
        "points": points_of(side.schedule),
        "shape": shape,
        "tint": tint,
        "curve": curve_of(side.color),
        "keep": side.color.normalize,
    }


def turned(side: ProcessChoice, client_state: dict[str, Any]) -> ProcessChoice:
    """Return a side with what the browser reports: the points, the shape, the tint, the curve."""
    schedule, color = side.schedule, side.color
    if isinstance(schedule, Cutoff):
        schedule = replace(schedule, path=_path(client_state["points"]))
    shape, tint = side.drag_parameters()
    if shape is not None and client_state.get("shape") is not None:
        schedule = shape.turn(schedule, client_state["shape"])
    if tint is not None and client_state.get("tint") is not None:
        color = tint.turn(color, client_state["tint"])
    if client_state.get("curve") is not None:
        color = _drawn(
            color, client_state["curve"], bool(client_state.get("keep", color.normalize))
        )
    return replace(side, color=color, schedule=schedule)


def _path(points: Any) -> CutoffPath:
    times, values = _columns("points", points, "a time and a cutoff")
    told = json.dumps({"kind": "CutoffPath", "times": times, "values": values})
    return CutoffPath.from_json(told)


def process(data: str, side: ProcessChoice) -> rg.Process:
    """Return the process of one side, with the data's statistics."""
    spec = side.basis.to_json()
    return rg.Process(cache.basis(data, spec), side.noise, side.schedule, cache.modes(data, spec))


def choice_of(basis: BasisSpec, color: Color, schedule: Schedule) -> ProcessChoice:
    """Return a process as the pages have it; raises `ValueError` where a menu lacks a part."""
    if isinstance(color, MovingColor):
        return ProcessChoice(basis, color.end, schedule, color.start, color.path)
    return ProcessChoice(basis, color, schedule)


def _drawn(color: Color, points: Any, keep: bool) -> Color:
    """Return the colour with a curve drawn on it, or the plain colour where the curve is flat."""
    scales, values = _columns("curve", points, "a scale and a log-variance")
    base = color.base if isinstance(color, CurveColor) else color
    if keep == base.normalize and all(value == 0 for value in values):
        return base
    told = {"kind": "CurveColor", "scales": scales, "log_variances": values, "normalize": keep}
    return replace(CurveColor.from_json(json.dumps(told)), base=base)


def _columns(name: str, points: Any, pair: str) -> tuple[list[Any], list[Any]]:
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError(f"{name} = {reprlib.repr(points)} must be pairs of {pair}.")
    return [point[0] for point in points], [point[1] for point in points]
