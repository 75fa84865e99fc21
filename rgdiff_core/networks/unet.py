"""The U-Net for images: residual blocks, attention at low resolution, skip connections.

Channels come last in memory. Normalization groups of at least 16 channels and attention by plain
matrix products while training make it several times faster on a CPU.

References:
    Ho, Jain & Abbeel, 2006.11239; Dhariwal & Nichol, 2105.05233 (residual blocks that are scaled
    and shifted by the embedding); Hoogeboom et al., 2301.11093 (pixels merged into patches).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
    scaled_dot_product_attention,
    silu,
)

from rgdiff_core.networks.base import (
    ClassEmbedding,
    Network,
    NetworkSpec,
    NoiseEmbedding,
    zero,
)
from rgdiff_core.spec import check_range, check_whole

__all__ = ["UNet"]

Padding = Literal["circular", "zeros"]

MAX_GROUPS = 32  # of a normalization


@dataclass(frozen=True)
class UNet(NetworkSpec):
    """A U-Net.

    Arguments:
        width: channels at full resolution, 8 to 512, a multiple of 8.
        multipliers: channels at each resolution, in units of the width; 1 to 6 of them, each 1 to
            8. Each resolution is half of the one before.
        blocks: residual blocks at each resolution, 1 to 8.
        attention: sides, in patches, at which there is attention; always so in the middle.
        dropout: in [0, 0.9].
        periodic: whether convolutions wrap around.
        patch: side of the squares of pixels that are merged into channels, 1 to 8.
        group_channels: least channels in a normalization group, 1 to 64.
        head_channels: least channels of an attention head, 8 to 512.
        added_skips: whether skip connections are added to the features instead of being stacked
            on them: a sixth faster, with fewer weights.
    """

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (16, 8)
    dropout: float = 0.0
    periodic: bool = False
    patch: int = 1
    group_channels: int = 4
    head_channels: int = 32
    added_skips: bool = False

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
        check_whole("patch", self.patch, 1, 8)
        check_whole("group_channels", self.group_channels, 1, 64)
        check_whole("head_channels", self.head_channels, 8, 512)

    def build(self, shape: tuple[int, int, int], features: int, num_classes: int = 0) -> Network:
        """Return the network; raises `ValueError` where the sides can't be halved often enough."""
        factor = self.patch * 2 ** (len(self.multipliers) - 1)
        if shape[1] % factor or shape[2] % factor:
            raise ValueError(
                f"patches of {self.patch} pixels and {len(self.multipliers)} multipliers, which "
                f"halve the sides {len(self.multipliers) - 1} times, do not fit "
                f"{shape[1]}×{shape[2]} pixels: they are not divisible by {factor}."
            )
        return _UNetwork(self, shape, features, num_classes)


class _UNetwork(Network):
    def __init__(
        self,
        spec: UNet,
        shape: tuple[int, int, int],
        features: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        mode: Padding = "circular" if spec.periodic else "zeros"
        pixels, self.patch = spec.patch**2, spec.patch
        widths = [spec.width * m for m in spec.multipliers]
        sides = [shape[1] // (spec.patch * 2**i) for i in range(len(widths))]

        def stage(before: int, after: int, side: int) -> nn.Module:
            return _Stage(spec, before, after, attention=side in spec.attention)

        self.embed = NoiseEmbedding(features, 4 * spec.width)
        self.classes = ClassEmbedding(num_classes, 4 * spec.width) if num_classes else None
        self.first = nn.Conv2d(shape[0] * pixels, spec.width, 3, padding=1, padding_mode=mode)
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
                _Stage(spec, now, now, attention=True),
                _Stage(spec, now, now, attention=False),
            ]
        )
        self.up, self.joins = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            for _ in range(spec.blocks + 1):
                join = (_Added if spec.added_skips else _Stacked)(now, skips.pop())
                self.joins.append(join)
                self.up.append(stage(join.width, widths[level], sides[level]))
                now = widths[level]
            if level > 0:
                self.up.append(_Resize(now, mode, up=True))
        self.last = nn.Sequential(
            _norm(now, spec),
            nn.SiLU(),
            zero(nn.Conv2d(now, shape[0] * pixels, 3, padding=1, padding_mode=mode)),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, state: Tensor, class_labels: Tensor | None = None) -> Tensor:
        embedding = self.embed(state)
        if self.classes is not None:
            embedding = embedding + self.classes(class_labels)
        x = pixel_unshuffle(x, self.patch) if self.patch > 1 else x
        h = self.first(x.contiguous(memory_format=torch.channels_last))
        skips = [h]
        for layer in self.down:
            h = layer(h, embedding)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, embedding)
        joins = iter(self.joins)
        for layer in self.up:
            if isinstance(layer, _Stage):
                h = next(joins)(h, skips.pop())
            h = layer(h, embedding)
        h = self.last(h)
        return pixel_shuffle(h, self.patch) if self.patch > 1 else h


class _Stage(nn.Module):
    """A residual block, and attention after it where it is wanted."""

    def __init__(self, spec: UNet, before: int, after: int, *, attention: bool) -> None:
        super().__init__()
        mode: Padding = "circular" if spec.periodic else "zeros"
        self.norm = _norm(before, spec)
        self.enter = nn.Conv2d(before, after, 3, padding=1, padding_mode=mode)
        self.modulation = nn.Linear(4 * spec.width, 2 * after)
        self.norm_again = _norm(after, spec)
        self.dropout = nn.Dropout(spec.dropout)
        self.leave = zero(nn.Conv2d(after, after, 3, padding=1, padding_mode=mode))
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.attention = _Attention(after, spec) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.enter(silu(self.norm(x)))
        gain, shift = self.modulation(embedding)[..., None, None].chunk(2, 1)
        h = torch.addcmul(shift, self.norm_again(h), 1 + gain)
        h = self.leave(self.dropout(silu(h)))
        return self.attention((self.skip(x) + h) * math.sqrt(0.5))


class _Stacked(nn.Module):
    """Features and those of a skip connection, as more channels."""

    def __init__(self, width: int, skipped: int) -> None:
        super().__init__()
        self.width = width + skipped

    def forward(self, h: Tensor, skipped: Tensor) -> Tensor:
        return torch.cat((h, skipped), 1)


class _Added(nn.Module):
    """Features plus those of a skip connection, brought to as many channels."""

    def __init__(self, width: int, skipped: int) -> None:
        super().__init__()
        self.width = width
        self.match = nn.Identity() if width == skipped else nn.Conv2d(skipped, width, 1)

    def forward(self, h: Tensor, skipped: Tensor) -> Tensor:
        return (h + self.match(skipped)) * math.sqrt(0.5)


class _Attention(nn.Module):
    def __init__(self, width: int, spec: UNet) -> None:
        super().__init__()
        self.heads = math.gcd(width, max(1, width // spec.head_channels))
        self.norm = _norm(width, spec)
        self.project = nn.Conv2d(width, 3 * width, 1)
        self.out = zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = self.project(self.norm(x)).permute(0, 2, 3, 1)
        q, k, v = tokens.reshape(b, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = _attend(q, k, v).transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2)
        return (x + self.out(mixed)) * math.sqrt(0.5)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q kᵀ/√d) v, each (B, heads, tokens, d).

    With gradients by plain products: on a CPU they are faster, and on a GPU the backward pass of
    cuDNN's fused kernel gives NaN for 64 tokens now and then (pytorch issue 196678).
    """
    if not torch.is_grad_enabled():
        return scaled_dot_product_attention(q, k, v)
    return torch.softmax((q * q.shape[-1] ** -0.5) @ k.mT, -1) @ v


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


def _norm(width: int, spec: UNet) -> nn.GroupNorm:
    groups = max(1, min(MAX_GROUPS, width // spec.group_channels))
    return nn.GroupNorm(math.gcd(width, groups), width, eps=1e-5)
