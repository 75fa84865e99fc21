"""The list of runs, read from the registry and the run folders."""

import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.records import REQUESTS, Status
from rgdiff_core.training.runs.folder import run_folder, standing
from rgdiff_core.training.runs.registry import RegistryRow, rows, transaction

__all__ = ["Run", "entry", "get", "list_runs", "model_path"]


@dataclass(frozen=True)
class Run:
    """A run, as read from the registry and its folder.

    Attributes:
        id: of the run.
        title: display name.
        created: seconds since 1970.
        state: "queued", "running", "paused", "cancelled", "finished", "failed", or "lost" where
            its worker ended without a report.
        message: one sentence for people, or nothing.
        missing: whether its folder is gone.
        stopping: whether it has been asked to stop.
        request: to what end, "pause" or "cancel"; "" where it has not been, or nothing says so.
        config: None where it can't be read.
        status: what the trainer wrote last, None where there is nothing.
        problems: a sentence for each file of its folder that is damaged.
    """

    id: str
    title: str
    created: float
    state: str
    message: str
    missing: bool
    stopping: bool
    request: str
    config: TrainConfig | None
    status: Status | None
    problems: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Return whether the run is queued or running."""
        return self.state in ("queued", "running")


def list_runs() -> list[Run]:
    """Return all runs, the newest first."""
    with transaction() as connection:
        found = rows(connection)
    return sorted((_view(row) for row in found), key=lambda run: run.created, reverse=True)


def get(run_id: str) -> Run:
    """Return one run; raises `ValueError` where there is none of this id."""
    with transaction() as connection:
        return _view(entry(connection, run_id))


def entry(connection: sqlite3.Connection, run_id: str) -> RegistryRow:
    """Return a run's entry in the registry; raises `ValueError` where there is none."""
    run_folder(run_id)
    for row in rows(connection):
        if row.id == run_id:
            return row
    raise ValueError(f"there is no run {run_id!r}.")


def _view(row: RegistryRow) -> Run:
    try:
        folder = run_folder(row.id)
    except ValueError as error:
        return _run(row, True, None, None, (str(error),))
    found = standing(folder)
    status = found.status
    if status is not None and row.state == "running" and status.pid != row.pid:
        # the last report of an earlier worker: the new one has not reported yet
        status = replace(status, state="starting", message="", eta_s=None, images_per_s=None)
    return _run(row, not folder.is_dir(), found.config, status, found.problems)


def _run(
    row: RegistryRow,
    missing: bool,
    config: TrainConfig | None,
    status: Status | None,
    problems: tuple[str, ...],
) -> Run:
    return Run(
        id=row.id,
        title=row.title,
        created=row.created,
        state=row.state,
        message=row.message,
        missing=missing,
        stopping=row.asked > 0,
        request=row.request if row.asked > 0 and row.request in REQUESTS else "",
        config=config,
        status=status,
        problems=problems,
    )


def model_path(run_id: str) -> Path:
    """Return a run's model file; raises `ValueError` where there is none yet."""
    path = run_folder(run_id) / "checkpoint" / "model.safetensors"
    if not path.is_file():
        raise ValueError("the run has no checkpoint yet.")
    return path
