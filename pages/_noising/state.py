"""The state of the Noising page as a spec: what the permalink says, and all that a click may
change.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pages._shared.process_choice import ProcessChoice, choice_of, dragged, turned
from rgdiff_core.colors import Matched
from rgdiff_core.presets import PRESETS, Preset
from rgdiff_core.spec import Spec, check_range

__all__ = ["NoisingState", "MAX_IMAGES", "VIEWS", "merged", "start", "with_preset"]

VIEWS = ("a", "b", "side", "wipe", "blend")
MAX_IMAGES = 64


@dataclass(frozen=True)
class NoisingState(Spec):
    """Everything the page shows: data, noise, processes, time, view."""

    former_kinds: ClassVar[tuple[str, ...]] = ("Lab",)

    data: str
    sides: tuple[ProcessChoice, ...]
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

    def with_side(self, index: int, side: ProcessChoice) -> "NoisingState":
        """Return the state with one side replaced."""
        sides = tuple(side if i == index else s for i, s in enumerate(self.sides))
        return replace(self, sides=sides)

    def component(self) -> dict[str, Any]:
        """Return the part that the browser owns, as in docs/lab-protocol.md."""
        names = ("t", "view", "wipe", "blend", "speed")
        return {name: getattr(self, name) for name in names} | {
            "sides": [dragged(side) for side in self.sides]
        }


def start(data: str) -> NoisingState:
    """Return the initial state."""
    return NoisingState(data, (_side(PRESETS["rg-cutoff"]),))


def _side(preset: Preset) -> ProcessChoice:
    return choice_of(preset.basis, preset.color, preset.schedule)


def with_preset(lab: NoisingState, index: int, name: str) -> NoisingState:
    """Return the state with a preset on one side."""
    if name not in PRESETS:
        raise ValueError(f"preset = {name!r} is not one of {', '.join(PRESETS)}.")
    return lab.with_side(index, _side(PRESETS[name]))


def with_second(lab: NoisingState) -> NoisingState:
    """Return the state with a side B to compare with: the same schedule with matched or white
    noise.
    """
    if len(lab.sides) == 2:
        return lab
    other = "ddpm" if isinstance(lab.sides[0].color, Matched) else "rg-cutoff"
    return replace(lab, sides=(lab.sides[0], _side(PRESETS[other])), view="side")


def without_second(lab: NoisingState) -> NoisingState:
    """Return the state with side A only."""
    return replace(lab, sides=lab.sides[:1], view="a")


def merged(lab: NoisingState, client_state: dict[str, Any]) -> NoisingState:
    """Return the state with what the browser reported when dragging stopped.

    Raises a one-line `ValueError` where that is not a valid state.
    """
    try:
        values = {n: client_state[n] for n in ("t", "view", "wipe", "blend", "speed")}
        for index, part in enumerate(client_state["sides"][: len(lab.sides)]):
            lab = lab.with_side(index, turned(lab.sides[index], part))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the lab's state can't be read: {error!r}.") from None
    return NoisingState.from_json(json.dumps(json.loads(lab.to_json()) | values))
