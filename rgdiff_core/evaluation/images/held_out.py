"""How good a model of images is: a bound on the bits per dimension of held-out ones."""

from collections.abc import Callable

import torch

from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.likelihood import bits_per_dim, dequantize, elbo
from rgdiff_core.process import Process
from rgdiff_core.statistics import Estimate

__all__ = ["held_out_bits"]

UNIT_LEVELS = 3  # of [−1, 1], a bin of width 1 each


def held_out_bits(
    model: Denoiser,
    process: Process,
    held_out: ImageSet,
    steps: int = 100,
    generator: torch.Generator | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Estimate:
    """Return an upper bound of the bits per dimension of held-out images, averaged over them.

    Images in [−1, 1] are taken for 8-bit ones, and are dequantized. Fields of another range are
    taken as they are, and their bits are those of bins of width 1: of Ising spins with noise the
    bits of the spins. The error is the scatter over images, the noise of the bound among it.

    Arguments:
        model: in the process' basis.
        held_out: at least 2 images.
        steps: of the bound, 1 to 10,000; each evaluates the model once.
        progress: called with (steps completed, total); it may raise to cancel.

    Raises `ValueError` for too few images, and what `elbo` does.
    """
    if len(held_out.images) < 2:
        raise ValueError(f"{len(held_out.images)} image has no error; at least 2 are needed.")
    x = held_out.images.to(process.noise_variance)
    grey = (held_out.low, held_out.high) == (-1.0, 1.0)
    if grey:
        x = dequantize(x, generator)
    bound = elbo(model, process, x, steps, generator, progress=progress).cpu()
    return Estimate.of(bits_per_dim(bound.double(), x.shape[1:], 256 if grey else UNIT_LEVELS))
