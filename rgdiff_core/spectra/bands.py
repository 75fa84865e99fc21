r"""Scale bands: a noised field as a short sum, so that a browser can paint it at display rate.

A schedule acts on a component only through its label ℓ (its scale, level or column), so with hat
functions h_b(ℓ) that sum to one

    φ(t) ≈ Σ_b α_b(t) X_b + σ_b(t) S_b E_b,    X_b = U h_b U†φ(0),    E_b = U h_b U†ε,

where α_b, σ_b are those of a component at the band's node. The sum is exact where every label is a
node, and otherwise interpolates α and σS linearly between nodes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgdiff_core.bases import Basis, FourierBasis, PCABasis, PixelBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Color, FreeTheory, Matched
from rgdiff_core.process import Process, clamped
from rgdiff_core.schedules import (
    Cutoff,
    GaussianKernel,
    Level,
    LinearPath,
    Schedule,
    SigmoidKernel,
)

__all__ = [
    "Bands",
    "BandTable",
    "amplitudes_of",
    "band_power",
    "band_share",
    "by_scale",
    "data_bands",
    "noise_bands",
    "separable",
    "split_bands",
    "tabulate",
]


COARSE = 0.1  # up to here, where spectra are steep, bands may be as narrow as they need
SMOOTHING = 0.03


@dataclass(frozen=True, eq=False)
class Bands:
    """Hat functions over a schedule's label.

    Attributes:
        basis: the basis in which bands are cut: the process' own, or the Fourier basis where all
            pixels are alike.
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
        """Return the mean over each band, (*, B), of values per component (*, C or 1, H, W).

        Neighbouring bands at fine scales hold modes of other directions, so there, unless every
        label is a band, the mean reaches over SMOOTHING to either side.
        """
        weights = torch.broadcast_to(self.weights, (len(self.nodes), *self.basis.shape))
        values = torch.broadcast_to(values, (*values.shape[:-3], *self.basis.shape))
        total = torch.einsum("...chw,bchw->...b", values, weights.to(values))
        counts = self.counts.to(values)
        if self.discrete:
            return total / counts
        reach = SMOOTHING * ((self.nodes - COARSE) / COARSE).clamp(0.01, 1)
        near = torch.exp(-(((self.nodes[:, None] - self.nodes) / reach[:, None]) ** 2) / 2)
        return (total @ near.T.to(values)) / (near.to(values) @ counts)

    def at_nodes(self, values: Tensor) -> Tensor:
        """Return values per component (*, C or 1, H, W) at the nodes, (*, B)."""
        flat = values.flatten(-3)
        return flat[..., self.index % flat.shape[-1]]


def split_bands(process: Process, count: int = 48) -> Bands:
    """Choose at most `count` bands for a process: all labels if they are few, else where pictures
    need them.

    The choice depends on the basis, the modes and the schedule's label only, so that all kernels,
    paths and colours can share the band images.

    Arguments:
        count: 2 to 256.
    """
    if not 2 <= count <= 256:
        raise ValueError(f"count = {count} is outside [2, 256].")
    basis, uniform = process.basis, _uniform(process)
    label = process.schedule.label(process.modes)
    if uniform:
        basis = FourierBasis(basis.shape, channels=basis.channels)
        label = basis.scale.to(label)
    position = _position(label)
    labels, which = torch.unique(position, return_inverse=True)
    if len(labels) <= count:
        chosen = torch.arange(len(labels))
    elif uniform:
        chosen = _choose_nodes(labels, torch.stack((labels, labels**2), 1), count)
    else:
        chosen = _choose_nodes(labels, _features(process.modes, labels, which), count)
    nodes = labels[chosen]
    first = torch.zeros(len(labels), dtype=torch.long)
    first[which.flatten().flip(0)] = torch.arange(which.numel() - 1, -1, -1)
    weights = _hats(position, nodes)
    counts = weights.flatten(1).sum(1) * (math.prod(basis.shape) / position.numel())
    index = torch.zeros(len(nodes), dtype=torch.long) if uniform else first[chosen]
    return Bands(basis, nodes, weights, index, counts, len(nodes) == len(labels))


def separable(process: Process) -> bool:
    """Tell whether the noise colour S depends on the schedule's label only, so that a table at the
    nodes can hold it.
    """
    noise = process.noise_variance
    if not process.color.smooth:
        return False
    if _uniform(process):
        return bool((noise - noise.mean()).abs().max() <= 1e-5 * noise.mean())
    which = torch.unique(_position(process.schedule.label(process.modes)), return_inverse=True)[1]
    if which.shape[0] != noise.shape[0]:
        return False
    mean = _by_label(noise, which)[which.flatten(), 0]
    return bool(((noise.flatten() - mean).abs() <= 1e-4 * mean).all())


def by_scale(process: Process) -> bool:
    """Tell whether the bands are cut by scale, so that a factor of the scale alone is one number
    per band.
    """
    scale = process.modes.scale
    label = process.schedule.label(process.modes)
    if label.shape != scale.shape or scale.max() == scale.min():
        return False
    return bool((_position(label) - scale).abs().max() < 1e-4)


def _uniform(process: Process) -> bool:
    label = process.schedule.label(process.modes)
    return isinstance(process.basis, PixelBasis) and bool(label.max() == label.min())


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


def _features(modes: Modes, labels: Tensor, which: Tensor) -> Tensor:
    """Return what is typically interpolated between labels, (labels, features), each in units of
    its visibility.

    That is α and σ of a sigmoid and of a Gaussian cutoff as they pass, times the amplitude of the
    data at the label, and a steep noise colour.
    """
    axis = Modes(labels[None, None])
    times = torch.linspace(0, 1, 33).to(labels)
    passing = [
        Cutoff(kernel, LinearPath()).level(times, axis)
        for kernel in (SigmoidKernel(), GaussianKernel())
    ]
    curves = [x.reshape(33, -1).T for level in passing for x in (level.alpha, level.sigma)]
    steep = FreeTheory().variance(Modes(modes.scale, momentum=modes.momentum))
    data = steep if modes.variance is None else modes.variance
    loud = [_by_label(x.sqrt(), which) for x in (data, steep * data.mean())]
    number = torch.bincount(which.flatten()).to(labels)
    seen = torch.cat((*(curve * loud[0] for curve in curves), loud[1]), 1)
    return seen * number[:, None].sqrt()


def _by_label(values: Tensor, which: Tensor) -> Tensor:
    """Return the mean over the components of each label, (labels, *), of values (*, C or 1, H,
    W).
    """
    if values.shape[-3] > which.shape[0]:
        values = values.mean(-3, keepdim=True)
    rows = values.expand(*values.shape[:-3], *which.shape).flatten(-3).reshape(-1, which.numel())
    number = torch.bincount(which.flatten()).to(rows)
    total = torch.zeros(len(number), len(rows)).to(rows)
    return total.index_add_(0, which.flatten(), rows.T) / number[:, None]


def _choose_nodes(labels: Tensor, features: Tensor, count: int) -> Tensor:
    """Choose `count` of the labels: half of them evenly spaced, the others where interpolation
    errs most.

    An interval of the greatest squared error is split, until there are enough. Above COARSE none
    is split below half the even spacing, so that bands stay wide enough for smooth spectra.
    """
    even = torch.linspace(0, 1, max(2, count // 2)).to(labels)
    chosen = {int((labels - x).abs().argmin()) for x in even}
    while len(chosen) < count:
        nodes = torch.tensor(sorted(chosen))
        error = (features - _hats(labels, labels[nodes]).T @ features[nodes]) ** 2
        error[nodes] = 0
        worst = torch.diff(torch.cumsum(error, 0)[nodes], dim=0).amax(1)
        width, room = torch.diff(labels[nodes]), torch.diff(nodes) > 1
        wide = (width > 1 / count) | (labels[nodes][:-1] < COARSE)
        worst = torch.where(
            room & wide, worst + 1e-12 * width, torch.where(room, -1 / width, -math.inf)
        )
        interval = int(worst.argmax())
        inside = error[nodes[interval] + 1 : nodes[interval + 1]].amax(1) + 1e-12
        half = torch.searchsorted(torch.cumsum(inside, 0), inside.sum() / 2)
        chosen.add(int(nodes[interval]) + 1 + min(int(half), len(inside) - 1))
    return torch.tensor(sorted(chosen))


def _fields(bands: Bands, c: Tensor) -> Tensor:
    """Return the fields of each band, (B, n, C, H, W), of components c (n, C, H, W) in the bands'
    basis.
    """
    if isinstance(bands.basis, PCABasis):
        return torch.stack([_few_components(bands.basis, w, c) for w in bands.weights])
    return bands.basis.synthesize(bands.weights[:, None] * c[None])


def _few_components(basis: PCABasis, weights: Tensor, c: Tensor) -> Tensor:
    """Synthesize a band of a PCA basis from its own few components: the others are zero."""
    used = weights.flatten().nonzero()[:, 0]
    vectors = basis.vectors.to(c.dtype)[used]
    x = ((weights * c).flatten(1)[:, used] @ vectors).reshape(c.shape)
    return x if basis.channels is None else torch.einsum("dc,ndhw->nchw", basis.channels.to(x), x)


def data_bands(bands: Bands, x0: Tensor) -> Tensor:
    """Return X_b, (B, n, C, H, W), of fields x0 (n, C, H, W); they sum to x0."""
    return _fields(bands, bands.basis.analyze(x0))


def noise_bands(bands: Bands, process: Process, noise: Tensor) -> Tensor:
    """Return E_b, (B, n, C, H, W), of white noise in field space; with S applied unless it is
    `separable`.
    """
    c = process.basis.analyze(noise)
    if not separable(process):
        c = c * process.noise_variance.sqrt()
    if bands.basis is not process.basis:
        c = bands.basis.analyze(process.basis.synthesize(c))
    return _fields(bands, c)


@dataclass(frozen=True, eq=False)
class BandTable:
    """Noise levels at the bands' nodes.

    Attributes:
        alpha: (P, N, B) over schedules, ordinates (uniform on [0, 1]) and bands.
        sigma: as alpha.
        front: (P, N), the scale at which α² = σ² for cutoff schedules, else None.
        cutoff: (P, N), Λ in units of the scale for cutoff schedules, else None.
    """

    alpha: Tensor
    sigma: Tensor
    front: Tensor | None
    cutoff: Tensor | None = None


def tabulate(
    process: Process, schedules: Sequence[Schedule], bands: Bands, ordinates: int = 257
) -> BandTable:
    """Tabulate levels over schedules of one kind; for cutoff schedules over the path's ordinate,
    else over time.
    """
    u = torch.linspace(0, 1, ordinates).to(process.noise_variance)
    modes, index = _distinct(process, bands)
    levels, fronts, cutoffs = [], [], []
    for schedule in schedules:
        times = u
        if isinstance(schedule, Cutoff):
            schedule, times = replace(schedule, path=LinearPath()), 1 - u
            fronts.append(schedule.front(u, modes))
            cutoffs.append(schedule.cutoff(u, modes))
        level = clamped(schedule.level(times, modes))
        magnitude = level.magnitude.expand(level.gamma.shape)
        level = Level(*(x.flatten(-3)[..., index] for x in (level.gamma, magnitude)))
        levels.append((level.alpha, level.sigma))
    alpha, sigma = (torch.stack(x) for x in zip(*levels, strict=True))
    front, cutoff = (torch.stack(x) if x else None for x in (fronts, cutoffs))
    return BandTable(alpha, sigma, front, cutoff)


def _distinct(process: Process, bands: Bands) -> tuple[Modes, Tensor]:
    """Return modes with one component per distinct scale, if γ depends on nothing else, and the
    nodes' places among them.
    """
    modes = process.modes
    if process.schedule.label(modes) is not modes.scale:
        return modes, bands.index
    scale, which = torch.unique(_position(modes.scale).flatten(), return_inverse=True)
    first = torch.zeros(len(scale), dtype=torch.long)
    first[which.flip(0)] = torch.arange(len(which) - 1, -1, -1)
    few = (x.flatten()[first].reshape(1, 1, -1) for x in (modes.scale, modes.momentum))
    scale, momentum = few
    return Modes(scale, momentum=momentum), which[bands.index]


def band_power(bands: Bands, modes: Modes) -> Tensor:
    """Return the mean data variance per component in each band, (B,)."""
    return bands.mean(modes.variance_for("the data's power"))


def band_share(bands: Bands, modes: Modes, colors: Sequence[Color]) -> Tensor:
    """Return the power of each band's noise in units of the data's power, (colours, B).

    They sum to one for a normalized colour; with a factor per band they sum to its power.
    """
    variance = torch.stack([c.variance(modes).expand(bands.basis.shape) for c in colors])
    weights = torch.broadcast_to(bands.weights, (len(bands.nodes), *bands.basis.shape))
    share = torch.einsum("qchw,bchw->qb", variance, weights.to(variance))
    power = 1.0 if modes.variance is None else modes.variance.mean()
    return share / (power * variance[0].numel())


def amplitudes_of(bands: Bands, process: Process, variances: Tensor) -> Tensor:
    """Return the amplitudes u, v of white and of matched noise that are nearest to spectra S_k².

    In each band S_k ≈ u + v Σ_k^{1/2} by least squares over its components. It is exact for white
    and for matched noise, and where a band holds no more than two variances.

    Arguments:
        variances: S_k², (Q, C or 1, H, W).

    Returns:
        (Q, 2, B).
    """
    modes, shape = process.modes, process.basis.shape
    own = bands.basis is process.basis
    weights = bands.weights if own else torch.ones(len(bands.nodes), 1, 1, 1)
    weights = torch.broadcast_to(weights, (len(bands.nodes), *shape)).double().flatten(1)
    weights = weights / weights.sum(1, keepdim=True)
    x = Matched(normalize=False).variance(modes).double().sqrt().expand(shape).flatten()
    y = variances.double().sqrt().expand(len(variances), *shape).flatten(1)
    mean_x, mean_y = weights @ x, y @ weights.T
    spread = weights * (x - mean_x[:, None])
    variance = (spread * (x - mean_x[:, None])).sum(1)
    alike = variance < 1e-8 * mean_x**2
    v = torch.where(alike, mean_y / mean_x, y @ spread.T / torch.where(alike, 1.0, variance))
    return torch.stack((mean_y - v * mean_x, v), 1).to(process.noise_variance)
