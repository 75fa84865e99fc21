"""What every network is: a function of a field and of the noise's state.

A network F(x, state) maps fields x (B, C, H, W), in units of the data's standard deviation, and a
noise state (B, features) to fields of the same shape. It is zero before it has learnt anything.
"""

import abc
from typing import ClassVar

import torch
from torch import Tensor, nn

from rgdiff_core.spec import Spec

__all__ = [
    "MAX_PARAMETERS",
    "POINTS_PER_OCTAVE",
    "STATE_POINTS",
    "ClassEmbedding",
    "Network",
    "NetworkSpec",
    "NoiseEmbedding",
    "meta_count",
    "parameter_count",
    "zero",
]

MAX_PARAMETERS = 200_000_000
STATE_POINTS = 16  # of the grid of scales at which a network is given the noise level
POINTS_PER_OCTAVE = 2  # of a grid of octaves: 16 reach the mean field of 128×128 sites


class Network(nn.Module, abc.ABC):
    """A function of fields and noise states. Derived classes write `forward`."""

    @abc.abstractmethod
    def forward(self, x: Tensor, state: Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Return (B, C, H, W) for fields x (B, C, H, W), noise states (B, features) and, where the
        network has classes, labels (B,) or (1,), -1 for the null label.
        """


class NetworkSpec(Spec):
    """A network by its numbers. Derived classes are frozen dataclasses that write `build`.

    Attributes:
        one_thread: whether its arrays are so small that on a CPU several threads only wait for one
            another, on a busy machine ten times longer than they work.
        any_size: whether the same weights serve fields of all sizes.
    """

    one_thread: ClassVar[bool] = False
    any_size: ClassVar[bool] = False

    @abc.abstractmethod
    def build(self, shape: tuple[int, int, int], features: int, num_classes: int = 0) -> Network:
        """Return a network for fields of this shape (C, H, W) and this many noise features.

        Arguments:
            num_classes: that the network is conditioned on.

        Raises `ValueError` where the fields do not fit the network.
        """


class NoiseEmbedding(nn.Sequential):
    """Noise states (B, features) to embeddings (B, width)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())


class ClassEmbedding(nn.Embedding):
    """Class labels (B,) to embeddings (B, width); the null label -1, and None, have one too."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__(num_classes + 1, width)
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=0.3)

    def forward(self, input: Tensor | None) -> Tensor:
        if input is None:
            return self.weight[-1:]
        return super().forward(input % self.num_embeddings)


def zero(module: nn.Module) -> nn.Module:
    """Set all parameters of a module to zero, and return it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def parameter_count(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def meta_count(
    spec: NetworkSpec, shape: tuple[int, int, int], features: int, num_classes: int = 0
) -> int:
    """Return the number of parameters that a network would have, without making them."""
    with torch.device("meta"):
        return parameter_count(spec.build(shape, features, num_classes=num_classes))
