r"""The network for lattice fields: translation equivariant, and odd under φ → −φ.

Convolutions are periodic, nothing has a bias, and what the noise state adds are factors and
thresholds. A hidden unit is

    a(u; b) = silu(u + b) − silu(b − u),

odd in u for every threshold b, so that the whole network is odd in the field, F(−φ) = −F(φ):
the learned score respects the symmetry of φ⁴ exactly, and with it ⟨φ⟩ = 0. Sites meet in
convolutions within each channel, channels meet site by site; the mean field enters every block by
its own path, since the zero mode is where the lattice is critical.

With squares of sites merged into channels, the network runs on the lattice of blocks and knows
which sites are of one: as it has to where averages of blocks are given and the rest is drawn. It
is equivariant under translations by blocks alone, then. Without the mean field's path a network is
local, and the same on all lattices that are larger than it sees.

References:
    Liu et al., 2201.03545 (convolutions by channel, then site by site); equivariant flows for φ⁴:
    2110.02673, 2207.00283.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle, silu

from rgdiff_core.networks.base import (
    ClassEmbedding,
    Network,
    NetworkSpec,
    NoiseEmbedding,
    zero,
)
from rgdiff_core.spec import check_whole

__all__ = ["LatticeBlock", "LatticeNet"]

WIDER = 2  # hidden units of a block per channel
STEEP = 3.0  # of fresh weights before a threshold: weaker ones leave a network nearly linear, and
# of a linear function of the field there is nothing left to learn beside the Gaussian


@dataclass(frozen=True)
class LatticeNet(NetworkSpec):
    """A residual network of periodic convolutions, odd by construction.

    Arguments:
        width: channels, 4 to 512.
        depth: residual blocks, 1 to 32.
        kernel: side of the convolutions, odd, 1 to 11, less than twice the lattice's size.
        patch: side of the squares of sites that are merged into channels, 1 to 8.
        mean_field: whether the mean field has a path of its own.
    """

    width: int = 24
    depth: int = 3
    kernel: int = 3
    patch: int = 1
    mean_field: bool = True

    one_thread: ClassVar[bool] = True
    any_size: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_whole("width", self.width, 4, 512)
        check_whole("depth", self.depth, 1, 32)
        check_whole("kernel", self.kernel, 1, 11)
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel = {self.kernel} must be odd.")
        check_whole("patch", self.patch, 1, 8)

    def build(self, shape: tuple[int, int, int], features: int, num_classes: int = 0) -> Network:
        """Return the network; raises `ValueError` where the kernel wraps around the lattice, or
        patches do not fit it.
        """
        if any(side % self.patch for side in shape[1:]):
            raise ValueError(
                f"patches of {self.patch}×{self.patch} sites do not fit a lattice of "
                f"{shape[1]}×{shape[2]}."
            )
        height, width = (side // self.patch for side in shape[1:])
        if self.kernel // 2 >= min(height, width):
            patches = "sites" if self.patch == 1 else "patches"
            raise ValueError(
                f"kernel = {self.kernel} wraps around a lattice of {height}×{width} {patches}."
            )
        return _LatticeNetwork(self, shape[0], features, num_classes)


class _LatticeNetwork(Network):
    """Channels come last inside, for most of the work is site by site."""

    def __init__(self, spec: LatticeNet, channels: int, features: int, num_classes: int) -> None:
        super().__init__()
        width, channels = spec.width, channels * spec.patch**2
        self.patch = spec.patch
        self.embed = NoiseEmbedding(features, 4 * width)
        self.classes = ClassEmbedding(num_classes, 4 * width) if num_classes else None
        self.first = nn.Linear(channels, width, bias=False)
        self.blocks = nn.ModuleList(
            LatticeBlock(width, 4 * width, spec.kernel, spec.mean_field) for _ in range(spec.depth)
        )
        self.scale = zero(nn.Linear(4 * width, width))
        self.last = zero(nn.Linear(width, channels, bias=False))

    def forward(self, x: Tensor, state: Tensor, class_labels: Tensor | None = None) -> Tensor:
        embedding = self.embed(state)
        if self.classes is not None:
            embedding = embedding + self.classes(class_labels)
        h = self.first(pixel_unshuffle(x, self.patch).movedim(1, -1))
        for block in self.blocks:
            h = block(h, embedding)
        out = self.last(h * (1 + self.scale(embedding)[:, None, None]))
        return pixel_shuffle(out.movedim(-1, 1), self.patch)


class LatticeBlock(nn.Module):
    """A residual block: sites, then the mean field, then channels. Channels come last.

    Arguments:
        width: channels.
        embedding: size of what modulates it.
        kernel: side of the convolution.
        mean_field: whether it has a path of its own.
    """

    def __init__(self, width: int, embedding: int, kernel: int, mean_field: bool = True) -> None:
        super().__init__()
        hidden = WIDER * width
        self.near = nn.Conv2d(width, width, kernel, groups=width, bias=False)
        self.mean = nn.Linear(width, width, bias=False) if mean_field else None
        self.enter = nn.Linear(width, hidden, bias=False)
        self.leave = nn.Linear(hidden, width, bias=False)
        self.modulation = nn.Linear(embedding, width + 2 * hidden)
        self.sizes = (width, hidden, hidden)
        if not self.enter.weight.is_meta:  # where it is, torch first loads its decompositions
            nn.init.normal_(self.enter.weight, std=STEEP / width**0.5)
            nn.init.normal_(self.modulation.bias[width : width + hidden], std=1.5)  # they differ

    def forward(self, h: Tensor, embedding: Tensor, spread: int = 1) -> Tensor:
        """Return features (B, H, W, C) after the block, the convolution's sites so far apart."""
        gain, threshold, out = self.modulation(embedding)[:, None, None].split(self.sizes, -1)
        reach = self.near.kernel_size[0] // 2 * spread
        wrapped = pad(h.movedim(-1, 1), (reach,) * 4, mode="circular")
        near = conv2d(wrapped, self.near.weight, dilation=spread, groups=self.near.groups)
        u = h + near.movedim(1, -1)
        if self.mean is not None:
            u = u + self.mean(h.mean((1, 2)))[:, None, None]
        u = self.enter(u * (1 + gain))
        u = silu(u + threshold) - silu(threshold - u)
        return h + self.leave(u * (1 + out))
