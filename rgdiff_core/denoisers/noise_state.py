"""How the network of a learned denoiser is given the noise level."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from rgdiff_core.bases.modes import Modes
from rgdiff_core.networks import POINTS_PER_OCTAVE, STATE_POINTS
from rgdiff_core.process import Marginal

__all__ = ["NoiseState", "average", "with_buffers"]

STATE_LIMIT = 12.0  # |log(n²/Σ)| beyond it changes no posterior

M = TypeVar("M", bound=nn.Module)


def with_buffers(module: M, **buffers: Tensor | None) -> M:
    """Return a module with other buffers, which shares the rest with the first."""
    found = copy.copy(module)
    found._buffers = dict(module._buffers) | buffers
    found._modules = dict(module._modules)
    return found


def average(x: Tensor) -> Tensor:
    """Return the mean over all components, (…, 1, 1, 1)."""
    return x.mean((-3, -2, -1), keepdim=True)


class NoiseState(nn.Module):
    """The noise as a network's input: log(n²/Σ), n = σS/α, as a function of scale.

    It is averaged over the components near each of 16 scales, channel by channel, which are evenly
    spaced or, for "octave_levels", 2^(−i/2) of the finest, so that an octave sees the noise as
    the one before it does on a lattice of half the size; log Σ/d² at these scales follows, for it
    changes with the size. They reach the mean field of 128×128 sites; on larger lattices it is
    given the level of the longest waves. "time" averages over all components instead. Levels are
    cut at ±12, and all is divided by 4.

    Arguments:
        modes: the modes of the data.
        conditioning: "noise_levels", "octave_levels" or "time".
    """

    weights: Tensor
    variance: Tensor

    def __init__(self, modes: Modes, conditioning: str) -> None:
        super().__init__()
        variance = modes.variance_for("the noise's state")
        scale = modes.scale.expand_as(variance).flatten(1)  # (C, D)
        if conditioning == "time":
            weights = torch.full_like(scale, 1 / scale.shape[1])[:, None]
        elif conditioning == "octave_levels":
            finest = modes.floored_scale().expand_as(variance).flatten(1)
            places = -POINTS_PER_OCTAVE * torch.log2(finest)
            points = torch.arange(STATE_POINTS).to(scale)
            weights = torch.softmax(-2 * (points[:, None] - places[:, None, :]) ** 2, -1)
        else:
            points = torch.linspace(0, 1, STATE_POINTS).to(scale)
            distance = (points[:, None] - scale[:, None, :]) * (2 * (STATE_POINTS - 1))
            weights = torch.softmax(-(distance**2) / 2, -1)
        self.register_buffer("weights", weights, persistent=False)  # (C, points, D)
        self.register_buffer("variance", variance, persistent=False)
        self.conditioning = conditioning

    def forward(self, marginal: Marginal, unit: Tensor) -> Tensor:
        """Return the state (B, features) or, for a marginal at one time, (1, features).

        Arguments:
            unit: d², (…, 1, 1, 1), what the data's variance is measured in.
        """
        noise = self._by_scale((marginal.std / marginal.alpha) ** 2 / self.variance)
        if self.conditioning == "time":
            return noise.mean(1)
        if self.conditioning == "noise_levels":
            return noise.flatten(1)
        data = self._by_scale(self.variance / unit).expand_as(noise)
        return torch.cat([noise, data], 1).flatten(1)

    def _by_scale(self, ratio: Tensor) -> Tensor:
        """Return the logarithm of ratios (…, C, H, W) near each scale, (B or 1, C, points)."""
        level = torch.log(ratio).clamp(-STATE_LIMIT, STATE_LIMIT) / 4
        level = level.reshape(-1, *self.variance.shape[-3:]).flatten(2)
        return torch.einsum("bcd,cpd->bcp", level, self.weights)
