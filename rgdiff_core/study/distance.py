r"""How far a denoiser is from the perfect one, in nats, by scale and noise level.

With V the free theory's posterior variance, m its mean, D* the posterior mean of the theory
itself, and times drawn from equal turns of the mean angle θ = arctan(σS/(α√Σ)):

- `distance`: ½∫ Σ_k E|D_k − D*_k|²/V_k |d log V_k|, where D* is sampled: see
  `posterior`. Nothing is subtracted, so that a few thousand noised fields suffice.
- `bound`: −log q(x) ≤ −log N(x; μ, Σ) + ½∫ Σ_k E[excess_k] |d log V_k|, on every held-out
  configuration; excess = (|χ(0) − D|² − |χ(0) − m|²)/V. It needs no D*, but log Z, and many more.

Both are of the sampler that is stochastic, in infinitely many steps, and both integrals go over
the noise levels that the schedule passes. Beyond its ends the model is the free theory, D = m:
sampling starts from a Gaussian, and the last draw is one. The second has that in its first term;
the first leaves it out. So it is no bound by itself, and compares only between schedules that pass
the same levels. For one that ends at γ = −7, what is missing is 0.007 to 0.01 nats on 6×6 away
from the critical line, 0.026 on it, and 0.046 at 8×8; for one that ends at γ = −9 or lower, a
tenth of that or less; at the noisy end below 0.003 for γ = 4, below 1e-4 for γ = 6.

Where the data's log-SNR is above FLOOR the model is the free theory as well: some schedules go on
to where no network was trained, and every further e-fold there would cost standard diffusion as
much as the last.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.lattice import Phi4
from rgdiff_core.likelihood.bound import excess_at
from rgdiff_core.modes import Modes
from rgdiff_core.noises import mix
from rgdiff_core.process import Marginal, Process
from rgdiff_core.sampling import time_grid
from rgdiff_core.search.held_out import free_log_density
from rgdiff_core.study.posterior import posterior_means

__all__ = ["BANDS", "EDGES", "Bound", "Reference", "bound", "distance", "reference"]

BANDS = 5  # of the scale, equal
EDGES = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)  # of the data's log-SNR log(α²Σ/(σ²S²))
BINS = BANDS * (len(EDGES) + 1)
ROWS = 512  # fields that are evaluated at once
FLOOR = 9.0
FINE = 1024  # noise levels among which is drawn


@dataclass(frozen=True, eq=False)
class _Ladder:
    """Noise levels at equal turns of the mean angle.

    Attributes:
        middle: marginals of χ/r in the middle of each, (FINE, 1, L, L).
        left: V there.
        turn: ½ |Δ log V| across each.
        place: number of the bin of scale and log-SNR that each component is in.
    """

    middle: Marginal
    left: Tensor
    turn: Tensor
    place: Tensor


def _ladder(process: Process, modes: Modes) -> _Ladder:
    if modes.variance is None:
        raise ValueError("a distance needs the data's variance: use Modes.fit.")
    times = torch.tensor(time_grid(process, modes, FINE, "angle")).flip(0)
    variance, middle = modes.variance, process.preserved((times[1:] + times[:-1]) / 2)
    ends = process.preserved(times)
    snr = (variance * ends.alpha**2 / ends.std**2).clamp_max(torch.e**FLOOR)
    left = variance / (1 + snr)  # V, rising with t
    inner = variance * middle.alpha**2 / middle.std**2
    level = torch.bucketize(torch.log(inner).contiguous(), torch.tensor(EDGES))
    band = (modes.scale * BANDS).long().clamp(0, BANDS - 1)
    shape = (FINE, *variance.shape)
    return _Ladder(
        middle=Marginal(middle.alpha.expand(shape), middle.std.expand(shape)),
        left=(variance / (1 + inner)).expand(shape),
        turn=(torch.log(left[1:] / left[:-1]) / 2).expand(shape),
        place=(band * (len(EDGES) + 1) + level).expand(shape),
    )


@dataclass(frozen=True, eq=False)
class Reference:
    """Noised fields of a process, and what a perfect denoiser says of them.

    Attributes:
        tensors: by name, each (n, 1, L, L): "c", components of χ/r; "alpha", "std", their
            marginal; "first", "second", two estimates of D*; "weight", of |D − D*|²; "place",
            number of the bin.
    """

    tensors: dict[str, Tensor]


def reference(
    process: Process, modes: Modes, action: Phi4, x: Tensor, trajectories: int, seed: int
) -> Reference:
    """Noise fields x (n, 1, L, L), one in each of n equal turns of the angle, and sample D*.

    Equal seeds mean equal noise.
    """
    generator = torch.Generator().manual_seed(mix(seed, 5))
    ladder, n = _ladder(process, modes), len(x)
    places = (torch.arange(n) + torch.rand(n, generator=generator)) * (FINE / n)
    cell = places.long().clamp_max(FINE - 1)[torch.randperm(n, generator=generator)]
    marginal = Marginal(ladder.middle.alpha[cell], ladder.middle.std[cell])
    noise = torch.randn(x.shape, generator=generator)
    c = marginal.alpha * process.basis.analyze(x) + marginal.std * noise
    perfect = posterior_means(
        action, process.basis, modes, x, c, marginal, trajectories, generator
    )
    return Reference(
        {
            "c": c,
            "alpha": marginal.alpha,
            "std": marginal.std,
            "first": perfect.first.float(),
            "second": perfect.second.float(),
            "weight": FINE * ladder.turn[cell] / ladder.left[cell],
            "place": ladder.place[cell].clone(),
        }
    )


@torch.no_grad()
def distance(model: Denoiser, known: Reference) -> tuple[Tensor, Tensor]:
    """Return the distance in nats as a mean over n noised fields, (n,) float64, and by scale and
    log-SNR, (BANDS, len(EDGES) + 1), which add up to it.
    """
    parts, table = [], torch.zeros(BINS, dtype=torch.float64)
    count = len(known.tensors["c"])
    for start in range(0, count, ROWS):
        t = {name: value[start : start + ROWS] for name, value in known.tensors.items()}
        mean = model.posterior(t["c"], Marginal(t["alpha"], t["std"])).mean
        terms = (t["weight"] * (mean - t["first"]) * (mean - t["second"])).double()
        parts.append(terms.sum((1, 2, 3)))
        table.index_add_(0, t["place"].flatten(), terms.flatten())
    return torch.cat(parts), table.reshape(BANDS, -1) / count


@dataclass(frozen=True, eq=False)
class Bound:
    """The bound on held-out configurations.

    Attributes:
        nll: of each configuration, (N,) float64, nats.
        free: −log N(x; μ, Σ), (N,) float64, nats.
    """

    nll: Tensor
    free: Tensor


@torch.no_grad()
def bound(model: Denoiser, process: Process, x: Tensor, draws: int, seed: int) -> Bound:
    """Return the bound for fields x (N, 1, L, L); equal seeds, equal noise.

    Every field sees one noise level in each of `draws`, a divisor of 1024, equal turns of the
    angle.
    """
    ladder, each = _ladder(process, model.modes), FINE // draws
    free = -free_log_density(model, x).double()
    total = torch.zeros(len(x), dtype=torch.float64)
    for draw in range(draws):
        generator = torch.Generator().manual_seed(mix(seed, 4, draw))
        noise = torch.randn(x.shape, generator=generator)
        cell = draw * each + torch.randint(each, (len(x),), generator=generator)
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            some = cell[rows]
            marginal = Marginal(ladder.middle.alpha[some], ladder.middle.std[some])
            found = excess_at(model, x[rows], marginal, noise[rows])
            total[rows] += (each * ladder.turn[some] * found).double().sum((1, 2, 3))
    return Bound(free + total, free)
