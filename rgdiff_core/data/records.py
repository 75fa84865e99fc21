"""The values that data sets are made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.lattice.line import CouplingLine

__all__ = ["BUILT_IN", "DataUnavailable", "ImageSet", "Progress", "Record", "quiet"]

BUILT_IN = (
    "cifar10",
    "phi4-6x6",
    "phi4-6x6-broken",
    "phi4-6x6-critical",
    "phi4-6x6-line",
    "phi4-8x8",
    "phi4-8x8-critical",
    "phi4-10x10",
    "phi4-12x12",
    "phi4-12x12-critical",
    "phi4-14x14",
    "phi4-16x16-critical",
    "phi4-32x32",
    "phi4-32x32-critical",
    "ising-16x16-critical",
    "ising-32x32-critical",
    "photographs",
)
"""Names of the sets that the product brings; the user's own cannot take them."""

Progress = Callable[[int, int, str], None]
"""Called with (completed, total, stage); an exception that it raises cancels."""


class DataUnavailable(RuntimeError):
    """A data set is not available on this machine; the message lists what was tried."""


def quiet(done: int, total: int, text: str) -> None:
    """Report progress to nobody."""
    del done, total, text


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images or fields, with where they came from.

    Attributes:
        images: (N, C, H, W) float32; pictures in [-1, 1], φ⁴ fields in lattice units.
        labels: (N,) int64, or None where a set has no classes.
        source: One sentence: where the pixels came from.
        name: The name that `load` knows it by.
        low: The value to paint as the darkest colour, the same for every split of a set.
        high: The value to paint as the brightest.
        class_names: What each label stands for, () where there are no labels.
        chains: (N,) int64, the number of the Markov chain that each configuration of a lattice is
            from; None for other data, and for sets stored before it was kept.
        line: The couplings of lattice theories that the labels number, None for other data.
    """

    images: Tensor
    labels: Tensor | None
    source: str
    name: str
    low: float
    high: float
    class_names: tuple[str, ...] = ()
    chains: Tensor | None = None
    line: CouplingLine | None = None


@dataclass(frozen=True, eq=False)
class Record:
    """One split of a data set as it lies in the cache.

    Attributes:
        images: (N, C, H, W); uint8, 0 to 255 standing for -1 to 1, or float32 as it is.
        labels: (N,) int64 or None.
        source: As in `ImageSet`.
        low: As in `ImageSet`.
        high: As in `ImageSet`.
        chains: (N,) int64 or None.
    """

    images: np.ndarray
    labels: np.ndarray | None
    source: str
    low: float = -1.0
    high: float = 1.0
    chains: np.ndarray | None = None

    def image_set(self, name: str) -> ImageSet:
        """Return the split as tensors."""
        images = torch.from_numpy(np.array(self.images))
        if self.images.dtype == np.uint8:
            images = images.to(torch.float32).div_(127.5).sub_(1)
        labels = None if self.labels is None else torch.from_numpy(np.array(self.labels))
        names = () if labels is None else _numbered(int(labels.max()) + 1)
        chains = None if self.chains is None else torch.from_numpy(np.array(self.chains))
        return ImageSet(images, labels, self.source, name, self.low, self.high, names, chains)


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(map(str, range(n)))
