"""All numbers of a model of images with a process, in one call."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core import data
from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers import Denoiser, NetworkDenoiser
from rgdiff_core.devices import seeded
from rgdiff_core.evaluation.features import extract, load_features
from rgdiff_core.evaluation.images.bound import flow_bits, image_bound
from rgdiff_core.evaluation.images.bound_decoder import is_grey
from rgdiff_core.evaluation.images.samples import (
    GROUPS,
    Features,
    SampleQuality,
    compare_images,
    draw_images,
    image_reference,
    spectrum_ratio,
)
from rgdiff_core.process import Process
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.sampling.loop import usual_method
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import check_whole
from rgdiff_core.spectra.power import Spectrum
from rgdiff_core.statistics import Estimate

__all__ = ["ImageReport", "SampleMetrics", "evaluate_images", "feature_networks"]

FLOW_STEPS = 24
Progress = Callable[[str, int, int], None] | None


@dataclass(frozen=True)
class SampleMetrics:
    """A `SampleQuality` without tensors.

    Attributes:
        scale: |k|/max |k| of each shell of the spectrum.
        relative: P/P_data − 1 in each shell.
        error: standard error of `relative`.
    """

    n: int
    spectrum_error: Estimate
    sharpness: Estimate
    color_error: Estimate
    frechet: Mapping[str, Estimate]
    kernel: Mapping[str, Estimate]
    scale: tuple[float, ...]
    relative: tuple[float, ...]
    error: tuple[float, ...]


@dataclass(frozen=True)
class ImageReport:
    """How good a model of images is.

    Attributes:
        data: name of the data set.
        bits: bits per dimension of held-out images, a bound; see `image_bound`. Of a model with
            classes, for any class.
        free_bits: the same of the free theory, exact.
        images: how many held-out ones.
        levels_per_image: noise levels.
        flow_bits: of the probability flow, None if not requested.
        gain: by scale and data log-SNR, as in `ImageBound`; None where nothing passes.
        left: likewise.
        steps: of the sampler.
        method: its name.
        grid: its times.
        samples: against held-out images.
        floor: training images, as many, in the place of samples.
        seconds: by part.
        class_bits: as `bits`, given the images' class labels; None where the model or the data
            have none.
        class_flow_bits: as `flow_bits`, likewise.
        num_classes: that the samples take in turn, 0 for a model without classes.
        decoded_bits: as `bits`, with grey values that are decoded instead of dequantized; None
            where the images hold other values.
        free_decoded_bits: the same of the free theory, a bound as well.
    """

    data: str
    bits: Estimate
    free_bits: Estimate
    images: int
    levels_per_image: int
    flow_bits: Estimate | None
    gain: tuple[tuple[float | None, ...], ...]
    left: tuple[tuple[float | None, ...], ...]
    steps: int
    method: str
    grid: Grid
    samples: SampleMetrics | None
    floor: SampleMetrics | None
    seconds: Mapping[str, float]
    class_bits: Estimate | None = None
    class_flow_bits: Estimate | None = None
    num_classes: int = 0
    decoded_bits: Estimate | None = None
    free_decoded_bits: Estimate | None = None


def feature_networks(
    names: Sequence[str], shape: tuple[int, ...], device: torch.device | str
) -> dict[str, Features]:
    """Return what makes features of images of a shape, by name: of the networks of these names
    those that there are, none where images are not 3×32×32.
    """
    found: dict[str, Features] = {}
    for name in names if tuple(shape) == (3, 32, 32) else ():
        try:
            network = load_features(name, device)
        except (ValueError, OSError):
            continue
        found[name] = lambda x, network=network: extract(network, x)
    return found


def evaluate_images(
    model: Denoiser,
    process: Process,
    name: str,
    n: int = 256,
    steps: int = 25,
    seed: int = 0,
    *,
    images: int = 256,
    levels_per_image: int = 8,
    flow: int = 0,
    method: str | None = None,
    grid: Grid = "logsnr",
    features: Sequence[str] = ("cifar10",),
    batch_size: int = 100,
    progress: Progress = None,
) -> ImageReport:
    """Evaluate a model of images in [−1, 1], taken for 8-bit ones.

    A model with classes is evaluated for any class, and given the labels of the data where their
    classes have the same names; its samples take the classes in turn.

    Arguments:
        model: in the process' basis.
        name: of the data set.
        n: samples, at least 20, or 0 for none.
        steps: of the sampler.
        seed: of everything random.
        images: how many held-out ones, at least 2.
        levels_per_image: noise levels, a divisor of 1024.
        flow: held-out images for the probability flow, 0 for none.
        method: as in `sample`; by default DPM-Solver++(2M), and the shell sampler for a schedule
            that jumps.
        grid: as in `sample`.
        features: networks whose features are compared; those that are missing are left out.
        batch_size: images at once.
        progress: called with (stage, completed, total); it may raise to cancel.

    Raises `ValueError` for a value outside its range, a lattice, and images of another shape.
    """
    check_whole("images", images, 2, 1_000_000)
    check_whole("flow", flow, 0, 1_000_000)
    if n and n < 2 * GROUPS:
        raise ValueError(f"n = {n} is neither 0 nor at least {2 * GROUPS}.")
    test = _checked(name, model)
    x = test.images[:images]
    started = time.perf_counter()
    seconds: dict[str, float] = {}

    def lap(part: str) -> None:
        seconds[part] = round(time.perf_counter() - started - sum(seconds.values()), 3)

    def progress_of(what: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress(what, done, total)

        return tell

    labels = _labels(model, test, images)
    bound = image_bound(
        model,
        process,
        x,
        levels_per_image,
        seed,
        batch_size=batch_size,
        progress=progress_of("bound"),
    )
    decoded = None
    if is_grey(x, 256):
        decoded = image_bound(
            model,
            process,
            x,
            levels_per_image,
            seed,
            decoded=True,
            batch_size=batch_size,
            progress=progress_of("bound, decoded"),
        )
    lap("bound")
    flowed = (
        _flow(model, process, x[:flow], seed, batch_size, progress_of("flow")) if flow else None
    )
    lap("flow")
    by_class = class_flowed = None
    if labels is not None:
        what = progress_of("bound, by class")
        by_class = image_bound(
            model,
            process,
            x,
            levels_per_image,
            seed,
            batch_size=batch_size,
            progress=what,
            class_labels=labels,
        ).estimate
        if flow:
            what = progress_of("flow, by class")
            class_flowed = _flow(model, process, x[:flow], seed, batch_size, what, labels[:flow])
        lap("by class")
    method = method or usual_method(process)
    samples = floor = None
    if n:
        device = process.noise_variance.device
        networks = feature_networks(features, x.shape[1:], device)
        known = image_reference(test.images.to(device), networks)
        generator = seeded(device, fold_in(seed, 7))
        grey = draw_images(
            model,
            process,
            n,
            steps,
            method,
            generator,
            grid=grid,
            batch_size=batch_size,
            progress=progress_of("samples"),
            class_labels=torch.arange(n) % model.num_classes if model.num_classes else None,
        )
        samples = _judged(compare_images(grey, known), known.spectrum)
        real = data.load(name).images
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(real), generator=generator)[:n]
        if len(chosen) >= 2 * GROUPS:
            grey = ((real[chosen] + 1) * 127.5).round().to(torch.uint8)
            floor = _judged(compare_images(grey, known), known.spectrum)
    lap("samples")
    return ImageReport(
        data=name,
        bits=bound.estimate,
        free_bits=Estimate.of(bound.free),
        images=len(bound.bits),
        levels_per_image=levels_per_image,
        flow_bits=flowed,
        gain=_table(bound.gain),
        left=_table(bound.left),
        steps=steps,
        method=method,
        grid=grid,
        samples=samples,
        floor=floor,
        seconds=seconds,
        class_bits=by_class,
        class_flow_bits=class_flowed,
        num_classes=model.num_classes,
        decoded_bits=decoded and decoded.estimate,
        free_decoded_bits=decoded and Estimate.of(decoded.free),
    )


def _labels(model: Denoiser, test: ImageSet, images: int) -> Tensor | None:
    """Return the labels of held-out images, None where they are not those of the model."""
    if test.labels is None or not model.num_classes:
        return None
    labels = test.labels[:images]
    return labels if test.class_names == model.class_names else None


def _checked(name: str, model: Denoiser) -> ImageSet:
    """Return the test split; raises `ValueError` unless it is one of images of the model's
    shape.
    """
    if data.field_set_of(name) is not None:
        raise ValueError(
            f"{name} holds lattice fields of another theory than φ⁴: there is no action here to "
            "judge a model by, and they have no grey values."
        )
    if data.is_lattice(name):
        raise ValueError(f"{name} is a lattice, not a set of images: use evaluate_lattice.")
    test = data.load(name, "test")
    if (test.low, test.high) != (-1.0, 1.0):
        raise ValueError(f"{name} has values from {test.low:g} to {test.high:g}, no grey values.")
    if len(test.images) < 2:
        raise ValueError(f"{len(test.images)} image has no error; at least 2 are needed.")
    shape = tuple(test.images.shape[1:])
    if shape != model.basis.shape:
        raise ValueError(
            f"the images of {name} have shape {shape}, those of the model {model.basis.shape}."
        )
    return test


def _flow(
    model: Denoiser,
    process: Process,
    x: Tensor,
    seed: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
    class_labels: Tensor | None = None,
) -> Estimate:
    kept = model.autocast if isinstance(model, NetworkDenoiser) else None
    if isinstance(model, NetworkDenoiser):
        model.autocast = None  # the divergence asks for all digits
    try:
        found = flow_bits(
            model,
            process,
            x,
            FLOW_STEPS,
            seed,
            batch_size=batch_size,
            progress=progress,
            class_labels=class_labels,
        )
    finally:
        if isinstance(model, NetworkDenoiser):
            model.autocast = kept
    return Estimate.of(found)


def _judged(found: SampleQuality, known: Spectrum) -> SampleMetrics:
    scale, relative, error = spectrum_ratio(found.spectrum, known)
    return SampleMetrics(
        found.n,
        found.spectrum_error,
        found.sharpness,
        found.color_error,
        found.frechet,
        found.kernel,
        tuple(scale),
        tuple(relative),
        tuple(error),
    )


def _table(values: Tensor) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(x if x == x else None for x in row) for row in values.tolist())
