r"""The spectrum on another lattice from the model itself: a fixed point of sample → spectrum.

A model on another lattice is given a spectrum Σ, and what it draws has a spectrum f(Σ). The right
one, for a perfect model, is a fixed point, f(Σ) = Σ: there the free theory that the network
corrects is that of the data. Each round draws n fields and takes their spectrum. Noise of a round
is not forgotten but carried on, by the slope s with which f answers to its argument, so that the
result is known to

    error² = (ε² + δ²/2)/(1 − s)²,

ε the statistical error of a round and δ the last change. With δ₁ and δ₂ the first two changes,
whose common noise is that of the first round, s = ⟨δ₁δ₂/ε₁² + 1⟩/⟨δ₁²/ε₁²⟩ over the components,
cut at 0 and 0.9. The rounds end when the mean square of the changes, in units of their statistical
errors, is at most that of noise, or when there have been enough. What the model has not learnt is
no part of the error: a wrong model has a wrong fixed point.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import MeasuredModes, Modes
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.process import Process
from rgdiff_core.sampling.interface import Method
from rgdiff_core.sampling.loop import sample
from rgdiff_core.spec import check_whole

__all__ = ["FixedPoint", "fixed_point"]

GROUPS = 16  # of fields, whose spread is the error
STEEPEST = 0.9  # of f, in the estimate of the error
MAX_ROUNDS = 100


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A spectrum that samples of a model reproduce.

    Attributes:
        found: the modes, with their error.
        rounds: of sampling that it took.
        converged: whether the last change was no larger than noise.
        slope: s, by which f answers to its argument.
    """

    found: MeasuredModes
    rounds: int
    converged: bool
    slope: float


def fixed_point(
    model: Denoiser,
    start: Modes,
    process: Callable[[Denoiser], Process],
    n: int = 1000,
    steps: int = 12,
    generator: torch.Generator | None = None,
    *,
    method: str | Method = "interaction",
    rounds: int = 8,
) -> FixedPoint:
    """Iterate sample → spectrum on the lattice of the modes to start from.

    Arguments:
        model: on any lattice; it is moved to that of `start`.
        start: a guess, as of `lattice.sizes.extrapolated`.
        process: that samples are drawn with, given the model on that lattice.
        n: fields in a round, at least 64.
        steps: of the sampler.
        generator: of all noise.
        method: as of `sample`.
        rounds: at most so many, 2 to 100.

    Raises `ValueError` for a number outside its range, and for a model that cannot move.
    """
    check_whole("n", n, 4 * GROUPS, 100_000)
    check_whole("rounds", rounds, 2, MAX_ROUNDS)
    shape = (model.basis.shape[0], start.shape[1], start.shape[2])
    now, rounds_found, changes = start, list[MeasuredModes](), list[Tensor]()
    for number in range(1, rounds + 1):
        moved = model.on(shape, now)
        drawn = sample(moved, process(moved), n, steps, method, generator)
        found = MeasuredModes.fit(moved.basis, drawn, GROUPS)
        changes.append(_change(now, found.modes))
        now = found.modes
        rounds_found.append(found)
        done = number > 1 and _still(changes[-1], *(each.error for each in rounds_found[-2:]))
        if done or number == rounds:
            slope = _slope(changes, rounds_found[0].error)
            error = (found.error.square() + changes[-1].square() / 2).sqrt() / (1 - slope)
            return FixedPoint(MeasuredModes(now, error), number, done, slope)
    raise AssertionError("unreachable: the last round returns.")


def _change(old: Modes, new: Modes) -> Tensor:
    """Return log Σ_new − log Σ_old, (C, H, W)."""
    before, after = (each.variance_for("a spectrum to start from") for each in (old, new))
    return (after / before.to(after)).log()


def _still(change: Tensor, before: Tensor, after: Tensor) -> bool:
    """Return whether a change is no larger than noise, given the errors of its two rounds.

    The squared error of a change has ν = 2(GROUPS − 1) degrees of freedom, so that the mean of
    change²/error² is ν/(ν − 2) in pure noise; that of D/8 orbits or more scatters by √(16/D).
    """
    freedom = 2 * (GROUPS - 1)
    found = float((change.square() / (before.square() + after.square())).mean())
    return found <= freedom / (freedom - 2) * (1 + 3 * math.sqrt(16 / change.numel()))


def _slope(changes: list[Tensor], error: Tensor) -> float:
    """Return s from the first two changes and the error of the first round."""
    first, second = changes[:2]
    slope = float((first * second / error**2 + 1).sum() / (first / error).square().sum())
    return min(max(slope, 0.0), STEEPEST)
