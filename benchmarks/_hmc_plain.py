"""Hybrid Monte Carlo of φ⁴ as tutorials write it: NumPy and torch, one chain and batched.

All follow the same algorithm with the same tuned step: leapfrog over a unit of time, Metropolis.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from rgdiff_core.lattice import HMC, Phi4, Trajectory, trajectories

__all__ = ["Run", "Setting", "numpy_chain", "ours", "torch_batch", "torch_chain"]


@dataclass(frozen=True, eq=False)
class Setting:
    """What all samplers are given.

    Attributes:
        action, size: The theory.
        start: Thermalized fields, (chains, L, L) float32.
        step, steps: Of the leapfrog.
    """

    action: Phi4
    size: int
    start: torch.Tensor
    step: float
    steps: int


@dataclass(frozen=True, eq=False)
class Run:
    """A number of trajectories of all chains.

    Attributes:
        series: |M| and the mean of φ² after each, (trajectories, chains, 2).
        cpu, wall: Seconds.
        accepted: Fraction.
    """

    series: np.ndarray
    cpu: float
    wall: float
    accepted: float


Advance = Callable[[], tuple[np.ndarray, float]]  # |M|, φ² of all chains (chains, 2); accepted
Sampler = Callable[[int], Run]


def _sampler(advance: Advance) -> Sampler:
    """Return a function that times a number of trajectories."""

    def run(count: int) -> Run:
        cpu, wall = time.process_time(), time.perf_counter()
        steps = [advance() for _ in range(count)]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        series = np.stack([series for series, _ in steps])
        return Run(series, cpu, wall, float(np.mean([accepted for _, accepted in steps])))

    return run


def numpy_chain(setting: Setting) -> Sampler:
    """One chain in NumPy, float64."""
    action, rng = setting.action, np.random.default_rng(0)
    phi = setting.start[0].double().numpy()

    def neighbours(phi: np.ndarray) -> np.ndarray:
        return np.roll(phi, 1, 0) + np.roll(phi, -1, 0) + np.roll(phi, 1, 1) + np.roll(phi, -1, 1)

    def energy(phi: np.ndarray) -> float:
        local = (4 + action.m2) * phi**2 + action.lam * phi**4
        return float(np.sum(local - phi * neighbours(phi)))

    def force(phi: np.ndarray) -> np.ndarray:
        return 2 * neighbours(phi) - 2 * (4 + action.m2) * phi - 4 * action.lam * phi**3

    def advance() -> tuple[np.ndarray, float]:
        nonlocal phi
        p = rng.standard_normal(phi.shape)
        new = phi.copy()
        before = energy(phi) + 0.5 * np.sum(p**2)
        p = p + 0.5 * setting.step * force(new)
        for i in range(setting.steps):
            new = new + setting.step * p
            p = p + (setting.step if i < setting.steps - 1 else 0.5 * setting.step) * force(new)
        change = energy(new) + 0.5 * np.sum(p**2) - before
        accepted = bool(rng.random() < math.exp(min(0.0, -change)))
        phi = new if accepted else phi
        return np.array([[abs(phi.mean()), (phi**2).mean()]]), float(accepted)

    return _sampler(advance)


def _torch_force(action: Phi4, phi: torch.Tensor) -> torch.Tensor:
    neighbours = phi.roll(1, -1) + phi.roll(-1, -1) + phi.roll(1, -2) + phi.roll(-1, -2)
    return 2 * neighbours - 2 * (4 + action.m2) * phi - 4 * action.lam * phi**3


def _torch_energy(action: Phi4, phi: torch.Tensor) -> torch.Tensor:
    neighbours = phi.roll(1, -1) + phi.roll(1, -2)
    local = (4 + action.m2) * phi**2 + action.lam * phi**4
    return (local - 2 * phi * neighbours).sum((-2, -1))


def _torch(setting: Setting, phi: torch.Tensor) -> Sampler:
    action = setting.action

    def advance() -> tuple[np.ndarray, float]:
        nonlocal phi
        p = torch.randn_like(phi)
        new = phi
        before = _torch_energy(action, phi) + 0.5 * (p**2).sum((-2, -1))
        p = p + 0.5 * setting.step * _torch_force(action, new)
        for i in range(setting.steps):
            new = new + setting.step * p
            kick = setting.step if i < setting.steps - 1 else 0.5 * setting.step
            p = p + kick * _torch_force(action, new)
        after = _torch_energy(action, new) + 0.5 * (p**2).sum((-2, -1))
        accept = torch.rand(len(phi)) < torch.exp(before - after)
        phi = torch.where(accept[:, None, None], new, phi)
        measured = torch.stack([phi.mean((-2, -1)).abs(), (phi**2).mean((-2, -1))], -1)
        return measured.numpy(), float(accept.float().mean())

    return _sampler(advance)


def torch_chain(setting: Setting) -> Sampler:
    """One chain in torch, float32."""
    return _torch(setting, setting.start[:1])


def torch_batch(setting: Setting) -> Sampler:
    """All chains side by side in torch, float32."""
    return _torch(setting, setting.start)


def ours(setting: Setting, moves: HMC) -> Sampler:
    """This library's chains, tuned and thermalized before the first call."""
    chains = trajectories(
        setting.action,
        setting.size,
        len(setting.start),
        torch.Generator().manual_seed(1),
        settings=moves,
        thermalization=200,
        start=setting.start,
    )
    last: Trajectory = next(chains)
    while last.thermalizing:
        last = next(chains)

    def advance() -> tuple[np.ndarray, float]:
        move = next(chains)
        measured = torch.stack(
            [move.magnetization.abs(), move.phi.square().mean((-2, -1), dtype=torch.float64)], -1
        )
        return measured.numpy(), float(move.accepted.double().mean())

    return _sampler(advance)
