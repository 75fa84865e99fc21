"""The state of the Samples page as a spec: what the permalink says, and what is asked of the
server during a drag.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from pages._sampling.setting import (
    GUIDED,
    MAX_PINS,
    MAX_SAMPLES,
    MEASURED,
    Request,
    Setting,
)
from pages._shared.process_choice import dragged, turned
from rgdiff_core.denoisers import GuidanceCurve
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = ["SamplesState", "merged", "start"]

OPENING = "pretrained/phi4-6x6-broken"

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class SamplesState(Spec):
    """Everything the page shows.

    Arguments:
        setting: that which is edited.
        n: number of the samples, the same for all settings.
        seed: of the samples, the same for all settings.
        at: where on the way from noise (0) to samples (1) the pictures stand.
        chosen: the sample that is looked at closely.
        pins: settings to compare with, at most four.
        measured: how many samples observables and spectra are measured on.
        walk: as of `Request`: the pictures lead from one sample to another.
    """

    former_kinds: ClassVar[tuple[str, ...]] = ("Bench",)

    setting: Setting = Setting()
    n: int = MAX_SAMPLES
    seed: int = 0
    at: float = 1.0
    chosen: int = 0
    pins: tuple[Setting, ...] = ()
    measured: int = 256
    walk: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1, MAX_SAMPLES)
        check_whole("seed", self.seed, 0, 2**31 - 1)
        check_range("at", self.at, 0, 1)
        check_whole("chosen", self.chosen, 0, MAX_SAMPLES - 1)
        check_range("number of pinned settings", len(self.pins), 0, MAX_PINS)
        if self.measured not in MEASURED:
            raise ValueError(
                f"measured = {self.measured!r} is not one of {', '.join(map(str, MEASURED))}."
            )
        _ = self.request  # checks the walk

    @property
    def request(self) -> Request:
        """Return what is drawn for the setting that is edited."""
        return Request(self.setting, self.n, self.seed, self.walk)

    def component(self) -> dict[str, Any]:
        """Return the part that the browser owns, as in docs/samples-protocol.md."""
        setting = self.setting
        zoom = setting.zoom
        return (
            {
                "at": self.at,
                "chosen": self.chosen,
                "n": self.n,
                "seed": self.seed,
                "sides": [dragged(setting.side)],
                "zoom": zoom and {name: getattr(zoom, name) for name in _ZOOM},
            }
            | {name: getattr(setting, name) for name in _SETTING}
            | _guidance(setting)
        )


_ZOOM = ("image", "cutoff", "softness")
_SETTING = ("method", "eta", "steps", "grid", "class_label", "guide")
_BENCH = ("at", "chosen", "n", "seed")


def _guidance(setting: Setting) -> dict[str, Any]:
    """Return guidance as the browser has it: a number, and points [k/k_max, s] or None."""
    scale = setting.guidance
    if not isinstance(scale, GuidanceCurve):
        return {"guidance": scale, "guidance_points": None}
    points = [list(point) for point in zip(scale.scales, scale.values, strict=True)]
    return {"guidance": GUIDED, "guidance_points": points}


def start() -> SamplesState:
    """Return the initial state: a broken theory, of which the two wells are seen."""
    return SamplesState(Setting(OPENING))


def merged(bench: SamplesState, client_state: dict[str, Any]) -> SamplesState:
    """Return the state with the part that the browser owns.

    Raises a one-line `ValueError` where that is not a valid state.
    """
    try:
        side = turned(bench.setting.side, client_state["sides"][0])
        numbers = {name: client_state[name] for name in _SETTING} | {
            "guidance": client_state["guidance"]
        }
        if points := client_state.get("guidance_points"):
            scales, values = zip(*points, strict=True)
            numbers["guidance"] = {"kind": "GuidanceCurve", "scales": scales, "values": values}
        if bench.setting.zoom is not None and client_state.get("zoom"):
            numbers["zoom"] = {"kind": "Zoom"} | {
                name: client_state["zoom"][name] for name in _ZOOM
            }
        own = {name: client_state[name] for name in _BENCH}
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the state of the page can't be read: {error!r}.") from None
    setting = _with(replace(bench.setting, side=side), numbers)
    return _with(replace(bench, setting=setting), own)


def _with(spec: S, values: dict[str, Any]) -> S:
    """Return a spec with other values, checked as a link's."""
    return type(spec).from_json(json.dumps(json.loads(spec.to_json()) | values))
