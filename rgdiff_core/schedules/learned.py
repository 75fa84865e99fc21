r"""A learned noise schedule: γ_k(t) is a table of numbers, by scale and time.

`search.learn` finds one for a denoiser; it is stored, shown and sampled with like any other.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules.base import GAMMA_LIMIT, Schedule
from rgdiff_core.schedules.kernels import check_times, cubic_through
from rgdiff_core.spec import check_increasing, check_range

__all__ = ["MAX_SCALES", "LearnedGamma", "between_scales"]

MAX_SCALES = 32


@dataclass(frozen=True)
class LearnedGamma(Schedule):
    r"""γ at knots of scale and time: a monotone cubic (PCHIP) in t, linear between the scales.

    Below the first knot of the scale and beyond the last it is that knot's. With one scale, all
    components are alike.

    Arguments:
        scales: knots in [0, 1], increasing, 1 to 32 of them.
        times: knots 0 = t₀ < t₁ < … = 1, 2 to 64 of them.
        gammas: for each scale γ at the times, in [−1000, 1000]; it never falls, and is larger at
            1 than at 0.

    References:
        Kingma et al., Variational diffusion models, 2107.00630; Sahoo et al., Diffusion models
        with learned adaptive noise (MuLAN), 2312.13236.
    """

    scales: tuple[float, ...] = (0.0,)
    times: tuple[float, ...] = (0.0, 1.0)
    gammas: tuple[tuple[float, ...], ...] = ((-13.3, 5.0),)

    def __post_init__(self) -> None:
        check_times(self.times)
        if not 1 <= len(self.scales) <= MAX_SCALES or len(self.scales) != len(self.gammas):
            raise ValueError(
                f"a table of γ needs 1 to {MAX_SCALES} scales and a row for each, got "
                f"{len(self.scales)} scales and {len(self.gammas)} rows."
            )
        for scale in self.scales:
            check_range("scales", scale, 0, 1)
        check_increasing("scales", self.scales)
        for scale, row in zip(self.scales, self.gammas, strict=True):
            _check_row(scale, self.times, row)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ, interpolated in the table."""
        shares = between_scales(self.scales, modes.scale)
        rows = (cubic_through(self.times, row, t) for row in self.gammas)
        parts = [share.to(t) * row for share, row in zip(shares, rows, strict=True)]
        return torch.stack(parts).sum(0)


def _check_row(scale: float, times: Sequence[float], row: Sequence[float]) -> None:
    if len(row) != len(times):
        raise ValueError(f"γ at scale {scale:g} has {len(row)} values for {len(times)} times.")
    for value in row:
        check_range("gammas", value, -GAMMA_LIMIT, GAMMA_LIMIT)
    for (s, a), (t, b) in itertools.pairwise(zip(times, row, strict=True)):
        if b < a:
            raise ValueError(
                f"γ must never fall, but at scale {scale:g} it falls from {a:g} to {b:g} between "
                f"t = {s:g} and {t:g}."
            )
    if row[-1] <= row[0]:
        raise ValueError(f"γ at scale {scale:g} is {row[0]:g} at all times, but must rise.")


def between_scales(knots: Sequence[float], scale: Tensor) -> Tensor:
    """Return the share of each knot at each scale, (knots, *scale.shape): hat functions that sum
    to 1.
    """
    x = torch.as_tensor(knots, dtype=scale.dtype, device=scale.device)
    if len(x) == 1:
        return torch.ones_like(scale)[None]
    inside = scale.clamp(x[0], x[-1]).contiguous()
    upper = torch.searchsorted(x, inside).clamp(1, len(x) - 1)
    share = (inside - x[upper - 1]) / (x[upper] - x[upper - 1])
    index = torch.arange(len(x), device=scale.device).reshape(-1, *[1] * scale.ndim)
    return torch.where(index == upper, share, torch.where(index == upper - 1, 1 - share, 0.0))
