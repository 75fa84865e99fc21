r"""What N steps of a sampler cost, in nats, as a linear functional of the interaction's strength.

Along a process let V be the free theory's posterior variance of each component, m its mean, D* the
posterior mean of the theory, and h = E(D* − m)²/V². A step of the shell sampler from t to s draws
from a Gaussian with the free theory's variance and a mean that is exact, given D*(t). So the chain
of N steps, from the Gaussian prior at t = 1 to the data, is from the chain of the process itself

.. math:: KL_N = KL_G - \tfrac12 \sum_{ik} h_k(t_i) (V_k(t_i) - V_k(t_{i-1})), \quad
          KL_G = \tfrac12 \sum_k \int_0^{Σ_k} h_k dV_k

away, with KL_G that of the data's Gaussian. It is an upper bound of KL(p|q) of the fields. Its
part up to t = 1 is the *gap*, L_N − L_∞, which vanishes with the number of steps and, for Gaussian
data, at any; the rest is the *prior*, which is not quite Gaussian.

The ancestral step has the variance of the process given the data, which is less: the gap of its
chain, which ends at t = 0, is that of the diffusion model's discrete bound,

.. math:: \tfrac12 \sum_k \Big[ \sum_i (V - hV^2)_k(t_i) Δ_i SNR_k - \int (V - hV^2)_k dSNR_k \Big]

Two things limit the ancestral gap, so that summaries leave it out: log-SNRs are cut at ±CAP, which
matters to Δ SNR where a schedule reaches CAP, and its error holds only that of h, while the
spectrum Σ, which comes from finitely many fields, is taken to be exact.

References:
    Kingma et al., Variational diffusion models, 2107.00630, eq. 13 and 18.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.process import Process
from rgdiff_core.sampling.grids import shortest_path
from rgdiff_core.study.lattice.gaussian_law import angles_of

__all__ = [
    "Functional",
    "NoiseCurve",
    "ancestral_law",
    "best_grid",
    "functional",
    "noise_curve",
]

Grid = tuple[float, ...]  # times
SPACING = 0.2  # of the nodes, in turns of the component that turns most
FINE = 16  # points between two nodes
STOPS = 6  # between two nodes, among which the best time grid is chosen
TABLE = 4097
CAP = 14.0  # log-SNRs beyond it, of the data, are as good as none and all
PAST, RUNG = 8.0, 1.5  # how far the log-SNR is followed beyond t = 1, and in which steps


@dataclass(frozen=True, eq=False)
class NoiseCurve:
    """A process as a curve of noise levels.

    Attributes:
        levels: ℓ = log(α²Σ/(σ²S²)) of each component at the nodes, falling; (nodes, K) float64.
        inside: number of the nodes up to t = 1; the others are beyond.
        clock: at times `times`, the place between the nodes that counts from 0 to inside − 1.
        times: (TABLE,), rising from 0 to 1.
        table: ℓ at those times, (TABLE, K).
    """

    levels: Tensor
    inside: int
    clock: Tensor
    times: Tensor
    table: Tensor

    def at(self, times: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Return places and levels ℓ (n, K) at times."""
        wanted = torch.tensor(times, dtype=torch.float64)
        return _linear(wanted, self.times, self.clock[:, None])[:, 0], _linear(
            wanted, self.times, self.table
        )

    def between(self) -> tuple[Tensor, Tensor]:
        """Return places and levels at FINE points for each interval between inner nodes."""
        places = torch.linspace(0, self.inside - 1, FINE * (self.inside - 1) + 1).double()
        times = _linear(places, self.clock, self.times[:, None])[:, 0]
        return places, _linear(times, self.times, self.table)


def noise_curve(process: Process, modes: Modes) -> NoiseCurve:
    """Return the curve of a process, with nodes where its fastest component turns evenly."""
    variance = modes.variance_for("a noise curve").double()
    process = process.double()
    times = torch.sin(math.pi / 2 * torch.linspace(0, 1, TABLE, dtype=torch.float64)) ** 2
    marginal = process.vp_marginal(times)
    ratio = variance * marginal.alpha**2 / marginal.std**2
    table = torch.log(ratio).flatten(1).clamp(-CAP, CAP)
    turns = angles_of(table).diff(dim=0).abs().pow(4).sum(1).pow(0.25) + 1e-9
    clock = torch.cat([torch.zeros(1).double(), turns.cumsum(0)])
    inside = max(4, 1 + math.ceil(float(clock[-1]) / SPACING))
    clock = clock * (inside - 1) / clock[-1]
    places = torch.arange(inside).double()
    levels = _linear(_linear(places, clock, times[:, None])[:, 0], times, table)
    rungs = max(3, math.ceil((float(levels[-1].max()) + PAST) / RUNG))
    beyond = (levels[-1] - RUNG * torch.arange(1, rungs + 1)[:, None]).clamp_min(-3 * CAP)
    return NoiseCurve(torch.cat([levels, beyond]), inside, clock, times, table)


@dataclass(frozen=True, eq=False)
class Functional:
    """Weights of h, (rows, nodes, K) float64, and what is added: (rows,).

    Attributes:
        names: of the rows: "prior", "gaussian", and "shell GRID N" and "ancestral GRID N".
    """

    names: tuple[str, ...]
    weights: Tensor
    constants: Tensor


def functional(modes: Modes, curve: NoiseCurve, grids: Mapping[str, Sequence[Grid]]) -> Functional:
    """Return what gives the prior's part, that of the data's Gaussian, and gaps on time grids.

    Arguments:
        grids: time grids from 1 to 0, by name.
    """
    variance = modes.variance_for("a gap").double().flatten()
    nodes, inside = len(curve.levels), curve.inside
    first = torch.zeros(nodes, len(variance), dtype=torch.float64)
    first[0] = _posterior(variance, curve.levels[:1])[0] / 2
    places, levels = curve.between()
    whole = first + _integral(places, _posterior(variance, levels), inside, nodes)
    rungs = torch.linspace(0, nodes - inside, FINE * (nodes - inside) + 1).double()
    falling = curve.levels[inside - 1] - RUNG * rungs[:, None]
    prior, outside = torch.zeros_like(first), nodes - inside + 1
    prior[inside - 1 :] = _integral(rungs, _posterior(variance, falling), outside, outside)
    rows = {"prior": (prior, 0.0), "gaussian": (whole + prior, 0.0)}
    for name, every in grids.items():
        for times in every:
            at, stops = curve.at(times[::-1])
            v, weights = _posterior(variance, stops), _interpolation(at[1:], inside, nodes)
            taken = v[1:] - torch.cat([torch.zeros_like(v[:1]), v[1:-1]])
            rows[f"shell {name} {len(times) - 1}"] = (whole - weights.T @ taken / 2, 0.0)
            gained = (torch.exp(stops[:-1]) - torch.exp(stops[1:])) / variance
            kept = whole - first - weights.T @ (v[1:] ** 2 * gained) / 2
            rows[f"ancestral {name} {len(times) - 1}"] = (kept, ancestral_law(stops))
    parts, constants = zip(*rows.values(), strict=True)
    return Functional(
        tuple(rows), torch.stack(parts), torch.tensor(constants, dtype=torch.float64)
    )


def best_grid(modes: Modes, curve: NoiseCurve, strength: Tensor, steps: int) -> Grid:
    """Return the time grid on which the shell sampler's gap is least, from 1 to 0.

    Arguments:
        strength: h at the nodes, (nodes, K) float64.
        steps: N, fewer than the places between the nodes among which is chosen.

    Raises `ValueError` where there are more steps than that.
    """
    variance = modes.variance_for("a time grid").double().flatten()
    places = torch.linspace(0, curve.inside - 1, STOPS * (curve.inside - 1) + 1).double()
    if not 1 <= steps < len(places):
        raise ValueError(
            f"a time grid of {steps} steps does not fit {len(places)} times: steps must be 1 to "
            f"{len(places) - 1}."
        )
    times = _linear(places, curve.clock, curve.times[:, None])[:, 0]
    v = _posterior(variance, curve.at(times.tolist())[1])
    v[0] = 0  # the last step goes to the data themselves
    h = _interpolation(places, curve.inside, len(curve.levels)) @ strength
    gain = (h * v).sum(1)[:, None] - h @ v.T  # of a step from one place to an earlier one
    gain = torch.where(torch.ones_like(gain).tril(-1) > 0, gain, -math.inf)
    stops = shortest_path(-gain.T, steps)  # from the data
    return (1.0, *times[stops[-2:0:-1]].tolist(), 0.0)


def ancestral_law(levels: Tensor) -> float:
    """Return the gap of the ancestral sampler for Gaussian data, at log-SNRs (N + 1, K) that
    fall.
    """
    snr = torch.exp(levels)
    steps = (snr[:-1] - snr[1:]) / (1 + snr[1:])
    return float((steps.sum(0) - torch.log1p(snr[0]) + torch.log1p(snr[-1])).sum() / 2)


def _posterior(variance: Tensor, levels: Tensor) -> Tensor:
    """Return V = Σ/(1 + e^ℓ)."""
    return variance * torch.sigmoid(-levels)


def _integral(places: Tensor, v: Tensor, inside: int, nodes: int) -> Tensor:
    """Return the weights of ½∫ h dV between places, (nodes, K)."""
    middle = (places[1:] + places[:-1]) / 2
    return _interpolation(middle, inside, nodes).T @ v.diff(dim=0) / 2


def _interpolation(places: Tensor, inside: int, nodes: int) -> Tensor:
    """Return the matrix (n, nodes) of Lagrange's cubic through the four nearest of the first
    `inside` nodes.
    """
    width = min(4, inside)
    start = (places.floor().long() - 1).clamp(0, inside - width)
    found = torch.zeros(len(places), nodes, dtype=torch.float64)
    rows = torch.arange(len(places))
    for one in range(width):
        factor = torch.ones_like(places)
        for other in range(width):
            if other != one:
                factor = factor * (places - start - other) / (one - other)
        found[rows, start + one] = factor
    return found


def _linear(wanted: Tensor, at: Tensor, values: Tensor) -> Tensor:
    """Return values (n, K), given at rising points, interpolated at others."""
    right = torch.searchsorted(at, wanted.contiguous()).clamp(1, len(at) - 1)
    share = ((wanted - at[right - 1]) / (at[right] - at[right - 1])).clamp(0, 1)[:, None]
    return values[right - 1] + share * (values[right] - values[right - 1])
