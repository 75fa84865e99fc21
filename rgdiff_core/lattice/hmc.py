r"""Configurations of φ⁴ by hybrid Monte Carlo, with the diagnostics of the run.

The chains themselves are in `rgdiff_core.lattice.chains`. For an exact sampler ⟨e^{-ΔH}⟩ = 1,
which every run reports.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.chains import (
    HMC,
    MAX_SITES,
    SIZES,
    STANDARD,
    Trajectory,
    default_thermalization,
    trajectories,
)
from rgdiff_core.lattice.thermalization import History, autocorrelation_time
from rgdiff_core.seeds import device_for
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate

__all__ = [
    "HMC",
    "HMCResult",
    "Trajectory",
    "acceptance",
    "hmc",
    "mean_weight",
    "trajectories",
]

MAX_SAMPLES = 10**6
MAX_CHAINS = 900
ENOUGH = 20  # proposals, of which one at least should be accepted


@dataclass(frozen=True, eq=False)
class HMCResult:
    """What a run of hybrid Monte Carlo returns.

    Attributes:
        configurations: Fields in lattice units, (n, 1, L, L), in the precision of the run; the
            configurations of one chain stand together, in the order of Monte Carlo time.
        n_chains: Number of independent chains.
        acceptance: Fraction of trajectories accepted after thermalization.
        exp_delta_h: ⟨e^{-ΔH}⟩ after thermalization, which is 1 but for noise.
        step_size: The tuned step.
        thinning: Trajectories between two kept configurations of a chain.
        history: M and S of every chain after every trajectory, thermalization included.
    """

    configurations: Tensor
    n_chains: int
    acceptance: float
    exp_delta_h: Estimate
    step_size: float
    thinning: int
    history: History

    @cached_property
    def tau_int(self) -> Estimate:
        """Integrated autocorrelation time of |M|, M the mean field, in trajectories."""
        return autocorrelation_time(self.history.measured.magnetization.abs())

    @property
    def warning(self) -> str | None:
        """A sentence where the chains had not thermalized when measuring began; else None."""
        return self.history.warning


def hmc(
    action: Phi4,
    size: int,
    n_samples: int,
    n_chains: int | None = None,
    generator: torch.Generator | None = None,
    *,
    thermalization: int | None = None,
    thinning: int | None = None,
    settings: HMC = STANDARD,
    dtype: torch.dtype = torch.float32,
    start: Trajectory | Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HMCResult:
    """Sample e^{-S} by hybrid Monte Carlo.

    Arguments:
        action: The theory.
        size: Linear size L of the L×L lattice, 2 to 256.
        n_samples: Number of configurations to return, 1 to 1,000,000.
        n_chains: Independent chains run side by side; by default at most 900, and few enough for
            100 configurations each where n_samples allows it, as errors of averages need.
        generator: As in `trajectories`.
        thermalization: As in `trajectories`.
        settings: As in `trajectories`.
        dtype: As in `trajectories`.
        start: As in `trajectories`.
        thinning: Trajectories from one kept configuration to the next; by default
            max(3, L / 2).
        progress: Called with (trajectories completed, total) after each trajectory, of
            which the second grows while thermalization takes longer than usual; an exception
            that it raises cancels the run and reaches the caller.

    Returns:
        The configurations and the diagnostics of the run.

    Raises:
        ValueError: As `trajectories`, and when no proposal at all was accepted.
    """
    check_whole("size", size, *SIZES)
    check_whole("n_samples", n_samples, 1, MAX_SAMPLES)
    if n_samples * size**2 > MAX_SITES:
        raise ValueError(
            f"n_samples = {n_samples} of size {size} are {n_samples * size**2} sites; "
            f"at most {MAX_SITES} are allowed in one run."
        )
    if n_chains is None:
        n_chains = _default_chains(size, n_samples)
    check_whole("n_chains", n_chains, 1, n_samples)
    thinning = max(3, size // 2) if thinning is None else thinning
    check_whole("thinning", thinning, 1, 10**5)

    run = trajectories(
        action,
        size,
        n_chains,
        generator,
        settings=settings,
        thermalization=thermalization,
        dtype=dtype,
        start=start,
    )
    usual = default_thermalization(size) if thermalization is None else thermalization
    rounds = -(-n_samples // n_chains)

    def report(done: int, discarded: int) -> None:
        if progress is not None:
            progress(done, max(discarded, usual) + rounds * thinning)

    device = device_for(generator)
    shape = (int(rounds), int(n_chains), int(size), int(size))
    kept = torch.empty(shape, dtype=dtype, device=device)
    return _collect(run, kept, int(n_samples), int(thinning), report)


def _collect(
    run: Iterator[Trajectory],
    kept: Tensor,
    n_samples: int,
    thinning: int,
    report: Callable[[int, int], None],
) -> HMCResult:
    """Keep the fields after every so many trajectories, (rounds, n_chains, L, L); report
    (trajectories, of them discarded) after each.
    """
    series: list[tuple[Tensor, Tensor]] = []
    proposals: list[tuple[Tensor, Tensor]] = []
    while True:
        move = next(run)
        series.append((move.magnetization, move.action))
        if not move.thermalizing:
            proposals.append((move.weight, move.accepted))
            if len(proposals) % thinning == 0:
                kept[len(proposals) // thinning - 1] = move.phi
        report(len(series), len(series) - len(proposals))
        if len(proposals) == len(kept) * thinning:
            return _result(move, kept, n_samples, thinning, series, proposals)


def _result(
    last: Trajectory,
    kept: Tensor,
    n_samples: int,
    thinning: int,
    series: Sequence[tuple[Tensor, Tensor]],
    proposals: Sequence[tuple[Tensor, Tensor]],
) -> HMCResult:
    """Put together (M, S) of all trajectories and (e^{-ΔH}, accepted) of the measured ones."""
    weights, accepted = (torch.stack(parts) for parts in zip(*proposals, strict=True))
    magnetization, actions = (torch.stack(parts) for parts in zip(*series, strict=True))
    return HMCResult(
        configurations=_in_chains(kept, n_samples),
        n_chains=kept.shape[1],
        acceptance=acceptance(accepted, last.step_size),
        exp_delta_h=mean_weight(weights),
        step_size=last.step_size,
        thinning=thinning,
        history=History(magnetization, actions, len(series) - len(proposals)),
    )


def _default_chains(size: int, n_samples: int) -> int:
    """Return how many chains suit errors by the Γ-method, which needs long ones, and processors,
    which are quick with at least about 2¹⁴ sites; below, chains are shortened to 25.
    """
    long = min(MAX_CHAINS, 2**16 // size**2, n_samples // 100)
    return min(n_samples, max(long, 2, min(8, n_samples // 25)))


def _in_chains(kept: Tensor, n_samples: int) -> Tensor:
    """Return n configurations of (rounds, n_chains, L, L), those of a chain side by side.

    Every chain is as long as the others or one shorter: the surplus of the last round goes.
    """
    rounds, n_chains, size = kept.shape[:3]
    surplus = rounds * n_chains - n_samples
    whole, cut = kept[:, : n_chains - surplus], kept[:-1, n_chains - surplus :]
    return torch.cat([part.transpose(0, 1).reshape(-1, 1, size, size) for part in (whole, cut)])


def acceptance(accepted: Tensor, step_size: float) -> float:
    """Return the share of proposals (T, chains) that were accepted.

    Raises:
        ValueError: Where it is none of at least 20.
    """
    if accepted.numel() >= ENOUGH and not bool(accepted.any()):
        raise ValueError(
            f"none of {accepted.numel()} proposals was accepted at step size {step_size:.3g}: "
            "take a longer thermalization, shorter trajectories or float64."
        )
    return float(accepted.double().mean())


def mean_weight(weights: Tensor) -> Estimate:
    """Return ⟨e^{-ΔH}⟩ of weights (T, chains), with an error that allows for autocorrelation."""
    n, tau = weights.numel(), autocorrelation_time(weights).value
    error = math.sqrt(2 * tau * float(weights.var()) / n) if n > 1 else math.inf
    return Estimate(float(weights.mean()), error)
