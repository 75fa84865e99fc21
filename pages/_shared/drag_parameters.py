"""The one number of a schedule and of a colour that is dragged inside the lab, with its range."""

from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import numpy as np

from rgdiff_core import colors, extensions, schedules
from rgdiff_core.colors import Color, CurveColor, Matched, White
from rgdiff_core.schedules import Cutoff, Schedule
from rgdiff_core.spec import Spec

__all__ = ["STRENGTH", "DragParameter", "color_parameter", "schedule_parameter"]

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class DragParameter(extensions.Drag):
    """A field of a spec with the range in which it is dragged.

    Attributes:
        steps: Points of its grid.
        noun: What it is called in a sentence, where that is not its label.
    """

    steps: int = 17
    noun: str = ""

    def told(self, value: float) -> str:
        """Return the number with what it is called in a sentence."""
        return f"{self.noun or self.label} {value:.4g}"

    def grid(self, *include: float) -> list[float]:
        """Return the range as a grid, widened to include given values."""
        low, high = min((self.low, *include)), max((self.high, *include))
        space = np.geomspace if self.log else np.linspace
        return [float(x) for x in space(low, high, self.steps)]

    def value(self, spec: Spec) -> float:
        """Return the number as it stands in a schedule or colour."""
        return float(getattr(_holder(spec), self.field))

    def turn(self, spec: S, value: float) -> S:
        """Return the schedule or colour with the number at another value."""
        if isinstance(spec, Cutoff):
            return replace(spec, kernel=replace(spec.kernel, **{self.field: value}))
        if isinstance(spec, CurveColor):
            return replace(spec, base=self.turn(spec.base, value))
        if isinstance(spec, White | Matched):
            white = White(normalize=spec.normalize)
            return white if value == 0 else Matched(spec.normalize, value)  # type: ignore
        return replace(spec, **{self.field: value})


def _holder(spec: Spec) -> Spec:
    """Return the spec that has the number; white noise is matched noise of strength 0."""
    if isinstance(spec, Cutoff):
        return spec.kernel
    if isinstance(spec, CurveColor):
        return _holder(spec.base)
    return Matched(spec.normalize, 0.0) if isinstance(spec, White) else spec


_SOFT = DragParameter(
    "softness", "Softness", "0: strictly one after another; 1: all at once.", 0, 1, False
)
_SCHEDULES: dict[type[Spec], DragParameter] = {
    schedules.SigmoidKernel: DragParameter(
        "width",
        "Width w",
        "How many scales dissolve at the same time, in units of k_max.",
        0.01,
        1,
        True,
    ),
    schedules.ButterworthKernel: DragParameter(
        "order",
        "Order n",
        "Steepness of the cutoff: n = 1 is the inverse-RG model's.",
        0.5,
        16,
        True,
    ),
    schedules.SoftConditioning: DragParameter(
        "softness",
        "Softness s",
        "Large: standard diffusion; small: one after another.",
        0.02,
        20,
        True,
    ),
    schedules.Sequential: _SOFT,
    schedules.WaveletLevels: _SOFT,
    schedules.LinearBeta: DragParameter(
        "beta_max", "β at t = 1", "The final noise rate.", 1, 40, False
    ),
    schedules.Cosine: DragParameter(
        "s", "Offset s", "Holds the noise back near t = 0.", 0, 0.2, False
    ),
    schedules.LinearGamma: DragParameter(
        "gamma_max", "γ at t = 1", "The final −log-SNR.", 0, 12, False
    ),
    schedules.VE: DragParameter(
        "sigma_max", "σ at t = 1", "The final noise amplitude.", 1, 200, True
    ),
    schedules.EDM: DragParameter("rho", "ρ", "Larger: more time at low noise.", 1, 20, True),
    schedules.InverseHeat: DragParameter("blur_max", "Blur at t = 1", "In pixels.", 1, 64, True),
    schedules.BlurringDiffusion: DragParameter(
        "blur_max", "Blur at t = 1", "In pixels.", 0.5, 64, True
    ),
    schedules.Carosso: DragParameter(
        "duration", "RG time", "How far the heat equation runs.", 0.5, 128, True
    ),
    schedules.Polchinski: DragParameter(
        "duration", "RG time", "How far the flow runs.", 0.1, 16, True
    ),
    schedules.InverseRG: DragParameter(
        "mass2",
        "Mass m² of the schedule",
        "Modes of wavelength above 1/m dissolve together.",
        1e-3,
        4,
        True,
    ),
}
STRENGTH = DragParameter(
    "strength",
    "Noise: white 0 · matched 1",
    "The noise has the data's spectrum to this power: 0 is white noise, 1 is matched to the data, "
    "above 1 it is steeper than the data.",
    0,
    1.5,
    False,
    16,
    "matched noise, strength",
)
_COLORS: dict[type[Spec], DragParameter] = {
    colors.Matched: STRENGTH,
    colors.PowerLaw: DragParameter(
        "exponent",
        "Exponent p",
        "Noise power ∝ k⁻ᵖ: 0 white, 2 like natural images, below 0 blue.",
        -2,
        4,
        False,
    ),
    colors.FreeTheory: DragParameter(
        "mass2",
        "Mass m² of the noise",
        "Noise power ∝ 1/(k² + m²): large is white, small is 1/k².",
        1e-3,
        100,
        True,
    ),
}


def schedule_parameter(schedule: Schedule) -> DragParameter | None:
    """Return the parameter of a schedule (of its kernel, for cutoff schedules), or None."""
    kind = type(_holder(schedule))
    return _usable(_SCHEDULES.get(kind) or _added(kind), schedule)


def color_parameter(color: Color) -> DragParameter | None:
    """Return the parameter of a colour, or None."""
    return _usable(
        _COLORS.get(type(_holder(color))) or _added(type(_holder(color))), _holder(color)
    )


def _added(kind: type[Spec]) -> DragParameter | None:
    """Return the parameter that an extension registered."""
    drag = extensions.drag_of(kind)
    return None if drag is None else DragParameter(**asdict(drag))


def _usable(parameter: DragParameter | None, spec: Spec) -> DragParameter | None:
    """Return the parameter unless the number can't stand on its logarithmic range."""
    return None if parameter and parameter.log and parameter.value(spec) <= 0 else parameter
