"""Class labels and guidance by the words of a command line."""

import argparse
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.cli.numbers import finite
from rgdiff_core.cli.options import accelerated, to_device
from rgdiff_core.denoisers import (
    Denoiser,
    GuidanceCurve,
    Interval,
    NetworkDenoiser,
    free_theory,
    guided,
)
from rgdiff_core.denoisers.guidance import FREE, NULL, as_typed, in_basis
from rgdiff_core.training.models import open_model

__all__ = [
    "Guidance",
    "class_numbers",
    "guidance_from",
    "guidance_options",
    "open_guide",
    "strength",
]


@dataclass(frozen=True, eq=False)
class Guidance:
    """What samples are led to, and how.

    Attributes:
        classes: numbers of classes, which the samples take in turn; none for any class.
        scale: as of `denoisers.guided`.
        interval: as of `denoisers.guided`.
        reference: as there, None for the null label.
    """

    classes: tuple[int, ...] = ()
    scale: float | GuidanceCurve = 1.0
    interval: Interval | None = None
    reference: Denoiser | None = None

    def labels(self, start: int, n: int) -> Tensor | None:
        """Return the class labels (n,) of samples from number `start` on, None for any class."""
        if not self.classes:
            return None
        known = torch.tensor(self.classes)
        return known[torch.arange(start, start + n) % len(known)]

    def of(self, model: Denoiser, start: int, n: int) -> Denoiser:
        """Return the guided model of n samples, from number `start` on."""
        return guided(model, self.labels(start, n), self.scale, self.interval, self.reference)


def guidance_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of classes and guidance."""
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="NAME[,…]",
        help="draw fields of a class, by its name or number; of several in turn",
    )
    parser.add_argument(
        "--guidance",
        type=strength,
        metavar="S[,…]",
        help="guide by u + S (model − u), u being the guide; 1 is off (default), 1.5 to 3 usual; "
        "several for scales from coarse to fine, evenly spaced, with a smooth curve between them",
    )
    parser.add_argument(
        "--guidance-interval",
        type=finite,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="guide only where the log-SNR is in it (default: everywhere)",
    )
    parser.add_argument(
        "--guide",
        metavar="GUIDE",
        help=f"{NULL}: the model without the class (default); {FREE}: the free theory, which "
        "costs no time and needs no class; or a weaker MODEL of the same data, without the class, "
        "as RUN/checkpoint/snapshot-1-16.safetensors or -1-8",
    )


def strength(text: str) -> float | GuidanceCurve:
    """Return a guidance scale, or a curve through several with commas between."""
    values = tuple(finite(word.strip()) for word in text.split(","))
    if len(values) == 1:
        return values[0]
    places = tuple(place / (len(values) - 1) for place in range(len(values)))
    try:
        return GuidanceCurve(places, values)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def guidance_from(chosen: argparse.Namespace, model: NetworkDenoiser) -> Guidance:
    """Return the guidance that the options name.

    Raises a one-line `ValueError` for classes that do not exist, for guidance by the null
    label without classes, for a guide or an interval without a scale, and for a guide in another
    basis.
    """
    given = chosen.classes is not None
    classes = class_numbers(chosen.classes, model.class_names) if given else ()
    scale, guide = chosen.guidance, NULL if chosen.guide is None else chosen.guide
    if scale is None and (chosen.guide is not None or chosen.guidance_interval):
        raise ValueError("a guide and its interval need a scale: add --guidance S.")
    scale = 1.0 if scale is None else scale
    if scale != 1 and guide == NULL and not classes:
        raise ValueError(
            f"guidance = {as_typed(scale)} by the null label needs a class: add --class NAME, or "
            f"--guide {FREE}."
        )
    interval = None if chosen.guidance_interval is None else tuple(chosen.guidance_interval)
    found = Guidance(classes, scale, interval, _reference(guide, chosen, model))
    found.of(model, 0, 1)  # refuses what is out of range before anything is drawn
    return found


def class_numbers(text: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the numbers of classes that are given by name or number, with commas between.

    Raises `ValueError` for one that does not exist.
    """
    if not names:
        raise ValueError(f"class = {text!r}, but this model has no classes.")
    return tuple(_number(word.strip(), names) for word in text.split(","))


def _number(word: str, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word)
    if word.isascii() and word.isdigit() and int(word) < len(names):
        return int(word)
    raise ValueError(
        f"{word!r} is not a class of this model: its classes are {', '.join(names)}, or their "
        f"numbers 0 to {len(names) - 1}."
    )


def _reference(guide: str, chosen: argparse.Namespace, model: NetworkDenoiser) -> Denoiser | None:
    if guide == NULL:
        return None
    if guide == FREE:
        return free_theory(model)
    return accelerated(open_guide(guide, model, chosen.device), chosen.precision, chosen.compile)


def open_guide(name: str, model: Denoiser, device: str = "cpu") -> NetworkDenoiser:
    """Return the guide of a name or file; one along a line of theories at the model's couplings.

    Raises a one-line `ValueError` where there is none, and for one of other data.
    """
    guide = to_device(open_model(name), device)
    if guide.line is not None and model.couplings is not None:
        guide = guide.at(*model.couplings)
    in_basis(guide, model.basis)  # refuses one of other data
    return guide
