"""The user's own images: a folder or a .npz file, copied into the cache under a name."""

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from rgdiff_core.data import store
from rgdiff_core.data.records import BUILT_IN, DataUnavailable, ImageSet, Record

__all__ = ["describe", "load_own", "names", "register_folder", "register_upload"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SIZES = (4, 256)
DEFAULT_SIZE = 32
MAX_IMAGES = 100_000
MAX_BYTES = 2**31
MAX_PIXELS = 64_000_000
HELD_OUT = 10
"""Every tenth image is the test split, where there are at least twice as many."""


@dataclass(frozen=True)
class OwnInfo:
    """Shape (C, H, W) and description of a user's set."""

    shape: tuple[int, int, int]
    description: str


def register_folder(
    path: str | Path, name: str | None = None, size: int | None = None
) -> ImageSet:
    """Make the user's own images a data set that `load` knows, in this session and later ones.

    A copy is kept in the cache. Pictures in a folder (and in its subfolders) are turned
    upright, cropped to the central square and resized; they are grey only when all of them
    are. A .npz file holds one array, or one called "images": (N, H, W), (N, H, W, C) or
    (N, C, H, W) with C = 1 or 3, uint8 or floats in [0, 1] or [-1, 1], H = W even. Of 20
    images or more every tenth is held out as the test split.

    Arguments:
        path: A folder of pictures, or a .npz file.
        name: What `load` will be given, made of lower-case letters, digits and hyphens
            (anything else becomes a hyphen); by default the name of the folder or file. An
            older set of the user's by that name is replaced.
        size: Side of the square images, even, 4 to 256; 32 by default for pictures, and for
            arrays their own.

    Returns:
        The training split.

    Raises:
        ValueError: When there is no image, one cannot be read, or a bound is passed; the
            sentence names the file.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        files = sorted(p for p in place.rglob("*") if _is_picture(p.name) and p.is_file())
        if not files:
            raise ValueError(f"{place} holds no image file ({', '.join(SUFFIXES)}).")
        images = _from_pictures(((str(p), p) for p in files), len(files), size)
    elif place.is_file() and place.suffix.lower() == ".npz":
        images = _from_npz(str(place), place, size)
    elif place.exists():
        raise ValueError(f"{place} is neither a folder nor a .npz file.")
    else:
        raise ValueError(f"{place} does not exist.")
    return _register(place.resolve().stem if name is None else name, images)


def register_upload(name: str, files: Mapping[str, bytes], size: int | None = None) -> ImageSet:
    """Make uploaded files a data set; as `register_folder`, with contents instead of a path.

    Arguments:
        name: What `load` will be given; see `register_folder`.
        files: File name to contents: pictures, or one .npz file.
        size: See `register_folder`.

    Raises:
        ValueError: As `register_folder`.
    """
    arrays = [file for file in files if file.lower().endswith(".npz")]
    if arrays and len(files) > 1:
        raise ValueError(f"{arrays[0]} is one of {len(files)} files; a .npz file comes alone.")
    if arrays:
        images = _from_npz(arrays[0], io.BytesIO(files[arrays[0]]), size)
    else:
        pictures = sorted(file for file in files if _is_picture(file))
        if not pictures:
            raise ValueError(f"no image file ({', '.join(SUFFIXES)}) or .npz was uploaded.")
        opened = ((file, io.BytesIO(files[file])) for file in pictures)
        images = _from_pictures(opened, len(pictures), size)
    return _register(name, images)


def names() -> list[str]:
    """List the user's own sets."""
    home = _home()
    return sorted(p.parent.name for p in home.glob("*/train.json")) if home.is_dir() else []


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


def _home() -> Path:
    return store.cache_folder() / "own"


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not Path(name).name.startswith(".")


def _register(name: str, images: np.ndarray) -> ImageSet:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48].strip("-")
    if not slug:
        raise ValueError(f"name = {name!r} has no letter or digit (a-z, 0-9).")
    if slug in BUILT_IN:
        raise ValueError(f"name = {slug!r} belongs to a set that comes with rgdiff.")
    held_out = np.zeros(len(images), dtype=bool)
    if len(images) >= 2 * HELD_OUT:
        held_out[HELD_OUT - 1 :: HELD_OUT] = True
    source = f"{len(images)} images of the user's own, registered as “{slug}”."
    if held_out.any():
        store.write(_home() / slug, "test", Record(images[held_out], None, source))
    else:
        (_home() / slug / "test.json").unlink(missing_ok=True)
    record = Record(images[~held_out], None, source)
    store.write(_home() / slug, "train", record)
    return record.image_set(slug)


def _from_pictures(
    files: Iterable[tuple[str, Path | io.BytesIO]], count: int, size: int | None
) -> np.ndarray:
    """Read pictures as (N, C, size, size) uint8, C = 1 when all are grey."""
    side = _checked_size(DEFAULT_SIZE if size is None else size)
    if count > MAX_IMAGES or count * 3 * side**2 > MAX_BYTES:
        raise ValueError(
            f"{count} images of {side}×{side} are too many; at most {MAX_IMAGES} images and "
            f"{MAX_BYTES // 2**30} GiB are allowed."
        )
    pictures = [_picture(name, file, side) for name, file in files]
    if any(picture.shape[-1] == 3 for picture in pictures):
        pictures = [np.broadcast_to(picture, (side, side, 3)) for picture in pictures]
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))


def _picture(name: str, file: Path | io.BytesIO, side: int) -> np.ndarray:
    """Read one picture as (side, side, 1 or 3) uint8."""
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError(
                    f"{name} has {opened.width}×{opened.height} pixels; "
                    f"at most {MAX_PIXELS} are allowed."
                )
            upright = ImageOps.exif_transpose(opened)
            if upright.mode == "I;16":
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            grey = upright.mode in ("1", "L", "LA")
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            flat = upright.convert("L" if grey else "RGB")
            # Cropped first: the filter would otherwise reach for pixels beyond the square.
            edge = min(flat.size)
            left, top = (flat.width - edge) // 2, (flat.height - edge) // 2
            square = flat.crop((left, top, left + edge, top + edge))
            square = square.resize((side, side), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} cannot be read as an image ({error}).") from error
    return np.asarray(square).reshape(side, side, -1)


def _from_npz(name: str, file: Path | io.BytesIO, size: int | None) -> np.ndarray:
    """Read an array as (N, C, H, W), uint8 or float32 in [-1, 1]."""
    try:
        _check_header(name, file)
        with np.load(file, allow_pickle=False) as arrays:
            array = arrays[_key(name, list(arrays.files))]
    except (OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} cannot be read as a .npz file ({error}).") from error
    images = _channels_first(name, array)
    side = _checked_size(images.shape[-1])
    if size is not None and size != side:
        raise ValueError(f"{name} holds arrays of {side}×{side}; size = {size} differs.")
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{name} has dtype {images.dtype}; uint8 or floats are allowed.")
    if not np.isfinite(images).all():
        raise ValueError(f"{name} holds a value that is not a finite number.")
    low, high = float(images.min()), float(images.max())
    if low < -1 or high > 1:
        raise ValueError(f"{name} has values from {low:g} to {high:g}; floats are in [-1, 1].")
    images = images.astype(np.float32)
    return np.ascontiguousarray(images if low < 0 else 2 * images - 1)


def _key(name: str, keys: list[str]) -> str:
    if "images" in keys:
        return "images"
    if len(keys) != 1:
        raise ValueError(f"{name} holds {len(keys)} arrays and none is called 'images'.")
    return keys[0]


def _check_header(name: str, file: Path | io.BytesIO) -> None:
    """Refuse arrays that are too large before any of them is unpacked."""
    with zipfile.ZipFile(file) as archive:
        key = _key(name, [m.removesuffix(".npy") for m in archive.namelist()])
        with archive.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects; uint8 or floats are allowed.")
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if (shape and shape[0] > MAX_IMAGES) or count * dtype.itemsize > MAX_BYTES:
        raise ValueError(
            f"{name} holds an array of shape {shape}; at most {MAX_IMAGES} images and "
            f"{MAX_BYTES // 2**30} GiB are allowed."
        )
    if isinstance(file, io.BytesIO):
        file.seek(0)


def _channels_first(name: str, array: np.ndarray) -> np.ndarray:
    """Bring (N, H, W), (N, H, W, C) or (N, C, H, W) into the last of these forms."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or len(array) == 0:
        raise ValueError(
            f"{name} holds an array of shape {array.shape}; allowed are (N, H, W), (N, H, W, C) "
            "and (N, C, H, W) with N at least 1 and C = 1 or 3."
        )
    if array.shape[-1] != array.shape[-2]:
        height, width = array.shape[-2:]
        raise ValueError(f"{name} holds images of {height}×{width}; they must be square.")
    return array


def _checked_size(side: int) -> int:
    low, high = SIZES
    if isinstance(side, bool) or not isinstance(side, int) or side % 2 or not low <= side <= high:
        raise ValueError(f"size = {side} is not an even whole number from {low} to {high}.")
    return side
