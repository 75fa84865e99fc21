"""The universal mixture: random colours, from white to steeper than the data, and random
schedules, scalar ones and cutoffs with every kernel, from soft to hard conditioning.
"""

import math
import random

from rgdiff_core import schedules
from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import (
    BlendedColor,
    Color,
    CurveColor,
    FreeTheory,
    Matched,
    PowerLaw,
    White,
)
from rgdiff_core.process import Process
from rgdiff_core.schedules import Schedule
from rgdiff_core.schedules.kernels import (
    BumpKernel,
    ButterworthKernel,
    ExponentialKernel,
    GaussianKernel,
    HardKernel,
    Kernel,
    LitimKernel,
    SigmoidKernel,
)

__all__ = ["random_process"]

STEEPEST = 1.5  # power of the data's spectrum
CURVE_STD = 1.5  # of a random curve's log-variances


def random_process(
    basis: Basis, modes: Modes, chance: random.Random, curves: float = 0.0
) -> Process:
    """Draw a process of the universal mixture.

    Arguments:
        curves: as of `Universal`.
    """
    drawn = curves > 0 and chance.random() < curves  # without, no number of the stream is used
    color = _drawn_color(chance) if drawn else _color(chance)
    return Process(basis, color, _schedule(chance), modes)


def _drawn_color(chance: random.Random) -> Color:
    """Return a power of the data's spectrum or, as often, a random curve on such a power."""
    base = Matched(strength=chance.uniform(0, STEEPEST))
    if chance.random() < 0.5:
        return base
    inner = sorted(_log_uniform(chance, 0.05, 1) for _ in range(chance.randint(1, 4)))
    heights = tuple(chance.gauss(0, CURVE_STD) for _ in range(len(inner) + 1))
    return CurveColor((0.0, *inner), heights, base)


def _color(chance: random.Random) -> Color:
    kind = chance.random()
    if kind < 0.3:
        return White()
    if kind < 0.6:
        return Matched()
    if kind < 0.8:
        return BlendedColor(White(), Matched(), chance.random())
    if kind < 0.9:
        return FreeTheory(_log_uniform(chance, 0.01, 10))
    return PowerLaw(chance.uniform(-1, 3))


def _schedule(chance: random.Random) -> Schedule:
    low, high = chance.uniform(-12, -6), chance.uniform(3, 9)
    kind = chance.random()
    if kind < 0.3:
        return schedules.LinearGamma(low, high)
    if kind < 0.75:
        return schedules.Cutoff(_kernel(chance), gamma_min=low, gamma_max=high)
    order = "scale" if chance.random() < 0.75 else "variance"
    return schedules.SoftConditioning(low, high, _log_uniform(chance, 0.03, 10), order)


def _kernel(chance: random.Random) -> Kernel:
    return chance.choice(
        (
            SigmoidKernel(_log_uniform(chance, 0.01, 1)),
            SigmoidKernel(_log_uniform(chance, 0.01, 1)),
            HardKernel(),
            GaussianKernel(),
            ExponentialKernel(),
            LitimKernel(),
            BumpKernel(),
            ButterworthKernel(_log_uniform(chance, 0.5, 8)),
        )
    )


def _log_uniform(chance: random.Random, low: float, high: float) -> float:
    return math.exp(chance.uniform(math.log(low), math.log(high)))
