"""The cache: arrays on disk, written atomically and checked whenever they are read.

A split of a data set is a manifest, `train.json`, and the .npy files that it names. The
arrays are written first, under names that carry their checksum, and the manifest replaces
the old one in a single step at the end: whatever interrupts the writing, a reader finds the
old split or the new one, whole. Checksums are kept for blocks of about a megabyte, so that
the first few images of a large file are checked without reading the rest.
"""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from rgdiff_core.data.records import Record
from rgdiff_core.files.atomic import replacing
from rgdiff_core.files.cache import cache_folder

__all__ = ["CorruptCache", "cache_folder", "exists", "read", "replace", "write"]

VERSION = 1
BLOCK_BYTES = 2**20


class CorruptCache(RuntimeError):
    """A file of the cache is damaged; the message names it."""


def exists(folder: Path, split: str) -> bool:
    """Say whether a split lies in the folder, without checking that it is sound."""
    return _manifest(folder, split).is_file()


def write(folder: Path, split: str, record: Record) -> None:
    """Put one split into the folder, in place of an older one of that name.

    Raises:
        OSError: When the folder cannot be written; the older split is then untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outdated = _files(folder, split)
    arrays = {"images": np.ascontiguousarray(record.images)}
    if record.labels is not None:
        arrays["labels"] = np.ascontiguousarray(record.labels)
    if record.chains is not None:
        arrays["chains"] = np.ascontiguousarray(record.chains)
    manifest = {
        "version": VERSION,
        "source": record.source,
        "low": record.low,
        "high": record.high,
        "arrays": {name: _write_array(folder, split, name, a) for name, a in arrays.items()},
    }
    text = json.dumps(manifest, indent=1).encode()
    replace(_manifest(folder, split), lambda file: file.write(text))
    for name in outdated - {entry["file"] for entry in manifest["arrays"].values()}:
        (folder / name).unlink(missing_ok=True)


def read(folder: Path, split: str, limit: int | None = None) -> Record:
    """Read the first `limit` images of a split, or all of them.

    Raises:
        FileNotFoundError: When the split is not there.
        CorruptCache: When it is, but what would be returned is damaged.
    """
    path = _manifest(folder, split)
    try:
        text = path.read_bytes()
    except NotADirectoryError as error:
        raise FileNotFoundError(f"{folder} is not a folder.") from error
    try:
        manifest = json.loads(text)
        if manifest["version"] != VERSION:
            raise CorruptCache(f"{path} has version {manifest['version']}, not {VERSION}.")
        arrays = {
            name: _read_array(folder, entry, limit) for name, entry in manifest["arrays"].items()
        }
        return Record(
            images=arrays["images"],
            labels=arrays.get("labels"),
            chains=arrays.get("chains"),
            source=str(manifest["source"]),
            low=float(manifest["low"]),
            high=float(manifest["high"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptCache(f"{path} is damaged ({error}).") from error


def _manifest(folder: Path, split: str) -> Path:
    return folder / f"{split}.json"


def _files(folder: Path, split: str) -> set[str]:
    """Return the names of the array files of the split that is there now."""
    return {path.name for path in folder.glob(f"{split}-*.npy")}


def _write_array(folder: Path, split: str, name: str, array: np.ndarray) -> dict[str, Any]:
    """Write one array and return its entry in the manifest."""
    rows = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    checksums = _checksums(array, rows)
    digest = zlib.crc32(repr((array.shape, str(array.dtype), checksums)).encode())
    file_name = f"{split}-{name}-{digest:08x}.npy"
    replace(folder / file_name, lambda file: np.save(file, array, allow_pickle=False))
    return {"file": file_name, "rows": rows, "checksums": checksums}


def _read_array(folder: Path, entry: dict[str, Any], limit: int | None) -> np.ndarray:
    path = folder / Path(entry["file"]).name
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise CorruptCache(f"{path} is damaged ({error}).") from error
    rows, count = int(entry["rows"]), len(array)
    if len(entry["checksums"]) != -(-count // rows):
        raise CorruptCache(f"{path} has {count} rows, not as it was written.")
    wanted = count if limit is None else min(limit, count)
    blocks = -(-wanted // rows)
    part = np.array(array[: blocks * rows])
    if _checksums(part, rows) != entry["checksums"][:blocks]:
        raise CorruptCache(f"{path} fails its checksum.")
    return part[:wanted]


def _checksums(array: np.ndarray, rows: int) -> list[int]:
    """CRC-32 of every block of so many rows."""
    return [
        zlib.crc32(np.ascontiguousarray(array[start : start + rows]).data)
        for start in range(0, len(array), rows)
    ]


def replace(path: Path, write_to: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside the path, force it to disk, and move it into place in one step.

    Raises:
        WriteError: When it cannot be written; what was there before is then untouched.
    """
    with replacing(path) as part, part.open("w+b") as file:
        write_to(file)
