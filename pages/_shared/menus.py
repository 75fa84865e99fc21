"""The menus of the three choices: display names, and the spec that each stands for."""

from collections.abc import Mapping

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
    "describe",
    "describe_noise",
    "in_sentence",
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
    title = SCHEDULES[type(schedule)][0]
    if isinstance(schedule, Cutoff):
        title = f"{KERNELS[type(schedule.kernel)][0]} cutoff"
    noise = describe_noise(color)
    space = in_sentence(BASES[basis.name])
    if basis.name == "wavelet":
        space = f"{basis.wavelet.replace('haar', 'Haar')} wavelets"
    return f"{title} · {noise} noise · {space}"


def describe_noise(color: Color) -> str:
    """Return a colour in a few words."""
    if isinstance(color, colors.MovingColor):
        return f"{describe_noise(color.start)} → {describe_noise(color.end)}"
    if isinstance(color, colors.PowerLaw):
        title = "blue" if color.exponent < 0 else "power-law"
        return f"{title} (p = {color.exponent:.3g})"
    if isinstance(color, colors.FreeTheory):
        return f"free-theory (m² = {color.mass2:.3g})"
    if isinstance(color, colors.CurveColor):
        return f"drawn on {describe_noise(color.base)}"
    if isinstance(color, colors.Matched) and color.strength != 1:
        return f"matched (strength {color.strength:.2g})"
    return in_sentence(COLORS[type(color)][0])
