"""The arms of the comparison on CIFAR-10: which processes each pretrained model is tried with.

A dedicated model has the one process that it was trained on; a universal one serves every process
in its basis. The noise level of a schedule runs from LOW to HIGH, which the universal mixture
covers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rgdiff_core.colors import Color, FreeTheory, Matched, White
from rgdiff_core.schedules import (
    Cosine,
    Cutoff,
    LinearGamma,
    Schedule,
    SoftConditioning,
    WaveletLevels,
)
from rgdiff_core.schedules.kernels import ButterworthKernel, SigmoidKernel
from rgdiff_core.spec import Spec

__all__ = [
    "BASELINE",
    "DEDICATED",
    "GROUPS",
    "LEVEL_SOFTNESS",
    "MODELS",
    "SOFTNESS",
    "UNIVERSAL",
    "ImageArm",
    "scan_arms",
    "universal_arms",
]

BASELINE = "cifar10-standard"
DEDICATED = ("cifar10-standard", "cifar10-matched")
UNIVERSAL = ("cifar10", "cifar10-small", "cifar10-pca", "cifar10-haar")
MODELS: Mapping[str, str] = {  # pretrained name: what people read
    "cifar10-standard": "standard diffusion",
    "cifar10-matched": "trained on matched noise, component-wise",
    "cifar10": "universal, Fourier",
    "cifar10-small": "small universal, Fourier",
    "cifar10-pca": "small universal, PCA",
    "cifar10-haar": "small universal, Haar wavelets",
}
GROUPS: Mapping[str, str] = {  # kinds of process, the best of which is sampled
    "white-scalar": "white noise, scalar schedule",
    "white-component": "white noise, component-wise schedule",
    "matched-scalar": "matched noise, scalar schedule (EqualSNR)",
    "matched-component": "matched noise, component-wise schedule",
}
LOW, HIGH = -11.0, 6.0  # γ
SCALAR: Mapping[str, tuple[str, Schedule]] = {
    "linear": ("linear log-SNR", LinearGamma(LOW, HIGH)),
    "cosine": ("cosine", Cosine()),
}
COMPONENT: Mapping[str, tuple[str, Schedule]] = {
    "sigmoid-0.3": (
        "sigmoid cutoff of width 0.3",
        Cutoff(SigmoidKernel(0.3), gamma_min=LOW, gamma_max=HIGH),
    ),
    "sigmoid-1": (
        "sigmoid cutoff of width 1",
        Cutoff(SigmoidKernel(1.0), gamma_min=LOW, gamma_max=HIGH),
    ),
    "butterworth-2": (
        "Butterworth cutoff of order 2",
        Cutoff(ButterworthKernel(2.0), gamma_min=LOW, gamma_max=HIGH),
    ),
    "soft-2": ("soft conditioning by variance, 2", SoftConditioning(LOW, HIGH, 2.0, "variance")),
}
COLORS: Mapping[str, Color] = {"white": White(), "matched": Matched()}
SOFTNESS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0)
LEVEL_SOFTNESS = (1.0, 0.5, 0.25, 0.1, 0.03)
RGDM_MASS2 = 0.01  # of the free theory in the inverse-RG arm


@dataclass(frozen=True)
class ImageArm(Spec):
    """One model with one process.

    Attributes:
        name: "MODEL/COLOR/SCHEDULE"; a dedicated model's is its own.
        title: what people read.
        model: name of the model.
        group: one of GROUPS; "own" for a dedicated model, "scan" for a scan, "other".
        color: of the process.
        schedule: of the process.
        softness: of a scan's arm, None elsewhere.
    """

    name: str
    title: str
    model: str
    group: str
    color: Color
    schedule: Schedule
    softness: float | None = None

    @property
    def cell(self) -> str:
        """Return the name in file names."""
        return self.name.replace("/", "--")


def _arm(
    model: str, color: str, word: str, title: str, schedule: Schedule, group: str
) -> ImageArm:
    return ImageArm(
        f"{model}/{color}/{word}",
        f"{color} noise, {title}",
        model,
        group,
        COLORS[color],
        schedule,
    )


def universal_arms(model: str) -> tuple[ImageArm, ...]:
    """Return the arms of a universal model, the scans left out."""
    arms = [
        _arm(model, color, word, title, schedule, f"{color}-{kind}")
        for color in COLORS
        for kind, known in (("scalar", SCALAR), ("component", COMPONENT))
        for word, (title, schedule) in known.items()
    ]
    if model == "cifar10":
        arms.append(
            ImageArm(
                f"{model}/free/butterworth-1",
                "inverse RG: free-theory noise, Butterworth cutoff of order 1",
                model,
                "other",
                FreeTheory(RGDM_MASS2),
                Cutoff(ButterworthKernel(1.0), gamma_min=LOW, gamma_max=HIGH),
            )
        )
    return tuple(arms)


def scan_arms(model: str) -> tuple[ImageArm, ...]:
    """Return the arms of a model's scan of softness, none where it has no scan."""
    if model in ("cifar10-small", "cifar10-pca"):
        return tuple(_soft(model, color, softness) for color in COLORS for softness in SOFTNESS)
    if model == "cifar10-haar":
        return tuple(
            _level(model, color, softness) for color in COLORS for softness in LEVEL_SOFTNESS
        )
    return ()


def _soft(model: str, color: str, softness: float) -> ImageArm:
    return ImageArm(
        f"{model}/{color}/softness-{softness:g}",
        f"{color} noise, soft conditioning by variance, {softness:g}",
        model,
        "scan",
        COLORS[color],
        SoftConditioning(LOW, HIGH, softness, "variance"),
        softness,
    )


def _level(model: str, color: str, softness: float) -> ImageArm:
    return ImageArm(
        f"{model}/{color}/levels-{softness:g}",
        f"{color} noise, wavelet level by level, softness {softness:g}",
        model,
        "scan",
        COLORS[color],
        WaveletLevels(softness, LOW, HIGH),
        softness,
    )
