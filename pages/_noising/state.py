"""The state of the Noising page as a spec: what the permalink says, and all that a click may
change.
"""

import json
import reprlib
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

from pages._shared.knobs import Knob, color_knob, schedule_knob
from pages._shared.menus import BASE_COLORS, COLORS, KERNELS, ORDERS, SCHEDULES
from rgdiff_core.bases import orthogonal_wavelets
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, CurveColor, Matched
from rgdiff_core.presets import PRESETS, Preset
from rgdiff_core.schedules import Cutoff, CutoffPath, Schedule, Sequential, SoftConditioning
from rgdiff_core.spec import Spec, check_range

__all__ = [
    "MAX_IMAGES",
    "MAX_POINTS",
    "VIEWS",
    "Lab",
    "Side",
    "check_menu",
    "curve_of",
    "merged",
    "points_of",
    "start",
    "turned",
    "with_preset",
]

VIEWS = ("a", "b", "side", "wipe", "blend")
MAX_IMAGES = 64
MAX_POINTS = 12


def check_menu(name: str, value: Any, menu: Container[Any]) -> None:
    """Raise `ValueError` unless the page's menu has an entry for a value."""
    if value not in menu:
        said = value.__name__ if isinstance(value, type) else reprlib.repr(value)
        raise ValueError(f"{name} = {said} is not in this page's menu.")


@dataclass(frozen=True)
class Side(Spec):
    """One process: A, or B when two are compared."""

    basis: BasisSpec
    color: Color
    schedule: Schedule

    def __post_init__(self) -> None:
        check_menu("color", type(self.color), COLORS)
        if isinstance(self.color, CurveColor):
            check_menu("base of the drawn colour", type(self.color.base), BASE_COLORS)
        check_menu("schedule", type(self.schedule), SCHEDULES)
        if isinstance(self.schedule, Cutoff):
            check_menu("kernel", type(self.schedule.kernel), KERNELS)
        if isinstance(self.schedule, Sequential | SoftConditioning):
            check_menu("order", self.schedule.order, ORDERS)
        check_menu("wavelet", self.basis.wavelet, orthogonal_wavelets())

    def knobs(self) -> tuple[Knob | None, Knob | None]:
        """Return the knobs of schedule and colour."""
        return schedule_knob(self.schedule), color_knob(self.color)


@dataclass(frozen=True)
class Lab(Spec):
    """Everything the page shows: data, noise, processes, time, view."""

    data: str
    sides: tuple[Side, ...]
    images: int = 16
    first: int = 0
    seed: int = 0
    t: float = 0.5
    view: str = "a"
    wipe: float = 0.5
    blend: float = 0.5
    speed: float = 1.0

    def __post_init__(self) -> None:
        check_range("number of sides", len(self.sides), 1, 2)
        check_range("images", self.images, 1, MAX_IMAGES)
        check_range("first", self.first, 0, 1_000_000)
        check_range("seed", self.seed, 0, 2**31 - 1)
        for name in ("t", "wipe", "blend"):
            check_range(name, getattr(self, name), 0, 1)
        check_range("speed", self.speed, 0.01, 100)
        if self.view not in VIEWS:
            raise ValueError(f"view = {self.view!r} is not one of {', '.join(VIEWS)}.")

    def with_side(self, index: int, side: Side) -> "Lab":
        """Return the state with one side replaced."""
        sides = tuple(side if i == index else s for i, s in enumerate(self.sides))
        return replace(self, sides=sides)

    def component(self) -> dict[str, Any]:
        """Return the part that the browser owns, as in docs/lab-protocol.md."""
        sides = []
        for side in self.sides:
            knobs, specs = side.knobs(), (side.schedule, side.color)
            shape, tint = (k and k.value(s) for k, s in zip(knobs, specs, strict=True))
            numbers = {"shape": shape, "tint": tint, "keep": side.color.normalize}
            curve = curve_of(side.color)
            sides.append({"points": points_of(side.schedule), "curve": curve} | numbers)
        names = ("t", "view", "wipe", "blend", "speed")
        return {name: getattr(self, name) for name in names} | {"sides": sides}


def start(data: str) -> Lab:
    """Return the state that a newcomer sees."""
    return Lab(data, (_side(PRESETS["rg-cutoff"]),))


def _side(preset: Preset) -> Side:
    return Side(preset.basis, preset.color, preset.schedule)


def with_preset(lab: Lab, index: int, name: str) -> Lab:
    """Return the state with a preset on one side."""
    if name not in PRESETS:
        raise ValueError(f"preset = {name!r} is not one of {', '.join(PRESETS)}.")
    return lab.with_side(index, _side(PRESETS[name]))


def with_second(lab: Lab) -> Lab:
    """Return the state with a side B to compare with: the same schedule with matched or white
    noise.
    """
    if len(lab.sides) == 2:
        return lab
    other = "ddpm" if isinstance(lab.sides[0].color, Matched) else "rg-cutoff"
    return replace(lab, sides=(lab.sides[0], _side(PRESETS[other])), view="side")


def without_second(lab: Lab) -> Lab:
    """Return the state with side A only."""
    return replace(lab, sides=lab.sides[:1], view="a")


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


def merged(lab: Lab, rest: dict[str, Any]) -> Lab:
    """Return the state with what the browser said when the hand came to rest.

    Raises `ValueError` in one sentence where that is not a valid state.
    """
    try:
        values = {n: rest[n] for n in ("t", "view", "wipe", "blend", "speed")}
        for index, told in enumerate(rest["sides"][: len(lab.sides)]):
            lab = lab.with_side(index, turned(lab.sides[index], told))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the lab's state can't be read: {error!r}.") from None
    return Lab.from_json(json.dumps(json.loads(lab.to_json()) | values))


def turned(side: Side, told: dict[str, Any]) -> Side:
    """Return a side with what the browser tells: the points, the shape, the tint, the curve."""
    schedule, color = side.schedule, side.color
    if isinstance(schedule, Cutoff):
        schedule = replace(schedule, path=_path(told["points"]))
    shape, tint = side.knobs()
    if shape is not None and told.get("shape") is not None:
        schedule = shape.turn(schedule, told["shape"])
    if tint is not None and told.get("tint") is not None:
        color = tint.turn(color, told["tint"])
    if told.get("curve") is not None:
        color = _drawn(color, told["curve"], bool(told.get("keep", color.normalize)))
    return Side(side.basis, color, schedule)


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


def _path(points: Any) -> CutoffPath:
    times, values = _columns("points", points, "a time and a cutoff")
    told = json.dumps({"kind": "CutoffPath", "times": times, "values": values})
    return CutoffPath.from_json(told)
