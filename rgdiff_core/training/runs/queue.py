"""The queue of runs: submit, start, stop, resume, remove.

There is no daemon. `pump` looks after the queue: it notices workers that are gone, stops those
that do not obey, and starts what waits while there is room. It is called by everybody: on submit,
by the page while it is open, by the command line, and by each worker as its last act, so that a
queue drains with nobody watching.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from rgdiff_core.training.checkpoint import write_text
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.records import Status
from rgdiff_core.training.runs import registry
from rgdiff_core.training.runs.folder import read_config, read_status, run_folder, runs_root
from rgdiff_core.training.runs.provenance import write_provenance
from rgdiff_core.training.runs.registry import Row, change, insert, remove, rows, transaction

__all__ = [
    "ENDED",
    "Run",
    "cancel",
    "close",
    "delete",
    "get",
    "list_runs",
    "model_path",
    "move",
    "pause",
    "pump",
    "rename",
    "resume",
    "submit",
]

ENDED = ("paused", "cancelled", "finished", "failed", "lost")
TERM_AFTER, KILL_AFTER = 20.0, 40.0  # seconds since a worker was asked to stop
FREE_DISK, FREE_MEMORY = 500 << 20, 700 << 20  # bytes below which nothing is started
MAX_TITLE = 80

_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Run:
    """A run as others see it.

    Attributes:
        id, title, created: of the run.
        state: "queued", "running", "paused", "cancelled", "finished", "failed", or "lost" where
            its worker is gone without a word.
        message: one sentence for people, or nothing.
        missing: whether its folder is gone.
        stopping: whether it has been asked to stop.
        config: None where it can't be read.
        status: what the trainer wrote last, None where there is nothing.
    """

    id: str
    title: str
    created: float
    state: str
    message: str
    missing: bool
    stopping: bool
    config: TrainConfig | None
    status: Status | None

    @property
    def active(self) -> bool:
        """Return whether anything is still going to happen by itself."""
        return self.state in ("queued", "running")


def slots() -> int:
    """Return how many runs may run at the same time: RGDIFF_SLOTS, by default 1."""
    text = os.environ.get("RGDIFF_SLOTS", "1")
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise ValueError(f"RGDIFF_SLOTS = {text!r} is not a whole number from 1 to 64.")
    return int(text)


def submit(config: TrainConfig, title: str = "") -> Run:
    """Queue a run, and start it where there is room."""
    title = _title(title) or config.data
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:32] or "run"
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    folder = run_folder(f"{stamp}-{word}-{os.urandom(2).hex()}")
    try:
        folder.mkdir()
        write_text(folder / "config.json", config.to_json())
        write_text(folder / "title", title)
        write_provenance(folder, config)
    except OSError as error:
        raise ValueError(f"the run folder {folder} can't be written: {error.strerror}.") from None
    with transaction() as connection:
        insert(connection, Row(folder.name, title, now, "queued", now, 0, 0.0, sys.executable))
    pump()
    return get(folder.name)


def pump() -> None:
    """Bring the registry up to date, and start what waits while there is room."""
    _children[:] = [child for child in _children if child.poll() is None]
    with transaction() as connection:
        _adopt(connection)
        for row in rows(connection):
            if row.state == "running":
                _attend(connection, row)
        running = sum(row.state == "running" for row in rows(connection))
        for row in rows(connection):
            if row.state != "queued" or running >= slots():
                continue
            problem = _problem(run_folder(row.id))
            if problem:
                change(connection, row.id, message=problem)
                continue
            _start(connection, row)
            running += 1


def _adopt(connection: sqlite3.Connection) -> None:
    """Enter the folders that no row speaks of: after the registry was lost, or copied in."""
    known = {row.id for row in rows(connection)}
    for folder in runs_root().iterdir():
        if folder.name in known or folder.is_symlink() or not (folder / "config.json").is_file():
            continue
        try:
            run_folder(folder.name)
        except ValueError:
            continue
        status, created = read_status(folder), folder.stat().st_mtime
        state = status.state if status and status.state in ENDED else "lost"
        born, pid = 0.0, 0
        if status and status.state in ("starting", "running") and psutil.pid_exists(status.pid):
            state, pid, born = "running", status.pid, psutil.Process(status.pid).create_time()
        try:
            title = (folder / "title").read_text(encoding="utf-8")[:MAX_TITLE]
        except OSError:
            title = folder.name
        insert(connection, Row(folder.name, title, created, state, created, pid, born))


def _attend(connection: sqlite3.Connection, row: Row) -> None:
    """Look after a worker: is it there, and does it stop when it was asked to?"""
    process = _worker(row)
    if process is None:
        status = read_status(run_folder(row.id))
        state = status.state if status and status.state in ENDED else "lost"
        message = status.message if status and state != "lost" else ""
        if state == "lost":
            message = "Its worker is gone without a word; resume it from the last checkpoint."
        if row.asked and state == "lost":
            state, message = "cancelled", "It did not stop when asked, and was stopped."
        change(connection, row.id, state=state, message=message, pid=0, asked=0.0)
        return
    waited = time.time() - row.asked if row.asked else 0.0
    if waited > KILL_AFTER:
        process.kill()
    elif waited > TERM_AFTER:
        process.send_signal(signal.SIGTERM)


def _worker(row: Row) -> psutil.Process | None:
    """Return the process that works on a run, None where it is gone."""
    try:
        process = psutil.Process(row.pid)
        if abs(process.create_time() - row.born) > 2 or process.status() == "zombie":
            return None
    except (psutil.Error, ValueError):
        return None
    return process


def _problem(folder: Path) -> str:
    """Return why a run can't be started now, or nothing."""
    free = shutil.disk_usage(runs_root()).free
    if free < FREE_DISK:
        return f"It waits for disk space: {free >> 20} MiB are free, {FREE_DISK >> 20} are needed."
    memory = psutil.virtual_memory().available
    if memory < FREE_MEMORY:
        return f"It waits for memory: {memory >> 20} MiB free, {FREE_MEMORY >> 20} needed."
    if not folder.is_dir():
        return "Its folder is gone."
    return ""


def _start(connection: sqlite3.Connection, row: Row) -> None:
    """Start the worker of a run, in a session of its own."""
    folder = run_folder(row.id)
    (folder / "request").unlink(missing_ok=True)
    interpreter = row.interpreter if Path(row.interpreter).is_file() else sys.executable
    with (folder / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [interpreter, "-m", "rgdiff_core.training.runs.worker", row.id],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
            env=os.environ | {"RGDIFF_RUNS": str(runs_root().resolve())} | _library(),
        )
    _children.append(child)
    born = psutil.Process(child.pid).create_time()
    change(connection, row.id, state="running", pid=child.pid, born=born, asked=0.0, message="")


def _library() -> dict[str, str]:
    """Return the setting that lets the worker find this very library."""
    here = str(Path(registry.__file__).resolve().parents[3])
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def close(run_id: str, state: str, message: str) -> None:
    """Record how a run ended: a worker's last word."""
    with transaction() as connection:
        change(connection, run_id, state=state, message=message, pid=0, asked=0.0)


def list_runs() -> list[Run]:
    """Return all runs, the newest first."""
    with transaction() as connection:
        found = rows(connection)
    return sorted((_view(row) for row in found), key=lambda run: run.created, reverse=True)


def get(run_id: str) -> Run:
    """Return one run; raises `ValueError` where there is none of this id."""
    return _view(_row(run_id))


def _row(run_id: str) -> Row:
    run_folder(run_id)
    with transaction() as connection:
        for row in rows(connection):
            if row.id == run_id:
                return row
    raise ValueError(f"there is no run {run_id!r}.")


def _view(row: Row) -> Run:
    folder = run_folder(row.id)
    status = read_status(folder)
    if status is not None and row.state == "running" and status.pid != row.pid:
        # the last word of an earlier worker: the new one has not spoken yet
        status = replace(status, state="starting", message="", eta_s=None, images_per_s=None)
    return Run(
        id=row.id,
        title=row.title,
        created=row.created,
        state=row.state,
        message=row.message,
        missing=not folder.is_dir(),
        stopping=row.asked > 0,
        config=read_config(folder),
        status=status,
    )


def pause(run_id: str) -> None:
    """Stop a run at its next look, with a checkpoint; a queued one leaves the queue."""
    _ask(run_id, "pause", "paused")


def cancel(run_id: str) -> None:
    """Stop a run for good, with a checkpoint; one that does not obey is killed after a while."""
    _ask(run_id, "cancel", "cancelled")


def _ask(run_id: str, request: str, state: str) -> None:
    row = _row(run_id)
    with transaction() as connection:
        if row.state == "queued" or (row.state == "paused" and request == "cancel"):
            change(connection, run_id, state=state, message="")
        elif row.state == "running":
            if run_folder(run_id).is_dir():
                write_text(run_folder(run_id) / "request", request)
            change(connection, run_id, asked=time.time())
        else:
            raise ValueError(f"the run is {row.state}: there is nothing to {request}.")


def resume(run_id: str) -> None:
    """Put a stopped run back into the queue, to go on from its last checkpoint."""
    row = _row(run_id)
    if row.state not in ENDED or row.state == "finished":
        raise ValueError(f"the run is {row.state} and can't be resumed.")
    if not run_folder(run_id).is_dir():
        raise ValueError("the run's folder is gone: it can't be resumed.")
    with transaction() as connection:
        change(connection, run_id, state="queued", message="", position=time.time())
    pump()


def move(run_id: str, position: float) -> None:
    """Give a queued run another place: those of smaller position come first."""
    if _row(run_id).state != "queued":
        raise ValueError("only a queued run has a place in the queue.")
    with transaction() as connection:
        change(connection, run_id, position=float(position))


def rename(run_id: str, title: str) -> None:
    """Give a run another title, of at most 80 characters."""
    _row(run_id)
    if not _title(title):
        raise ValueError("a title needs at least one character.")
    with transaction() as connection:
        change(connection, run_id, title=_title(title))
    if run_folder(run_id).is_dir():
        write_text(run_folder(run_id) / "title", _title(title))


def delete(run_id: str) -> None:
    """Remove a run and its folder; refuses one that runs."""
    row = _row(run_id)
    if row.state == "running" and _worker(row) is not None:
        raise ValueError("the run is running: cancel it before it is deleted.")
    folder = run_folder(run_id)
    with transaction() as connection:
        if folder.is_dir():
            shutil.rmtree(folder)
        remove(connection, run_id)


def model_path(run_id: str) -> Path:
    """Return a run's model file; raises `ValueError` where there is none yet."""
    path = run_folder(run_id) / "checkpoint" / "model.safetensors"
    if not path.is_file():
        raise ValueError("the run has no checkpoint yet.")
    return path


def _title(text: str) -> str:
    return " ".join(text.split())[:MAX_TITLE]
