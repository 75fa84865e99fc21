r"""A network for lattice fields of all sizes: the same blocks at every octave of scales.

From octave j to the next the features are smoothed over twice the distance, as by a block-spin
step but for the lattice, which stays as fine as it is; the same blocks, their convolutions spread
by 2ʲ, then act on the octave of momenta from k_max/2ʲ⁺¹ to k_max/2ʲ, and they are given the noise
there. After the last octave comes the mean field, and from it the way leads back to the fine
ones. An octave adds 2⁻ʲ times its output, the mean field 1/√V times: what a component of unit
variance is worth on the lattice where 4ʲ sites, or all, move as one. At a fixed point of the
renormalization group all octaves are alike, and a larger lattice has more of them, not others.

Periodic, translation equivariant and odd, like `LatticeNet`, whose blocks it uses.

References:
    Holschneider et al., in Wavelets (1989) 286 (filters spread by 2ʲ, "à trous"); Yu & Koltun,
    1511.07122 (networks of them); Kadanoff, Physics 2 (1966) 263 (block spins).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rgdiff_core.networks.base import (
    POINTS_PER_OCTAVE,
    STATE_POINTS,
    ClassEmbedding,
    Network,
    NetworkSpec,
    NoiseEmbedding,
    zero,
)
from rgdiff_core.networks.lattice import LatticeBlock
from rgdiff_core.spec import check_whole

__all__ = ["OctaveNet"]


@dataclass(frozen=True)
class OctaveNet(NetworkSpec):
    """The same residual blocks at every octave, from fine to coarse and back.

    Arguments:
        width: channels, 4 to 512.
        depth: blocks of an octave on the way up, and as many on the way down, 1 to 8.
    """

    width: int = 32
    depth: int = 1

    one_thread: ClassVar[bool] = True
    any_size: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("width", self.width, 4, 512)
        check_whole("depth", self.depth, 1, 8)

    def build(self, shape: tuple[int, int, int], features: int, num_classes: int = 0) -> Network:
        """Return the network; raises `ValueError` below 3×3 sites, where a convolution wraps."""
        if min(shape[1:]) < 3:
            raise ValueError(
                f"convolutions of 3×3 sites wrap around a lattice of {shape[1]}×{shape[2]} sites."
            )
        return _OctaveNetwork(self, shape[0], features, num_classes)


class _OctaveNetwork(Network):
    """Channels come last inside, as in the blocks."""

    def __init__(self, spec: OctaveNet, channels: int, features: int, num_classes: int) -> None:
        super().__init__()
        width = spec.width
        kinds = min(2, features // (channels * STATE_POINTS))  # of levels: noise, data's variance
        self.levels, self.by_octave = kinds * channels * STATE_POINTS, kinds == 2
        self.embed = NoiseEmbedding(features, 4 * width)
        self.classes = ClassEmbedding(num_classes, 4 * width) if num_classes else None
        self.first = nn.Linear(channels, width, bias=False)
        self.up = nn.ModuleList(LatticeBlock(width, 4 * width, 3) for _ in range(spec.depth))
        self.down = nn.ModuleList(LatticeBlock(width, 4 * width, 3) for _ in range(spec.depth))
        self.back = zero(nn.Linear(width, width, bias=False))
        self.scale = zero(nn.Linear(4 * width, width))
        self.last = zero(nn.Linear(width, channels, bias=False))

    def forward(self, x: Tensor, state: Tensor, class_labels: Tensor | None = None) -> Tensor:
        h = self.first(x.movedim(1, -1))
        height, width = h.shape[1:3]
        count = octaves(min(height, width))
        sites = height * width
        embeddings = [
            self._embedding(state, octave, sites, class_labels) for octave in range(count)
        ]
        kept = []
        for octave, embedding in enumerate(embeddings):
            for block in self.up:
                h = block(h, embedding, 2**octave)
            kept.append(h)
            h = smooth(h, 2**octave)
        mean = h.mean((1, 2), keepdim=True)
        embedding = self._embedding(state, None, sites, class_labels)
        for block in (*self.up, *self.down):
            mean = block(mean, embedding)
        out = self._out(mean, embedding) / sites**0.5
        h = mean
        for octave in reversed(range(count)):
            h = kept[octave] + self.back(h)
            for block in self.down:
                h = block(h, embeddings[octave], 2**octave)
            out = out + self._out(h, embeddings[octave]) / 2**octave
        return out.movedim(-1, 1)

    def _embedding(
        self, state: Tensor, octave: int | None, sites: int, class_labels: Tensor | None
    ) -> Tensor:
        """Return the embedding of the noise from an octave on, None for the mean field's."""
        if self.levels:
            levels, others = state.tensor_split([self.levels], 1)
            levels = levels.unflatten(1, (-1, STATE_POINTS))
            if self.by_octave:
                levels = seen_from_octave(levels, octave, sites)
            else:
                levels = from_octave(levels, octave)
            state = torch.cat([levels.flatten(1), others], 1)
        embedding = self.embed(state)
        return embedding if self.classes is None else embedding + self.classes(class_labels)

    def _out(self, h: Tensor, embedding: Tensor) -> Tensor:
        return self.last(h * (1 + self.scale(embedding)[:, None, None]))


def octaves(size: int) -> int:
    """Return how many octaves a lattice has whose convolutions do not wrap around it.

    The last is spread by 2ʲ with 2·2ʲ + 1 ≤ L.
    """
    return max(1, ((size - 1) // 2).bit_length())


def smooth(h: Tensor, spread: int) -> Tensor:
    """Return features (B, H, W, C) averaged with weights ¼, ½, ¼ over sites that far apart."""
    for dim in (1, 2):
        h = 0.5 * h + 0.25 * (h.roll(spread, dim) + h.roll(-spread, dim))
    return h


def from_octave(levels: Tensor, octave: int | None) -> Tensor:
    """Return levels (…, points) at scales 0 to 1 as they are at 2⁻ʲ of each scale, in between on a
    line; without an octave, that of the mean field at all of them. Below the second point, which
    octaves from the fourth on are, that line is all that is known of the longest waves.
    """
    if octave is None:
        return levels[..., :1].expand(levels.shape)
    if octave == 0:
        return levels
    places = torch.arange(levels.shape[-1], device=levels.device) / 2**octave
    low = places.long()
    return torch.lerp(levels[..., low], levels[..., low + 1], (places - low).to(levels))


def seen_from_octave(levels: Tensor, octave: int | None, sites: int) -> Tensor:
    """Return levels (B, 2C, points), those of noise and then those of the data's variance, two an
    octave, as they are from octave j on: the data's of a field averaged over 4ʲ sites. Without an
    octave, those of the mean field. At a fixed point of the renormalization group they are the
    same at every octave, up to what the anomalous dimension adds.
    """
    last = levels.shape[-1] - 1
    first = last if octave is None else POINTS_PER_OCTAVE * octave
    places = (torch.arange(last + 1, device=levels.device) + first).clamp_max(last)
    noise, variance = levels[..., places].chunk(2, 1)
    averaged = sites if octave is None else 4**octave
    return torch.cat([noise, variance - math.log(averaged) / 4], 1)
