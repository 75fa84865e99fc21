r"""Bits per dimension of images: a bound at random noise levels, and the probability flow's.

With m and V the mean and variance of the free theory's posterior, D the mean of the model's, and
SNR = α²/(σ²S²),

    −log q(x) ≤ −log N(x; μ, Σ) + ½∫ Σ_k E[excess_k] |d log V_k|,
    excess = (|χ(0) − D|² − |χ(0) − m|²)/V,

along the schedule: the model where the process runs, the free theory before and after. It is the
limit of many steps of `likelihood.elbo`, and needs few noise levels for each image: one, at
random, in each of equal slices of information (the mean of ½ log(1 + SNR Σ)), the same for every
model and process. Where the noise of a component is below FLOOR, far within a bin of grey values,
the model is the free theory as well: dequantized images are flat there.

Grey values may be decoded instead of dequantized. With z = χ(0) + nε, n the noise of the process'
first level, and at least a third of a bin, in every component,

    −log P(x) ≤ KL(q(z|x) ‖ N(μ, Σ + n²)) + ½∫ Σ_k E[excess_k] |d log V_k| + E[−log P(x|z)],

where P(x|z) chooses each pixel's grey value around the free theory's posterior mean given z, by a
Gaussian of its posterior variance. No model has to know of noise that is finer than the values.
That is tighter where the data have little power within a bin, as photographs do; where their
density is flat there, it costs 0.0115 bits per dimension, and dequantizing nothing.

References:
    Kingma et al., 2107.00630 (one level for each image, eqs. 11 and 18 for decoded values); Kong,
    Brekelmans & Ver Steeg, 2302.03792; Zheng et al., 2305.03935 (what dequantization costs).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import softplus

from rgdiff_core.bases import check_fields
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.base import free_error
from rgdiff_core.devices import doubled, hosted, seeded
from rgdiff_core.evaluation.images.bound_decoder import Decoder, check_grey, decoding_noise
from rgdiff_core.likelihood import bits_per_dim, dequantize, log_likelihood
from rgdiff_core.likelihood.bits import MAX_LEVELS
from rgdiff_core.likelihood.densities import log_volume, normal_log_density
from rgdiff_core.process import Marginal, Process, white_noise
from rgdiff_core.sampling import check_model
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["BANDS", "EDGES", "ImageBound", "flow_bits", "image_bound"]

BANDS = 8  # of the scale, equal
EDGES = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)  # of log(α²Σ/(σ²S²))
BINS = BANDS * (len(EDGES) + 1)
FLOOR = 1e-3  # σS/α, in units of images in [−1, 1], whose bins are 2/255 wide
FINE = 1024  # noise levels among which is drawn
TABLE = 4097  # times at which the information is tabulated
ROWS = 500  # images that are evaluated at once

Progress = Callable[[int, int], None] | None


@dataclass(frozen=True, eq=False)
class ImageBound:
    """The bound on held-out images.

    Attributes:
        bits: of each image, (N,) float64, on the CPU, bits per dimension.
        free: the same of the free theory; exact, but of decoded grey values a bound as well, which
            depends on the process.
        gain: (BANDS, len(EDGES) + 1), bits per dimension that the model adds to the free theory's
            by scale and data log-SNR: they sum to the mean of bits − free.
        by_level: (N, len(EDGES) + 1) float64, on the CPU, what each image adds to the gain by data
            log-SNR.
        left: as gain, the share of the free theory's squared error that is left; nan where the
            process does not pass.
    """

    bits: Tensor
    free: Tensor
    gain: Tensor
    by_level: Tensor
    left: Tensor

    @property
    def estimate(self) -> Estimate:
        """Return the mean over images."""
        return Estimate.of(self.bits)

    def between(self, low: float, high: float) -> Tensor:
        """Return each image's share of the gain in an interval of the data log-SNR, (N,).

        Raises `ValueError` for ends that are not among EDGES, or not in order.
        """
        if low not in EDGES or high not in EDGES or low >= high:
            known = ", ".join(f"{edge:g}" for edge in EDGES)
            raise ValueError(f"({low:g}, {high:g}) is not an interval between two of {known}.")
        return self.by_level[:, EDGES.index(low) + 1 : EDGES.index(high) + 1].sum(1)


@dataclass(frozen=True, eq=False)
class _LevelGrid:
    """Noise levels of equal information: middle, (FINE, C, H, W), ½ |Δ log V| across each level,
    and the number of the bin of scale and log-SNR that each component is in.
    """

    middle: Marginal
    turn: Tensor
    place: Tensor


def _times(process: Process, variance: Tensor, t: Tensor, floor: float) -> Tensor:
    """Return FINE + 1 times, rising, of equal information, with a little of uniform time."""
    parts = [_log_snr(process, variance, some, floor) for some in t.split(512)]
    information = torch.cat([softplus(x).mean((1, 2, 3)) for x in parts]).cpu().double()
    passed = information[0] - information
    passed = 0.9 * passed / passed[-1].clamp_min(1e-12) + 0.1 * t
    wanted = torch.linspace(0, 1, FINE + 1, dtype=torch.float64)
    right = torch.searchsorted(passed, wanted).clamp(1, len(t) - 1)
    share = (wanted - passed[right - 1]) / (passed[right] - passed[right - 1])
    return (t[right - 1] + share * (t[right] - t[right - 1])).clamp(0, 1)


def _log_snr(process: Process, variance: Tensor, t: Tensor, floor: float) -> Tensor:
    """Return log(α²Σ/(σ²S²)) at times t (N,), at most where the noise is at its floor."""
    log_snr = torch.log(variance / process.noise_variance) - process.level(t).gamma
    return torch.minimum(log_snr, torch.log(variance) - 2 * math.log(floor))


def _level_grid(process: Process, modes: Modes, floor: float) -> _LevelGrid:
    variance = modes.variance_for("the bound")
    u = torch.linspace(0, 1, TABLE, dtype=torch.float64)
    times = _times(process, variance, torch.sin(torch.pi / 2 * u) ** 2, floor)
    information = softplus(_log_snr(process, variance, times, floor)) / 2
    middle = (times[1:] + times[:-1]) / 2
    marginal = process.vp_marginal(middle)
    shape = (FINE, *torch.broadcast_shapes(variance.shape, process.basis.shape))
    edges = torch.tensor(EDGES).to(variance)
    level = torch.bucketize(_log_snr(process, variance, middle, floor).contiguous(), edges)
    band = (modes.scale * BANDS).long().clamp(0, BANDS - 1)
    return _LevelGrid(
        Marginal(marginal.alpha.expand(shape), marginal.std.expand(shape)),
        (information[:-1] - information[1:]).clamp_min(0).expand(shape),
        (band * (len(EDGES) + 1) + level).expand(shape),
    )


@torch.no_grad()
def image_bound(
    model: Denoiser,
    process: Process,
    images: Tensor,
    levels_per_image: int = 16,
    seed: int = 0,
    *,
    levels: int | None = 256,
    decoded: bool = False,
    floor: float | None = None,
    batch_size: int = ROWS,
    progress: Progress = None,
    class_labels: Tensor | None = None,
) -> ImageBound:
    """Return the bound for images (N, C, H, W) in [−1, 1]; equal seeds, equal noise.

    Arguments:
        model: in the process' basis.
        levels_per_image: noise levels, a divisor of 1024; each evaluates the model once.
        levels: of a pixel, 2 to 65,536, as of `dequantize`; None for images that are real numbers
            already, to which the bits per dimension of 256 levels are ascribed.
        decoded: whether grey values are decoded instead of dequantized, for the free theory, too;
            the images must hold nothing else.
        floor: σS/α below which a component is left to the free theory, in [0, 0.1], and of
            decoded values the least noise; default: 0.001, of decoded values 0.35 of a bin
            (however wide), with which CIFAR-10's training images have the fewest bits.
        batch_size: images that are evaluated at once.
        progress: called with (evaluations completed, total); it may raise to cancel.
        class_labels: int64 (N,), of a model with classes: the bound given them.

    Raises `ValueError` for a value outside its range and a basis that differs.
    """
    check_whole("levels_per_image", levels_per_image, 1, FINE)
    if FINE % levels_per_image:
        raise ValueError(f"levels_per_image = {levels_per_image} is not a divisor of {FINE}.")
    if levels is not None:
        check_whole("levels", levels, 2, MAX_LEVELS)
    if floor is not None:
        check_range("floor", floor, 0, 0.1)
    check_model(model, process)
    check_fields(images, model.basis)
    like, each = process.noise_variance, FINE // levels_per_image
    decoder = None
    if decoded:
        if levels is None:
            raise ValueError("levels = None, but only whole grey values can be decoded.")
        check_grey(images, levels)
        floor = decoding_noise(levels) if floor is None else floor
        decoder = Decoder.of(model, process, floor, levels, seed)
    floor = FLOOR if floor is None else floor
    grid = _level_grid(process, model.modes, max(floor, 1e-30))
    if decoded:
        least = torch.maximum(grid.middle.std, floor * grid.middle.alpha)
        grid = replace(grid, middle=Marginal(grid.middle.alpha, least))
    sums = torch.zeros(2, BINS, dtype=torch.float64, device=hosted(like).device)
    free, gained = [], []
    for first in range(0, len(images), batch_size):
        generator = seeded(like.device, fold_in(seed, 4, first))
        x = images[first : first + batch_size].to(like)
        if levels is not None and not decoded:
            x = dequantize(x, generator, levels)
        root = model.free_variance.sqrt()
        data = model.basis.analyze(x)
        if decoder is not None:
            free.append(decoder.nats(model, x, generator))
        else:
            z = (data - model.free_mean) / root
            free.append(-normal_log_density(doubled(z)) + doubled(log_volume(root, x)))
        given = model.given(_rows(class_labels, first, batch_size))
        by_level = sums.new_zeros(len(x), BINS // BANDS)
        for draw in range(levels_per_image):
            noise = white_noise(x.shape, like, generator)
            index = torch.randint(
                each, (len(x),), generator=generator, device=generator.device
            ).to(like.device)
            by_level += _draw(given, grid, data, noise, draw * each + index, each, sums)
        gained.append(by_level)
        if progress is not None:
            progress(
                min(first + batch_size, len(images)) * levels_per_image,
                len(images) * levels_per_image,
            )
    shape = images.shape[1:]
    nats = torch.cat(free).cpu()
    added = torch.cat(gained).cpu()
    bits = bits_per_dim(-nats - added.sum(1), shape, levels or 256)
    gain, before = (sums / len(images)).cpu().reshape(2, BANDS, -1)
    unit = math.prod(shape) * math.log(2)
    left = torch.where(before > 0, 1 + gain / before, torch.nan)
    free_bits = bits_per_dim(-nats, shape, levels or 256)
    return ImageBound(bits, free_bits, gain / unit, added / unit, left)


def _rows(class_labels: Tensor | None, first: int, batch_size: int) -> Tensor | None:
    return None if class_labels is None else class_labels[first : first + batch_size]


def _draw(
    model: Denoiser,
    grid: _LevelGrid,
    data: Tensor,
    noise: Tensor,
    cell: Tensor,
    each: int,
    sums: Tensor,
) -> Tensor:
    """Return one draw's part of the bound by level, (B, len(EDGES) + 1), and add to the sums by
    bin: the part, and the free theory's own.

    Arguments:
        data: components χ(0), (B, C, H, W).
        noise: white, in field space, so that all bases share it.
        cell: of the grid, (B,).
        each: cells of a slice.
    """
    marginal = Marginal(grid.middle.alpha[cell], grid.middle.std[cell])
    weight = each * grid.turn[cell]
    eps = model.basis.analyze(noise)
    error = free_error(data, eps, marginal, model.free_mean, model.free_variance)
    f = model.interaction(marginal.alpha * data + marginal.std * eps, marginal)
    terms = doubled(torch.where(weight > 0, weight * f * (f + 2 * error), 0.0))
    place = hosted(grid.place[cell]).flatten()
    sums[0].index_add_(0, place, terms.flatten())
    sums[1].index_add_(0, place, doubled(weight * error**2).flatten())
    levels = place.reshape(len(terms), -1) % (BINS // BANDS)
    parts = sums.new_zeros(len(terms), BINS // BANDS)
    return parts.scatter_add_(1, levels, terms.flatten(1))


def flow_bits(
    model: Denoiser,
    process: Process,
    images: Tensor,
    steps: int = 24,
    seed: int = 0,
    *,
    batch_size: int = 256,
    progress: Progress = None,
    class_labels: Tensor | None = None,
) -> Tensor:
    """Return bits per dimension of the probability flow, (N,) float64, of images in [−1, 1].

    The divergence is Hutchinson's, with one probe for each image. Equal seeds, equal noise.

    Arguments:
        steps: of the Runge–Kutta method; each evaluates the model four times, with gradients.
        batch_size: images at once.
        progress: called with (images completed, total).
        class_labels: int64 (N,), of a model with classes.
    """
    like, found = process.noise_variance, []
    for first in range(0, len(images), batch_size):
        generator = seeded(like.device, fold_in(seed, 6, first))
        x = dequantize(images[first : first + batch_size].to(like), generator)
        with sdpa_kernel(SDPBackend.MATH):  # whose backward pass takes several directions at once
            density = log_likelihood(
                model,
                process,
                x,
                steps,
                "hutchinson",
                generator,
                grid="logsnr",
                class_labels=_rows(class_labels, first, batch_size),
            )
        found.append(bits_per_dim(density.detach().cpu().double(), x.shape[1:]))
        if progress is not None:
            progress(min(first + batch_size, len(images)), len(images))
    return torch.cat(found)
