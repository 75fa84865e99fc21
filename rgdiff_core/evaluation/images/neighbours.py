"""The nearest images of a data set: has a model learnt, or learnt by heart?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.spec import check_whole

__all__ = ["Neighbours", "nearest"]

CHUNK = 4096  # images that are compared at the same time


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images of each sample.

    Attributes:
        index: (B, count), numbers in the data set, the nearest first.
        distance: (B, count), root mean square difference of pixels or sites.
        sign: (B, count), −1 where the image with the opposite sign is the near one, else 1.
    """

    index: Tensor
    distance: Tensor
    sign: Tensor


def nearest(x: Tensor, images: Tensor, count: int = 4, *, either_sign: bool = False) -> Neighbours:
    """Find the images (N, C, H, W) nearest to each of x (B, C, H, W) in the L2 norm.

    Arguments:
        count: how many of them, 1 to N.
        either_sign: compare with φ and −φ, which are alike in a theory with Z2 symmetry.

    Raises `ValueError` for shapes that do not fit and a count out of range.
    """
    if x.shape[1:] != images.shape[1:]:
        raise ValueError(
            f"fields {tuple(x.shape[1:])} don't fit images {tuple(images.shape[1:])}."
        )
    check_whole("count", count, 1, len(images))
    flat = x.flatten(1).to(images)
    square = (flat**2).sum(1, keepdim=True)
    distance, sign = [], []
    for part in images.flatten(1).split(CHUNK):
        overlap = flat @ part.T
        sign.append(torch.where(overlap < 0, -1, 1) if either_sign else torch.ones_like(overlap))
        distance.append(square + (part**2).sum(1) - 2 * sign[-1] * overlap)
    found = torch.cat(distance, 1).clamp_min(0).topk(count, largest=False)
    return Neighbours(
        found.indices,
        torch.sqrt(found.values / flat.shape[1]),
        torch.cat(sign, 1).gather(1, found.indices).long(),
    )
