"""What a sweep chooses from: processes as a few numbers and names."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rgdiff_core.colors import BlendedColor, Color, FreeTheory, Matched, PowerLaw, White
from rgdiff_core.schedules import Cutoff, LinearGamma, Schedule, SoftConditioning
from rgdiff_core.schedules.kernels import (
    BumpKernel,
    ButterworthKernel,
    CutoffPath,
    ExponentialKernel,
    GaussianKernel,
    HardKernel,
    Kernel,
    LitimKernel,
    SigmoidKernel,
)
from rgdiff_core.spec import Spec, check_range, check_whole

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["COLORS", "FAMILIES", "KERNELS", "ORDERS", "Space"]

FAMILIES = ("cutoff", "soft", "scalar")
ORDERS = ("scale", "variance")
COLORS = ("white", "matched", "blend", "free", "power")
KERNELS = ("sigmoid", "gaussian", "exponential", "litim", "bump", "butterworth", "hard")
STEEPEST = 2.0  # of a path: its falls differ by at most e^{2·2}


@dataclass(frozen=True)
class Space(Spec):
    """The processes that a sweep chooses from.

    Arguments:
        families: of FAMILIES: cutoffs, soft conditioning, schedules alike for all components.
        kernels: of KERNELS, for cutoffs; widths in [0.03, 3] and orders in [0.5, 8].
        orders: of ORDERS, for soft conditioning, with a softness in [0.03, 10].
        colors: of COLORS; blends are between white and matched.
        points: control points of Λ(t) between its ends, 0 to 16; none for a straight line.
        gamma_min: range of γ at t = 0.
        gamma_max: range of γ at t = 1.

    Raises `ValueError` for a name that is not known and a value outside its range.
    """

    families: tuple[str, ...] = FAMILIES
    kernels: tuple[str, ...] = KERNELS[:-1]
    orders: tuple[str, ...] = ORDERS
    colors: tuple[str, ...] = COLORS
    points: int = 3
    gamma_min: tuple[float, float] = (-12.0, -6.0)
    gamma_max: tuple[float, float] = (2.0, 9.0)

    def __post_init__(self) -> None:
        for name, known in _MENUS.items():
            chosen = getattr(self, name)
            if not chosen:
                raise ValueError(f"{name} is empty: name some of {', '.join(known)}.")
            for each in chosen:
                if each not in known:
                    raise ValueError(f"{name} = {each!r} is not one of {', '.join(known)}.")
        check_whole("points", self.points, 0, 16)
        for name, low, high in (("gamma_min", -40, 0), ("gamma_max", 0, 40)):
            first, last = getattr(self, name)
            check_range(name, first, low, high)
            check_range(name, last, first, high)
        if self.gamma_min[1] >= self.gamma_max[0]:
            raise ValueError(
                f"gamma_min up to {self.gamma_min[1]:g} must stay below gamma_max from "
                f"{self.gamma_max[0]:g}."
            )

    def draw(self, trial: "BaseTrial") -> tuple[Color, Schedule]:
        """Return the colour and the schedule that a trial stands for."""
        color = self._color(trial)
        low = trial.suggest_float("gamma_min", *self.gamma_min)
        high = trial.suggest_float("gamma_max", *self.gamma_max)
        family = trial.suggest_categorical("family", self.families)
        if family == "scalar":
            return color, LinearGamma(low, high)
        if family == "soft":
            softness = trial.suggest_float("softness", 0.03, 10, log=True)
            order = trial.suggest_categorical("order_by", self.orders)
            return color, SoftConditioning(low, high, softness, order)
        return color, Cutoff(self._kernel(trial), self._path(trial), low, high)

    def _color(self, trial: "BaseTrial") -> Color:
        kind = trial.suggest_categorical("color", self.colors)
        if kind == "blend":
            return BlendedColor(White(), Matched(), trial.suggest_float("matched", 0, 1))
        if kind == "free":
            return FreeTheory(trial.suggest_float("mass2", 0.01, 10, log=True))
        if kind == "power":
            return PowerLaw(trial.suggest_float("exponent", -1, 3))
        return White() if kind == "white" else Matched()

    def _kernel(self, trial: "BaseTrial") -> Kernel:
        kind = trial.suggest_categorical("kernel", self.kernels)
        if kind == "sigmoid":
            return SigmoidKernel(trial.suggest_float("width", 0.03, 3, log=True))
        if kind == "butterworth":
            return ButterworthKernel(trial.suggest_float("order", 0.5, 8, log=True))
        return _PLAIN[kind]

    def _path(self, trial: "BaseTrial") -> CutoffPath:
        names = [f"fall_{i}" for i in range(self.points + 1 if self.points else 0)]
        falls = [math.exp(trial.suggest_float(name, -STEEPEST, STEEPEST)) for name in names]
        if not falls:
            return CutoffPath()
        values = 1 - torch.tensor([0, *falls], dtype=torch.float64).cumsum(0) / sum(falls)
        times = torch.linspace(0, 1, len(values), dtype=torch.float64)
        return CutoffPath(tuple(times.tolist()), (*values[:-1].tolist(), 0.0))


_MENUS = {"families": FAMILIES, "kernels": KERNELS, "orders": ORDERS, "colors": COLORS}
_PLAIN = {
    "gaussian": GaussianKernel(),
    "exponential": ExponentialKernel(),
    "litim": LitimKernel(),
    "bump": BumpKernel(),
    "hard": HardKernel(),
}
