r"""How good samples of images are: spectrum, sharpness, colours, and distances between features.

Samples are rounded to 256 grey values and compared with held-out images. Errors are over samples:
those of distances by a jackknife over groups. A distance between finite sets is above zero even
where both are of one distribution: real images in the place of samples, as many, give the floor.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.denoisers import Denoiser, GuidanceCurve
from rgdiff_core.devices import doubled, hosted
from rgdiff_core.evaluation.features import frechet_distance, frechet_error, kernel_distance
from rgdiff_core.process import Generators, Process
from rgdiff_core.sampling import Method, sample, usual_method
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.spectra.power import Spectrum, log_distance, power_spectrum
from rgdiff_core.statistics import Estimate, jackknife, random_groups

__all__ = [
    "ImageReference",
    "SampleQuality",
    "draw_images",
    "eight_bit",
    "image_reference",
    "compare_images",
    "spectrum_ratio",
]

ROWS = 500  # images that are drawn or looked at at once
SHARP = 2 / 3  # of the largest |k|: scales above it say how sharp an image is
GROUPS = 10  # of the jackknife
MAX_FEATURES = 512  # beyond which a covariance asks for more samples than are drawn

Features = Callable[[Tensor], Tensor]  # images (N, C, H, W) in [−1, 1] to (N, d)


def eight_bit(images: Tensor) -> Tensor:
    """Return images (N, C, H, W) in [−1, 1] as grey values, uint8, on the CPU; beyond is cut."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def _real(grey: Tensor) -> Tensor:
    return grey.float() / 127.5 - 1


def draw_images(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int,
    method: str | Method | None = None,
    generator: Generators = None,
    *,
    grid: Grid = "logsnr",
    batch_size: int = ROWS,
    progress: Callable[[int, int], None] | None = None,
    class_labels: Tensor | None = None,
    guidance_scale: float | GuidanceCurve = 1.0,
) -> Tensor:
    """Draw n images as grey values, uint8 (n, C, H, W), on the CPU, `batch_size` at once; other
    arguments as of `sample`.

    Arguments:
        method: default: the usual one of the process.
        progress: called with (images drawn, n); it may raise to cancel.
        class_labels: int64 (n,), of a model with classes.
        guidance_scale: as of `sample`.
    """
    method = method or usual_method(process)
    parts, left = [], n
    while left > 0:
        here, first = min(batch_size, left), n - left
        x = sample(
            model,
            process,
            here,
            steps,
            method,
            generator=generator,
            grid=grid,
            class_labels=None if class_labels is None else class_labels[first : first + here],
            guidance_scale=guidance_scale,
        )
        parts.append(eight_bit(x))
        left -= batch_size
        if progress is not None:
            progress(n - max(0, left), n)
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class ImageReference:
    """What samples are compared with.

    Attributes:
        spectrum: of the held-out images.
        sharp: power in the finest third of scales of each image, (N,).
        pixels: each image's colours: mean, (N, C), and second moments, (N, C, C).
        features: of the images, (N, d) by name of the network.
        networks: what makes them.
        device: where samples are judged.
    """

    spectrum: Spectrum
    sharp: Tensor
    pixels: tuple[Tensor, Tensor]
    features: Mapping[str, Tensor]
    networks: Mapping[str, Features]
    device: torch.device


@dataclass(frozen=True, eq=False)
class SampleQuality:
    """Samples against held-out images.

    Attributes:
        n: number of samples.
        spectrum_error: root mean square over scales of log(P/P_data); its error is what two sets
            of the same distribution would show.
        sharpness: power in the finest third of scales relative to the data's: 1 is right.
        color_error: distance of the Gaussians of the colours of a pixel (2-Wasserstein), in grey
            values.
        rgb_mean: of the samples' channels, for images in [−1, 1].
        rgb_covariance: of the same.
        frechet: Fréchet distance by feature network, of those with at most MAX_FEATURES.
        kernel: kernel distance by feature network.
        spectrum: of the samples.
    """

    n: int
    spectrum_error: Estimate
    sharpness: Estimate
    color_error: Estimate
    rgb_mean: tuple[float, ...]
    rgb_covariance: tuple[tuple[float, ...], ...]
    frechet: Mapping[str, Estimate]
    kernel: Mapping[str, Estimate]
    spectrum: Spectrum


def image_reference(images: Tensor, networks: Mapping[str, Features]) -> ImageReference:
    """Return what samples are compared with, from held-out images (N, C, H, W) in [−1, 1]; samples
    are judged on their device.

    Arguments:
        networks: functions that make features, by name.
    """
    found = {name: network(images) for name, network in networks.items()}
    return ImageReference(
        power_spectrum(images),
        _sharp(images),
        _colors(images),
        found,
        networks,
        images.device,
    )


def compare_images(grey: Tensor, known: ImageReference, *, thorough: bool = True) -> SampleQuality:
    """Return the quality of samples, uint8 (n, C, H, W), n ≥ 20.

    Arguments:
        thorough: whether to take the time for kernel distances where there is a Fréchet distance,
            and for the errors of the latter.

    Raises `ValueError` for fewer.
    """
    if len(grey) < 2 * GROUPS:
        raise ValueError(f"{len(grey)} samples are too few: at least {2 * GROUPS} are needed.")
    x = _real(grey.to(known.device))
    spectrum, sharp, (mean, second) = power_spectrum(x), _sharp(x), _colors(x)
    frechet, kernel, group = {}, {}, random_groups(len(x), GROUPS)
    for name, network in known.networks.items():
        found, real = network(x), known.features[name]
        few = found.shape[1] <= MAX_FEATURES
        if few:
            error = frechet_error(found, real, GROUPS) if thorough else math.nan
            frechet[name] = Estimate(frechet_distance(found, real), error)
        if thorough or not few:
            kernel[name] = kernel_distance(found, real, groups=GROUPS)
    center, covariance = _moments(mean, second)
    return SampleQuality(
        n=len(x),
        spectrum_error=log_distance(spectrum, known.spectrum),
        sharpness=Estimate.of(sharp).ratio(Estimate.of(known.sharp)),
        color_error=jackknife(
            lambda rows: _color_distance(_moments(mean[rows], second[rows]), known),
            [torch.nonzero(group == number)[:, 0] for number in range(GROUPS)],
        ),
        rgb_mean=tuple(center.tolist()),
        rgb_covariance=tuple(tuple(row) for row in covariance.tolist()),
        frechet=frechet,
        kernel=kernel,
        spectrum=spectrum,
    )


def spectrum_ratio(one: Spectrum, other: Spectrum) -> tuple[list[float], list[float], list[float]]:
    """Return scale, P/P' − 1, and its standard error, for two spectra with the same bins."""
    ratio = one.power / other.power
    error = ratio * torch.hypot(one.error / one.power, other.error / other.power)
    return one.scale.tolist(), (ratio - 1).tolist(), error.tolist()


def _sharp(images: Tensor) -> Tensor:
    """Return the mean power of each image above SHARP of the largest |k|, (N,)."""
    _, _, h, w = images.shape
    fine = (FourierBasis((1, h, w)).scale[0] > SHARP).to(hosted(images).device)
    parts = (torch.fft.fft2(doubled(x), norm="ortho").abs().square() for x in images.split(ROWS))
    return torch.cat([x[..., fine].mean((1, 2)).cpu() for x in parts])


def _colors(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (N, C) and second moments (N, C, C) of the pixels of each image."""
    parts = [doubled(x).flatten(2) for x in images.split(ROWS)]
    second = [x @ x.transpose(1, 2) / x.shape[2] for x in parts]
    return torch.cat([x.mean(2) for x in parts]).cpu(), torch.cat(second).cpu()


def _moments(mean: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of a pixel's colours, over images."""
    center = mean.mean(0)
    return center, second.mean(0) - torch.outer(center, center)


def _color_distance(found: tuple[Tensor, Tensor], known: ImageReference) -> float:
    (m1, c1), (m2, c2) = found, _moments(*known.pixels)
    root = _root(c1)
    squared = (m1 - m2).square().sum() + torch.trace(c1 + c2 - 2 * _root(root @ c2 @ root))
    return 127.5 * float(squared.clamp_min(0).sqrt())


def _root(matrix: Tensor) -> Tensor:
    """Return the square root of a symmetric, positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T
