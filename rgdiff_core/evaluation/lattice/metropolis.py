r"""Independence Metropolis: the samples of a model, made an exact Markov chain of e^{−S}.

Samples of q are proposed one after the other; from i, sample j is accepted with probability
min(1, w_j/w_i), w = e^{−S}/q. What a model is worth is then told by the chain: by how many
proposals it accepts, and by how long it stays where it is.

With an accepted sample the chain forgets where it was, or nearly so; autocorrelation comes from
rejections. With ρ(t) the probability of t of them in a row,

.. math:: 2τ_{int} = 1 + 2 \sum_t ρ(t) = \frac{1}{n} \sum_k d_k^2

with d_k the lengths of the stays: n/(2τ_int) = n²/Σd² is the effective number of independent
samples among all n that were proposed.

References:
    Albergo, Kanwar & Shanahan, 1904.12072, section III; Liu, Stat. Comput. 6 (1996) 113.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.seeds import device_for
from rgdiff_core.statistics import Estimate

__all__ = ["MetropolisChain", "expected_acceptance", "expected_tau_int", "independence_metropolis"]

BLOCKS = 32


@dataclass(frozen=True, eq=False)
class MetropolisChain:
    """A chain of the samples of a model.

    Attributes:
        indices: which sample the chain is at after each proposal, (n,) int64.
        acceptance: the share of the n − 1 proposals that were accepted.
        tau_int: the autocorrelation time of the rejections, in proposals, ½ for a perfect model.
    """

    indices: Tensor
    acceptance: Estimate
    tau_int: Estimate


def independence_metropolis(
    log_w: Tensor, generator: torch.Generator | None = None
) -> MetropolisChain:
    """Run the chain through all samples in their order, from the first on.

    Arguments:
        log_w: −S − log q of independent samples, up to a constant, (n,), n ≥ 2, nats; −∞ where
            the weight is 0.
        generator: of the decisions; its device is of no account.

    Errors are from the scatter of 32 parts of the chain, so they hold while stays are short beside
    n/32.

    Raises `ValueError` for other shapes, and for weights that are no numbers.
    """
    log_w = _checked(log_w)
    n = len(log_w)
    device = device_for(generator)
    log_u = torch.rand(n, generator=generator, dtype=torch.float64, device=device).log()
    weights, decisions = log_w.tolist(), log_u.tolist()
    at, path = 0, [0]
    for proposal in range(1, n):
        if decisions[proposal] < weights[proposal] - weights[at]:
            at = proposal
        path.append(at)
    indices = torch.tensor(path)
    moved = (indices[1:] != indices[:-1]).double()
    return MetropolisChain(indices, _blocked(moved), _stays(indices))


def expected_acceptance(log_w: Tensor) -> float:
    r"""Return the acceptance of the chain in equilibrium, from the weights of all pairs.

    .. math:: ⟨\min(1, w_j/w_i)⟩_{i∼p, j∼q} = \frac{Σ_{ij} \min(w_i, w_j)}{n Σ_i w_i}

    It is exact where the model is the uniform distribution over these n samples, and has a bias
    of the order of 1/n where they are drawn from it.

    Arguments:
        log_w: as of `independence_metropolis`.
    """
    share, accepted = _pairs(_checked(log_w))
    return float((share * accepted).sum())


def expected_tau_int(log_w: Tensor) -> float:
    r"""Return the autocorrelation time of the rejections in equilibrium, in proposals.

    .. math:: τ_{int} = ½ + \sum_{t≥1} ⟨(1 - a)^t⟩_p = ⟨1/a⟩_p - ½, \qquad
        a_i = \frac1n Σ_j \min(1, w_j/w_i)

    Arguments, exactness: as of `expected_acceptance`.
    """
    share, accepted = _pairs(_checked(log_w))
    return float((share / accepted).sum()) - 0.5


def _pairs(log_w: Tensor) -> tuple[Tensor, Tensor]:
    """Return w_i/Σw and a_i of all samples whose share is above 0, the heaviest first."""
    share = torch.softmax(log_w, 0).sort(descending=True).values
    share = share[share > 0]
    heavier = torch.arange(1, len(share) + 1, dtype=torch.float64)
    lighter = share.flip(0).cumsum(0).flip(0) - share
    return share, (heavier + lighter / share) / len(log_w)


def _checked(log_w: Tensor) -> Tensor:
    log_w = log_w.detach().cpu().double()
    if log_w.ndim != 1 or len(log_w) < 2:
        raise ValueError(f"log_w has shape {tuple(log_w.shape)}; it must be (n,) with n ≥ 2.")
    if bool((torch.isnan(log_w) | (log_w == math.inf)).any()):
        raise ValueError("log_w holds a weight that is not a finite number.")
    if not bool(torch.isfinite(log_w).any()):
        raise ValueError("log_w gives every sample the weight 0.")
    return log_w


def _blocked(values: Tensor) -> Estimate:
    """Return the mean of values along the chain, its error from the scatter of parts of it."""
    parts = torch.stack([part.mean() for part in values.tensor_split(min(BLOCKS, len(values)))])
    error = float(parts.std()) / math.sqrt(len(parts)) if len(parts) > 1 else math.inf
    return Estimate(float(values.mean()), error)


def _stays(indices: Tensor) -> Estimate:
    """Return ½ Σd²/n of the lengths d of the stays."""
    _, inverse, counts = torch.unique_consecutive(indices, return_inverse=True, return_counts=True)
    return _blocked(counts[inverse].double() / 2)
