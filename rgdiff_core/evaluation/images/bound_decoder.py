"""Grey values that are decoded from a little noise instead of dequantized, see `bound`."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import doubled, hosted, seeded
from rgdiff_core.process import Process, white_noise
from rgdiff_core.seeds import fold_in

__all__ = ["Decoder", "check_grey", "decoding_noise", "is_grey"]

NOISE = 0.35  # of a bin, the least that grey values are decoded from
OFF = 0.01  # of a bin, what rounding may leave


def decoding_noise(levels: int) -> float:
    """Return the least noise that `levels` grey values in [−1, 1] are decoded from."""
    return 2 * NOISE / (levels - 1)


def check_grey(images: Tensor, levels: int) -> None:
    """Raise `ValueError` unless images hold nothing but `levels` grey values in [−1, 1]."""
    wrong = _not_grey(images, levels)
    if len(wrong):
        raise ValueError(
            f"the images hold {float(wrong[0]):.4g}, but only {levels} grey values in [-1, 1], "
            f"2/{levels - 1} apart, can be decoded."
        )


def is_grey(images: Tensor, levels: int) -> bool:
    """Return whether images hold nothing but `levels` grey values in [−1, 1]."""
    return not len(_not_grey(images, levels))


def _not_grey(images: Tensor, levels: int) -> Tensor:
    """Return all values that are none of `levels` grey values, in order."""
    values = doubled(images).flatten()
    nearest = ((values + 1) * (levels - 1) / 2).round().clamp(0, levels - 1)
    near = (values - (nearest * 2 / (levels - 1) - 1)).abs() <= OFF * 2 / (levels - 1)
    return values[~near]  # nan is near nothing


@dataclass(frozen=True, eq=False)
class Decoder:
    """The first noise level, from which grey values are decoded.

    Attributes:
        noise: n of each component, (C, H, W) or broadcast.
        share: of a component with it that its free posterior mean takes over, Σ/(Σ + n²).
        spread: of a pixel's free posterior, root mean square over pixels.
        levels: of a pixel.
    """

    noise: Tensor
    share: Tensor
    spread: float
    levels: int

    @classmethod
    def of(
        cls, model: Denoiser, process: Process, floor: float, levels: int, seed: int
    ) -> "Decoder":
        """Return the decoder of a process.

        Arguments:
            floor: the least noise.
            seed: of the draw that measures `spread`.
        """
        like, basis = process.noise_variance, process.basis
        first = process.level(torch.zeros(1, dtype=torch.float64)).gamma[0].to(like)
        noise = (like.sqrt() * torch.exp(first / 2)).clamp_min(floor)
        share = model.free_variance / (model.free_variance + noise.square())
        white = white_noise((16, *basis.shape), like, seeded(like.device, fold_in(seed, 5)))
        missed = basis.synthesize(share.sqrt() * noise * basis.analyze(white))
        return cls(noise, share, float(missed.square().mean().sqrt()), levels)

    def nats(self, model: Denoiser, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return an upper bound on the free theory's −log P(x), (B,) float64, in nats, plus
        D log(width of a bin), so that `bits_per_dim` takes it as a density's.
        """
        off = model.basis.analyze(x) - model.free_mean
        ratio = doubled(self.noise.square() / model.free_variance)
        square = doubled(off).square() / doubled(model.free_variance)
        gained = torch.log1p(1 / ratio) + (ratio + square) / (1 + ratio) - 1
        noise = model.basis.analyze(white_noise(x.shape, x, generator))
        mean = model.free_mean + self.share * (off + self.noise * noise)
        seen = model.basis.synthesize(mean)
        missed = torch.stack([self._missed(*pair) for pair in zip(seen, x, strict=True)])
        bins = x[0].numel() * math.log(2 / (self.levels - 1))
        return gained.flatten(1).sum(1) / 2 + missed + bins

    def _missed(self, seen: Tensor, x: Tensor) -> Tensor:
        """Return −log P of the grey values of one image, given its posterior mean."""
        values = torch.linspace(-1, 1, self.levels, dtype=torch.float64, device=hosted(x).device)
        apart = (doubled(seen).flatten()[:, None] - values) / self.spread
        right = (doubled(x).flatten()[:, None] - values).abs().argmin(1, keepdim=True)
        log = torch.log_softmax(-apart.square() / 2, 1)
        return -log.gather(1, right).sum()
