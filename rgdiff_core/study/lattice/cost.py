r"""What a sample of a larger lattice costs: evaluations of the network a site, for Gaussian data.

A step of DDIM that turns a component by δ leaves cos²δ of its variance, so that N steps cost

.. math:: KL = \tfrac12 \sum_k (v_k - 1 - \log v_k), \quad v_k = \prod_i \cos^2 δ_{ik},

whatever else there is: for the free theory all is in closed form, and the number of steps that
brings the KL divergence a site below a bound can be compared on lattices of any size. The mass is
that of a correlation length of L/2, so that the loudest wave is louder with every octave.

- *white*: white noise, all components at once. The range of the log-SNR that the steps divide
  among themselves is Γ and the logarithm of the condition number κ = 2L² + 1.
- *matched*: noise of the data's spectrum, for which the range is Γ on every lattice.
- *cutoff*: matched noise behind a cutoff that moves through the scales.
- *octaves*: octave by octave, as in Haar wavelets: the details given the average of their blocks,
  in white noise, coarse ones first. Their condition number does not grow, and a step of octave j
  works on 4⁻ʲ of the sites.

References:
    Benita et al., 2502.00180 (steps of DDIM for Gaussian data); Guth et al., 2208.05003 (wavelet
    coefficients given the coarser ones are well conditioned).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Matched
from rgdiff_core.lattice import FreeField
from rgdiff_core.process import Process
from rgdiff_core.sampling.grids import time_grid
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.spec import check_range, check_whole

__all__ = ["GAMMA", "WAYS", "Octave", "detail_variances", "evaluations", "kl_per_site"]

GAMMA = 14.0  # Γ: each component passes at least the log-SNRs from Γ/2 to −Γ/2
WIDTH = 0.3  # of the cutoff's kernel
MAX_SIZE = 512
MOST = 4096  # steps
FIRST, ROUNDS = 32, 2  # of the search for their number


@dataclass(frozen=True)
class Octave:
    """The conditional variances of the details of an octave.

    Attributes:
        variances: (K,), of the independent components.
        share: of the sites of the lattice that a step works on.
    """

    variances: Tensor
    share: float


def kl_per_site(way: str, size: int, steps: int) -> float:
    """Return the KL divergence a site, in nats, of DDIM with so many steps.

    Arguments:
        way: one of WAYS; of the octaves each has so many steps.
        size: L, a power of two from 4 to 512.
    """
    return WAYS[way](_checked(size), steps) / size**2


def evaluations(way: str, size: int, bound: float) -> float:
    """Return the evaluations of the network a site, of the whole lattice's sites, that bring the
    KL divergence a site below a bound in nats. Raises `ValueError` where 4096 steps do not.
    """
    check_range("bound", bound, 0, 1, low_open=True)
    steps = FIRST
    for _ in range(ROUNDS):  # the divergence falls as 1/N², nearly
        steps = math.ceil(steps * math.sqrt(kl_per_site(way, size, steps) / bound))
        if steps > MOST:
            raise ValueError(f"a bound of {bound:g} takes more than {MOST} steps.")
    while kl_per_site(way, size, steps) > bound:
        steps += 1
    while steps > 1 and kl_per_site(way, size, steps - 1) <= bound:
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


def _white(variances: Tensor, steps: int) -> float:
    """Return the KL of components in white noise, at equal steps of the log-SNR."""
    log_variance, counts, _ = _distinct(variances.log())
    highest, lowest = log_variance.max(), log_variance.min()
    middle = log_variance - (highest + lowest) / 2
    return _kl(middle + (GAMMA + highest - lowest) * _down(steps), counts)


def _by_octave(size: int, steps: int) -> float:
    return sum(_white(each.variances, steps) for each in detail_variances(size))


def _behind_cutoff(size: int, steps: int) -> float:
    basis = FourierBasis((1, size, size), "lattice")
    variance = _spectrum(size)[None]
    modes = Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    schedule = Cutoff(SigmoidKernel(WIDTH), gamma_min=-GAMMA / 2, gamma_max=GAMMA / 2)
    process = Process(basis, Matched(), schedule, modes)
    times = torch.tensor(time_grid(process, modes, steps, "logsnr")[:-1])
    _, counts, first = _distinct(basis.momentum.double().flatten())
    gamma = process.level(times).gamma.flatten(1)[:, first].double()
    ratio = (process.noise_variance / variance).flatten()[first].double()
    levels = -(gamma + ratio.log())
    data = levels.new_full((1, levels.shape[1]), math.inf)
    return _kl(torch.cat([data, levels.flip(0)]), counts)


def _distinct(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct values, how often each occurs, and where first; waves of one length are
    alike.
    """
    _, first, counts = np.unique(values.numpy().round(9), return_index=True, return_counts=True)
    return values[first], torch.from_numpy(counts), torch.from_numpy(first)


def _down(steps: int) -> Tensor:
    return torch.linspace(0.5, -0.5, steps + 1, dtype=torch.float64)[:, None]


def _kl(levels: Tensor, counts: Tensor) -> float:
    """Return the KL of DDIM at log-SNRs (N + 1, K) of components that occur so often."""
    turns = torch.atan(torch.exp(-levels / 2)).diff(dim=0)
    log_v = 2 * torch.cos(turns).log().sum(0)
    return float(((torch.expm1(log_v) - log_v) * counts).sum() / 2)


WAYS: Mapping[str, Callable[[int, int], float]] = {
    "white": lambda size, steps: _white(_spectrum(size).flatten(), steps),
    "matched": lambda size, steps: _kl(GAMMA * _down(steps), torch.tensor([size**2])),
    "cutoff": _behind_cutoff,
    "octaves": _by_octave,
}
