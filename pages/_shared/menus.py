"""The menus of the three choices: display names, and the spec that each stands for."""

from collections.abc import Mapping
from dataclasses import dataclass

from rgdiff_core import colors, extensions, schedules
from rgdiff_core.bases import spec as bases
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color
from rgdiff_core.schedules import Cutoff, Kernel, Path, Schedule

__all__ = [
    "BASES",
    "BASE_COLORS",
    "COLORS",
    "GRID_HELP",
    "KERNELS",
    "MOTIONS",
    "ORDERS",
    "SCHEDULES",
    "START_COLORS",
    "Numbered",
    "describe",
    "describe_around",
    "describe_noise",
    "in_sentence",
    "numbered",
]

extensions.load()

BASES: Mapping[str, str] = {name: kind.title for name, kind in bases.BASES.items()}
ORDERS: Mapping[str, str] = {
    "scale": "fine scales first",
    "variance": "weak components first",
    "column": "columns, from the right",
    "row": "rows, from the bottom",
    "level": "level by level",
}
_COLORS: Mapping[str, Color] = {
    "White": colors.White(),
    "Power law": colors.PowerLaw(),
    "Free theory": colors.FreeTheory(),
    "Matched": colors.Matched(),
    "Drawn curve": colors.CurveColor(base=colors.Matched()),
} | extensions.listed(Color)
COLORS: Mapping[type[Color], tuple[str, Color]] = {
    type(color): (title, color) for title, color in _COLORS.items()
}
START_COLORS: Mapping[str, Color] = {
    "white": colors.White(),
    "blue (∝ k)": colors.PowerLaw(-1.0),
    "pink (∝ 1/k)": colors.PowerLaw(1.0),
    "red, like natural images (∝ 1/k²)": colors.PowerLaw(2.0),
    "as the free theory": colors.FreeTheory(),
    "matched to the data": colors.Matched(),
}
"""That noise whose colour changes with time can begin with."""

_MOTIONS: Mapping[str, Path] = {
    "Even": schedules.LinearPath(),
    "Slow at both ends": schedules.CosinePath(),
    "Fast at first": schedules.ExponentialPath(),
    "Slow at first": schedules.LogarithmicPath(),
}
MOTIONS: Mapping[type[Path], tuple[str, Path]] = {
    type(path): (title, path) for title, path in _MOTIONS.items()
}
"""How the colour changes; all end with the colour that is dragged."""

BASE_COLORS = tuple(kind for kind in COLORS if kind is not colors.CurveColor)
"""On which a curve can be drawn."""

_KERNELS: Mapping[str, Kernel] = {
    "Sigmoid": schedules.SigmoidKernel(),
    "Hard": schedules.HardKernel(),
    "Gaussian": schedules.GaussianKernel(),
    "Exponential": schedules.ExponentialKernel(),
    "Litim": schedules.LitimKernel(),
    "Bump": schedules.BumpKernel(),
    "Butterworth": schedules.ButterworthKernel(),
} | extensions.listed(Kernel)
KERNELS: Mapping[type[Kernel], tuple[str, Kernel]] = {
    type(kernel): (title, kernel) for title, kernel in _KERNELS.items()
}

_SCHEDULES: Mapping[str, Schedule] = {
    "Cutoff Λ(t)": schedules.Cutoff(),
    "Soft conditioning": schedules.SoftConditioning(),
    "Sequential (autoregressive)": schedules.Sequential(),
    "Wavelet levels": schedules.WaveletLevels(),
    "Linear β (VP)": schedules.LinearBeta(),
    "Cosine": schedules.Cosine(),
    "Linear log-SNR": schedules.LinearGamma(),
    "Learned log-SNR": schedules.LearnedGamma(),
    "Variance exploding": schedules.VE(),
    "EDM": schedules.EDM(),
    "Flow matching": schedules.FlowMatching(),
    "Inverse heat": schedules.InverseHeat(),
    "Blurring": schedules.BlurringDiffusion(),
    "Inverse RG": schedules.InverseRG(),
    "Carosso's RG": schedules.Carosso(),
    "Polchinski's flow": schedules.Polchinski(),
} | extensions.listed(Schedule)
SCHEDULES: Mapping[type[Schedule], tuple[str, Schedule]] = {
    type(schedule): (title, schedule) for title, schedule in _SCHEDULES.items()
}

GRID_HELP: Mapping[str, Mapping[str, str]] = {
    "uniform": {"title": "uniform in t", "help": "Equal steps in the schedule's own time."},
    "logsnr": {"title": "uniform in log-SNR", "help": "Equal steps in the mean log-SNR."},
    "angle": {
        "title": "uniform in angle",
        "help": "Dense where signal turns into noise, however fast the schedule runs there.",
    },
    "gaussian": {
        "title": "best for the Gaussian",
        "help": "The times at which DDIM is best for data that are Gaussian with this spectrum.",
    },
}


PROPER = ("Fourier",)
"""With which a title begins that keeps its capital letter."""


def in_sentence(title: str) -> str:
    """Return a menu's title as it is written within a sentence."""
    return title if title.startswith(PROPER) else title[:1].lower() + title[1:]


def describe(basis: BasisSpec, color: Color, schedule: Schedule) -> str:
    """Return a process in a few words: schedule, noise, basis."""
    return describe_around(basis, schedule).format(describe_noise(color))


def describe_around(basis: BasisSpec, schedule: Schedule) -> str:
    """Return a process in a few words, with {} in place of its noise."""
    title = SCHEDULES[type(schedule)][0]
    if isinstance(schedule, Cutoff):
        title = f"{KERNELS[type(schedule.kernel)][0]} cutoff"
    space = in_sentence(BASES[basis.name])
    if basis.name == "wavelet":
        space = f"{basis.wavelet.replace('haar', 'Haar')} wavelets"
    return f"{title} · {{}} noise · {space}"


@dataclass(frozen=True)
class Numbered:
    """How a colour with one number is called.

    Attributes:
        field: That has the number.
        pattern: The name, with the number in place of {}.
        digits: Of the number that are told.
        negative: The name where the number is below 0.
        special: The name where the number is 0, where it is 1.
    """

    field: str
    pattern: str
    digits: int = 3
    negative: str = ""
    special: tuple[str, ...] = ()

    def told(self, value: float) -> str:
        """Return the name at a value of the number."""
        if value in range(len(self.special)):
            return self.special[int(value)]
        pattern = self.negative if value < 0 and self.negative else self.pattern
        return pattern.format(f"{value:.{self.digits}g}")


_NUMBERED: Mapping[type[Color], Numbered] = {
    colors.PowerLaw: Numbered("exponent", "power-law (p = {})", negative="blue (p = {})"),
    colors.FreeTheory: Numbered("mass2", "free-theory (m² = {})"),
    colors.Matched: Numbered("strength", "matched (strength {})", 2, special=("white", "matched")),
}


def numbered(color: Color) -> Numbered | None:
    """Return how a colour is called as its number is dragged, None where it has none."""
    kind = colors.Matched if isinstance(color, colors.White) else type(color)
    return _NUMBERED.get(kind)


def describe_noise(color: Color) -> str:
    """Return a colour in a few words."""
    if isinstance(color, colors.MovingColor):
        return f"{describe_noise(color.start)} → {describe_noise(color.end)}"
    if isinstance(color, colors.CurveColor):
        return f"drawn on {describe_noise(color.base)}"
    name = _NUMBERED.get(type(color))
    if name is not None:
        return name.told(getattr(color, name.field))
    return in_sentence(COLORS[type(color)][0])
