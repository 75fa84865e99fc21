r"""The best times for a given schedule and number of steps.

The N-step bound is a sum over steps, and the cost of a step from t to the earlier s,

    cost(t → s) = ½ Σ_k (1 − V_k(s)/V_k(t)) E[excess_k(t)],

does not depend on the others: the best grid is a shortest path of N edges from t = 1 to the data,
found exactly by dynamic programming over candidate times.

References:
    Watson et al., 2106.03802.
"""

import math

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import doubled
from rgdiff_core.likelihood.bound import excess_at, levels
from rgdiff_core.process import Marginal, Process, white_noise
from rgdiff_core.sampling import check_model
from rgdiff_core.sampling.grids import shortest_path
from rgdiff_core.spec import check_whole

__all__ = ["optimal_times", "step_costs"]

MAX_CANDIDATES = 4096


def optimal_times(
    model: Denoiser,
    process: Process,
    images: Tensor,
    steps: int,
    candidates: int = 128,
    *,
    seed: int = 0,
) -> tuple[float, ...]:
    """Return the N + 1 times, falling from 1 to 0, of the best N-step bound: `grid` of `sample`.

    Arguments:
        images: on which the bound is taken, (n, C, H, W).
        steps: N, 1 to the number of candidates.
        candidates: times to start a step from, equally spaced in t, N to 4096.

    Raises `ValueError` for a value outside its range and a basis that differs.
    """
    check_whole("candidates", candidates, 1, MAX_CANDIDATES)
    check_whole("steps", steps, 1, candidates)
    check_model(model, process)
    times = torch.linspace(1, 0, candidates + 1, dtype=torch.float64)
    path = shortest_path(step_costs(model, process, images, times, seed=seed), steps)
    return tuple(times[path].tolist())


@torch.no_grad()
def step_costs(
    model: Denoiser, process: Process, images: Tensor, times: Tensor, *, seed: int = 0
) -> Tensor:
    """Return cost(t_i → t_j), (M + 1, M + 1), in nats, ∞ where t_j is not earlier than t_i.

    The last time stands for the data. All times see the same images and noise.

    Arguments:
        times: (M + 1,), falling from 1 to 0.
    """
    generator = torch.Generator().manual_seed(seed)
    x = images.to(process.noise_variance)
    noise = white_noise(x.shape, x, generator)
    marginals, sigma = levels(process, times.to(x)), model.free_variance
    starts = [Marginal(a, s) for a, s in zip(marginals.alpha, marginals.std, strict=True)][:-1]
    mean = torch.stack([excess_at(model, x, start, noise).mean(0) for start in starts])
    variance = marginals.posterior_variance(sigma)
    left, mean = (doubled(a).flatten(1) for a in (variance.expand(-1, *mean.shape[1:]), mean))
    moves = left[:-1] > 0
    share = torch.where(moves, mean / torch.where(moves, left[:-1], 1.0), 0.0)
    steps = (torch.where(moves, mean, 0.0).sum(1, keepdim=True) - share @ left.T) / 2
    costs = torch.full((len(times), len(times)), math.inf, dtype=torch.float64)
    costs[:-1] = steps.cpu()
    return costs.masked_fill(torch.ones_like(costs).tril() > 0, math.inf)
