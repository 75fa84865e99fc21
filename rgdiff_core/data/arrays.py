"""Images and labels in .npz and .npy files, by the names that are usual."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from rgdiff_core.data.pictures import ROUNDING, check_range, check_side
from rgdiff_core.files.untrusted import (
    VARIABLE,
    Header,
    Refused,
    listed,
    max_bytes,
    mib,
    open_npz,
    read_npy,
)

__all__ = ["MAX_IMAGES", "SUFFIXES", "Arrays", "ChooseArray", "read"]

SUFFIXES = (".npz", ".npy")
MAX_IMAGES = 100_000

IMAGES = ("x", "data", "arr_0")
"""What images are called, beside `images` and names that have `train` in them."""

LABELS = ("labels", "label", "targets", "target", "y", "classes")

CHANNELS = (1, 3)
BLOCK = 256
"""Images whose channels are moved at once."""


class ChooseArray(Refused):
    """A file holds several arrays that could be the images.

    Attributes:
        arrays: Their names.
    """

    def __init__(self, message: str, arrays: Iterable[str]) -> None:
        super().__init__(message)
        self.arrays = tuple(arrays)


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images and labels of one file.

    Attributes:
        images: (N, 1 or 3, H, H), uint8, or float32 in [-1, 1].
        labels: (N,) int64, or None.
        notes: What a person should know of how they were read, a sentence each.
    """

    images: np.ndarray
    labels: np.ndarray | None
    notes: tuple[str, ...]


def read(
    name: str, file: Path | IO[bytes], size: int | None = None, chosen: str | None = None
) -> Arrays:
    """Read images, and labels where there are some, from a .npz or .npy file.

    Arguments:
        name: What the sentences call the file; its ending says what it is.
        file: Its path or content.
        size: The side that the images must have; by default any even one that is allowed.
        chosen: The array of images in a .npz file; by default the one called `images`, the only
            one with `train` in its name, one called x, data or arr_0, or the only one that
            could be meant.

    Raises:
        ChooseArray: When several arrays could be meant.
        Refused: When the file cannot be read or holds no images; the message lists what it holds.
    """
    if name.lower().endswith(".npy"):
        if chosen is not None:
            raise Refused(f"{name} holds one array, which has no name; {chosen!r} is not in it.")
        images = read_npy(file, name)
        _check(name, Header(images.shape, images.dtype), size)
        images, note = _brought(name, images)
        return Arrays(images, None, note)
    with open_npz(file, name) as opened:
        key = _images_key(name, opened.headers, chosen)
        _check(name, opened.headers[key], size)
        partner = _labels_key(key, opened.headers)
        opened.check([key] if partner is None else [key, partner])
        labels = None if partner is None else _whole(opened.read(partner))
        images, note = _brought(name, opened.read(key))
    if len(opened.headers) > 1:
        taken = None if labels is None else partner
        note = (_origin(key, taken, opened.headers), *note)
    return Arrays(images, labels, note)


def _images_key(name: str, headers: Mapping[str, Header], chosen: str | None) -> str:
    """Return the name of the array of images."""
    held = listed([f"{key} {header.shape} {header.dtype}" for key, header in headers.items()])
    if not headers:
        raise Refused(f"{name} holds no array.")
    if chosen is not None:
        if chosen not in headers:
            raise Refused(f"{name} holds no array called {chosen!r}; it holds {held}.")
        return chosen
    if "images" in headers or len(headers) == 1:
        return "images" if "images" in headers else next(iter(headers))
    fit = [key for key, header in headers.items() if _fits(header)]
    train = [key for key in fit if "train" in key.lower()]
    usual = [key for known in IMAGES for key in fit if key.lower() == known]
    for found in (train, fit):
        if len(found) == 1:
            return found[0]
    if usual and not train:
        return usual[0]
    if not fit:
        raise Refused(
            f"{name} holds {held}, none of them images: (N, H, H), (N, H, H, C) or (N, C, H, H) "
            "with C = 1 or 3, uint8 or floats."
        )
    raise ChooseArray(f"{name} holds {held}; say which of them are the images.", fit)


def _labels_key(images: str, headers: Mapping[str, Header]) -> str | None:
    """Return the name of the array that holds the labels of the images, None where none does."""
    count = headers[images].shape[0]
    fit = {
        key: header.dtype.kind
        for key, header in headers.items()
        if key != images and header.shape in ((count,), (count, 1)) and header.dtype.kind in "iubf"
    }
    partners = _partners(images.lower())
    for wanted in (partners, LABELS):
        for key in (key for label in wanted for key in fit if key.lower() == label):
            return key
    whole = [
        key
        for key, kind in fit.items()
        if kind in "iub" and not re.search("test|val|index|idx|id$", key.lower())
    ]
    return whole[0] if len(whole) == 1 else None


def _partners(images: str) -> list[str]:
    """Return what labels are called beside images of a name: `y_train` beside `x_train`."""
    number = re.fullmatch(r"(.*?)(\d+)", images)
    following = [f"{number[1]}{int(number[2]) + 1}"] if number else []
    stems = re.findall(r"images?|imgs?|data|(?<![a-z])x(?![a-z])", images)
    return [images.replace(stem, label) for stem in stems for label in LABELS] + following


def _origin(images: str, labels: str | None, headers: Mapping[str, Header]) -> str:
    """Return a sentence that says which arrays were read and which were not."""
    taken = "without labels" if labels is None else f"labels from {labels}"
    left = [key for key in headers if key not in (images, labels)]
    return f"Images from {images}, {taken}{f'; left out: {listed(left)}' if left else ''}."


def _fits(header: Header) -> bool:
    """Say whether an array could be one of images."""
    shape = _channels_first_shape(header.shape)
    return (
        len(shape) == 4
        and shape[1] in CHANNELS
        and shape[2] == shape[3]
        and (header.dtype == np.uint8 or header.dtype.kind == "f")
    )


def _check(name: str, header: Header, size: int | None) -> None:
    """Refuse what are no images, or too many, before they are read."""
    shape, dtype = _channels_first_shape(header.shape), header.dtype
    if dtype.hasobject:
        raise Refused(f"{name} holds Python objects; uint8 or floats are allowed.")
    unpacked = header.nbytes
    if dtype.kind == "f" and dtype != np.float32:
        unpacked += 4 * math.prod(shape)  # of the copy in float32
    if (shape and shape[0] > MAX_IMAGES) or unpacked > max_bytes():
        raise Refused(
            f"{name} holds an array of shape {header.shape}; at most {MAX_IMAGES} images and "
            f"{mib(max_bytes())} are allowed ({VARIABLE})."
        )
    if len(shape) != 4 or shape[1] not in CHANNELS or shape[0] == 0:
        raise Refused(
            f"{name} holds an array of shape {shape}; allowed are (N, H, W), (N, H, W, C) "
            "and (N, C, H, W) with N at least 1 and C = 1 or 3."
        )
    if shape[2] != shape[3]:
        raise Refused(f"{name} holds images of {shape[2]}×{shape[3]}; they must be square.")
    side = check_side(shape[3])
    if size is not None and size != side:
        raise Refused(f"{name} holds arrays of {side}×{side}; size = {size} differs.")
    if dtype != np.uint8 and dtype.kind != "f":
        raise Refused(f"{name} has dtype {dtype}; uint8 or floats are allowed.")


def _channels_first_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) == 3:
        return (shape[0], 1, *shape[1:])
    if len(shape) == 4 and shape[3] in CHANNELS:
        return (shape[0], shape[3], shape[1], shape[2])
    return shape


def _brought(name: str, array: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Bring images into (N, C, H, H), floats into [-1, 1], in place; with what to say of it."""
    images = _channels_first(np.ascontiguousarray(array))
    if images.dtype == np.uint8:
        return images, ()
    low, high = float(images.min()), float(images.max())
    check_range(name, low, high)
    images = images.astype(np.float32, copy=False)
    signed = low < -ROUNDING
    if not signed:
        images *= 2
        images -= 1
    np.clip(images, -1, 1, out=images)
    return images, (f"Floats from {-1 if signed else 0} (black) to 1 (white).",)


def _channels_first(images: np.ndarray) -> np.ndarray:
    """Move the channels of (N, H, H, C) to the front, without a copy of all images."""
    shape = _channels_first_shape(images.shape)
    if images.ndim == 4 and shape != images.shape and shape[1] > 1:
        rows = images.reshape(len(images), -1)
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            rows[start : start + BLOCK] = block.transpose(0, 3, 1, 2).reshape(len(block), -1)
    return images.reshape(shape)


def _whole(labels: np.ndarray) -> np.ndarray | None:
    """Return labels as (N,) int64, None where they are no whole numbers of at least 0."""
    flat = labels.reshape(-1)
    if not (np.isfinite(flat) & (flat >= 0) & (flat < 2**31)).all() or (flat % 1).any():
        return None
    return flat.astype(np.int64)
