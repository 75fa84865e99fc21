r"""How good a model of φ⁴ is, in absolute terms.

With q the density of the model's probability flow, or of a sampler's few steps, and p = e^{−S}/Z,
weights w = e^{−S}/q give

- the effective sample size ESS = (Σw)²/(N Σw²), 1 for a perfect model,
- log Z = log⟨w⟩, and with it the divergences KL(q|p) = ⟨log q + S⟩_q + log Z and
  KL(p|q) = ⟨−log q − S⟩_p − log Z, both in nats and 0 for a perfect model,
- the acceptance of independence Metropolis and the autocorrelation time of its rejections,
- observables that are exact within their errors, reweighted or not.

Where q has lost a mode, its weights don't say so: log⟨w⟩ comes out too small by the logarithm of
the share that is left (log 2 where one of two wells is missing), so that ESS, acceptance and
KL(q|p) look perfect. A log Z that owes nothing to the model, see
`lattice.thermodynamic_integration`, brings that to light.

References:
    Albergo, Kanwar & Shanahan, 1904.12072; Nicoli et al., 2007.07115.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import doubled, hosted
from rgdiff_core.evaluation.lattice.metropolis import expected_acceptance, expected_tau_int
from rgdiff_core.lattice import Phi4, effective_sample_size, observables
from rgdiff_core.likelihood import (
    FoldedError,
    log_likelihood,
    sample_with_density,
    sampler_density,
)
from rgdiff_core.process import Process
from rgdiff_core.sampling import Method
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.statistics import Estimate, jackknife

__all__ = [
    "HeldOutMetrics",
    "FlowMetrics",
    "WeightedSamples",
    "held_out",
    "quality",
    "flow_metrics",
    "weigh",
]

BLOCKS = 32


@dataclass(frozen=True)
class FlowMetrics:
    """Metrics of a model from samples with a density.

    Attributes:
        n: Number of samples.
        nfe: Evaluations of the network for each.
        ess: Effective sample size, as a fraction.
        log_z: Of the theory, estimated.
        reverse_kl: KL(q|p), nats.
        susceptibility: V⟨M²⟩ of the samples as they are.
        reweighted: V⟨M²⟩ with weights w.
        mean_log_w: ⟨log w⟩_q = ⟨−S − log q⟩_q, the lower bound of log Z.
        acceptance: of independence Metropolis, in equilibrium.
        tau_int: of its rejections, in proposals; ½ for a perfect model.
    """

    n: int
    nfe: int
    ess: Estimate
    log_z: Estimate
    reverse_kl: Estimate
    susceptibility: Estimate
    reweighted: Estimate
    mean_log_w: Estimate
    acceptance: Estimate
    tau_int: Estimate

    def reverse_kl_given(self, log_z: Estimate) -> Estimate:
        """Return KL(q|p) = log Z − ⟨log w⟩_q with log Z from elsewhere."""
        return log_z - self.mean_log_w


@dataclass(frozen=True)
class HeldOutMetrics:
    """Metrics of a model on held-out configurations.

    Attributes:
        n: Number of configurations.
        nll: ⟨−log q⟩_p, nats.
        entropy: ⟨S⟩_p + log Z on the same configurations: the least that nll can be.
        forward_kl: KL(p|q) = nll − entropy; the error is that of the paired difference.
        bound: ⟨−log q − S⟩_p, the upper bound of log Z.
    """

    n: int
    nll: Estimate
    entropy: Estimate
    forward_kl: Estimate
    bound: Estimate


@dataclass(frozen=True, eq=False)
class WeightedSamples:
    """Samples of a model with their weights.

    Attributes:
        action: what they are weighed against.
        x: fields in lattice units, (n, 1, L, L).
        log_q: their log density, (n,) float64, nats.
        log_w: log w = −S − log q, (n,) float64, nats.
        nfe: evaluations of the network for each.
    """

    action: Phi4
    x: Tensor
    log_q: Tensor
    log_w: Tensor
    nfe: int


FLOW_GRID = "logsnr"  # suits every schedule: at equal times Carosso's flow is wrong by orders


def quality(
    model: Denoiser,
    process: Process,
    action: Phi4,
    n: int,
    steps: int,
    generator: torch.Generator | None = None,
    *,
    method: str | Method | None = None,
    grid: Grid | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FlowMetrics:
    """Draw n samples with their density and return their metrics: `weigh`, `flow_metrics`."""
    drawn = weigh(
        model, process, action, n, steps, generator, method=method, grid=grid, progress=progress
    )
    return flow_metrics(drawn)


def weigh(
    model: Denoiser,
    process: Process,
    action: Phi4,
    n: int,
    steps: int,
    generator: torch.Generator | None = None,
    *,
    method: str | Method | None = None,
    grid: Grid | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> WeightedSamples:
    """Draw n samples with their density and weigh them.

    Arguments:
        model: in the process' basis, of fields (1, L, L) in lattice units.
        steps: of the Runge–Kutta integrator, or of the sampler.
        method: a deterministic sampler, to judge what just that many of its steps draw; without
            one, the probability flow is judged.
        grid: the times, as of `sample`; default: equal steps of the log-SNR for the flow, and of
            the time for a sampler.
        progress: called with (completed, total); it may raise to cancel.

    Raises `FoldedError`, a `ValueError`, where so few steps of the sampler fold its map.
    """
    if method is None:
        times = FLOW_GRID if grid is None else grid
        drawn = sample_with_density(
            model, process, n, steps, generator=generator, grid=times, progress=progress
        )
    else:
        times = "uniform" if grid is None else grid
        drawn = sampler_density(
            model, process, n, steps, method, generator, grid=times, progress=progress
        )
        if drawn.folded:
            raise FoldedError(steps)
    log_q = doubled(drawn.log_density)
    log_w = -action(doubled(drawn.x)) - log_q
    return WeightedSamples(action, hosted(drawn.x), log_q, log_w, drawn.evaluations)


def flow_metrics(drawn: WeightedSamples) -> FlowMetrics:
    """Say what weighed samples are worth.

    Errors are jackknife errors over blocks of samples, which are independent.
    """
    action, x, log_q, log_w, n = drawn.action, drawn.x, drawn.log_q, drawn.log_w, len(drawn.x)
    magnetization2 = doubled(x).mean((1, 2, 3)) ** 2 * x[0].numel()

    def log_mean(rows: Tensor) -> float:
        return float(torch.logsumexp(log_w[rows], 0)) - math.log(len(rows))

    def reweighted(rows: Tensor) -> float:
        return float((torch.softmax(log_w[rows], 0) * magnetization2[rows]).sum())

    blocks = torch.arange(n).tensor_split(min(BLOCKS, n))

    def estimate(function: Callable[[Tensor], float]) -> Estimate:
        return jackknife(function, blocks)

    return FlowMetrics(
        n=n,
        nfe=drawn.nfe,
        ess=estimate(lambda rows: effective_sample_size(action, x[rows], log_q[rows])),
        log_z=estimate(log_mean),
        reverse_kl=estimate(lambda rows: log_mean(rows) - float(log_w[rows].mean())),
        susceptibility=observables(x, n_chains=n)["susceptibility"],
        reweighted=estimate(reweighted),
        mean_log_w=Estimate.of(log_w),
        acceptance=estimate(lambda rows: expected_acceptance(log_w[rows])),
        tau_int=estimate(lambda rows: expected_tau_int(log_w[rows])),
    )


def held_out(
    model: Denoiser,
    process: Process,
    action: Phi4,
    x: Tensor,
    steps: int,
    log_z: Estimate,
    *,
    chains: Tensor | None = None,
    grid: Grid = FLOW_GRID,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOutMetrics:
    """Return the negative log-likelihood of held-out configurations x (N, 1, L, L).

    Arguments:
        log_z: of the theory, as `quality` gives it, or of the lattice's own: see
            `lattice.thermodynamic_integration`.
        chains: (N,), of each the number of the chain that it is from, where chains are longer than
            one configuration: see `Estimate.of`.
        grid: the times of the flow, as of `sample`.
    """
    x = x.to(process.noise_variance.device)
    nll = -doubled(log_likelihood(model, process, x, steps, grid=grid, progress=progress))
    s = action(doubled(x))
    bound, entropy = Estimate.of(nll - s, chains), Estimate.of(s, chains)
    return HeldOutMetrics(
        n=len(x),
        nll=Estimate.of(nll, chains),
        entropy=entropy + log_z,
        forward_kl=bound - log_z,
        bound=bound,
    )
