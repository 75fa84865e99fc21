r"""What a sample of a larger lattice costs: evaluations of the network a site, for Gaussian data.

The cost of N steps of DDIM for Gaussian data is known (`gaussian_law`): for the free theory all is
in closed form, and the number of steps that brings the KL divergence a site below a bound can be
compared on lattices of any size. The mass is that of a correlation length of L/2, so that the
loudest wave is louder with every octave.

- *white*: white noise, all components at once. The range of the log-SNR that the steps divide
  among themselves is Γ and the logarithm of the condition number κ = 2L² + 1.
- *matched*: noise of the data's spectrum, for which the range is Γ on every lattice.
- *cutoff*: matched noise behind a sigmoid cutoff of width 0.3 that moves through the scales.
- *octaves*: octave by octave, as in Haar wavelets: the details given the average of their blocks,
  in white noise, coarse ones first. Their condition number does not grow, and a step of octave j
  works on 4⁻ʲ of the sites.

Steps are equal in the log-SNR, or where DDIM is best for these data (`sampling.grids`,
"gaussian"): few of them are then spent where only a few long waves turn from signal into noise.

References:
    Benita et al., 2502.00180 (steps of DDIM for Gaussian data); Guth et al., 2208.05003 (wavelet
    coefficients given the coarser ones are well conditioned).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Matched
from rgdiff_core.lattice import FreeField
from rgdiff_core.process import clamped
from rgdiff_core.sampling.grids import gaussian_clock
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.study.lattice.gaussian_law import (
    GAMMA,
    angles_of,
    ddim_divergence,
    white_levels,
)

__all__ = [
    "GAMMA",
    "STEPS",
    "WAYS",
    "Octave",
    "detail_variances",
    "evaluations",
    "kl_per_site",
]

STEPS = {"logsnr": "equal steps of the log-SNR", "best": "the best steps"}
WIDTH = 0.3  # of the cutoff's kernel
MAX_SIZE = 512
MOST = 4096  # steps
FIRST, ROUNDS = 32, 2  # of the search for their number
TABLE = 513  # places on the way from data to noise at which components are tabulated


@dataclass(frozen=True, eq=False)
class NoisingPath:
    """A path from data to noise.

    Attributes:
        angles: θ = arctan e^(−log-SNR/2), (TABLE, K), of components at equal steps of the mean
            log-SNR.
        counts: (K,), how often each occurs.
        best: the clock whose equal parts are the best steps, (TABLE,).
    """

    angles: Tensor
    counts: Tensor
    best: Tensor

    @classmethod
    def of(cls, levels: Tensor, counts: Tensor) -> "NoisingPath":
        """Return the path with log-SNRs (TABLE, K)."""
        angles = angles_of(levels)
        return cls(angles, counts, gaussian_clock(angles, counts))

    def kl(self, steps: int, kind: str) -> float:
        """Return the KL of so many steps of DDIM."""
        even = np.linspace(0, 1, steps + 1)
        places = even * (TABLE - 1)
        if kind == "best":
            places = np.interp(even * float(self.best[-1]), self.best.numpy(), range(TABLE))
        low = torch.from_numpy(places.astype(int).clip(0, TABLE - 2))
        share = torch.from_numpy(places)[:, None] - low[:, None]
        angles = torch.lerp(self.angles[low], self.angles[low + 1], share)
        return ddim_divergence(angles, self.counts)


@dataclass(frozen=True)
class Octave:
    """The conditional variances of the details of an octave.

    Attributes:
        variances: (K,), of the independent components.
        share: of the sites of the lattice that a step works on.
    """

    variances: Tensor
    share: float


def kl_per_site(way: str, size: int, steps: int, kind: str = "best") -> float:
    """Return the KL divergence a site, in nats, of DDIM with so many steps.

    Arguments:
        way: one of WAYS; of the octaves each has so many steps.
        size: L, a power of two from 4 to 512.
        kind: one of STEPS.

    Raises `ValueError` for what is out of range.
    """
    check_whole("steps", steps, 1, MOST)
    for name, value, known in (("way", way, WAYS), ("kind", kind, STEPS)):
        if value not in known:
            raise ValueError(f"{name} = {value!r} is not one of {', '.join(known)}.")
    return sum(each.kl(steps, kind) for each in _ways(way, _checked(size))) / size**2


def evaluations(way: str, size: int, bound: float, kind: str = "best") -> float:
    """Return the evaluations of the network a site, of the whole lattice's sites, that bring the
    KL divergence a site below a bound in nats. Raises `ValueError` where 4096 steps do not.
    """
    check_range("bound", bound, 0, 1, low_open=True)
    if kl_per_site(way, size, MOST, kind) > bound:
        raise ValueError(f"a bound of {bound:g} takes more than {MOST} steps.")
    steps = FIRST
    for _ in range(ROUNDS):  # the divergence falls as 1/N², nearly
        steps *= math.sqrt(kl_per_site(way, size, round(steps), kind) / bound)
        steps = min(MOST, max(1, math.ceil(steps)))
    while kl_per_site(way, size, steps, kind) > bound:
        steps += 1
    while steps > 1 and kl_per_site(way, size, steps - 1, kind) <= bound:
        steps -= 1
    shares = sum(each.share for each in detail_variances(size)) if way == "octaves" else 1.0
    return steps * shares


@lru_cache(maxsize=8)
def detail_variances(size: int) -> tuple[Octave, ...]:
    """Return the octaves of the free theory, from fine to coarse; the last is the mean field.

    Waves whose momenta differ by π along an axis meet in the same blocks of 2×2 sites. A 4×4
    matrix for each wave of the coarse lattice takes them to the block's average and three details,
    whose covariance given the average is a 3×3 matrix. The averages have the next octave's
    spectrum.
    """
    spectrum = _spectrum(_checked(size)).to(torch.complex128)
    found, share = [], 1.0
    while (side := len(spectrum)) > 1:
        half = side // 2
        aliases = spectrum.reshape(2, half, 2, half).permute(1, 3, 0, 2).reshape(half, half, 4)
        mixed = _haar(side)
        covariance = torch.einsum("xyai,xyi,xybi->xyab", mixed, aliases, mixed.conj())
        average, across = covariance[..., 0, 0].real, covariance[..., 1:, 0]
        given = covariance[..., 1:, 1:] - torch.einsum(
            "xya,xyb,xy->xyab", across, across.conj(), (1 / average).to(across)
        )
        found.append(Octave(torch.linalg.eigvalsh(given).flatten(), share))
        spectrum, share = average.to(torch.complex128), share / 4
    return (*found, Octave(spectrum.real.flatten(), share))


def _checked(size: int) -> int:
    check_whole("size", size, 4, MAX_SIZE)
    if size & (size - 1):
        raise ValueError(f"size = {size} must be a power of two.")
    return size


def _spectrum(size: int) -> Tensor:
    """Return the propagator, (L, L), at momenta 2πn/L."""
    k = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    field = FreeField((2 / size) ** 2, size)
    return field.propagator(torch.stack(torch.meshgrid(k, k, indexing="ij"), -1))


def _haar(side: int) -> Tensor:
    """Return the unitary matrices (L/2, L/2, 4, 4) from the four waves of a lattice that are one
    on the coarse lattice to the block's average and details.
    """
    q = 2 * math.pi * torch.arange(side // 2, dtype=torch.float64) / side
    k = torch.stack([q, q + math.pi], -1)  # (L/2, 2)
    shifted = torch.exp(1j * k)
    one = torch.stack([1 + shifted, 1 - shifted], 1) / 2  # (L/2, sum or difference, alias)
    return torch.einsum("xai,ybj->xyabij", one, one).reshape(side // 2, side // 2, 4, 4)


@lru_cache(maxsize=4)
def _ways(way: str, size: int) -> tuple[NoisingPath, ...]:
    return tuple(WAYS[way](size))


def _white(variances: Tensor) -> NoisingPath:
    """Return the way of components in white noise."""
    log_variance, counts, _ = _distinct(variances.log())
    return NoisingPath.of(white_levels(log_variance, _down()), counts)


def _by_octave(size: int) -> Iterator[NoisingPath]:
    return (_white(each.variances) for each in detail_variances(size))


def _matched(size: int) -> Iterator[NoisingPath]:
    yield NoisingPath.of(GAMMA * _down(), torch.tensor([size**2]))


def _behind_cutoff(size: int) -> Iterator[NoisingPath]:
    basis = FourierBasis((1, size, size), "lattice")
    _, counts, first = _distinct(basis.momentum.double().flatten())
    scale, momentum, variance = (
        x.flatten()[first][None, None] for x in (basis.scale, basis.momentum, _spectrum(size))
    )
    modes = Modes(scale, torch.zeros_like(variance), variance, momentum)
    schedule = Cutoff(SigmoidKernel(WIDTH), gamma_min=-GAMMA / 2, gamma_max=GAMMA / 2)
    level = clamped(schedule.level(torch.linspace(0, 1, 4 * TABLE).to(variance), modes))
    ratio = (Matched().variance(modes) / variance).double().log()
    levels = -(level.gamma.double() + ratio).flatten(1)
    levels = levels.clamp_max(GAMMA / 2)  # where the others begin, too
    mean = (levels * counts).sum(1) / counts.sum()
    even = torch.linspace(float(mean[0]), float(mean[-1]), TABLE, dtype=torch.float64)
    right = torch.searchsorted(-mean, -even).clamp(1, len(mean) - 1)
    share = (even - mean[right - 1]) / (mean[right] - mean[right - 1])
    yield NoisingPath.of(torch.lerp(levels[right - 1], levels[right], share[:, None]), counts)


def _distinct(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct values, how often each occurs, and where first; waves of one length are
    alike.
    """
    _, first, counts = np.unique(values.numpy().round(9), return_index=True, return_counts=True)
    return values[first], torch.from_numpy(counts), torch.from_numpy(first)


def _down() -> Tensor:
    return torch.linspace(0.5, -0.5, TABLE, dtype=torch.float64)[:, None]


WAYS: Mapping[str, Callable[[int], Iterator[NoisingPath]]] = {
    "white": lambda size: iter([_white(_spectrum(size).flatten())]),
    "matched": _matched,
    "cutoff": _behind_cutoff,
    "octaves": _by_octave,
}
