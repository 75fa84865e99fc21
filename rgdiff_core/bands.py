r"""Scale bands: a noised field as a short sum, so that a browser can paint it at display rate.

A schedule sees a component only through its label ℓ (its scale, level or column), so with hat functions h_b(ℓ) that sum to one

    φ(t) ≈ Σ_b α_b(t) X_b + σ_b(t) S_b E_b,    X_b = U h_b U†φ(0),    E_b = U h_b U†ε,

where α_b, σ_b are those of a component at the band's node. The sum is exact where every label is a node, and otherwise
interpolates α and σS linearly between nodes.
"""

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

EXACT_NODES = 10  # the coarsest labels, where spectra are steep, are all nodes


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


def split_bands(process: Process, count: int = 32) -> Bands:
    """Choose at most `count` bands for a process: all labels if they are few, else the coarsest ten and then uniform."""
    if not 2 <= count <= 256:
        raise ValueError(f"count = {count} is outside [2, 256].")
    basis, label = process.basis, process.schedule.label(process.modes)
    uniform = isinstance(basis, PixelBasis) and bool(label.max() == label.min())
    if uniform:
        basis = FourierBasis(basis.shape, channels=basis.channels)
        label = basis.scale.to(label)
    low, high = label.min(), label.max()
    position = (label - low) / torch.where(high > low, high - low, 1.0)
    labels = torch.unique(position)
    nodes = labels if len(labels) <= count else _choose(labels, count)
    upper = torch.searchsorted(nodes, position.contiguous()).clamp(1, max(len(nodes) - 1, 1))
    weights = torch.zeros(len(nodes), *position.shape).to(position)
    if len(nodes) == 1:
        weights[:] = 1
    else:
        left, right = nodes[upper - 1], nodes[upper]
        share = ((position - left) / (right - left)).clamp(0, 1)
        weights.scatter_(0, (upper - 1)[None], (1 - share)[None])
        weights.scatter_(0, upper[None], share[None])
    distance = (position.flatten()[None] - nodes[:, None]).abs()
    index = torch.zeros(len(nodes), dtype=torch.long) if uniform else distance.argmin(1)
    components = basis.shape[0] if weights.shape[1] == 1 else 1
    counts = weights.flatten(1).sum(1) * components
    return Bands(basis, nodes, weights, index, counts, len(nodes) == len(labels))


def _choose(labels: Tensor, count: int) -> Tensor:
    coarse = labels[:EXACT_NODES]
    even = torch.linspace(float(coarse[-1]), 1, count - EXACT_NODES + 1).to(labels)[1:]
    nearest = (labels[None] - even[:, None]).abs().argmin(1)
    return torch.unique(torch.cat((coarse, labels[nearest])))


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
