r"""log Z by annealed importance sampling: fields that are carried from the free theory to φ⁴.

Fields of the free theory, exact and independent, go along a `Bridge` in K steps. Each step first
changes the theory, which gives a weight, and then moves the fields by one trajectory of hybrid
Monte Carlo, which leaves the new theory as it is:

.. math:: \log w = -\sum_{j=1}^{K} (S_j - S_{j-1})[φ_{j-1}], \qquad Z/Z_0 = ⟨w⟩

exactly, for any K and however far the fields lag behind the theory (Jarzynski's equality). The
step sizes of the trajectories are tuned on a few fields that go ahead and are thrown away, lest
the tuning depend on the fields that are weighed.

References:
    Neal, physics/9803008; Jarzynski, cond-mat/9610209; Caselle, Cellini, Nada & Panero, 2201.08862
    (for lattice field theory).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.free_energy import Bridge, LogZ, Progress
from rgdiff_core.lattice.integrators import Leapfrog
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate, jackknife_error

__all__ = ["AnnealedLogZ", "UnevenWeights", "annealed_importance_sampling"]

MIN_ESS = 10.0
TARGET = 0.85  # acceptance that the trajectories are tuned to
PILOTS = 32  # fields that go ahead
MAX_STEPS = 100  # of a trajectory of length 1


class UnevenWeights(ValueError):
    """So few fields carry the weight that neither its mean nor the mean's error can be told."""


@dataclass(frozen=True, eq=False)
class AnnealedLogZ(LogZ):
    """log Z by annealed importance sampling.

    Attributes:
        log_weights: log w of every field, (n,) float64, nats, without log Z₀.
        ess: effective number of fields, (Σw)²/Σw².
    """

    log_weights: Tensor
    ess: float


def annealed_importance_sampling(
    action: Phi4,
    size: int,
    n_samples: int = 1000,
    generator: torch.Generator | None = None,
    *,
    n_steps: int = 200,
    mass2: float | None = None,
    progress: Progress = None,
) -> AnnealedLogZ:
    """Return log Z of a theory on the L×L lattice; the error is by the jackknife over fields.

    Arguments:
        size: L, 2 to 64.
        n_samples: fields, 20 to 10⁶.
        generator: its device is where the fields are.
        n_steps: K, 1 to 100,000; the more, the closer the fields follow the theory.
        mass2: m₀² of the free theory that the way starts from, by default Hartree's.
        progress: called with (steps completed, total), those of the tuning among them; it may
            raise to cancel.

    Raises `ValueError` for a number out of its range, and `UnevenWeights`, a `ValueError`, where
    the weights are worth fewer than 10 fields.
    """
    bridge = Bridge.to(action, size, mass2)
    check_whole("n_samples", n_samples, 20, 10**6)
    check_whole("n_steps", n_steps, 1, 100_000)
    start = time.perf_counter()

    def report(done: int) -> None:
        if progress is not None:
            progress(done, 2 * n_steps)

    pilots = _free(bridge, PILOTS, generator)
    tuned = _carry(bridge, pilots, n_steps, None, generator, report)
    fields = _free(bridge, n_samples, generator)
    carried = _carry(
        bridge, fields, n_steps, tuned.steps, generator, lambda done: report(n_steps + done)
    )
    mean, ess = _log_mean(carried.log_weights)
    if not ess >= MIN_ESS:
        raise UnevenWeights(
            f"the weights of n_samples = {n_samples} fields are worth {ess:.1f} fields after "
            f"n_steps = {n_steps}; at least {MIN_ESS:g} are needed, so take more of both."
        )
    return AnnealedLogZ(
        estimate=Estimate(bridge.start.log_z + mean.value, mean.error),
        trajectories=n_samples * n_steps,
        acceptance=carried.acceptance,
        seconds=time.perf_counter() - start,
        log_weights=carried.log_weights,
        ess=ess,
    )


def _free(bridge: Bridge, n: int, generator: torch.Generator | None) -> Tensor:
    return bridge.start.sample(n, generator, dtype=torch.float64)[:, 0]


@dataclass(frozen=True, eq=False)
class _Carried:
    """Weights (n,) of fields that went all the way, the step size at each step, the acceptance."""

    log_weights: Tensor
    steps: tuple[float, ...]
    acceptance: float


def _carry(
    bridge: Bridge,
    phi: Tensor,
    n_steps: int,
    steps: tuple[float, ...] | None,
    generator: torch.Generator | None,
    report: Callable[[int], None],
) -> _Carried:
    """Carry fields (n, L, L) of the free theory along, with given or with tuned step sizes."""
    log_weights = phi.new_zeros(len(phi))
    step = 0.5 / math.sqrt(2 * (8 + bridge.mass2))
    used, accepted = [], 0.0
    for j in range(1, n_steps + 1):
        s = j / n_steps
        log_weights -= bridge.difference(phi, (j - 1) / n_steps, s)
        step = step if steps is None else steps[j - 1]
        used.append(step)
        phi, acceptance = _trajectory(bridge.theory(s), phi, step, generator)
        accepted += acceptance / n_steps
        if steps is None:
            step *= math.exp(0.5 * (acceptance - TARGET))
        report(j)
    return _Carried(log_weights, tuple(used), accepted)


def _trajectory(
    theory: Phi4, phi: Tensor, step: float, generator: torch.Generator | None
) -> tuple[Tensor, float]:
    """Move fields (n, L, L) by one trajectory; return them and the share that was accepted."""
    uniform = torch.rand(len(phi) + 1, generator=generator, dtype=torch.float64, device=phi.device)
    momentum = torch.randn(phi.shape, generator=generator, dtype=phi.dtype, device=phi.device)
    count = min(MAX_STEPS, max(1, math.ceil(1 / step)))
    size = step * (0.9 + 0.2 * float(uniform[-1]))  # as `hmc`, against modes that return
    proposal, final = Leapfrog().integrate(theory, phi, momentum, step_size=size, n_steps=count)
    kinetic = 0.5 * (final**2 - momentum**2).sum((-2, -1))
    change = theory(proposal) - theory(phi) + kinetic
    accept = uniform[:-1] < torch.exp(-change).nan_to_num(nan=0.0)
    moved = torch.where(accept[:, None, None], proposal, phi)
    return moved, float(accept.double().mean())


def _log_mean(log_weights: Tensor) -> tuple[Estimate, float]:
    """Return log of the mean weight with its jackknife error, and the weights' effective number.

    Of a weight that is all there is, nothing is left when it is left out: its error is infinite.
    """
    n, total = len(log_weights), torch.logsumexp(log_weights, 0)
    share = torch.exp(log_weights - total)
    left_out = total + torch.log1p(-share) - math.log(n - 1)
    log_mean = Estimate(float(total) - math.log(n), jackknife_error(left_out))
    return log_mean, float(1 / (share**2).sum())
