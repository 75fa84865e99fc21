r"""How far a denoiser is from the perfect one, in nats, by scale and noise level.

With V the free theory's posterior variance, m its mean, D* the posterior mean of the theory
itself, and times drawn from equal turns of the mean angle θ = arctan(σS/(α√Σ)):

- `distance`: ½∫ Σ_k E|D_k − D*_k|²/V_k |d log V_k|, where D* is sampled: see
  `posterior`. Nothing is subtracted, so that a few thousand noised fields suffice.
- `bound`: −log q(x) ≤ −log N(x; μ, Σ) + ½∫ Σ_k E[excess_k] |d log V_k|, on every held-out
  configuration; excess = (|χ(0) − D|² − |χ(0) − m|²)/V. It needs no D*, but log Z, and many more.

Both are of the sampler that is stochastic, in infinitely many steps, and both integrals go over
the noise levels that the schedule passes. Beyond its ends the model is the free theory, D = m:
sampling starts from a Gaussian, and the last draw is one. The bound has that in its first term.
The distance has not: `ends` is what it lacks, the same integral with D = m from the schedule's
ends on, where all noise grows or falls alike. It depends on the process and not on the network,
and only with it are schedules that end at other levels to be compared.

Where the data's log-SNR is above FLOOR the model is the free theory as well: some schedules go on
to where no network was trained, and every further e-fold there would cost standard diffusion as
much as the last. What the free theory lacks there is `tail`, in closed form, which `ends` has too.

The distance is an upper bound of KL(p‖q): it is that of the paths, from noise to fields, of which
KL(p‖q) keeps the end only.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.bases.base import laplacian_diagonal
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import Denoiser, GaussianDenoiser
from rgdiff_core.lattice import Phi4
from rgdiff_core.likelihood.bound import excess_at
from rgdiff_core.likelihood.densities import free_log_density
from rgdiff_core.process import Marginal, Process
from rgdiff_core.sampling import time_grid
from rgdiff_core.seeds import fold_in
from rgdiff_core.study.lattice.posterior import posterior_means

__all__ = [
    "BANDS",
    "EDGES",
    "Bound",
    "Reference",
    "bound",
    "distance",
    "ends",
    "kept_reference",
    "reference",
    "tail",
]

BANDS = 5  # of the scale, equal
EDGES = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)  # of the data's log-SNR log(α²Σ/(σ²S²))
BINS = BANDS * (len(EDGES) + 1)
ROWS = 512  # fields that are evaluated at once
FLOOR = 9.0
WIDE = 40.0  # log-SNRs beyond it are as good as none and all
FINE = 1024  # noise levels among which is drawn


@dataclass(frozen=True, eq=False)
class _AngleGrid:
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


def _angle_grid(process: Process, modes: Modes) -> _AngleGrid:
    times = torch.tensor(time_grid(process, modes, FINE, "angle")).flip(0)
    middle = process.vp_marginal((times[1:] + times[:-1]) / 2)
    return _rungs(_level(process.vp_marginal(times), modes), middle, modes)


def _past_ends(process: Process, modes: Modes) -> _AngleGrid:
    """Return noise levels beyond both ends, until no signal can be told, or no noise."""
    first, last = _level(process.vp_marginal(torch.tensor([0.0, 1.0])), modes).clamp(-WIDE, WIDE)
    less = (FLOOR - first.min()).clamp_min(0) * torch.linspace(1, 0, FINE // 2 + 1)
    more = (FLOOR + last.max()).clamp_min(0) * torch.linspace(0, 1, FINE // 2 + 1)
    steps = (first + less[:, None, None, None], last - more[:, None, None, None])
    parts = [_rungs(each, _marginal((each[1:] + each[:-1]) / 2, modes), modes) for each in steps]
    names = ("left", "turn", "place")
    marginals = [part.middle for part in parts]
    return _AngleGrid(
        Marginal(torch.cat([m.alpha for m in marginals]), torch.cat([m.std for m in marginals])),
        *(torch.cat([getattr(part, name) for part in parts]) for name in names),
    )


def _level(marginal: Marginal, modes: Modes) -> Tensor:
    """Return the data's log-SNR."""
    return torch.log(modes.variance_for("a distance") * marginal.alpha**2 / marginal.std**2)


def _marginal(level: Tensor, modes: Modes) -> Marginal:
    """Return a marginal with this log-SNR."""
    noise = modes.variance_for("a distance") * torch.exp(-level)
    return Marginal((1 / (1 + noise)).sqrt(), (noise / (1 + noise)).sqrt())


def _rungs(levels: Tensor, middle: Marginal, modes: Modes) -> _AngleGrid:
    """Return the grid between falling log-SNRs (n + 1, 1, L, L), with marginals in between."""
    variance, inner = modes.variance_for("a distance"), _level(middle, modes)
    left = variance / (1 + torch.exp(levels.clamp_max(FLOOR)))  # V, rising with the noise
    band = _band(modes)
    shape = inner.shape
    place = torch.bucketize(inner.contiguous(), torch.tensor(EDGES))
    return _AngleGrid(
        middle=Marginal(middle.alpha.expand(shape), middle.std.expand(shape)),
        left=variance / (1 + torch.exp(inner)),
        turn=(torch.log(left[1:] / left[:-1]) / 2).expand(shape),
        place=band * (len(EDGES) + 1) + place,
    )


def _band(modes: Modes) -> Tensor:
    return (modes.scale * BANDS).long().clamp(0, BANDS - 1)


@dataclass(frozen=True, eq=False)
class Reference:
    """Noised fields of a process, and a perfect denoiser's estimate of them.

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
    generator = torch.Generator().manual_seed(fold_in(seed, 5))
    return _noised(_angle_grid(process, modes), process, modes, action, x, trajectories, generator)


def _noised(
    grid: _AngleGrid,
    process: Process,
    modes: Modes,
    action: Phi4,
    x: Tensor,
    trajectories: int,
    generator: torch.Generator,
) -> Reference:
    n = len(x)
    places = (torch.arange(n) + torch.rand(n, generator=generator)) * (FINE / n)
    cell = places.long().clamp_max(FINE - 1)[torch.randperm(n, generator=generator)]
    marginal = Marginal(grid.middle.alpha[cell], grid.middle.std[cell])
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
            "weight": FINE * grid.turn[cell] / grid.left[cell],
            "place": grid.place[cell].clone(),
        }
    )


def kept_reference(path: Path) -> Reference | None:
    """Return what was written to a file, None where there is none or it is damaged."""
    with suppress(SafetensorError, FileNotFoundError):
        return Reference(load_file(path))
    return None


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


def tail(basis: Basis, modes: Modes, action: Phi4, phi2: float) -> Tensor:
    r"""Return how far the free theory is from the theory where the data's log-SNR is above FLOOR.

    There D* − m → −V ∂(S − S₀), and the mean of (∂_k S)² is that of ∂_k² S, A_k, so that the
    integral is

    .. math:: \tfrac12 e^{-9} \sum_k (A_k Σ_k − 1), \quad A_k = 2(k̂^2 + m^2) + 12 λ⟨φ^2⟩,

    with the diagonal of −Δ for k̂² in other bases than Fourier's, up to terms of the next order in
    e⁻⁹. It is an upper bound where other components have more noise, which only averages ∂S.

    Arguments:
        modes: of the data in the basis.
        phi2: ⟨φ²⟩ of a site.

    Returns:
        Nats of every component, (1, L, L) float64.
    """
    variance = modes.variance_for("the tail").double()
    bend = 2 * (laplacian_diagonal(basis).double() + action.m2) + 12 * action.lam * phi2
    return math.exp(-FLOOR) / 2 * (bend * variance - 1)


def ends(
    process: Process, modes: Modes, action: Phi4, x: Tensor, trajectories: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return what lies beyond the ends of a process' schedule, as `distance` does: how far the
    free theory is from fields x (n, 1, L, L) there.
    """
    generator = torch.Generator().manual_seed(fold_in(seed, 6))
    grid = _past_ends(process, modes)
    known = _noised(grid, process, modes, action, x, trajectories, generator)
    each, table = distance(GaussianDenoiser(process.basis, modes), known)
    beyond = tail(process.basis, modes, action, float((x.double() ** 2).mean()))
    table[:, -1].index_add_(0, _band(modes).flatten(), beyond.flatten())
    return each + beyond.sum(), table


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
def bound(model: Denoiser, process: Process, x: Tensor, levels_per_image: int, seed: int) -> Bound:
    """Return the bound for fields x (N, 1, L, L); equal seeds, equal noise.

    Every field has one noise level in each of `levels_per_image` equal turns of the mean angle;
    that number is a divisor of 1024.
    """
    grid, each = _angle_grid(process, model.modes), FINE // levels_per_image
    free = -free_log_density(model, x).double()
    total = torch.zeros(len(x), dtype=torch.float64)
    for draw in range(levels_per_image):
        generator = torch.Generator().manual_seed(fold_in(seed, 4, draw))
        noise = torch.randn(x.shape, generator=generator)
        cell = draw * each + torch.randint(each, (len(x),), generator=generator)
        for start in range(0, len(x), ROWS):
            rows = slice(start, start + ROWS)
            some = cell[rows]
            marginal = Marginal(grid.middle.alpha[some], grid.middle.std[some])
            found = excess_at(model, x[rows], marginal, noise[rows])
            total[rows] += (each * grid.turn[some] * found).double().sum((1, 2, 3))
    return Bound(free + total, free)
