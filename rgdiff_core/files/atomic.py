"""Files written whole or not at all; an error on the way names the file that could not be written.

A file is written beside its place, forced to disk and moved into place in one step: whatever
interrupts that, a reader finds the old file or the new one.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["WriteError", "check_place", "naming", "replacing", "write_tensors", "write_text"]


class WriteError(OSError):
    """A file could not be written: `filename` says which, `strerror` why."""

    def __str__(self) -> str:
        return f"{self.filename} can't be written: {self.strerror}"


def check_place(path: Path | None) -> None:
    """Refuse a place where no file can be written, before the work whose result it is to hold.

    Raises:
        ValueError: For a folder, and where there is no folder around it that may be changed.
    """
    if path is None:
        return
    if path.is_dir():
        raise ValueError(f"{path} can't be written: it is a folder.")
    if not path.parent.is_dir():
        raise ValueError(f"{path} can't be written: there is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path} can't be written: the folder {path.parent} may not be changed.")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make every error of writing a `WriteError` that names the file.

    Raises:
        WriteError: in place of any other `OSError`, and of an error of safetensors.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(error.errno, error.strerror or str(error), str(path)) from error
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while serializing: ").removeprefix("I/O error: ")
        raise WriteError(None, reason, str(path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside a file to write to, and put what was written there in the file's place.

    Raises:
        WriteError: when it cannot be written; what was there before is then untouched.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with naming(path):
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 in the place of a file; raises as `replacing`."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _in_order(path: Path) -> None:
    """Put the strings of a safetensors file in order, which safetensors leaves to chance, so that
    the same content makes the same file.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        strings = header.pop("__metadata__", {})
        header = {"__metadata__": dict(sorted(strings.items()))} | header if strings else header
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(ordered) <= size:
            file.seek(8)
            file.write(ordered.ljust(size))


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors, and strings by name, in the place of a safetensors file.

    Raises:
        WriteError: as `replacing`.
    """
    state = {name: value.contiguous().cpu() for name, value in tensors.items()}
    with replacing(path) as part:
        part.touch()
        usual = part.stat().st_mode  # safetensors lets the owner alone read its files
        save_file(state, part, None if metadata is None else dict(metadata))
        _in_order(part)
        part.chmod(usual)
