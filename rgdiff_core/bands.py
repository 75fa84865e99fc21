r"""Scale bands: a noised field as a short sum, so that a browser can paint it at display rate.

A schedule sees a component only through its label ℓ (its scale, level or column), so with hat functions h_b(ℓ) that sum to one

    φ(t) ≈ Σ_b α_b(t) X_b + σ_b(t) S_b E_b,    X_b = U h_b U†φ(0),    E_b = U h_b U†ε,

where α_b, σ_b are those of a component at the band's node. The sum is exact where every label is a node, and otherwise
interpolates α and σS linearly between nodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgdiff_core.bases import Basis, FourierBasis, PCABasis, PixelBasis
from rgdiff_core.modes import Modes
from rgdiff_core.process import Process
from rgdiff_core.schedules import Cutoff, LinearPath, Schedule

__all__ = [
    "Bands",
    "Table",
    "band_power",
    "data_bands",
    "noise_bands",
    "split_bands",
    "tabulate",
]


@dataclass(frozen=True, eq=False)
class Bands:
    """Hat functions over a schedule's label.

    Attributes:
        basis: the basis in which bands are cut: the process' own, or the Fourier basis where all pixels are alike.
        nodes: (B,), ascending positions in [0, 1].
        weights: (B, C or 1, H, W), h_b of every component; they sum to one.
        index: (B,), a component (of the flattened label) that stands at each node.
        counts: (B,), number of components per band; they sum to C·H·W.
        discrete: whether every label is a node.
    """

    basis: Basis
    nodes: Tensor
    weights: Tensor
    index: Tensor
    counts: Tensor
    discrete: bool

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over each band, (*, B), of values per component (*, C or 1, H, W)."""
        weights = torch.broadcast_to(self.weights, (len(self.nodes), *self.basis.shape))
        values = torch.broadcast_to(values, (*values.shape[:-3], *self.basis.shape))
        total = torch.einsum("...chw,bchw->...b", values, weights.to(values))
        return total / self.counts.to(values)

    def at_nodes(self, values: Tensor) -> Tensor:
        """Return values per component (*, C or 1, H, W) at the nodes, (*, B)."""
        flat = values.flatten(-3)
        return flat[..., self.index % flat.shape[-1]]


def split_bands(process: Process, count: int = 40, *, colored: bool = True) -> Bands:
    """Choose at most `count` bands for a process: all labels if they are few, else where the picture needs them.

    Nodes are added one by one where linear interpolation between them errs most visibly, over all times.

    Arguments:
        count: 2 to 256.
        colored: whether the noise bands will contain S, or a table of S at the nodes will multiply white ones.
    """
    if not 2 <= count <= 256:
        raise ValueError(f"count = {count} is outside [2, 256].")
    basis, label = process.basis, process.schedule.label(process.modes)
    uniform = isinstance(basis, PixelBasis) and bool(label.max() == label.min())
    if uniform:
        basis = FourierBasis(basis.shape, channels=basis.channels)
        label = basis.scale.to(label)
    position = _position(label)
    labels, which = torch.unique(position, return_inverse=True)
    if len(labels) <= count:
        chosen = torch.arange(len(labels))
    else:
        features = torch.ones(len(labels), 1) if uniform else _features(process, which, colored)
        chosen = _choose_nodes(labels, features, count)
    nodes = labels[chosen]
    first = torch.zeros(len(labels), dtype=torch.long)
    first[which.flatten().flip(0)] = torch.arange(which.numel() - 1, -1, -1)
    weights = _hats(position, nodes)
    counts = weights.flatten(1).sum(1) * (math.prod(basis.shape) / position.numel())
    index = torch.zeros(len(nodes), dtype=torch.long) if uniform else first[chosen]
    return Bands(basis, nodes, weights, index, counts, len(nodes) == len(labels))


def _position(label: Tensor) -> Tensor:
    """Return the label mapped to [0, 1], with equal ones equal in spite of rounding."""
    low, high = label.min(), label.max()
    position = (label - low) / torch.where(high > low, high - low, 1.0)
    return torch.round(position, decimals=6)


def _hats(position: Tensor, nodes: Tensor) -> Tensor:
    """Return hat functions (B, *position.shape) at nodes (B,); they sum to one."""
    weights = torch.zeros(len(nodes), *position.shape).to(position)
    if len(nodes) == 1:
        return weights + 1
    upper = torch.searchsorted(nodes, position.contiguous()).clamp(1, len(nodes) - 1)
    left, right = nodes[upper - 1], nodes[upper]
    share = ((position - left) / (right - left)).clamp(0, 1)
    weights.scatter_(0, (upper - 1)[None], (1 - share)[None])
    return weights.scatter_(0, upper[None], share[None])


def _features(process: Process, which: Tensor, colored: bool) -> Tensor:
    """Return what is interpolated between labels, (labels, features), each in units of its visibility.

    That is α and σ (σS unless `colored`) over time, times the amplitude of data and noise at the label.
    """
    schedule = process.schedule
    if isinstance(schedule, Cutoff):
        schedule = replace(schedule, path=LinearPath())
    level = schedule.level(torch.linspace(0, 1, 33).to(process.noise_variance), process.modes)
    shape = which.shape
    number = torch.bincount(which.flatten()).to(process.noise_variance)

    def by_label(values: Tensor) -> Tensor:
        rows = values.expand(*values.shape[:-3], *shape).flatten(-3).reshape(-1, which.numel())
        total = torch.zeros(len(number), len(rows)).to(rows)
        return total.index_add_(0, which.flatten(), rows.T) / number[:, None]

    def squeezed(values: Tensor) -> Tensor:
        return values.mean(-3, keepdim=True) if values.shape[-3] > shape[0] else values

    noise = squeezed(process.noise_variance)
    data = noise if process.modes.variance is None else squeezed(process.modes.variance)
    loud, seen = by_label(noise.sqrt()), by_label(data.sqrt())
    sigma = by_label(squeezed(level.sigma))
    sigma = sigma * loud if colored else by_label(squeezed(level.sigma) * noise.sqrt())
    return torch.cat((by_label(squeezed(level.alpha)) * seen, sigma), 1) * number[:, None].sqrt()


def _choose_nodes(labels: Tensor, features: Tensor, count: int) -> Tensor:
    """Choose `count` of the labels, ends included: split the interval of the greatest squared error until there are enough."""
    chosen = [0, len(labels) - 1]
    while len(chosen) < count:
        nodes = torch.tensor(sorted(chosen))
        error = (features - _hats(labels, labels[nodes]).T @ features[nodes]) ** 2
        error[nodes] = 0
        total = torch.cumsum(error, 0)
        worst = torch.diff(total[nodes], dim=0).amax(1)
        interval = int(worst.argmax())
        inside = error[nodes[interval] + 1 : nodes[interval + 1]].amax(1)
        if not len(inside) or float(worst[interval]) == 0:
            gaps = torch.diff(nodes)
            interval = int(gaps.argmax())
            inside = torch.ones(int(gaps[interval]) - 1)
        half = torch.searchsorted(torch.cumsum(inside, 0), inside.sum() / 2)
        chosen.append(int(nodes[interval]) + 1 + min(int(half), len(inside) - 1))
    return torch.tensor(sorted(chosen))


def _fields(bands: Bands, c: Tensor) -> Tensor:
    """Return the fields of each band, (B, n, C, H, W), of components c (n, C, H, W) in the bands' basis."""
    if isinstance(bands.basis, PCABasis):
        return torch.stack([_few_components(bands.basis, w, c) for w in bands.weights])
    return bands.basis.synthesize(bands.weights[:, None] * c[None])


def _few_components(basis: PCABasis, weights: Tensor, c: Tensor) -> Tensor:
    """Synthesise a band of a PCA basis from its own few components: the others are zero."""
    used = weights.flatten().nonzero()[:, 0]
    vectors = basis.vectors.to(c.dtype)[used]
    x = ((weights * c).flatten(1)[:, used] @ vectors).reshape(c.shape)
    return x if basis.channels is None else torch.einsum("dc,ndhw->nchw", basis.channels.to(x), x)


def data_bands(bands: Bands, x0: Tensor) -> Tensor:
    """Return X_b, (B, n, C, H, W), of fields x0 (n, C, H, W); they sum to x0."""
    return _fields(bands, bands.basis.analyze(x0))


def noise_bands(bands: Bands, process: Process, noise: Tensor, *, colored: bool) -> Tensor:
    """Return E_b, (B, n, C, H, W), of white noise in field space; with S applied if `colored`."""
    c = process.basis.analyze(noise)
    if colored:
        c = c * process.noise_variance.sqrt()
    if bands.basis is not process.basis:
        c = bands.basis.analyze(process.basis.synthesize(c))
    return _fields(bands, c)


@dataclass(frozen=True, eq=False)
class Table:
    """Noise levels at the bands' nodes.

    Attributes:
        alpha, sigma, gamma: (P, N, B) over schedules, ordinates (uniform on [0, 1]) and bands.
        front: (P, N), the scale at which α² = σ² for cutoff schedules, else None.
    """

    alpha: Tensor
    sigma: Tensor
    gamma: Tensor
    front: Tensor | None


def tabulate(
    process: Process, schedules: Sequence[Schedule], bands: Bands, ordinates: int = 257
) -> Table:
    """Tabulate levels over schedules of one kind; for cutoff schedules over the path's ordinate, else over time."""
    u = torch.linspace(0, 1, ordinates).to(process.noise_variance)
    levels, fronts = [], []
    for schedule in schedules:
        times = u
        if isinstance(schedule, Cutoff):
            schedule, times = replace(schedule, path=LinearPath()), 1 - u
            fronts.append(schedule.front(u, process.modes))
        level = Process(process.basis, process.color, schedule, process.modes).level(times)
        levels.append([bands.at_nodes(x) for x in (level.alpha, level.sigma, level.gamma)])
    alpha, sigma, gamma = (torch.stack(x) for x in zip(*levels, strict=True))
    return Table(alpha, sigma, gamma, torch.stack(fronts) if fronts else None)


def band_power(bands: Bands, modes: Modes) -> Tensor:
    """Return the mean data variance per component in each band, (B,)."""
    if modes.variance is None:
        raise ValueError("the data's power needs modes with data: use Modes.fit.")
    return bands.mean(modes.variance)
