"""The user's own images: folders, pictures and arrays, copied into the cache under a name."""

import io
import logging
from collections.abc import Mapping, Sequence
from itertools import product
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from rgdiff_core.data import arrays, pictures
from rgdiff_core.data.own import Kept, Sorted, keep, load_own
from rgdiff_core.data.pictures import check_side
from rgdiff_core.data.records import ImageSet
from rgdiff_core.data.stack import Stack, TooMany
from rgdiff_core.files.untrusted import Refused, listed

__all__ = ["BadFiles", "keep_folder", "keep_upload", "register_folder", "register_upload"]

DEFAULT_SIZE = 32
PARTS = 4
"""Parts of a single picture in each direction."""

logger = logging.getLogger(__name__)

Files = Sequence[tuple[str, Path | IO[bytes]]]
"""Names, with slashes between folders, and paths or contents."""


class BadFiles(Refused):
    """Some of several pictures cannot be read.

    Attributes:
        bad: Their names.
        good: How many others can.
    """

    def __init__(self, message: str, bad: Sequence[str], good: int) -> None:
        super().__init__(message)
        self.bad, self.good = tuple(bad), good


def register_folder(
    path: str | Path,
    name: str | None = None,
    size: int | None = None,
    *,
    array: str | None = None,
    skip_bad: bool = False,
) -> ImageSet:
    """Make the user's own images a data set that `load` knows, in this session and later ones.

    A copy is kept in the cache. Pictures in a folder (and in its subfolders) are turned upright,
    cropped to the central square and resized; they are grey only when all of them are; every
    frame of a file is an image; of two or more folders the names are the labels, in their
    order. A .npz or .npy file holds (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3,
    uint8 or floats in [0, 1] or [-1, 1], H = W even; labels beside them are kept. Of 20 images or
    more every tenth is held out as the test split.

    Arguments:
        path: A folder of pictures, one picture, or a .npz or .npy file.
        name: What `load` will be given, made of lower-case letters, digits and hyphens
            (anything else becomes a hyphen); by default the name of the folder or file. An
            older set of the user's by that name is replaced, which is logged.
        size: Side of the square images, even, 4 to 256; 32 by default for pictures, and for
            arrays their own.
        array: The array of images in a .npz file, where it does not follow from the names.
        skip_bad: Go on without the pictures that cannot be read; `ImageSet.source` says which.

    Returns:
        The training split.

    Raises:
        BadFiles: When some of several pictures cannot be read; the sentence names them.
        ChooseArray: When several arrays of a file could be the images.
        ValueError: When there is no image, or a limit is passed; the sentence names the file.
        OSError: When the copy cannot be written; an older set is then untouched.
    """
    return _loaded(keep_folder(path, name, size, array=array, skip_bad=skip_bad))


def register_upload(
    name: str,
    files: Mapping[str, bytes] | Sequence[tuple[str, bytes]],
    size: int | None = None,
    *,
    array: str | None = None,
    skip_bad: bool = False,
) -> ImageSet:
    """Make uploaded files a data set; as `register_folder`, with contents instead of a path.

    Arguments:
        name: What `load` will be given; see `register_folder`.
        files: File names and contents: pictures, several of which may have one name, or one
            .npz or .npy file. Where names have folders, these are the labels.
        size: See `register_folder`.
        array: See `register_folder`.
        skip_bad: See `register_folder`.

    Raises:
        ValueError: As `register_folder`.
        OSError: As `register_folder`.
    """
    return _loaded(keep_upload(name, files, size, array=array, skip_bad=skip_bad))


def keep_folder(
    path: str | Path,
    name: str | None = None,
    size: int | None = None,
    *,
    array: str | None = None,
    skip_bad: bool = False,
) -> Kept:
    """Do what `register_folder` does and return what is to be said of it, without the images."""
    place = Path(path).expanduser()
    if place.is_dir():
        files = [
            (f"{place.resolve().name}/{each.relative_to(place).as_posix()}", each)
            for each in sorted(place.rglob("*"))
            if each.is_file() and not each.name.startswith(".")
        ]
        if not any(_is_picture(file) for file, _ in files):
            raise Refused(f"{place} holds no image file ({', '.join(pictures.SUFFIXES)}).")
        title = place.resolve().name
    elif place.is_file() and place.suffix.lower() in (*arrays.SUFFIXES, *pictures.SUFFIXES):
        files, title = [(place.name, place)], place.stem
    elif place.exists():
        raise Refused(
            f"{place} is neither a folder nor a .npz file, a .npy file or a picture "
            f"({', '.join(pictures.SUFFIXES)})."
        )
    else:
        raise Refused(f"{place} does not exist.")
    return keep(title if name is None else name, _sorted(files, size, array, skip_bad))


def keep_upload(
    name: str,
    files: Mapping[str, bytes] | Sequence[tuple[str, bytes]],
    size: int | None = None,
    *,
    array: str | None = None,
    skip_bad: bool = False,
    parts: bool = False,
) -> Kept:
    """Do what `register_upload` does and return what is to be said of it, without the images.

    Arguments:
        parts: Whether a single picture is kept together with overlapping parts of it, since a
            spectrum takes several images, and images without variance are refused.
    """
    pairs = list(files.items()) if isinstance(files, Mapping) else files
    opened = sorted(((file, io.BytesIO(content)) for file, content in pairs), key=itemgetter(0))
    held = [file for file, _ in opened if _is_array(file)]
    if held and len(opened) > 1:
        ending = PurePosixPath(held[0]).suffix
        raise Refused(f"{held[0]} is one of {len(opened)} files; a {ending} file comes alone.")
    if not held and not any(_is_picture(file) for file, _ in opened):
        raise Refused(
            f"no image file ({', '.join(pictures.SUFFIXES)}), .npz or .npy was uploaded."
        )
    found = _sorted(opened, size, array, skip_bad)
    if parts:
        found = _with_parts(found, opened)
        if (found.images == found.images[:1]).all():
            raise Refused(f"{opened[0][0]}: all images are equal, so that they have no spectrum.")
    return keep(name, found)


def _loaded(kept: Kept) -> ImageSet:
    if kept.replaced:
        logger.warning("An older set called %r was replaced.", kept.name)
    return load_own(kept.name, "train", None)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(pictures.SUFFIXES) and not _is_hidden(name)


def _is_array(name: str) -> bool:
    return name.lower().endswith(arrays.SUFFIXES)


def _is_hidden(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".")


def _sorted(files: Files, size: int | None, array: str | None, skip_bad: bool) -> Sorted:
    """Read files of one kind: one file of arrays, or pictures."""
    name, file = files[0]
    if len(files) == 1 and _is_array(name):
        found = arrays.read(name, file, size, array)
        return Sorted(found.images, found.labels, found.notes)
    if array is not None:
        raise Refused(f"array = {array!r} was given, but pictures have no arrays.")
    return _from_pictures(files, check_side(DEFAULT_SIZE if size is None else size), skip_bad)


def _with_parts(found: Sorted, files: Files) -> Sorted:
    """Return a single picture with overlapping parts of it, anything else as it is.

    Arguments:
        found: what was read.
        files: what it was read from, of which only one picture can be read where it is one.
    """
    side = found.images.shape[-1]
    large = side + side // 2
    chosen = [(name, file) for name, file in files if _is_picture(name)]
    if len(found.images) > 1 or not chosen or large > pictures.SIDES[1]:
        return found
    stack = Stack(side)
    starts = np.linspace(0, large - side, PARTS).astype(int)

    def take(picture: pictures.Picture) -> None:
        for top, left in product(starts, starts):
            part = picture.pixels[:, top : top + side, left : left + side]
            stack.add(pictures.Picture(part, picture.bits))

    for name, file in chosen:
        if not isinstance(file, Path):
            file.seek(0)
        try:
            pictures.read(name, file, large, take)
            break
        except Refused:
            stack.cut(0)
    parts = stack.images()
    note = f"One picture, and {len(parts)} overlapping parts of it: a spectrum takes several."
    return Sorted(np.concatenate([found.images, parts]), None, (*found.notes, note))


def _from_pictures(files: Files, side: int, skip_bad: bool) -> Sorted:
    """Read pictures, and say how they were read and what was passed over."""
    chosen = [file for file in files if _is_picture(file[0])]
    stack, folders = Stack(side), []
    several, previews, bad = [], [], []
    stack.check(len(chosen))
    for name, file in chosen:
        count = len(stack)
        try:
            frames = pictures.read(name, file, side, stack.add)
        except TooMany:
            raise
        except Refused as error:
            stack.cut(count)
            bad.append((name, str(error).rstrip(".")))
            continue
        folders += [PurePosixPath(name).parent.name] * frames.read
        if frames.read > 1:
            several.append(f"{name} ({frames.read})")
        if frames.left_out:
            previews.append(f"{name} ({frames.left_out})")
    if bad and not (skip_bad and len(stack)):
        reasons = listed([reason for _, reason in bad], "; ")
        of = f"{len(bad)} of {len(chosen)} files are refused: " if len(bad) > 1 else ""
        raise BadFiles(f"{of}{reasons}.", [name for name, _ in bad], len(chosen) - len(bad))
    titles = sorted(set(folders))
    labels = np.array([titles.index(folder) for folder in folders]) if len(titles) > 1 else None
    others = [name for name, _ in files if not _is_picture(name) and not _is_hidden(name)]
    said = (
        ("Labels are the folders", titles if labels is not None else []),
        ("Every frame is an image in", several),
        ("Previews are left out of", previews),
        ("Passed over, for they cannot be read:", [name for name, _ in bad]),
        ("Passed over, for they are no pictures:", others),
    )
    notes = [f"{words} {listed(found)}." for words, found in said if found]
    return Sorted(stack.images(), labels, (*stack.notes(), *notes))
