r"""Cutoff kernels K_Λ(k) and cutoff paths Λ(t).

A kernel says which share α_k² = K_Λ(k) of the signal is kept at scale k when the cutoff stands at
Λ. It is written as

    γ(k, Λ) = log((1 − K)/K)

in closed form, never as 1 − K in floating point, with its inverse Λ(k, γ). Scales k are in [0, 1].

A path moves the cutoff: an *ordinate* y(t) falls from 1 (the Λ at which every component has γ ≤
γ_min) to 0 (the Λ at which every one has γ ≥ γ_max). Between them Λ runs linearly, or
geometrically for kernels that depend on k/Λ only.
"""

import abc
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgdiff_core.spec import Spec, check_finite, check_increasing, check_range, check_whole

__all__ = [
    "BumpKernel",
    "ButterworthKernel",
    "CosinePath",
    "CutoffPath",
    "ExponentialKernel",
    "ExponentialPath",
    "GaussianKernel",
    "HardKernel",
    "Kernel",
    "LinearPath",
    "LitimKernel",
    "LogarithmicPath",
    "Path",
    "SigmoidKernel",
    "check_times",
    "cubic_through",
    "log_expm1",
    "monotone_cubic",
]

MAX_POINTS = 64


def log_expm1(x: Tensor) -> Tensor:
    """Return log(eˣ − 1) for x ≥ 0 without overflow; −∞ at 0. It inverts softplus."""
    return x + torch.log(-torch.expm1(-x))


class Kernel(Spec):
    """A cutoff kernel. Derived classes are frozen dataclasses that write `gamma` and `cutoff`.

    Attributes:
        continuous: whether K is a continuous function of Λ; the ODE samplers refuse one that is
            not.
        geometric: whether K depends on k/Λ only; its scale must not be zero.
    """

    continuous: bool = True
    geometric: bool = True

    @abc.abstractmethod
    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return γ(k, Λ) = log((1 − K)/K), ±∞ where K is 0 or 1."""

    @abc.abstractmethod
    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return the Λ at which scale k has this γ."""


@dataclass(frozen=True)
class SigmoidKernel(Kernel):
    """K = sigmoid((Λ − k)/w), hence γ = (k − Λ)/w.

    Arguments:
        width: w in units of the scale, in [1e-3, 10].
    """

    width: float = 0.1
    geometric = False

    def __post_init__(self) -> None:
        check_range("width", self.width, 1e-3, 10)

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return (k − Λ)/w."""
        return (k - cutoff) / self.width

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return k − w γ."""
        return k - self.width * gamma


@dataclass(frozen=True)
class HardKernel(Kernel):
    """K = 1 for k < Λ, else 0: scale by scale, with no overlap. Not continuous in Λ."""

    continuous = False
    geometric = False

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return −∞ for k < Λ, else +∞."""
        k, cutoff = torch.broadcast_tensors(k, cutoff)
        return torch.where(k < cutoff, -math.inf, math.inf).to(k.dtype)

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return a Λ just above k for γ < 0, and just below it for γ > 0."""
        return k - torch.sign(gamma) * 2.0**-10


@dataclass(frozen=True)
class GaussianKernel(Kernel):
    """K = exp(−k²/Λ²), hence γ = log expm1(k²/Λ²): the heat kernel."""

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return log expm1(k²/Λ²)."""
        return log_expm1((k / cutoff) ** 2)

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return k / √softplus(γ)."""
        return k / softplus(gamma).sqrt()


@dataclass(frozen=True)
class ExponentialKernel(Kernel):
    """K = exp(−k/Λ), hence γ = log expm1(k/Λ)."""

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return log expm1(k/Λ)."""
        return log_expm1(k / cutoff)

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return k / softplus(γ)."""
        return k / softplus(gamma)


@dataclass(frozen=True)
class LitimKernel(Kernel):
    """K = (1 − k²/Λ²)₊, the shape of Litim's optimized regulator: γ = log(k²/(Λ² − k²)).

    References:
        Litim, Optimized renormalization group flows, hep-th/0103195.
    """

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return log(x²/(1 − x²)) with x = k/Λ, +∞ for x ≥ 1."""
        x2, inside = _inside(k, cutoff)
        return torch.where(inside, torch.logit(x2), math.inf)

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return k / √sigmoid(γ)."""
        return k * torch.exp(softplus(-gamma) / 2)


@dataclass(frozen=True)
class BumpKernel(Kernel):
    """K = exp(−x²/(1 − x²)) for x = k/Λ < 1, else 0: smooth, with compact support."""

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return log expm1(x²/(1 − x²)), +∞ for x ≥ 1."""
        x2, inside = _inside(k, cutoff)
        return torch.where(inside, log_expm1(x2 / (1 - x2)), math.inf)

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return k √((1 + u)/u) with u = softplus(γ)."""
        u = softplus(gamma)
        return k * torch.sqrt((1 + u) / u)


@dataclass(frozen=True)
class ButterworthKernel(Kernel):
    """K = 1/(1 + (k/Λ)^{2n}), hence γ = 2n log(k/Λ).

    With n = 1 and free-theory noise this is the inverse-RG model of Masuki & Ashida (2501.09064).

    Arguments:
        order: n in [0.25, 32]; it need not be whole.
    """

    order: float = 2.0

    def __post_init__(self) -> None:
        check_range("order", self.order, 0.25, 32)

    def gamma(self, k: Tensor, cutoff: Tensor) -> Tensor:
        """Return 2n log(k/Λ)."""
        return 2 * self.order * torch.log(k / cutoff)

    def cutoff(self, k: Tensor, gamma: Tensor) -> Tensor:
        """Return k exp(−γ/2n)."""
        return k * torch.exp(-gamma / (2 * self.order))


def _inside(k: Tensor, cutoff: Tensor) -> tuple[Tensor, Tensor]:
    """Return (k/Λ)², made harmless where k ≥ Λ (so that gradients stay finite), and k < Λ."""
    inside = k < cutoff
    return torch.where(inside, (k / cutoff) ** 2, 0.5), inside


class Path(Spec):
    """A monotone path of the cutoff's ordinate from 1 to 0. Derived classes write `ordinate`."""

    @abc.abstractmethod
    def ordinate(self, t: Tensor) -> Tensor:
        """Return y(t), of the shape of t, non-increasing in t."""


@dataclass(frozen=True)
class CutoffPath(Path):
    """Control points joined by a monotone cubic (PCHIP).

    Arguments:
        times: 0 = t₀ < t₁ < … = 1, from 2 to 64 of them.
        values: ordinates in [0, 1], never rising.

    References:
        Fritsch & Butland, A method for constructing local monotone piecewise cubic interpolants,
        SIAM J. Sci. Stat. Comput. 5 (1984) 300.
    """

    times: tuple[float, ...] = (0.0, 1.0)
    values: tuple[float, ...] = (1.0, 0.0)

    def __post_init__(self) -> None:
        times, values = self.times, self.values
        if not 2 <= len(times) <= MAX_POINTS or len(times) != len(values):
            raise ValueError(
                f"a path needs 2 to {MAX_POINTS} points, got {len(times)} times and "
                f"{len(values)} values."
            )
        check_times(times)
        for y in values:
            check_range("values", y, 0, 1)
        for a, b in itertools.pairwise(values):
            if b > a:
                raise ValueError(f"Λ(t) must never rise, but {a:g} is followed by {b:g}.")

    @classmethod
    def sampled(cls, path: Path, points: int = 6) -> "CutoffPath":
        """Return control points on another path, equally spaced in time, from 2 to 64."""
        check_whole("points", points, 2, MAX_POINTS)
        points = int(points)
        t = torch.linspace(0, 1, points, dtype=torch.float64)
        return cls(tuple(t.tolist()), tuple(path.ordinate(t).tolist()))

    def ordinate(self, t: Tensor) -> Tensor:
        """Return y(t); differentiable in t."""
        return cubic_through(self.times, self.values, t).clamp(0, 1)


def check_times(times: Sequence[float]) -> None:
    """Raise `ValueError` unless there are 2 to 64 times, from 0 to 1, increasing."""
    if not 2 <= len(times) <= MAX_POINTS:
        raise ValueError(f"times must be 2 to {MAX_POINTS}, got {len(times)}.")
    for t in times:
        check_finite("times", t)
    if times[0] != 0 or times[-1] != 1:
        raise ValueError(f"times = {times} must begin at 0 and end at 1.")
    check_increasing("times", times)


def cubic_through(times: tuple[float, ...], values: tuple[float, ...], t: Tensor) -> Tensor:
    """Return the monotone cubic through given numbers at times t in [0, 1], of the shape of t."""
    knots, cubics = (x.to(t) for x in _pieces(times, values))
    return _along(knots, cubics, t)


def monotone_cubic(times: Tensor, values: Tensor, t: Tensor) -> Tensor:
    """Return the monotone cubic through points at times t in [times[0], times[-1]].

    Differentiable in the values and in t; `CutoffPath` is this curve.

    Arguments:
        times: (K,), K ≥ 2, increasing.
        values: (K,), at these times.
        t: of any shape, which the result has.
    """
    return _along(times, _cubics(times, values), t)


def _along(knots: Tensor, cubics: Tensor, t: Tensor) -> Tensor:
    """Return the piecewise cubic (4, knots), highest power first, at t."""
    piece = torch.searchsorted(knots[1:].contiguous(), t.detach().contiguous(), right=True)
    u, y = t - knots[piece], torch.zeros_like(t)
    for c in cubics:
        y = y * u + c[piece]
    return y


def _cubics(times: Tensor, values: Tensor) -> Tensor:
    """Return each piece's cubic, (4, knots), highest power first.

    The last knot has its own constant piece, so that all knots are met exactly.
    """
    h, rise = times.diff(), values.diff()
    slope = rise / h
    first, last = _end_slope(h, slope), _end_slope(h.flip(0), slope.flip(0))
    knots = torch.cat((first, _inner_slopes(h, slope), last))
    left, right = knots[:-1], knots[1:]
    square, cube = (3 * slope - 2 * left - right) / h, (left + right - 2 * slope) / h**2
    pieces = torch.stack((cube, square, left, values[:-1]))
    zero = torch.zeros_like(values[-1])
    return torch.cat((pieces, torch.stack((zero, zero, zero, values[-1]))[:, None]), 1)


def _inner_slopes(h: Tensor, slope: Tensor) -> Tensor:
    """Return the weighted harmonic means of neighbouring slopes, 0 where their signs differ."""
    before, after = slope[:-1], slope[1:]
    same = before * after > 0
    before, after = torch.where(same, before, 1.0), torch.where(same, after, 1.0)
    one, other = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    return torch.where(same, (one + other) / (one / before + other / after), 0.0)


def _end_slope(h: Tensor, slope: Tensor) -> Tensor:
    """Return the slope at the first knot, (1,): a one-sided estimate that keeps the shape."""
    if len(slope) == 1:
        return slope
    guess = ((2 * h[0] + h[1]) * slope[0] - h[0] * slope[1]) / (h[0] + h[1])
    turns = (slope[0] * slope[1] < 0) & (guess.abs() > 3 * slope[0].abs())
    guess = torch.where(turns, 3 * slope[0], guess)
    return torch.where(guess * slope[0] > 0, guess, torch.zeros_like(guess))[None]


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _pieces(times: tuple[float, ...], values: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Return the knots of a path and its cubics, in double precision."""
    knots, ordinates = (torch.tensor(x, dtype=torch.float64) for x in (times, values))
    return knots, _cubics(knots, ordinates)


@dataclass(frozen=True)
class LinearPath(Path):
    """y = 1 − t."""

    def ordinate(self, t: Tensor) -> Tensor:
        """Return 1 − t."""
        return 1 - t


@dataclass(frozen=True)
class CosinePath(Path):
    """y = (1 + cos π t)/2: slow at both ends."""

    def ordinate(self, t: Tensor) -> Tensor:
        """Return cos²(π t/2)."""
        return torch.cos(math.pi * t / 2) ** 2


@dataclass(frozen=True)
class ExponentialPath(Path):
    """y = (e^{−rt} − e^{−r})/(1 − e^{−r}): fast at first.

    Arguments:
        rate: r in (0, 50].
    """

    rate: float = 3.0

    def __post_init__(self) -> None:
        check_range("rate", self.rate, 0, 50, low_open=True)

    def ordinate(self, t: Tensor) -> Tensor:
        """Return expm1(r (1 − t)) / expm1(r)."""
        return torch.expm1(self.rate * (1 - t)) / math.expm1(self.rate)


@dataclass(frozen=True)
class LogarithmicPath(Path):
    """y = log(1 + r (1 − t)) / log(1 + r): slow at first, fast at the end.

    Arguments:
        rate: r in (0, 1e6].
    """

    rate: float = 10.0

    def __post_init__(self) -> None:
        check_range("rate", self.rate, 0, 1e6, low_open=True)

    def ordinate(self, t: Tensor) -> Tensor:
        """Return log1p(r (1 − t)) / log1p(r)."""
        return torch.log1p(self.rate * (1 - t)) / math.log1p(self.rate)
