"""All that is to be said of a lattice model: against the theory itself, not against other models.

The truth comes from two sides that owe nothing to the model: log Z by thermodynamic integration
and by annealed importance sampling, and observables by hybrid Monte Carlo.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import doubled
from rgdiff_core.evaluation.lattice.metropolis import independence_metropolis
from rgdiff_core.evaluation.lattice.quality import (
    FLOW_GRID,
    FlowMetrics,
    WeightedSamples,
    flow_metrics,
    held_out,
    weigh,
)
from rgdiff_core.evaluation.lattice.reweighting import reweighted_observables
from rgdiff_core.lattice import Phi4, hmc, observables
from rgdiff_core.lattice.annealing import UnevenWeights, annealed_importance_sampling
from rgdiff_core.lattice.thermodynamic import thermodynamic_integration
from rgdiff_core.process import Process
from rgdiff_core.sampling import Method
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["LatticeReport", "LogZs", "ObservableRow", "evaluate_lattice"]

Progress = Callable[[str, int, int], None] | None
Report = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class LogZs:
    """log Z three ways, nats.

    Attributes:
        model: from the model's weights.
        thermodynamic: by thermodynamic integration.
        annealed: by annealed importance sampling, None where its weights were too uneven.
        independent: of the last two the mean, weighted by the inverse of their squared errors.
    """

    model: Estimate
    thermodynamic: Estimate
    annealed: Estimate | None
    independent: Estimate


@dataclass(frozen=True)
class ObservableRow:
    """An observable, and by how many standard errors it is off that of hybrid Monte Carlo.

    Attributes:
        name: as `lattice.observables` has it.
        samples: of the model's samples as they are.
        reweighted: with weights.
        metropolis: of the chain of independence Metropolis.
        hmc: of hybrid Monte Carlo.
        deviations: of the first three from the last, in standard errors of the difference.
    """

    name: str
    samples: Estimate
    reweighted: Estimate
    metropolis: Estimate
    hmc: Estimate
    deviations: tuple[float, ...]


@dataclass(frozen=True)
class LatticeReport:
    """What is known of a lattice model with a process.

    Attributes:
        action: of the theory.
        size: L of its lattice.
        quality: of the weighed samples, with the model's own log Z.
        log_z: three ways.
        reverse_kl: KL(q|p) with the independent log Z, nats.
        forward_kl: KL(p|q) with the independent log Z, on fresh configurations of hybrid Monte
            Carlo, nats; None for a sampler's few steps, whose density of given fields is unknown.
        acceptance: of the chain of independence Metropolis that was run.
        tau_int: of its rejections.
        positive: the share of samples with M > 0, which is ½.
        magnetization: ⟨M⟩ of the samples, which is 0.
        observables: the table.
        seconds: that each part took, by what it did.
    """

    action: Phi4
    size: int
    quality: FlowMetrics
    log_z: LogZs
    reverse_kl: Estimate
    forward_kl: Estimate | None
    acceptance: Estimate
    tau_int: Estimate
    positive: Estimate
    magnetization: Estimate
    observables: tuple[ObservableRow, ...]
    seconds: dict[str, float]


def evaluate_lattice(
    model: Denoiser,
    process: Process,
    action: Phi4,
    n: int = 512,
    steps: int = 16,
    generator: torch.Generator | None = None,
    *,
    method: str | Method | None = None,
    grid: Grid | None = None,
    n_held_out: int = 512,
    n_truth: int = 100_000,
    progress: Progress = None,
) -> LatticeReport:
    """Measure a lattice model against its theory.

    Arguments:
        model: in the process' basis, of fields (1, L, L) in lattice units, on the CPU.
        n: samples, 32 to 100,000.
        steps: as of `weigh`.
        method: as of `weigh`.
        grid: as of `weigh`.
        n_held_out: configurations for KL(p|q), 32 to 100,000.
        n_truth: configurations of hybrid Monte Carlo that observables are compared with, 5000 to
            10⁶.
        progress: called with (stage, completed, total); it may raise to cancel.

    Raises `ValueError` for a value out of its range, and what `weigh` does.
    """
    check_whole("n", n, 32, 100_000)
    check_whole("n_held_out", n_held_out, 32, 100_000)
    check_whole("n_truth", n_truth, 5000, 10**6)
    size, seconds = process.basis.shape[-1], {}

    def timed(what: str, call: Callable[[Report], T]) -> T:
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress(what, done, total)

        value = call(report)
        seconds[what] = time.perf_counter() - start
        return value

    drawn = timed(
        "samples",
        lambda report: weigh(
            model, process, action, n, steps, generator, method=method, grid=grid, progress=report
        ),
    )
    integrated = timed(
        "thermodynamic integration",
        lambda report: (
            thermodynamic_integration(action, size, generator=generator, progress=report).estimate
        ),
    )
    annealed = timed(
        "annealed importance sampling",
        lambda report: _annealed(action, size, generator, report),
    )
    truth = timed(
        "hybrid Monte Carlo", lambda report: _truth(action, size, n_truth, generator, report)
    )
    quality = flow_metrics(drawn)
    log_z = LogZs(quality.log_z, integrated, annealed, _combined(integrated, annealed))
    forward = None
    if method is None:
        forward = timed(
            "held-out configurations",
            lambda report: (
                held_out(
                    model,
                    process,
                    action,
                    hmc(action, size, n_held_out, n_held_out, generator).configurations,
                    steps,
                    log_z.independent,
                    grid=FLOW_GRID if grid is None else grid,
                    progress=report,
                ).forward_kl
            ),
        )
    chain = independence_metropolis(drawn.log_w, generator)
    magnetization = doubled(drawn.x).mean((1, 2, 3))
    return LatticeReport(
        action=action,
        size=size,
        quality=quality,
        log_z=log_z,
        reverse_kl=quality.reverse_kl_given(log_z.independent),
        forward_kl=forward,
        acceptance=chain.acceptance,
        tau_int=chain.tau_int,
        positive=Estimate.of((magnetization > 0).double()),
        magnetization=Estimate.of(magnetization),
        observables=_table(drawn, chain.indices, truth),
        seconds=seconds,
    )


def _annealed(
    action: Phi4, size: int, generator: torch.Generator | None, report: Report
) -> Estimate | None:
    try:
        return annealed_importance_sampling(
            action, size, generator=generator, progress=report
        ).estimate
    except UnevenWeights:
        return None


def _truth(
    action: Phi4, size: int, n: int, generator: torch.Generator | None, report: Report
) -> dict[str, Estimate]:
    run = hmc(action, size, n, generator=generator, progress=report)
    return observables(run.configurations, n_chains=run.n_chains)


def _combined(first: Estimate, second: Estimate | None) -> Estimate:
    """Return the mean weighted by the inverse of squared errors; one without error is exact."""
    if second is None or first.error == 0:
        return first
    if second.error == 0:
        return second
    a, b = first.error**-2, second.error**-2
    return Estimate((a * first.value + b * second.value) / (a + b), 1 / math.sqrt(a + b))


def _table(
    drawn: WeightedSamples, indices: Tensor, truth: Mapping[str, Estimate]
) -> tuple[ObservableRow, ...]:
    plain = observables(drawn.x, n_chains=len(drawn.x))
    weighted = reweighted_observables(drawn.x, drawn.log_w)
    chained = observables(drawn.x[indices])
    rows = []
    for name, known in truth.items():
        measured = plain[name], weighted[name], chained[name]
        off = tuple(each.deviation(known) for each in measured)
        rows.append(ObservableRow(name, *measured, known, off))
    return tuple(rows)
