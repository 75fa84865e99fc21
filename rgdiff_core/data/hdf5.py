"""HDF5 files that others made, through a process of their own (`hdf5_worker`).

A damaged file can crash HDF5, or keep it busy for ever; then it is that process alone that ends.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

__all__ = ["HDF5Contents", "read", "survey"]

SECONDS = 120.0
MAX_WORDS = 300  # characters of an error

_WORKER = Path(__file__).with_name("hdf5_worker.py")
_ENVIRONMENT = {
    "HDF5_PLUGIN_PRELOAD": "::",  # no plugins
    "OPENBLAS_NUM_THREADS": "1",  # each takes some of the memory that is allowed
}


@dataclass(frozen=True)
class HDF5Contents:
    """What a file holds.

    Attributes:
        shapes: Shape and dtype of every array of more than one number, by name.
        numbers: Numbers, attributes and data sets of one number, by the object that they belong
            to, "" for the file; None for an attribute of several numbers.
        about: The attribute of that name of the file.
    """

    shapes: dict[str, tuple[tuple[int, ...], np.dtype]]
    numbers: dict[str, dict[str, float | None]]
    about: str | None

    def numbers_of(self, name: str) -> dict[str, float | None]:
        """Return the numbers of an array and of all that it lies in, the nearest first."""
        found: dict[str, float | None] = {}
        parts = name.split("/")
        for depth in range(len(parts), -1, -1):
            found = self.numbers.get("/".join(parts[:depth]), {}) | found
        return found


def survey(path: Path) -> HDF5Contents:
    """Return what a file holds, none of its arrays read.

    Raises:
        ValueError: When it is damaged, or is not only plain data sets of numbers behind hard
            links: nothing outside a file is ever read.
    """
    with _worker(path, 0) as answer:
        text = answer.read()
    told = json.loads(text)
    shapes = {
        array["name"]: (tuple(array["shape"]), np.dtype(array["dtype"]))
        for array in told["arrays"]
    }
    return HDF5Contents(shapes, told["numbers"], told["about"])


def read(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Read an array of a file whose shape and dtype are known.

    Raises:
        ValueError: As `survey`.
    """
    array = np.empty(shape, dtype)
    with _worker(path, array.nbytes, name) as answer:
        view = memoryview(array.reshape(-1).view(np.uint8).data)
        while view and (count := answer.readinto(view)):  # type: ignore[attr-defined]
            view = view[count:]
    if view:
        raise ValueError(f"{name!r} ends before its time")
    return array


@contextmanager
def _worker(path: Path, limit: int, *names: str) -> Iterator[IO[bytes]]:
    """Give what the worker prints; raises `ValueError` at the end where it has failed."""
    command = [sys.executable, "-P", str(_WORKER), str(path), str(limit), *names]
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            env=os.environ | _ENVIRONMENT,
        ) as worker,
    ):
        assert worker.stdout is not None
        alarm = threading.Timer(SECONDS, worker.kill)
        alarm.start()
        try:
            yield worker.stdout
            worker.wait()
        finally:
            late = not alarm.is_alive()
            alarm.cancel()
            worker.kill()
        if late:
            raise ValueError(f"it takes more than {SECONDS:g} s to read")
        if worker.returncode < 0:
            name = signal.Signals(-worker.returncode).name
            raise ValueError(f"it is damaged in such a way that HDF5 crashes ({name})")
        if worker.returncode:
            words.seek(0)
            said = words.read().decode(errors="replace").strip().splitlines()
            raise ValueError((said or ["HDF5 fails"])[-1][:MAX_WORDS])
