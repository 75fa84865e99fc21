r"""Configurations of φ⁴ by hybrid Monte Carlo, with the diagnostics of the run.

The chains themselves are in `rgdiff_core.lattice.chains`. For an exact sampler ⟨e^{-ΔH}⟩ = 1,
which every run reports.
"""

import math
from collections.abc import Callable
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
from rgdiff_core.lattice.estimate import Estimate
from rgdiff_core.lattice.integrators import Leapfrog
from rgdiff_core.lattice.thermalization import History, autocorrelation_time
from rgdiff_core.spec import check_whole

__all__ = ["HMC", "HMCResult", "Trajectory", "hmc", "leapfrog", "trajectories"]

MAX_SAMPLES = 10**6
MIN_CHAINS = 8
MAX_CHAINS = 900
CHAIN_LENGTH = 100  # kept configurations of a chain, where n_samples allows it

leapfrog = Leapfrog().integrate


@dataclass(frozen=True, eq=False)
class HMCResult:
    """What a run of hybrid Monte Carlo returns.

    Attributes:
        configurations: Fields in lattice units, (n, 1, L, L), in the precision of the run; the
            configurations of one chain stand together, in the order of Monte Carlo time.
        n_chains: Number of independent chains.
        acceptance: Fraction of trajectories accepted after thermalisation.
        exp_delta_h: ⟨e^{-ΔH}⟩ after thermalisation, which is 1; its error comes from the
            scatter of the chains.
        step_size: The tuned step.
        thinning: Trajectories between two kept configurations of a chain.
        history: M and S of every chain after every trajectory, thermalisation included.
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
        """A sentence where the chains had not thermalised when measuring began; else None."""
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
    progress: Callable[[int, int], None] | None = None,
) -> HMCResult:
    """Sample e^{-S} by hybrid Monte Carlo.

    Arguments:
        action: The theory.
        size: Linear size L of the L×L lattice, 2 to 256.
        n_samples: Number of configurations to return, 1 to 1,000,000.
        n_chains: Independent chains run side by side; by default 8 to 900, few enough for 100
            configurations each where n_samples allows it.
        generator, thermalization, settings, dtype: As `trajectories`.
        thinning: Trajectories from one kept configuration to the next; by default
            max(3, L / 2).
        progress: Called with (trajectories done, trajectories in all) after each trajectory, of
            which the second grows while thermalisation takes longer than usual; an exception
            that it raises cancels the run and reaches the caller.

    Returns:
        The configurations and the diagnostics of the run.

    Raises:
        ValueError: When a number is out of its range, or no proposal at all was accepted.
    """
    check_whole("size", size, *SIZES)
    check_whole("n_samples", n_samples, 1, MAX_SAMPLES)
    if n_samples * size**2 > MAX_SITES:
        raise ValueError(
            f"n_samples = {n_samples} of size {size} are {n_samples * size**2} sites; "
            f"at most {MAX_SITES} are allowed in one run."
        )
    if n_chains is None:
        fitting = min(MAX_CHAINS, 2**16 // size**2, n_samples // CHAIN_LENGTH)
        n_chains = min(n_samples, max(MIN_CHAINS, fitting))
    check_whole("n_chains", n_chains, 1, n_samples)
    thinning = max(3, size // 2) if thinning is None else thinning
    check_whole("thinning", thinning, 1, 10**5)

    rounds = -(-n_samples // n_chains)
    production = rounds * thinning
    run = trajectories(
        action,
        size,
        n_chains,
        generator,
        settings=settings,
        thermalization=thermalization,
        dtype=dtype,
    )
    device = generator.device if generator is not None else "cpu"
    kept = torch.empty((rounds, n_chains, size, size), dtype=dtype, device=device)
    usual = default_thermalization(size) if thermalization is None else thermalization
    series: list[tuple[Tensor, Tensor]] = []
    proposals: list[tuple[Tensor, Tensor]] = []
    for move in run:
        series.append((move.magnetization, move.action))
        if not move.thermalizing:
            proposals.append((move.weight, move.accepted))
            done = len(proposals)
            if done % thinning == 0:
                kept[done // thinning - 1] = move.phi
        if progress is not None:
            discarded = len(series) - len(proposals)
            progress(len(series), production + max(discarded, usual))
        if len(proposals) == production:
            break
    weights, accepted = (torch.stack(parts) for parts in zip(*proposals, strict=True))
    acceptance = float(accepted.double().mean())
    if acceptance == 0:
        raise ValueError(
            f"none of {accepted.numel()} proposals was accepted at step size "
            f"{move.step_size:.3g}: make the trajectories shorter, the thermalization longer, "
            "or the couplings smaller."
        )
    magnetization, actions = (torch.stack(parts) for parts in zip(*series, strict=True))
    return HMCResult(
        configurations=_in_chains(kept, n_samples),
        n_chains=n_chains,
        acceptance=acceptance,
        exp_delta_h=_mean_over_chains(weights),
        step_size=move.step_size,
        thinning=thinning,
        history=History(magnetization, actions, len(series) - len(proposals)),
    )


def _in_chains(kept: Tensor, n_samples: int) -> Tensor:
    """Return n configurations of (rounds, n_chains, L, L), those of a chain side by side.

    Every chain is as long as the others or one shorter: the surplus of the last round goes.
    """
    rounds, n_chains, size = kept.shape[:3]
    surplus = rounds * n_chains - n_samples
    whole, cut = kept[:, : n_chains - surplus], kept[:-1, n_chains - surplus :]
    return torch.cat([part.transpose(0, 1).reshape(-1, 1, size, size) for part in (whole, cut)])


def _mean_over_chains(values: Tensor) -> Estimate:
    """Mean of (T, chains) and its error from the scatter of the chains; of one chain, of T."""
    parts = values.mean(0) if values.shape[1] > 1 else values[:, 0]
    error = float(parts.std() / math.sqrt(len(parts))) if len(parts) > 1 else math.inf
    return Estimate(float(parts.mean()), error)
