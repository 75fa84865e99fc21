"""The user's own sets in the cache: written whole or not at all, listed, read, deleted."""

import hashlib
import os
import re
import tempfile
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rgdiff_core.data import quota, store
from rgdiff_core.data.records import BUILT_IN, DataUnavailable, ImageSet, Record
from rgdiff_core.files.untrusted import Refused

__all__ = ["Kept", "Sorted", "delete", "describe", "keep", "load_own", "names", "slug"]

HELD_OUT = 10
"""Every tenth image is the test split, where there are at least twice as many."""

BLOCK = 256
"""Images that are moved at once."""

MAX_NAME = 48
GENERATED = r"(lattice|fields)-[0-9a-f]{12}"
"""What ensembles and generated fields are called."""


@dataclass(frozen=True)
class OwnInfo:
    """Shape (C, H, W) and description of a user's set."""

    shape: tuple[int, int, int]
    description: str


@dataclass(frozen=True, eq=False)
class Sorted:
    """What was read of somebody's files.

    Attributes:
        images: (N, C, H, H), uint8, or float32 in [-1, 1]; `keep` moves them about in place.
        labels: (N,) int64, or None.
        notes: What a person should know of how they were read, a sentence each.
    """

    images: np.ndarray
    labels: np.ndarray | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """A set that was registered.

    Attributes:
        name: What `load` is given.
        images: How many there are, both splits together.
        notes: What a person should know of how they were read, a sentence each.
        replaced: Whether an older set of that name is gone.
    """

    name: str
    images: int
    notes: tuple[str, ...]
    replaced: bool


def keep(name: str, found: Sorted) -> Kept:
    """Put a set into the cache, in place of an older one of that name.

    Raises:
        ValueError: For a name that cannot be used, or when the quota is passed.
        OSError: When it cannot be written; an older set is then untouched.
    """
    short, count = slug(name), len(found.images)
    quota.check(found.images.nbytes, short)
    source = " ".join(
        (f"{count} images of the user's own, registered as “{short}”.", *found.notes)
    )
    held = np.zeros(count, dtype=bool)
    if count >= 2 * HELD_OUT:
        held[HELD_OUT - 1 :: HELD_OUT] = True
    _home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=_home()) as room:
        fresh = Path(room) / short
        if held.any():
            store.write(fresh, "test", _record(found.images[held], found.labels, held, source))
        train = _gathered(found.images, np.flatnonzero(~held))
        store.write(fresh, "train", _record(train, found.labels, ~held, source))
        replaced = _move(fresh, _home() / short, Path(room))
    return Kept(short, count, found.notes, replaced)


def slug(name: str) -> str:
    """Return the name under which a set is kept: lower-case letters, digits and hyphens.

    Where letters are lost by that, or the name is cut, some digits of its digest tell it from
    others.

    Raises:
        ValueError: When it has no letter or digit, or belongs to a set of the product.
    """
    parts = unicodedata.normalize("NFKD", name.lower())
    plain = "".join(each for each in parts if not unicodedata.combining(each))
    known = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    letters = sum(each.isalnum() for each in plain)
    if not letters:
        raise Refused(f"name = {name[:MAX_NAME]!r} has no letter or digit.")
    if len(known) > MAX_NAME or letters > len(known.replace("-", "")):
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        known = f"{known[: MAX_NAME - 9].strip('-')}-{digest}".strip("-")
    if known in BUILT_IN:
        raise Refused(f"name = {known!r} belongs to a set that comes with rgdiff.")
    if re.fullmatch(GENERATED, known):
        raise Refused(f"name = {known!r} is that of an ensemble or of generated fields.")
    return known


def names() -> list[str]:
    """List the user's own sets."""
    return sorted(path.parent.name for path in _home().glob("[!.]*/train.json"))


def describe(name: str) -> OwnInfo:
    """Return shape and description of a user's set, reading one image."""
    try:
        record = store.read(_home() / name, "train", 1)
    except (store.CorruptCache, FileNotFoundError):
        return OwnInfo((1, 0, 0), "Damaged in the cache; register it again.")
    channels, height, width = record.images.shape[1:]
    return OwnInfo((channels, height, width), record.source)


def load_own(name: str, split: str, limit: int | None) -> ImageSet:
    """Load a user's set.

    Raises:
        ValueError: When it is too small to have a test split.
        DataUnavailable: When its copy in the cache is damaged.
    """
    try:
        return store.read(_home() / name, split, limit).image_set(name)
    except FileNotFoundError as error:
        raise ValueError(
            f"{name!r} has fewer than {2 * HELD_OUT} images and therefore no {split} split."
        ) from error
    except store.CorruptCache as error:
        raise DataUnavailable(
            f"The copy of {name!r} in the cache is damaged; register it again."
        ) from error


def delete(name: str) -> None:
    """Delete a user's set.

    Raises:
        ValueError: When there is none of that name.
        OSError: When it cannot be deleted.
    """
    if name not in names():
        raise ValueError(f"{name!r} is not one of your own data sets.")
    with tempfile.TemporaryDirectory(prefix=".old-", dir=_home()) as room:
        os.rename(_home() / name, Path(room) / name)


def _home() -> Path:
    return store.cache_folder() / "own"


def _record(
    images: np.ndarray, labels: np.ndarray | None, chosen: np.ndarray, source: str
) -> Record:
    return Record(images, None if labels is None else labels[chosen], source)


def _gathered(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Move some rows, in ascending order, to the front and return them, without a copy of all."""
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        images[start : start + len(some)] = images[some]
    return images[: len(rows)]


def _move(fresh: Path, home: Path, room: Path) -> bool:
    """Put a folder in the place of another, which goes into `room`; say whether there was one."""
    replaced = False
    while True:
        with suppress(FileNotFoundError):
            os.rename(home, tempfile.mkdtemp(dir=room) + "/old")
            replaced = True
        try:
            os.rename(fresh, home)
            return replaced
        except OSError:
            if not home.is_dir():  # else another was faster
                raise
