"""Results one by one on disk, so that a study that was stopped goes on where it was.

A cell is one JSON file. It holds what it was computed from, and is computed again where that has
changed. Files are written beside their place and renamed: a reader finds the old one or the new.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgdiff_core.files.atomic import WriteError, write_text
from rgdiff_core.files.stored import MAX_NUMBER, is_number, read_json
from rgdiff_core.spec import check_range, up_to_date_all

__all__ = ["Cells", "OutOfTimeError", "end_of", "resumable"]

FORMER_NAMES = {"ablation-": "ladder-", "schedule_scan-": "landscape-"}  # how cells' files began


class OutOfTimeError(Exception):
    """The time that a study was given has passed; its finished cells are kept."""


def end_of(minutes: float | None) -> float | None:
    """Return when so many minutes have passed, as of `time.monotonic`; None for no limit.

    Raises `ValueError` for fewer than none.
    """
    if minutes is None:
        return None
    check_range("minutes", minutes, 0, MAX_NUMBER)
    return time.monotonic() + 60 * minutes


@contextmanager
def resumable() -> Iterator[None]:
    """Add to an error of writing what is kept."""
    try:
        yield
    except WriteError as error:
        kept = "what is finished is kept, and the same command continues."
        raise OSError(f"{error}; {kept}") from error


@dataclass(frozen=True)
class Cells:
    """The cells of one theory.

    Arguments:
        folder: where they are; it is made where it is missing.
        say: is given a line for each cell that is computed.
        until: of `time.monotonic`; no cell is begun after it. None for no limit.
    """

    folder: Path
    say: Callable[[str], None] = print
    until: float | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str, suffix: str = ".json") -> Path:
        """Return where a cell is, or a file of tensors beside it."""
        return self.folder / f"{name}{suffix}"

    def read(self, name: str, inputs: Any) -> dict[str, Any] | None:
        """Return a finished cell, None where there is none that was made from these inputs. Its
        file may have the cell's former name.
        """
        olds = [
            name.replace(new, old, 1) for new, old in FORMER_NAMES.items() if name.startswith(new)
        ]
        found = (self._read(each, inputs) for each in (name, *olds))
        return next((cell | {"name": name} for cell in found if cell is not None), None)

    def _read(self, name: str, inputs: Any) -> dict[str, Any] | None:
        path = self.path(name)
        if not path.is_file():
            return None
        try:
            cell = read_json(path)
            made_from = up_to_date_all(cell.get("inputs"))
        except (ValueError, OSError):
            return None
        whole = isinstance(cell.get("result"), dict) and is_number(cell.get("seconds"))
        fits = made_from == json.loads(json.dumps(inputs))
        return cell | {"inputs": made_from} if whole and fits else None

    def kept(self, name: str) -> dict[str, Any] | None:
        """Return a finished cell whatever it was made from, None where there is none."""
        path = self.path(name)
        try:
            cell = read_json(path) if path.is_file() else {}
        except (ValueError, OSError):
            return None
        return self.read(name, up_to_date_all(cell.get("inputs")))

    def begin(self, name: str) -> None:
        """Raise `OutOfTimeError` where it is too late to begin something."""
        if self.until is not None and time.monotonic() >= self.until:
            raise OutOfTimeError(name)

    def read_or_compute(
        self, name: str, inputs: Any, compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return a cell, computed where it is not there yet: its inputs, result and seconds.

        Raises `OutOfTimeError` where it would have to be begun too late.
        """
        found = self.read(name, inputs)
        if found is not None:
            return found
        self.begin(name)
        wall, processor = time.monotonic(), time.process_time()
        result = compute()
        cell = {
            "name": name,
            "inputs": inputs,
            "result": result,
            "seconds": round(time.monotonic() - wall, 2),
            "processor_seconds": round(time.process_time() - processor, 2),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_text(self.path(name), json.dumps(cell, ensure_ascii=False) + "\n")
        self.say(f"{self.folder.name}/{name}: {cell['seconds']:.0f} s")
        return json.loads(json.dumps(cell))
