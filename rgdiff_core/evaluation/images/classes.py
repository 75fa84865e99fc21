"""Whether a classifier assigns samples to the class that was requested."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import seeded
from rgdiff_core.evaluation.features.network import Classifier
from rgdiff_core.evaluation.images.samples import draw_images
from rgdiff_core.process import Process
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate

__all__ = ["ClassAgreement", "class_agreement", "named", "recognized"]


@dataclass(frozen=True)
class ClassAgreement:
    """How many samples are of the class that was requested.

    Attributes:
        guidance: the scale s, 1 for none.
        n: samples, the classes in turn.
        share: of those whose class the classifier names, with its standard error.
    """

    guidance: float
    n: int
    share: Estimate


def named(
    classifier: Classifier, images: Tensor, labels: Tensor, batch_size: int = 500
) -> Estimate:
    """Return the share of images (N, 3, 32, 32) in [-1, 1] whose label (N,) a classifier names."""
    return Estimate.of(recognized(classifier, images, labels, batch_size).double())


@torch.inference_mode()
def recognized(
    classifier: Classifier, images: Tensor, labels: Tensor, batch_size: int = 500
) -> Tensor:
    """Return of which images (N, 3, 32, 32) in [-1, 1] a classifier names the label (N,), (N,)."""
    place = next(classifier.parameters()).device
    right = [
        classifier.logits(x.to(place)).argmax(1).cpu() == y.cpu()
        for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True)
    ]
    return torch.cat(right)


def class_agreement(
    model: Denoiser,
    process: Process,
    classifier: Classifier,
    guidance: Sequence[float] = (1.0, 2.0),
    n: int = 200,
    steps: int = 16,
    seed: int = 0,
    *,
    method: str | None = None,
    batch_size: int = 100,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ClassAgreement, ...]:
    """Sample every class in turn, at several guidance scales with the same noise, and classify.

    Arguments:
        model: with classes, those of the classifier.
        guidance: scales s of u + s (c − u).
        n: samples at each of them, at least 2.
        steps: of the sampler.
        method: of the sampler; default: the usual one of the process.
        batch_size: images at once.
        progress: called with (scales completed, total); it may raise to cancel.

    Raises `ValueError` for a model without classes, or with others than the classifier's.
    """
    check_whole("n", n, 2, 1_000_000)
    _check_classes(model, classifier)
    labels, found = torch.arange(n) % classifier.classes, []
    for scale in guidance:
        grey = draw_images(
            model,
            process,
            n,
            steps,
            method,
            seeded(process.noise_variance.device, seed),
            batch_size=batch_size,
            class_labels=labels,
            guidance_scale=scale,
        )
        share = named(classifier, grey.float() / 127.5 - 1, labels)
        found.append(ClassAgreement(scale, n, share))
        if progress is not None:
            progress(len(found), len(guidance))
    return tuple(found)


def _check_classes(model: Denoiser, classifier: Classifier) -> None:
    """Raise `ValueError` unless the classes are alike: their number and, where both are known,
    their names.
    """
    if model.num_classes != classifier.classes:
        raise ValueError(
            f"the model has {model.num_classes} classes, the classifier {classifier.classes}."
        )
    if not classifier.class_names:
        return
    for number, pair in enumerate(zip(model.class_names, classifier.class_names, strict=True)):
        if pair[0] != pair[1]:
            raise ValueError(
                f"class {number} of the model is {pair[0]!r}, that of the classifier {pair[1]!r}."
            )
