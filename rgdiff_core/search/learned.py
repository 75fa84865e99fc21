r"""Learn a noise schedule γ_k(t) for a given denoiser from the variance of the bound.

Between the fixed ends of a schedule the bound in continuous time is

    L = ½ ∫ Σ_k E[excess_k] d log V_k,

and does not depend on a scalar schedule in between. What does is the variance of its estimate
from one random time t, uniform in [0, 1],

    e(t) = ½ Σ_k excess_k(t) d log V_k/dt,

whose second moment is, for a scalar schedule, ∫ m(γ) (dγ/dt) dγ with
m = E[(½ Σ_k excess_k d log V_k/dγ)²]. It is least, (∫ √m dγ)², where dt/dγ ∝ √m. For a schedule
by scales it is the energy of a curve in the space of all γ_k, and what is least is a geodesic. It
is differentiated as the bound is in `gradient`, with d log V from steps of 1/1024 in t. The step
from the least noise to the data is no part of it, for it depends on the end only.

References:
    Kingma et al., Variational diffusion models, 2107.00630, section 5.1; Sahoo et al., 2312.13236.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import check_still
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import doubled, hosted
from rgdiff_core.likelihood.bound import excess_at, step_weights_at
from rgdiff_core.process import Marginal, Process, clamped, white_noise
from rgdiff_core.sampling import check_model
from rgdiff_core.schedules import LearnedGamma, Level, Schedule
from rgdiff_core.schedules.base import GAMMA_CLAMP
from rgdiff_core.schedules.kernels import MAX_POINTS, monotone_cubic
from rgdiff_core.schedules.learned import MAX_SCALES, between_scales
from rgdiff_core.search.gradient import (
    Progress,
    SearchBudget,
    SearchObjective,
    descend,
    few_steps,
    terms_at,
)
from rgdiff_core.spec import check_range, check_whole

__all__ = [
    "GammaParameters",
    "learn",
    "one_draw",
    "second_moment",
    "second_moment_at",
    "table_of",
    "tabulated",
]

DIGITS = 4  # of a learned γ
STEP = 2.0**-10  # in t, over which d log V is taken
MIN_STEP = 1e-4  # a step of γ at the start, as a share of an even one


def tabulated(schedule: Schedule, scales: Sequence[float], times: Sequence[float]) -> LearnedGamma:
    """Return the table of a schedule that acts by scale, with γ clamped to ±40.

    Raises `ValueError` where the schedule needs more than scales.
    """
    modes = Modes(scale=torch.tensor(scales, dtype=torch.float64)[None, None])
    gamma = schedule.gamma(torch.tensor(times, dtype=torch.float64), modes)[:, 0, 0].T
    rows = gamma.clamp(-GAMMA_CLAMP, GAMMA_CLAMP).expand(len(scales), -1).tolist()
    return LearnedGamma(tuple(scales), tuple(times), tuple(map(tuple, rows)))


class GammaParameters(nn.Module):
    """A table of γ with fixed ends whose inner values are parameters.

    Each row rises by increments that are a softmax, so that γ never falls.
    """

    times: Tensor
    first: Tensor
    rise: Tensor

    def __init__(self, start: LearnedGamma) -> None:
        super().__init__()
        self.start = start
        gammas = torch.tensor(start.gammas, dtype=torch.float64)
        self.register_buffer("times", torch.tensor(start.times, dtype=torch.float64))
        self.register_buffer("first", gammas[:, :1])
        self.register_buffer("rise", gammas[:, -1:] - gammas[:, :1])
        shares = gammas.diff() / self.rise
        self.logits = nn.Parameter(shares.clamp_min(MIN_STEP / shares.shape[1]).log())

    def values(self) -> Tensor:
        """Return γ, (scales, times)."""
        inner = self.first + self.rise * torch.softmax(self.logits, 1).cumsum(1)[:, :-1]
        return torch.cat((self.first, inner, self.first + self.rise), 1)

    def forward(self, t: Tensor, process: Process) -> Marginal:
        """Return the marginal of χ/r at times (N,), differentiable in the parameters."""
        like = process.noise_variance
        rows = torch.stack([monotone_cubic(self.times, row, t) for row in self.values()])
        shares = between_scales(self.start.scales, process.modes.scale).to(like)
        gamma = torch.einsum("rn,rchw->nchw", rows.to(like), shares)
        level = clamped(Level(gamma, torch.ones_like(gamma)))
        return Marginal(level.alpha, level.sigma * like.sqrt())

    @torch.no_grad()
    def schedule(self) -> LearnedGamma:
        """Return the present table as a spec, to four decimals."""
        values = torch.round(self.values(), decimals=DIGITS).cummax(1).values
        rows = tuple(tuple(row) for row in values.tolist())
        return LearnedGamma(self.start.scales, self.start.times, rows)


def learn(
    model: Denoiser,
    process: Process,
    images: Tensor,
    *,
    steps: int = 32,
    objective: str = "variance",
    scales: int = 1,
    points: int = 17,
    rounds: int = 200,
    batch: int = 64,
    rate: float = 0.05,
    seed: int = 0,
) -> Iterator[Progress[LearnedGamma]]:
    """Return an iterator over the states of learning; to cancel it is to stop iterating.

    Arguments:
        model: a denoiser in the process' basis.
        process: where to start; its schedule is a function of scale, and its ends stay. A
            `LearnedGamma` goes on as it is; of any other a table is made.
        images: to learn from, (n, C, H, W).
        steps: random times at which the integrand is taken in a round, 1 to 1000; for the bound,
            N of the sampler.
        objective: "variance" for the second moment of the estimate of the bound from one random
            time, in nats²; "bound" for the bound in that many steps, in nats.
        scales: knots of scale, equally spaced, 1 to 32; 1 for a schedule that treats all
            components alike.
        points: knots of time, equally spaced, 2 to 64.
        rounds: gradient steps, 1 to 100,000; the rate falls to zero by a cosine.
        batch: images in each round.
        rate: of Adam.

    Raises `ValueError` for a value outside its range, another objective, a schedule that jumps or
    is no function of scale alone, or a basis that differs.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective = {objective!r} is not one of {', '.join(OBJECTIVES)}.")
    check_whole("steps", steps, 1, 1000)
    check_whole("scales", scales, 1, MAX_SCALES)
    check_whole("points", points, 2, MAX_POINTS)
    check_whole("rounds", rounds, 1, 100_000)
    check_whole("batch", batch, 2, 1 << 16)
    check_range("rate", rate, 0, 10, low_open=True)
    check_model(model, process)
    check_still(process.color, "the search for a schedule")
    if len(images) < 2:
        raise ValueError(f"{len(images)} images are too few to learn from.")
    table = GammaParameters(table_of(process.schedule, scales, points))
    table = table.to(hosted(process.noise_variance).device)
    budget, least = SearchBudget(rounds, batch, rate), OBJECTIVES[objective](steps)
    return descend(model, process, images, table, least, budget, seed)


def table_of(schedule: Schedule, scales: int, points: int) -> LearnedGamma:
    """Return a schedule as a table with equally spaced knots; a table is returned as it is.

    Raises `ValueError` where the schedule jumps, or is no function of so few scales.
    """
    if not schedule.continuous:
        raise ValueError(f"{type(schedule).__name__} jumps and has no gradient.")
    if isinstance(schedule, LearnedGamma):
        return schedule
    knots, times = (
        torch.linspace(0, 1, n, dtype=torch.float64).tolist() for n in (scales, points)
    )
    table = tabulated(schedule, knots, times)
    if scales == 1 and table.gammas != tabulated(schedule, (1.0,), times).gammas:
        kind = type(schedule).__name__
        raise ValueError(
            f"scales = 1 is too few for {kind}, which tells scales apart: use 2 to 32."
        )
    return table


def second_moment(steps: int) -> SearchObjective:
    """Return E[e²], in nats², at so many random times as what is made least."""

    def times(generator: torch.Generator) -> Tensor:
        late = torch.arange(1, steps + 1, dtype=torch.float64)
        late = (late - torch.rand(steps, generator=generator, dtype=torch.float64)) / steps
        late = STEP + (1 - STEP) * late
        return torch.cat((late, (late - STEP).clamp_min(0)))

    return SearchObjective(steps, times, second_moment_at)


def second_moment_at(model: Denoiser, x: Tensor, marginal: Marginal, noise: Tensor) -> Tensor:
    """Return the mean of e² over N times for each image, (B,), nats².

    Arguments:
        x: as in `bound_at`.
        marginal: of χ/r at the N times, and at times earlier by 1/1024, (2 N, C or 1, H, W).
        noise: as in `bound_at`.
    """
    n = len(noise)
    pairs = [Marginal(marginal.alpha[i::n], marginal.std[i::n]) for i in range(n)]
    weights = torch.cat([step_weights_at(pair, model.free_variance) for pair in pairs])
    starts = Marginal(marginal.alpha[:n], marginal.std[:n])
    return (terms_at(model, x, starts, noise, weights) / STEP).square().mean(0)


OBJECTIVES = {"variance": second_moment, "bound": few_steps}


@torch.no_grad()
def one_draw(
    model: Denoiser, process: Process, images: Tensor, *, steps: int = 1000, seed: int = 0
) -> Tensor:
    """Return an estimate of the bound for each image from one random time, (B,), nats above the
    free theory: unbiased for the bound between the schedule's ends in so many steps.

    Equal seeds mean the same noise, and the same times but for the schedule.

    Arguments:
        images: (B, C, H, W).
        steps: M, 1 to 10,000.
    """
    check_whole("steps", steps, 1, 10_000)
    check_model(model, process)
    generator = torch.Generator().manual_seed(seed)
    x = images.to(process.noise_variance)
    chosen = torch.randint(steps, (len(x),), generator=generator)
    noise = white_noise(x.shape, x, generator)
    marginals = process.vp_marginal(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
    weights = step_weights_at(marginals, model.free_variance)
    parts = marginals.alpha, marginals.std, weights
    alpha, std, weights = (a[chosen.to(x.device)] for a in parts)
    terms = weights * excess_at(model, x, Marginal(alpha, std), noise)
    return steps / 2 * doubled(terms.flatten(1).sum(1)).cpu()
