"""Files that others made: at most so many bytes are unpacked, and every fault is one sentence.

A file of a few kilobytes can unpack to gigabytes, and a header can say less than what follows it.
Readers therefore ask `check_bytes` before they allocate, by what the headers say, and read through
a `BoundedReader`, which stops where the bytes that come pass the limit. Decoders raise errors of
any class at files that are damaged; `reading` turns them into a sentence that names the file.
"""

import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

__all__ = [
    "VARIABLE",
    "BoundedReader",
    "Header",
    "Npz",
    "Refused",
    "check_bytes",
    "inflate",
    "listed",
    "max_bytes",
    "megabytes",
    "mib",
    "npy_header",
    "open_npz",
    "read_npy",
    "reading",
]

VARIABLE = "RGDIFF_MAX_UPLOAD_MB"
DEFAULT_MB = 256
MIB = 2**20

MAX_HEADER = 2**16
"""Bytes of the header of an array."""

MAX_DIRECTORY = MIB
"""Bytes of the directory of a zip file."""

MAX_LISTED = 5
"""How many names a sentence lists."""

MAX_DETAIL = 200
"""Characters of a decoder's error that a sentence repeats."""


class Refused(ValueError):
    """A file is not read; the message is one sentence that names it and the reason."""


def max_bytes() -> int:
    """Return how many bytes a file may unpack to: RGDIFF_MAX_UPLOAD_MB, by default 256 MiB.

    Raises:
        ValueError: As `megabytes`.
    """
    return megabytes(VARIABLE, DEFAULT_MB)


def megabytes(variable: str, default: int) -> int:
    """Return the bytes that a variable of the environment gives in MiB.

    Raises:
        ValueError: When it is not a whole number from 1 to 1048576.
    """
    text = os.environ.get(variable, str(default))
    if not re.fullmatch(r"[0-9]{1,7}", text) or not 1 <= int(text) <= MIB:
        raise ValueError(f"{variable} = {text!r} is not a whole number from 1 to {MIB}.")
    return int(text) * MIB


def check_bytes(name: str, count: int, limit: int | None = None) -> None:
    """Refuse what would unpack to more than a limit, `max_bytes` by default.

    Raises:
        Refused: When `count` passes the limit; the message names both.
    """
    limit = max_bytes() if limit is None else limit
    if count > limit:
        raise Refused(
            f"{name} unpacks to {mib(count)}; at most {mib(limit)} are allowed ({VARIABLE})."
        )


def mib(count: int) -> str:
    """Return a number of bytes as text, in MiB."""
    return f"{math.ceil(10 * count / MIB) / 10:,.10g} MiB"


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Return names as text, the first few and how many more there are."""
    shown = [name if len(name) <= MAX_DETAIL else f"{name[:MAX_DETAIL]}…" for name in names]
    more = [f"and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
    return separator.join(shown[:MAX_LISTED] + more)


@contextmanager
def reading(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a sentence: "NAME cannot be read as KIND (…)."

    Raises:
        Refused: For any error inside; one that is `Refused` already stays as it is.
    """
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        words = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        detail = words if len(words) <= MAX_DETAIL else f"{words[:MAX_DETAIL]} …"
        raise Refused(f"{name} cannot be read as {kind} ({detail}).") from error


@dataclass
class BoundedReader:
    """A binary file of which at most so many bytes are read, counted over all calls.

    Attributes:
        file: What is read.
        name: What the sentence calls it.
        limit: How many bytes may come, `max_bytes` by default.
    """

    file: IO[bytes]
    name: str
    limit: int = field(default_factory=max_bytes)
    count: int = field(default=0, init=False)

    def read(self, size: int | None = -1) -> bytes:
        """Read as `io.BufferedReader` does; raises `Refused` where the limit is passed."""
        left = self.limit - self.count
        wanted = left + 1 if size is None or size < 0 else min(size, left + 1)
        content = self.file.read(wanted)
        self.count += len(content)
        if self.count > self.limit:
            raise Refused(f"{self.name} is longer than {mib(self.limit)}, which is the limit.")
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the file."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self.file.tell()

    def seekable(self) -> bool:
        """Say whether one can move in the file."""
        return self.file.seekable()


def inflate(name: str, content: bytes, limit: int | None = None) -> bytes:
    """Unpack what zlib has packed, up to a limit of bytes, `max_bytes` by default.

    Raises:
        Refused: When more would come, or the content is damaged.
    """
    limit = max_bytes() if limit is None else limit
    with reading(name, "compressed data"):
        unpacker = zlib.decompressobj()
        unpacked = unpacker.decompress(content, limit + 1)
        if len(unpacked) > limit:
            raise Refused(f"{name} unpacks to more than {mib(limit)}, which is the limit.")
        if not unpacker.eof:
            raise ValueError("it is cut short")
    return unpacked


@dataclass(frozen=True)
class Header:
    """Shape and dtype of an array that has not been read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Return the bytes that the array takes."""
        return math.prod(self.shape) * max(1, self.dtype.itemsize)


def npy_header(file: Path | IO[bytes], name: str) -> Header:
    """Read shape and dtype of a .npy file.

    Raises:
        Refused: When it is none.
    """
    with reading(name, "a .npy file"), _opened(file) as opened:
        return _header(opened, name)


def read_npy(file: Path | IO[bytes], name: str) -> np.ndarray:
    """Read a .npy file within `max_bytes`, never unpickling.

    Raises:
        Refused: When it cannot be read, holds Python objects, or passes the limit.
    """
    with reading(name, "a .npy file"), _opened(file) as opened:
        return _read_array(opened, name)


class Npz:
    """An open .npz file: the headers of its arrays by name, and the arrays one by one.

    All that is read of one file stays together within the limit. Made by `open_npz`.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, limit: int | None = None) -> None:
        self.name = name
        self._limit = limit
        self._archive = archive
        self._used = 0
        self._members = _members(archive, name)
        headers = {key: self._read_header(member) for key, member in self._members.items()}
        self.headers: Mapping[str, Header] = {
            key: header for key, header in headers.items() if header is not None
        }

    def read(self, key: str) -> np.ndarray:
        """Read one array.

        Raises:
            Refused: When it is damaged, holds Python objects, or passes the limit.
        """
        member = self._members[key]
        with reading(self.name, "a .npz file"), self._archive.open(member) as opened:
            array = _read_array(opened, self.name, self._used, self._limit)
        self._used += array.nbytes
        return array

    def check(self, keys: Sequence[str]) -> None:
        """Refuse arrays that pass the limit together, before any of them is read."""
        wanted = sum(self.headers[key].nbytes for key in keys)
        check_bytes(self.name, self._used + wanted, self._limit)

    def _read_header(self, member: zipfile.ZipInfo) -> Header | None:
        """Return the header of a member, None where it is no array."""
        with self._archive.open(member) as opened:
            if opened.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                return None
        with self._archive.open(member) as opened:
            return _header(opened, self.name)


@contextmanager
def open_npz(file: Path | IO[bytes], name: str, limit: int | None = None) -> Iterator[Npz]:
    """Open a .npz file and read the headers of its arrays.

    Arguments:
        limit: Bytes that may be read of it, `max_bytes` by default; for files of our own.

    Raises:
        Refused: When it cannot be read, two members have one name (`images` and `images.npy`
            are one), or it is encrypted or compressed in a way that NumPy does not write.
    """
    with ExitStack() as stack:
        with reading(name, "a .npz file"):
            opened = stack.enter_context(_opened(file))
            directory = BoundedReader(opened, f"the directory of {name}", MAX_DIRECTORY)
            zipfile.ZipFile(directory).close()
            opened.seek(0)
            arrays = Npz(stack.enter_context(zipfile.ZipFile(opened)), name, limit)
        yield arrays


@contextmanager
def _opened(file: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """Open a path, or go to the beginning of a file that is open and stays so."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            yield opened
    else:
        file.seek(0)
        yield file


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """Return the members of a .npz file by the names of their arrays."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        key = member.filename.removesuffix(".npy")
        if key in members:
            raise Refused(f"{name} holds two arrays called {key!r}.")
        if member.flag_bits & 0x1:
            raise Refused(f"{name} is encrypted.")
        # Other methods unpack whole blocks at once, of any size.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{name} is compressed by method {member.compress_type}, not deflate.")
        members[key] = member
    return members


def _header(file: IO[bytes], name: str) -> Header:
    """Read the header of an array."""
    bounded = BoundedReader(file, f"the header of {name}", MAX_HEADER)
    version = np.lib.format.read_magic(bounded)
    read = np.lib.format.read_array_header_2_0
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    shape, _, dtype = read(bounded)
    if any(length < 0 for length in shape):
        raise Refused(f"{name} holds an array of shape {shape}, which is below 0.")
    return Header(tuple(int(length) for length in shape), dtype)


def _read_array(file: IO[bytes], name: str, used: int = 0, limit: int | None = None) -> np.ndarray:
    """Read an array from the beginning of a file of which so many bytes have been unpacked."""
    header = _header(file, name)
    if header.dtype.hasobject:
        raise Refused(f"{name} holds Python objects, which are not read.")
    check_bytes(name, used + header.nbytes, limit)
    file.seek(0)
    return np.lib.format.read_array(BoundedReader(file, name, header.nbytes + MAX_HEADER))
