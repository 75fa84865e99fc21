r"""The distribution of the magnetization M = (1/V) Σ_x φ_x: one peak or two, at every time.

M is linear in the field. With u the components of the constant field 1/V, a field φ(0) becomes,
under a process that is diagonal in these components,

.. math:: M(t) \mid φ(0) \sim N\Big(\sum_k u_k α_k(t) χ_k(0),\ \sum_k u_k^2 σ_k^2(t) S_k^2\Big)

so that p_t(M) of stored fields is an average of Gaussians, without noise of its own, and its share
in a bin is a difference of error functions. Without interaction M is a Gaussian at every time.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice import FreeField, Phi4
from rgdiff_core.lattice.action import sites
from rgdiff_core.process import Process
from rgdiff_core.spec import check_range, check_whole

__all__ = [
    "Histogram",
    "magnetization",
    "magnetization_histogram",
    "magnetization_limit",
    "noised_magnetization",
]

FIELDS = 2048  # stored fields that a reference is made of


@dataclass(frozen=True, eq=False)
class Histogram:
    """The distribution of one number.

    Attributes:
        edges: (bins + 1,), evenly spaced.
        density: (..., bins), the share of all values in a bin, divided by its width; what lies
            beyond the edges is in no bin, but counts.
        error: (..., bins), standard error of the density, 0 where it is exact.
    """

    edges: Tensor
    density: Tensor
    error: Tensor

    @property
    def centers(self) -> Tensor:
        """Return the middle of every bin, (bins,)."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def magnetization(fields: Tensor) -> Tensor:
    """Return M of fields (n, 1, L, L) or (n, L, L), in lattice units: (n,), float64."""
    return sites(fields).double().mean((-2, -1))


def magnetization_limit(fields: Tensor) -> float:
    """Return a bound of |M| for a histogram of fields as these and of noise of their variance: a
    tenth above their largest |M|, at least 2.2 times its root mean square.
    """
    size = magnetization(fields).abs()
    return max(1.1 * float(size.max()), 2.2 * float(size.square().mean().sqrt()), 1e-12)


def magnetization_histogram(fields: Tensor, limit: float, bins: int = 24) -> Histogram:
    """Count the magnetizations of independent fields.

    Arguments:
        fields: (n, 1, L, L) or (n, L, L), in lattice units.
        limit: The histogram reaches from −limit to limit, above 0.
        bins: Their number, in [1, 1000].

    Returns:
        The density, with the error √(p(1 − p)/n) of a share p; a bin without a value has that of
        one value, so that an empty bin is no proof of zero.
    """
    edges = _edges(limit, bins)
    values = magnetization(fields)
    # histc counts the right edge as inside, as a histogram that is closed there should
    count = torch.histc(values, bins, -limit, limit)
    return _of_shares(edges, count / len(values), len(values))


def noised_magnetization(
    process: Process,
    fields: Tensor,
    times: Iterable[float],
    limit: float,
    bins: int = 24,
    *,
    action: Phi4 | None = None,
) -> Histogram:
    r"""Return the distribution of M(t) that the true fields have at some times.

    The theory is even in φ, so every field counts with both signs.

    Arguments:
        process: What noises the fields, with one channel.
        fields: Independent fields of the theory, (n, 1, L, L); at most 2,048 are used.
        times: T times in [0, 1].
        limit: As for `magnetization_histogram`.
        bins: As for `magnetization_histogram`.
        action: The theory. Without interaction the distribution is exact, a Gaussian of variance
            Σ_k u_k²(α_k²Σ_k + σ_k²S_k²) with Σ_0 = 1/(2m²), and the fields are not used.

    Returns:
        Density (T, bins) and error, which comes from the number of fields.
    """
    edges = _edges(limit, bins)
    basis, at = process.basis, torch.as_tensor(list(times))
    constant = torch.full((1, *basis.shape), 1.0 / (basis.shape[-1] * basis.shape[-2]))
    weights = basis.analyze(constant.to(process.noise_variance))  # M = Σ_k u_k χ_k
    marginal = process.marginal(at)
    spread = (weights * marginal.std).square().sum((-3, -2, -1)).double().cpu()
    look = basis.synthesize(weights * marginal.alpha).double().cpu().flatten(1)  # (T, V)
    if action is not None and action.lam == 0:
        free = FreeField(action.m2, basis.shape[-1])
        return _free(free, look, spread, edges)
    means = sites(fields)[:FIELDS].double().cpu().flatten(1) @ look.T  # (n, T)
    std = spread.sqrt().clamp_min(1e-9 * limit)
    shares = _shares(means, std, edges).mean(0)
    return _of_shares(edges, (shares + shares.flip(-1)) / 2, 2 * len(means))


def _free(free: FreeField, look: Tensor, spread: Tensor, edges: Tensor) -> Histogram:
    """Return the Gaussian of the free field, seen through fields `look` (T, V), plus noise."""
    k = 2 * math.pi * torch.fft.fftfreq(free.size, dtype=torch.float64)
    propagator = free.propagator(torch.stack(torch.meshgrid(k, k, indexing="ij"), -1))
    seen = torch.fft.fft2(look.unflatten(1, (free.size, free.size)), norm="ortho")
    variance = (seen.abs().square() * propagator).sum((-2, -1)) + spread
    shares = _shares(torch.zeros(1, len(spread)).double(), variance.sqrt(), edges)[0]
    density = shares / edges.diff()
    return Histogram(edges, density, torch.zeros_like(density))


def _shares(means: Tensor, std: Tensor, edges: Tensor) -> Tensor:
    """Return the shares of N(means, std²) in each bin: (n, T) and (T,) to (n, T, bins)."""
    return torch.special.ndtr((edges - means[..., None]) / std[:, None]).diff(dim=-1)


def _of_shares(edges: Tensor, share: Tensor, n: int) -> Histogram:
    width = edges.diff()
    least = share.clamp(1 / n, max(0.5, 1 - 1 / n))
    return Histogram(edges, share / width, (least * (1 - least) / n).sqrt() / width)


def _edges(limit: float, bins: int) -> Tensor:
    check_range("limit", limit, 0, 1e12, low_open=True)
    check_whole("bins", bins, 1, 1000)
    return torch.linspace(-limit, limit, bins + 1, dtype=torch.float64)
