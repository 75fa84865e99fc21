"""Reading a run folder: where it stands, its curves, its samples, its log.

The folder is the contract with the trainer (`rgdiff_core.training.records` says what is in it).
What is missing is taken for not there yet; what is damaged is a sentence that names the file.
"""

import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from platformdirs import user_data_path
from torch import Tensor

from rgdiff_core.files.stored import MAX_NUMBER, is_number, read_json, reading
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.records import Status, load_status, with_gain

__all__ = [
    "Samples",
    "Standing",
    "curves",
    "history",
    "is_id",
    "log_tail",
    "origin",
    "read_config",
    "read_status",
    "run_folder",
    "runs_root",
    "sample_steps",
    "samples",
    "standing",
]

Read = TypeVar("Read")

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")
MAX_READ = 1 << 24  # bytes of the curves that are read in one go


def runs_root() -> Path:
    """Return the folder of all runs: RGDIFF_RUNS, else in the user's data folder; it is made."""
    chosen = os.environ.get("RGDIFF_RUNS")
    root = Path(chosen) if chosen else user_data_path("rgdiff", appauthor=False) / "runs"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder of runs {root} can't be made: {error.strerror}.") from None
    return root


def is_id(text: object) -> bool:
    """Tell whether this can be the id of a run."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def run_folder(run_id: str) -> Path:
    """Return a run's folder, whether it exists or not; raises `ValueError` for what is no id."""
    if not is_id(run_id):
        raise ValueError(f"{run_id!r} is not the id of a run.")
    path = runs_root() / run_id
    if path.is_symlink():
        raise ValueError(f"{run_id} is a link, not a run.")
    return path


@dataclass(frozen=True)
class Standing:
    """What a run is and where it stands.

    Attributes:
        config: None where there is none that can be read.
        status: None where there is none that can be read.
        problems: a sentence for each file that is damaged.
    """

    config: TrainConfig | None
    status: Status | None
    problems: tuple[str, ...]


def standing(folder: Path) -> Standing:
    """Return what a run is and where it stands, whatever its folder holds."""
    problems: list[str] = []

    def read(reader: Callable[[Path], Read]) -> Read | None:
        try:
            return reader(folder)
        except FileNotFoundError:
            return None
        except ValueError as error:
            problems.append(str(error))
            return None

    return Standing(read(_load_config), read(load_status), tuple(problems))


def _load_config(folder: Path) -> TrainConfig:
    path = folder / "config.json"
    with reading(path):
        return TrainConfig.from_json(path.read_text(encoding="utf-8"))


def read_config(folder: Path) -> TrainConfig | None:
    """Return the config of a run, None where it can't be read."""
    return standing(folder).config


def read_status(folder: Path) -> Status | None:
    """Return where a run stands, None where nothing is known."""
    return standing(folder).status


def origin(run_id: str) -> Mapping[str, Any]:
    """Return where a run comes from, nothing where that is not recorded.

    Raises:
        ValueError: where the file that says it is damaged.
    """
    try:
        return read_json(run_folder(run_id) / "provenance.json")
    except FileNotFoundError:
        return {}


def history(run_id: str, since: int = 0) -> tuple[list[Mapping[str, Any]], int]:
    """Return the points of the curves after a byte offset, and the offset to go on from.

    Half a line at the end is left for the next time, and a line that is no point is passed over;
    a number that is missing is None. A later point of the same step and kind replaces the earlier
    one: see `curves`.
    """
    try:
        with (run_folder(run_id) / "metrics.jsonl").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(since if since <= size else 0)
            start = file.tell()
            data = file.read(MAX_READ)
    except OSError:
        return [], 0
    end = data.rfind(b"\n") + 1
    rows = (_point(line) for line in data[:end].splitlines())
    return [row for row in rows if row is not None], start + end


def _point(line: bytes) -> Mapping[str, Any] | None:
    """Return a point of the curves, None where a line holds none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not _is_count(row.get("step")):
        return None
    if "held_out" not in row:
        return {**_NONE, **with_gain(row)} if _is_sound(row) else None
    held_out = row["held_out"]
    if not isinstance(held_out, dict) or not _is_sound(held_out):
        return None
    held_out = with_gain(held_out)
    whole = held_out.get("gain") is not None
    return {**row, "held_out": {"gain_error": None, **held_out}} if whole else None


_NONE: Mapping[str, Any] = {"loss": None, "gain": None, "images_per_s": None, "by_scale": []}


def _is_sound(numbers: Mapping[str, Any]) -> bool:
    """Tell whether all that stands at a point is numbers, or lists of them; None is unknown."""
    by_scale = numbers.get("by_scale", [])
    if not isinstance(by_scale, list):
        return False
    alone = (value for name, value in numbers.items() if name != "by_scale")
    return all(value is None or is_number(value) for value in (*alone, *by_scale))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and is_number(value) and value >= 0


def curves(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the points of training and of held-out data, in order, the last of each step.

    A resumed run rewrites the points after its checkpoint; what stood there before is dropped.
    """
    training: dict[int, Mapping[str, Any]] = {}
    held_out: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        kind = held_out if "held_out" in row else training
        if kind and row["step"] <= next(reversed(kind)):
            kind_after = {step: old for step, old in kind.items() if step < row["step"]}
            kind.clear()
            kind.update(kind_after)
        kind[row["step"]] = row
    return list(training.values()), list(held_out.values())


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples drawn in the course of a run: the step, and images (n, C, H, W)."""

    step: int
    images: Tensor


def sample_steps(run_id: str) -> list[int]:
    """Return the steps at which samples were drawn, in order."""
    found = (run_folder(run_id) / "samples").glob("step-*.npz")
    names = (re.fullmatch(r"step-(\d{8,15})\.npz", path.name, re.ASCII) for path in found)
    return sorted(int(name[1]) for name in names if name)


def samples(run_id: str, step: int) -> Samples | None:
    """Return the samples drawn at a step, None where there are none.

    Raises:
        ValueError: where their file is damaged, with a sentence that names it.
    """
    path = run_folder(run_id) / "samples" / f"step-{step:08d}.npz"
    try:
        with reading(path), zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            at, images = file["step"], file["images"]
            if at.shape != () or at.dtype.kind not in "iu" or not 0 <= at <= MAX_NUMBER:
                raise ValueError("its step is not a whole number")
            if images.ndim != 4 or images.dtype.kind != "f" or 0 in images.shape:
                raise ValueError(f"images of {images.dtype} {images.shape} are no fields")
            if not np.isfinite(images).all():
                raise ValueError("a value of the images is not finite")
            return Samples(int(at), torch.from_numpy(images.astype(np.float32, copy=False)))
    except FileNotFoundError:
        return None


def log_tail(run_id: str, lines: int = 40) -> str:
    """Return the last lines of what the worker has printed."""
    try:
        with (run_folder(run_id) / "log.txt").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 200 * lines))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
