"""The cutoff schedule: a kernel K_Λ(k) moved along a path Λ(t); and the blend of two schedules."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules.base import GAMMA_CLAMP, Schedule, check_gammas
from rgdiff_core.schedules.kernels import CutoffPath, Kernel, Path, SigmoidKernel
from rgdiff_core.spec import check_range

__all__ = ["BlendedSchedule", "Cutoff"]


@dataclass(frozen=True)
class Cutoff(Schedule):
    r"""A cutoff Λ(t) moves through the scales: α_k²(t) = K_{Λ(t)}(k).

    For kernels of k/Λ, ends beyond ±40 are taken at ±40, where `Process` clamps γ: the Λ of a
    larger one is no number any more.

    Arguments:
        kernel: which share of scale k is kept at Λ.
        path: the ordinate y(t); 1 is the Λ where every component has γ ≤ gamma_min, 0 the one
            where every component has γ ≥ gamma_max.
        gamma_min: γ at t = 0.
        gamma_max: γ at t = 1.
    """

    kernel: Kernel = SigmoidKernel()
    path: Path = CutoffPath()
    gamma_min: float = -9.0
    gamma_max: float = 5.0

    def __post_init__(self) -> None:
        check_gammas(self.gamma_min, self.gamma_max)

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Return whether the kernel is continuous."""
        return self.kernel.continuous

    def cutoff(self, ordinate: Tensor, modes: Modes) -> Tensor:
        """Return Λ, in units of the scale, at ordinates y in [0, 1], of the ordinates' shape."""
        k, geometric = self._scale(modes), self.kernel.geometric
        ends = torch.tensor([self.gamma_max, self.gamma_min]).to(k)
        if geometric:
            ends = ends.clamp(-GAMMA_CLAMP, GAMMA_CLAMP)
        bottom, top = self.kernel.cutoff(torch.stack((k.min(), k.max())), ends)
        return (_geometric if geometric else _linear)(bottom, top, ordinate)

    def front(self, ordinate: Tensor, modes: Modes) -> Tensor:
        """Return the scale at which α² = σ² when the path stands at these ordinates."""
        cutoff = self.cutoff(ordinate, modes)
        if not self.kernel.geometric:
            return cutoff
        return cutoff / self.kernel.cutoff(torch.ones_like(cutoff), torch.zeros_like(cutoff))

    def _scale(self, modes: Modes) -> Tensor:
        return modes.floored_scale() if self.kernel.geometric else modes.scale

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return the kernel's γ at Λ(t)."""
        return self.at_ordinate(self.path.ordinate(t), modes)

    def at_ordinate(self, ordinate: Tensor, modes: Modes) -> Tensor:
        """Return γ for ordinates (*, 1, 1, 1) of the path: (*, C or 1, H, W)."""
        return self.kernel.gamma(self._scale(modes), self.cutoff(ordinate, modes))


def _linear(bottom: Tensor, top: Tensor, ordinate: Tensor) -> Tensor:
    return (1 - ordinate) * bottom + ordinate * top


def _geometric(bottom: Tensor, top: Tensor, ordinate: Tensor) -> Tensor:
    """Return bottom (top/bottom)^y, by logarithms where float32 does not hold the ratio."""
    ratio = top / bottom
    if ratio.isfinite():
        return bottom * ratio**ordinate
    return torch.exp(_linear(bottom.log(), top.log(), ordinate))


@dataclass(frozen=True)
class BlendedSchedule(Schedule):
    r"""Between two schedules, linearly in the log-SNR: γ = (1 − w) γ₁ + w γ₂, with r likewise
    geometric.
    """

    first: Schedule
    second: Schedule
    weight: float = 0.5

    @property
    def continuous(self) -> bool:  # type: ignore[override]
        """Return whether both are continuous."""
        return self.first.continuous and self.second.continuous

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0, 1)

    def label(self, modes: Modes) -> Tensor:
        """Return the label of both; raises `ValueError` where their orders differ."""
        first, second = (s.label(modes) for s in (self.first, self.second))
        if first.shape != second.shape or not torch.equal(first, second):
            raise ValueError("schedules that order the components differently can't be blended.")
        return first

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return (1 − w) γ₁ + w γ₂."""
        first, second = (
            s.gamma_at(t, modes).clamp(-GAMMA_CLAMP, GAMMA_CLAMP)
            for s in (self.first, self.second)
        )
        return (1 - self.weight) * first + self.weight * second

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return r₁^{1−w} r₂^w."""
        first, second = (s.magnitude_at(t, modes) for s in (self.first, self.second))
        return first ** (1 - self.weight) * second**self.weight
