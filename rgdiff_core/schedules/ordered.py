"""Component-wise schedules by an ordering: soft conditioning, one after another, wavelet
levels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules.base import Schedule, check_gammas
from rgdiff_core.spec import check_finite, check_range

__all__ = ["Sequential", "SoftConditioning", "WaveletLevels", "order_labels"]

ORDERS = ("scale", "variance", "column", "row", "level")


def order_labels(order: str | tuple[float, ...], modes: Modes) -> Tensor:
    """Return the ordering labels ℓ_k, (C or 1, H, W): a larger label is erased earlier, generated
    later.

    Arguments:
        order: "scale" (fine first erased), "variance" (ℓ = −log Σ_k), "column" and "row" (index in
            [0, 1]), "level" (rank among the distinct scales, in [0, 1]), or the labels themselves.
    """
    if not isinstance(order, str):
        return modes.per_component("order", order)
    if order == "scale":
        return modes.scale
    if order == "variance":
        return -modes.variance_for("order 'variance'").log()
    if order == "level":
        rank = torch.unique(modes.scale, return_inverse=True)[1].to(modes.scale)
        return rank / rank.max().clamp_min(1)
    if order in ("column", "row"):
        axis = -1 if order == "column" else -2
        n = modes.scale.shape[axis]
        index = torch.arange(n).to(modes.scale) / max(n - 1, 1)
        return (index if axis == -1 else index[:, None]).expand_as(modes.scale)
    raise ValueError(f"order = {order!r} is not one of {', '.join(ORDERS)} or a tuple of labels.")


def _check_order(order: str | tuple[float, ...]) -> None:
    if isinstance(order, str) and order not in ORDERS:
        raise ValueError(f"order = {order!r} is not one of {', '.join(ORDERS)} or labels.")
    if not isinstance(order, str):
        for label in order:
            check_finite("order", label)


@dataclass(frozen=True)
class SoftConditioning(Schedule):
    r"""All components share one slope in γ and are offset by their labels ℓ_k.

    γ_k(0) = γ_min + (ℓ_k − ℓ_max)/s and γ_k(1) = γ_max + (ℓ_k − ℓ_min)/s: softness s → ∞ is
    standard diffusion, s → 0 autoregressive.

    References:
        Gerdes, Welling & Cheng, GUD, 2410.02667, eqs. 13 and 20.
    """

    gamma_min: float = -7.0
    gamma_max: float = 3.0
    softness: float = 1.0
    order: str | tuple[float, ...] = "scale"

    def __post_init__(self) -> None:
        check_gammas(self.gamma_min, self.gamma_max)
        check_range("softness", self.softness, 1e-4, 1e6)
        _check_order(self.order)

    def label(self, modes: Modes) -> Tensor:
        """Return the ordering labels ℓ."""
        return order_labels(self.order, modes)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ, linear in t between the labels' end points."""
        label = self.label(modes)
        first = self.gamma_min + (label - label.max()) / self.softness
        last = self.gamma_max + (label - label.min()) / self.softness
        return (1 - t) * first + t * last


@dataclass(frozen=True)
class Sequential(Schedule):
    r"""Each group of equal labels has its own window of time, in which γ rises from γ_min to
    γ_max.

    With n groups and softness s in [0, 1] a window lasts (1 + s (n − 1))/n: s = 0 is strictly one
    after another (columns: an autoregressive scan), s = 1 is all at once. The group of the largest
    label goes first, and is generated last.
    """

    order: str | tuple[float, ...] = "level"
    softness: float = 0.1
    gamma_min: float = -13.3
    gamma_max: float = 5.0

    def __post_init__(self) -> None:
        check_gammas(self.gamma_min, self.gamma_max)
        check_range("softness", self.softness, 0, 1)
        _check_order(self.order)

    def label(self, modes: Modes) -> Tensor:
        """Return the ordering labels ℓ."""
        return order_labels(self.order, modes)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ, which rises within the window of each group."""
        values, rank = torch.unique(self.label(modes), return_inverse=True)
        n = len(values)
        window = (1 + self.softness * (n - 1)) / n
        start = (1 - window) * (n - 1 - rank).to(t) / max(n - 1, 1)
        share = ((t - start) / window).clamp(0, 1)
        return self.gamma_min + share * (self.gamma_max - self.gamma_min)


@dataclass(frozen=True)
class WaveletLevels(Schedule):
    """Wavelet level by level: the finest is erased first, and generated last, given the coarser
    ones.

    It is `Sequential` over the distinct scales; softness 0 is the hard conditioning of WSGM.

    References:
        Guth et al., 2208.05003.
    """

    softness: float = 0.1
    gamma_min: float = -13.3
    gamma_max: float = 5.0

    def __post_init__(self) -> None:
        self._sequential()

    def _sequential(self) -> Sequential:
        return Sequential("level", self.softness, self.gamma_min, self.gamma_max)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ of `Sequential` over the levels."""
        return self._sequential().gamma_at(t, modes)
