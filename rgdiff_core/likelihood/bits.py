r"""Bits per dimension of images: a density of real numbers compared with whole grey values.

Pixels of L levels, scaled to [−1, 1], lie 2/(L − 1) apart. With noise u uniform over such a bin,
x + u has a density q, and by Jensen's inequality

    log₂ P(x) ≥ E_u log₂ q(x + u) + D log₂ 2/(L − 1),

P(x) the probability that q has in the bin of x. Bits per dimension are the right side over −D.

References:
    Theis, van den Oord & Bethge, 1511.01844, section 3.1.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rgdiff_core.devices import doubled
from rgdiff_core.process import Generators, white_noise
from rgdiff_core.spec import check_whole

__all__ = ["MAX_LEVELS", "bits_per_dim", "dequantize"]

MAX_LEVELS = 65_536


def dequantize(images: Tensor, generator: Generators = None, levels: int = 256) -> Tensor:
    """Return images (B, C, H, W) in [−1, 1] with noise, uniform over a bin of width 2/(levels − 1)
    around each value; the outermost bins reach beyond [−1, 1] by half a bin.

    Arguments:
        generator: one generator, or B of them.
        levels: of a pixel, 2 to 65,536; 256 for 8 bits.
    """
    check_whole("levels", levels, 2, MAX_LEVELS)
    noise = white_noise(images.shape, doubled(images), generator)
    uniform = torch.special.ndtr(noise) - 0.5  # the share of a Gaussian below its draw
    return images + (uniform * 2 / (levels - 1)).to(images)


def bits_per_dim(log_density: Tensor, shape: Sequence[int], levels: int = 256) -> Tensor:
    """Return bits per dimension, like log_density, nats, of dequantized images in [−1, 1].

    Arguments:
        shape: of one image, (C, H, W).
        levels: as of `dequantize`.
    """
    check_whole("levels", levels, 2, MAX_LEVELS)
    bin_width = 2 / (levels - 1)
    return -log_density / (math.prod(shape) * math.log(2)) - math.log2(bin_width)
