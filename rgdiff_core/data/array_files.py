"""Files of arrays that others made, .npy, .npz and HDF5: what they hold, and their arrays by name.

Shapes and dtypes are known before any array is read, and what is read stays within a limit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rgdiff_core.data import hdf5
from rgdiff_core.files.untrusted import Header, check_bytes, npy_header, open_npz, read_npy

__all__ = ["ENDINGS", "Contents", "read", "survey"]

ENDINGS = (".npz", ".npy", ".h5", ".hdf5")
MAX_TEXT = 2**18  # bytes of a description
MAX_ARRAYS = 1000


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        headers: Shape and dtype of each array, by name; the one of a .npy file is called array.
        numbers_of: From the name of an array to the numbers that go with it, by name, the
            nearest first; None for what is not one number.
        about: The text that our own files say of themselves, else None.
    """

    headers: Mapping[str, Header]
    numbers_of: Callable[[str], Mapping[str, float | None]]
    about: str | None = None


def survey(path: Path) -> Contents:
    """Return what a file holds, of an ending of `ENDINGS`; only single numbers are read.

    Raises:
        ValueError: When it cannot be read, or its arrays are not plainly in it.
    """
    match path.suffix.lower():
        case ".npy":
            return Contents({"array": npy_header(path, str(path))}, lambda name: {})
        case ".npz":
            return _survey_npz(path)
    found = hdf5.survey(path)
    headers = {name: Header(*header) for name, header in found.shapes.items()}
    return Contents(headers, found.numbers_of, found.about)


def read(
    path: Path, contents: Contents, names: Sequence[str], limit: int | None = None
) -> dict[str, np.ndarray]:
    """Read arrays of a file.

    Arguments:
        contents: What `survey` has returned of it.
        names: The arrays.
        limit: Bytes that they may take together, by default as everywhere.

    Raises:
        ValueError: As `survey`, and when the arrays pass the limit.
    """
    check_bytes(str(path), sum(contents.headers[name].nbytes for name in names), limit)
    match path.suffix.lower():
        case ".npy":
            return {names[0]: read_npy(path, str(path))}
        case ".npz":
            with open_npz(path, str(path), limit) as opened:
                return {name: opened.read(name) for name in names}
    headers = ((name, contents.headers[name]) for name in names)
    return {name: hdf5.read(path, name, head.shape, head.dtype) for name, head in headers}


def _survey_npz(path: Path) -> Contents:
    with open_npz(path, str(path)) as opened:
        headers = dict(opened.headers)
        if len(headers) > MAX_ARRAYS:
            raise ValueError(f"it holds {len(headers)} arrays; at most {MAX_ARRAYS} are read")
        about = headers.pop("about", None)
        if about is not None and (about.dtype.kind != "U" or about.nbytes > MAX_TEXT):
            raise ValueError("its description is too long, or no text")
        numbers = {
            name: float(opened.read(name).item())
            if header.dtype.kind in "iuf" and header.nbytes == header.dtype.itemsize
            else None
            for name, header in headers.items()
        }
        arrays = {name: header for name, header in headers.items() if numbers[name] is None}
        text = None if about is None else str(opened.read("about"))
    return Contents(arrays, lambda name: numbers, text)
