r"""What steps of DDIM cost Gaussian data, in nats.

A step that turns a component by δ, of θ = arctan e^(−log-SNR/2), leaves cos²δ of its variance, so
that N steps cost

.. math:: KL = \tfrac12 \sum_k (v_k - 1 - \log v_k), \quad v_k = \prod_i \cos^2 δ_{ik}.

References:
    Benita et al., 2502.00180 (steps of DDIM for Gaussian data).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis

__all__ = [
    "GAMMA",
    "GaussianLaw",
    "angles_of",
    "ddim_divergence",
    "gaussian_law",
    "white_levels",
]

GAMMA = 14.0  # Γ: each component passes at least the log-SNRs from Γ/2 to −Γ/2


def angles_of(levels: Tensor) -> Tensor:
    """Return θ = arctan e^(−ℓ/2) of log-SNRs ℓ, of their shape."""
    return torch.atan(torch.exp(-levels / 2))


def ddim_divergence(angles: Tensor, counts: Tensor | None = None) -> float:
    """Return the KL of the steps of DDIM between angles (N + 1, K), in nats.

    Arguments:
        counts: (K,), how often each component occurs; once by default.
    """
    log_v = 2 * torch.cos(angles.diff(dim=0)).log().sum(0)
    terms = torch.expm1(log_v) - log_v
    return float((terms if counts is None else terms * counts).sum() / 2)


def white_levels(log_variance: Tensor, down: Tensor) -> Tensor:
    """Return the data's log-SNRs in white noise, (N, K), where each component passes at least the
    range from Γ/2 to −Γ/2.

    Arguments:
        log_variance: of the components, (K,).
        down: the places from ½ (data) to −½ (noise), (N, 1).
    """
    highest, lowest = log_variance.max(), log_variance.min()
    return log_variance - (highest + lowest) / 2 + (GAMMA + (highest - lowest)) * down


@dataclass(frozen=True)
class GaussianLaw:
    """What N steps of DDIM cost Gaussian data, in nats a site, at equal steps of the log-SNR.

    Attributes:
        white: in white noise.
        matched: in noise of the data's spectrum.
        limit: of their ratio as N grows, ((Γ + log κ)/Γ)².
    """

    white: float
    matched: float
    limit: float


def gaussian_law(size: int, condition: float, steps: int) -> GaussianLaw:
    r"""Return the law for the free theory on L×L sites, where every component passes at least the
    range of the data's log-SNR from Γ/2 to −Γ/2: in matched noise just that, in white noise all
    pass the same wider range.

    The divergence is about c (range/N)² a site, where the range, in white noise, is Γ + log κ: the
    loudest component is covered by noise last, by the logarithm of κ after the faintest.

    Arguments:
        condition: κ, the largest variance over the smallest, above 1.
        steps: N.
    """
    k2 = FourierBasis((1, size, size), "lattice").momentum.double().flatten() ** 2
    log_variance = -torch.log(k2 + k2.max() / (condition - 1))
    down = torch.linspace(0.5, -0.5, steps + 1, dtype=torch.float64)[:, None]
    matched = GAMMA * down.expand(-1, len(k2))
    white = white_levels(log_variance, down)
    limit = (1 + math.log(condition) / GAMMA) ** 2
    of_white, of_matched = (
        ddim_divergence(angles_of(levels)) / len(k2) for levels in (white, matched)
    )
    return GaussianLaw(of_white, of_matched, limit)
