r"""Time grids: at which times a sampler stops.

- uniform: t itself;
- logsnr:  equal rises of the mean over components of γ − log(Σ/S²), the negative data log-SNR,
           each cut at ±12, beyond which nothing is seen;
- angle:   equal turns of the mean angle θ_k = arctan(σ_kS_k/(α_k√Σ_k)), the clock of the
           interaction picture: dense where signal turns into noise, whatever the schedule's pace;
- gaussian: the times at which DDIM is best for the free theory, see `gaussian_clock`.

References:
    Benita et al., 2502.00180, and Sun et al., 2601.13602: times that are optimal for Gaussian
    data; for one component the "tangent law" of the latter is the angle.
"""

import itertools
import math
import reprlib
from collections.abc import Sequence

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.devices import doubled
from rgdiff_core.process import Process
from rgdiff_core.spec import check_finite

__all__ = ["GRIDS", "Grid", "angle", "gaussian_clock", "shortest_path", "time_grid"]

GRIDS = ("uniform", "logsnr", "angle", "gaussian")
TABLE = 1025  # times at which a process is tabulated
BLOCK = 1 << 22  # values that are tabulated at once
LOGSNR_LIMIT = 12.0
ROUNDS = 60  # of the fixed point of the Gaussian clock, which takes about 20

Grid = str | Sequence[float]


def angle(gamma: Tensor, noise: Tensor, variance: Tensor) -> Tensor:
    """Return θ = arctan(σS/(α√Σ)), from 0 for data to π/2 for noise.

    Arguments:
        gamma: log(σ²/α²); −∞ is the data.
        noise: S², which broadcasts against it.
        variance: Σ, which broadcasts against it.
    """
    turned = torch.atan(torch.exp((gamma + torch.log(noise / variance)) / 2))
    return torch.where(gamma == -math.inf, 0.0, turned)


def time_grid(process: Process, modes: Modes, steps: int, grid: Grid) -> tuple[float, ...]:
    """Return steps + 1 times, falling from 1 to 0.

    Arguments:
        modes: of the data, for their variances; without them Σ = S².
        grid: one of GRIDS, or the times themselves.

    Raises `ValueError` for an unknown name and for times that do not fall from 1 to 0.
    """
    if not isinstance(grid, str):
        return _checked(tuple(map(_time, grid)), steps)
    if grid not in GRIDS:
        raise ValueError(f"grid = {grid!r} is not one of {', '.join(GRIDS)}, and no times.")
    if grid == "uniform":
        return tuple(1 - i / steps for i in range(steps + 1))
    u = torch.linspace(0, 1, TABLE, dtype=torch.float64)
    t = torch.sin(math.pi / 2 * u) ** 2  # dense at both ends, where some schedules are singular
    rows = max(1, BLOCK // math.prod(process.basis.shape))
    clocks = (_clock(process, modes, some, grid) for some in t.split(rows))
    if grid == "gaussian":
        passed = gaussian_clock(torch.cat([clock.flatten(1) for clock in clocks]))
    else:
        passed = torch.cat([clock.mean((1, 2, 3)) for clock in clocks])
    passed = (passed - passed[0]) / (passed[-1] - passed[0])
    # a little of uniform time, so that the clock never stands still
    passed = 0.999 * passed + 0.001 * t
    wanted = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[1:-1]
    right = torch.searchsorted(passed, wanted).clamp(1, TABLE - 1)
    share = (wanted - passed[right - 1]) / (passed[right] - passed[right - 1])
    inner = t[right - 1] + share * (t[right] - t[right - 1])
    return (1.0, *inner.tolist(), 0.0)


def _clock(process: Process, modes: Modes, t: Tensor, grid: str) -> Tensor:
    """Return what rises evenly at times t (N,), (N, C or 1, H, W) in float64, on the CPU."""
    gamma, noise = process.level(t).gamma, process.noise_variance
    variance = noise if modes.variance is None else modes.variance
    if grid == "logsnr":
        clock = (gamma + torch.log(noise / variance)).clamp(-LOGSNR_LIMIT, LOGSNR_LIMIT)
    else:
        clock = angle(gamma, noise, variance)
    return doubled(clock).cpu()


def gaussian_clock(theta: Tensor, counts: Tensor | None = None) -> Tensor:
    r"""Return the clock whose equal parts are DDIM's best steps for Gaussian data.

    A step of DDIM that turns component k by δ leaves a share cos²δ of its variance, so that the
    KL divergence after N steps is Σ_k ½(v_k − 1 − log v_k) with v_k = Π cos²δ, in leading order
    ¼ Σ_k (Σ δ²)². With steps of density Np(t), Σ δ² = ∫ θ_k'²/p dt / N ≡ w_k/N, and the least
    Σ_k w_k² has p ∝ √(Σ_k w_k θ_k'²), a fixed point.

    Arguments:
        theta: of every component at the times of a table of equal steps, (T, K).
        counts: (K,), how often each component occurs; once by default.

    Returns:
        The integral of p, (T,).
    """
    squared = theta.diff(dim=0) ** 2
    weight = squared.new_ones(squared.shape[1])
    times = torch.ones_like(weight) if counts is None else counts.to(weight)
    share = squared.new_zeros(len(squared))
    for _ in range(ROUNDS):
        share = torch.sqrt(squared @ (times * weight))
        share = (share / share.sum()).clamp_min(1e-12)
        weight = torch.sqrt(weight * (squared.mT @ (1 / share)))  # halfway, for it to settle
        weight = weight / weight.mean()
    return torch.cat((share.new_zeros(1), share.cumsum(0)))


def _time(time: float) -> float:
    """Return a time of a grid as a number, which may be an element of a tensor or an array."""
    try:
        return float(time)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"grid = {reprlib.repr(time)} must be numbers that fall from 1 to 0."
        ) from None


def _checked(times: tuple[float, ...], steps: int) -> tuple[float, ...]:
    if len(times) != steps + 1:
        raise ValueError(f"{steps} steps need {steps + 1} times, but the grid has {len(times)}.")
    for time in times:
        check_finite("grid", time)
    if times[0] != 1 or times[-1] != 0:
        raise ValueError(f"the grid runs from {times[0]:g} to {times[-1]:g}, not from 1 to 0.")
    for a, b in itertools.pairwise(times):
        if b >= a:
            raise ValueError(f"the grid's times must fall, but {a:g} is followed by {b:g}.")
    return times


def shortest_path(costs: Tensor, steps: int) -> list[int]:
    """Return the cheapest path of so many edges from the first node to the last, steps + 1 nodes.

    Arguments:
        costs: (M, M), of the edge from row to column; ∞ where there is none.
        steps: 1 to M − 1.
    """
    best, came = costs[0], []
    for _ in range(steps - 1):
        best, origin = (best[:, None] + costs).min(0)
        came.append(origin)
    path = [len(costs) - 1]
    for origin in reversed(came):
        path.append(int(origin[path[-1]]))
    return [0, *reversed(path)]
