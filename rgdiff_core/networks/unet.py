"""The U-Net for images: residual blocks, attention at low resolution, skip connections.

References:
    Ho, Jain & Abbeel, 2006.11239; Dhariwal & Nichol, 2105.05233 (residual blocks that are scaled
    and shifted by the embedding).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from rgdiff_core.networks.base import Network, NetworkSpec, NoiseEmbedding, zero
from rgdiff_core.spec import check_range, check_whole

__all__ = ["UNet"]

Padding = Literal["circular", "zeros"]

HEAD = 32  # channels of an attention head


@dataclass(frozen=True)
class UNet(NetworkSpec):
    """A U-Net.

    Arguments:
        width: channels at full resolution, 8 to 512, a multiple of 8.
        multipliers: channels at each resolution, in units of the width; 1 to 6 of them, each 1 to
            8. Each resolution is half of the one before.
        blocks: residual blocks at each resolution, 1 to 8.
        attention: sides H at which there is attention.
        dropout: in [0, 0.9].
        periodic: whether convolutions see the opposite edge.
    """

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16, 8)
    dropout: float = 0.0
    periodic: bool = False

    def __post_init__(self) -> None:
        check_whole("width", self.width, 8, 512)
        if self.width % 8:
            raise ValueError(f"width = {self.width} must be a multiple of 8.")
        check_whole("number of multipliers", len(self.multipliers), 1, 6)
        for multiplier in self.multipliers:
            check_whole("multipliers", multiplier, 1, 8)
        check_whole("blocks", self.blocks, 1, 8)
        for side in self.attention:
            check_whole("attention", side, 1, 64)
        check_range("dropout", self.dropout, 0, 0.9)

    def build(
        self, shape: tuple[int, int, int], features: int, in_channels: int | None = None
    ) -> Network:
        """Return the network; raises `ValueError` where the sides can't be halved often enough."""
        factor = 2 ** (len(self.multipliers) - 1)
        if shape[1] % factor or shape[2] % factor:
            raise ValueError(
                f"{len(self.multipliers)} multipliers halve the sides "
                f"{len(self.multipliers) - 1} times, but {shape[1]}×{shape[2]} is not divisible "
                f"by {factor}."
            )
        return _UNetwork(self, shape, features, in_channels or shape[0])


class _UNetwork(Network):
    def __init__(self, spec: UNet, shape: tuple[int, int, int], features: int, seen: int) -> None:
        super().__init__()
        mode: Padding = "circular" if spec.periodic else "zeros"
        embedding = 4 * spec.width
        widths = [spec.width * m for m in spec.multipliers]
        sides = [shape[1] // 2**i for i in range(len(widths))]

        def stage(before: int, after: int, side: int) -> nn.Module:
            return _Stage(before, after, embedding, side in spec.attention, spec.dropout, mode)

        self.embed = NoiseEmbedding(features, embedding)
        self.first = nn.Conv2d(seen, spec.width, 3, padding=1, padding_mode=mode)
        skips, now = [spec.width], spec.width
        self.down = nn.ModuleList()
        for level, (width, side) in enumerate(zip(widths, sides, strict=True)):
            for _ in range(spec.blocks):
                self.down.append(stage(now, width, side))
                skips.append(now := width)
            if level < len(widths) - 1:
                self.down.append(_Resize(width, mode, up=False))
                skips.append(width)
        self.middle = nn.ModuleList(
            [
                _Stage(now, now, embedding, True, spec.dropout, mode),
                _Stage(now, now, embedding, False, spec.dropout, mode),
            ]
        )
        self.up = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for _ in range(spec.blocks + 1):
                self.up.append(stage(now + skips.pop(), widths[level], sides[level]))
                now = widths[level]
            if level > 0:
                self.up.append(_Resize(now, mode, up=True))
        self.last = nn.Sequential(
            _norm(now),
            nn.SiLU(),
            zero(nn.Conv2d(now, shape[0], 3, padding=1, padding_mode=mode)),
        )

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        embedding = self.embed(state)
        h = self.first(x)
        skips = [h]
        for layer in self.down:
            h = layer(h, embedding)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, embedding)
        for layer in self.up:
            if isinstance(layer, _Stage):
                h = torch.cat((h, skips.pop()), 1)
            h = layer(h, embedding)
        return self.last(h)


class _Stage(nn.Module):
    """A residual block, and attention after it where it is wanted."""

    def __init__(
        self,
        before: int,
        after: int,
        embedding: int,
        attention: bool,
        dropout: float,
        mode: Padding,
    ) -> None:
        super().__init__()
        self.norm = _norm(before)
        self.enter = nn.Conv2d(before, after, 3, padding=1, padding_mode=mode)
        self.modulation = nn.Linear(embedding, 2 * after)
        self.norm_again = _norm(after)
        self.dropout = nn.Dropout(dropout)
        self.leave = zero(nn.Conv2d(after, after, 3, padding=1, padding_mode=mode))
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.attention = _Attention(after) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.enter(nn.functional.silu(self.norm(x)))
        gain, shift = self.modulation(embedding)[..., None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.norm_again(h), 1 + gain)
        h = self.leave(self.dropout(nn.functional.silu(h)))
        return self.attention((self.skip(x) + h) * math.sqrt(0.5))


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.norm = _norm(width)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.out = zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.project(self.norm(x)).reshape(b, 3, self.heads, -1, h * w).unbind(1)
        mixed = scaled_dot_product_attention(q.mT, k.mT, v.mT).mT.reshape(b, c, h, w)
        return (x + self.out(mixed)) * math.sqrt(0.5)


class _Resize(nn.Module):
    """Half or double the resolution, and convolve."""

    def __init__(self, width: int, mode: Padding, *, up: bool) -> None:
        super().__init__()
        self.up = up
        stride = 1 if up else 2
        self.convolution = nn.Conv2d(width, width, 3, stride, padding=1, padding_mode=mode)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        del embedding
        return self.convolution(interpolate(x, scale_factor=2.0) if self.up else x)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(width, max(1, min(32, width // 4))), width, eps=1e-5)
