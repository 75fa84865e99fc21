"""Reading a run folder: where it stands, its curves, its samples, its log.

The folder is the contract with the trainer (`rgdiff_core.training.records` says what is in it).
Whatever is missing, half written or damaged is taken for not there yet.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_data_path
from torch import Tensor

from rgdiff_core.spec import load_json
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.records import Status

__all__ = [
    "Samples",
    "curves",
    "history",
    "log_tail",
    "read_config",
    "read_status",
    "run_folder",
    "runs_root",
    "sample_steps",
    "samples",
]

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


def run_folder(run_id: str) -> Path:
    """Return a run's folder, whether it exists or not; raises `ValueError` for what is no id."""
    if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
        raise ValueError(f"{run_id!r} is not the id of a run.")
    path = runs_root() / run_id
    if path.is_symlink():
        raise ValueError(f"{run_id} is a link, not a run.")
    return path


def read_config(folder: Path) -> TrainConfig | None:
    """Return the config of a run, None where it can't be read."""
    try:
        return TrainConfig.from_json((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_status(folder: Path) -> Status | None:
    """Return where a run stands, None where nothing is known."""
    try:
        data = load_json((folder / "status.json").read_text(encoding="utf-8"))
        known = {each.name for each in fields(Status)}
        return Status(**{name: value for name, value in data.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def history(run_id: str, since: int = 0) -> tuple[list[Mapping[str, Any]], int]:
    """Return the points of the curves after a byte offset, and the offset to go on from.

    Half a line at the end is left for the next time. A later point of the same step and kind
    replaces the earlier one: see `curves`.
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
    rows = []
    for line in data[:end].splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows, start + end


def curves(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the points of training and of held-out data, in order, the last of each step.

    A resumed run writes the points after its checkpoint anew; what stood there before is dropped.
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
    names = (re.fullmatch(r"step-(\d+)\.npz", path.name) for path in found)
    return sorted(int(name[1]) for name in names if name)


def samples(run_id: str, step: int) -> Samples | None:
    """Return the samples drawn at a step, None where they can't be read."""
    try:
        path = run_folder(run_id) / "samples" / f"step-{step:08d}.npz"
        with np.load(path, allow_pickle=False) as file:
            return Samples(int(file["step"]), torch.from_numpy(file["images"]))
    except (OSError, ValueError, KeyError, EOFError):
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
