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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from rgdiff_core.files.atomic import write_text
from rgdiff_core.training import holding
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.runs import registry
from rgdiff_core.training.runs.folder import is_id, read_status, run_folder, runs_root
from rgdiff_core.training.runs.listing import Run, entry, get
from rgdiff_core.training.runs.provenance import write_provenance
from rgdiff_core.training.runs.registry import (
    ENDED,
    RegistryRow,
    change,
    insert,
    mend,
    remove,
    rows,
    transaction,
)
from rgdiff_core.training.warm_start import bring_weights

__all__ = [
    "cancel",
    "close",
    "delete",
    "entered",
    "move",
    "pause",
    "pump",
    "rename",
    "resume",
    "submit",
]

TERM_AFTER, KILL_AFTER = 20.0, 40.0  # seconds since a worker was asked to stop
FREE_DISK, FREE_MEMORY = 500 << 20, 700 << 20  # bytes below which nothing is started
MAX_TITLE = 80
UNKNOWN = "How it ended is not known; resume it from the last checkpoint."
GONE = "lost", "Its worker ended without a report; resume it from the last checkpoint."
STOPPED = "cancelled", "It did not stop when asked, and was stopped."

_children: list[subprocess.Popen[bytes]] = []


def slots() -> int:
    """Return how many runs may run at the same time: RGDIFF_SLOTS, by default 1."""
    text = os.environ.get("RGDIFF_SLOTS", "1")
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise ValueError(f"RGDIFF_SLOTS = {text!r} is not a whole number from 1 to 64.")
    return int(text)


def submit(config: TrainConfig, title: str = "", weights: Path | None = None) -> Run:
    """Queue a run, and start it where there is room.

    Arguments:
        title: display name.
        weights: a model file to start from, of the same network.
    """
    title = _title(title) or config.data
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    word = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:32] or "run"
    with entered(word, title, "queued", sys.executable) as (run_id, folder):
        if weights is not None:
            bring_weights(weights, folder)
        write_text(folder / "config.json", config.to_json())
        write_text(folder / "title", title)
        write_provenance(folder, config)
    pump()
    return get(run_id)


@contextmanager
def entered(
    word: str, title: str, state: str, interpreter: str = ""
) -> Iterator[tuple[str, Path]]:
    """Make a run: give its id and a folder to fill, whose name is no run's yet, and enter it.

    Folder and entry become visible at the same moment, so that nobody finds one without the other.

    Arguments:
        word: in the run's id.

    Raises:
        ValueError: where the folder or the registry can't be written; then there is no run.
    """
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    folder = run_folder(f"{stamp}-{word}-{os.urandom(2).hex()}")
    part = folder.with_name(f".{folder.name}.part")
    try:
        part.mkdir()
        yield folder.name, part
        with transaction() as connection:
            last = max((row.position for row in rows(connection)), default=0.0)
            row = RegistryRow(folder.name, title, now, state, last + 1, interpreter=interpreter)
            insert(connection, row)
            part.rename(folder)
    except OSError as error:
        raise ValueError(f"the run folder {folder} can't be written: {error.strerror}.") from None
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # where the registry could not be written
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def pump() -> None:
    """Bring the registry up to date, and start what waits while there is room."""
    _children[:] = [child for child in _children if child.poll() is None]
    started: list[subprocess.Popen[bytes]] = []
    try:
        with transaction() as connection:
            _adopt(connection, mend(connection))
            for row in rows(connection):
                if row.state in ("running", "lost"):
                    _attend(connection, row)
            running = sum(row.state == "running" for row in rows(connection))
            for row in rows(connection):
                if row.state == "queued" and running + len(started) < slots():
                    started += _begun(connection, row)
    except BaseException:
        for child in started:  # no entry speaks of them
            child.kill()
        raise
    finally:
        _children.extend(started)


def _begun(connection: sqlite3.Connection, row: RegistryRow) -> list[subprocess.Popen[bytes]]:
    """Start the worker of a run where that is possible now; else say why it isn't."""
    try:
        folder = run_folder(row.id)
        problem = _problem(folder)
        if not problem:
            return [_start(connection, row, folder)]
        change(connection, row.id, message=problem)
    except (OSError, ValueError) as error:
        message = f"It can't start: {str(error).rstrip('.')}."
        change(connection, row.id, state="failed", message=message)
    return []


def _adopt(connection: sqlite3.Connection, mended: set[str]) -> None:
    """Enter the folders that no entry speaks of: after the registry was lost, or copied in."""
    known = {row.id for row in rows(connection)}
    for folder in runs_root().iterdir():
        if folder.name in known or not is_id(folder.name) or folder.is_symlink():
            continue
        if not (folder / "config.json").is_file():
            continue
        created = folder.stat().st_mtime
        state, message = _ended(folder) or ("lost", UNKNOWN)
        if folder.name in mended:
            message = f"Its entry in {registry.NAME} was damaged and has been rebuilt. {message}"
        try:
            title = (folder / "title").read_bytes().decode("utf-8", "replace")
        except OSError:
            title = folder.name
        insert(
            connection,
            RegistryRow(folder.name, _title(title), created, state, created, message=message),
        )


def _attend(connection: sqlite3.Connection, row: RegistryRow) -> None:
    """Look after a worker: is it there, and does it stop when it was asked to?"""
    try:
        folder = run_folder(row.id)
    except ValueError:  # a link took its place
        change(connection, row.id, state="lost", pid=0, worker="", asked=0.0)
        return
    if row.state == "lost":
        _look_again(connection, row, folder)
        return
    waited = time.monotonic() - row.asked if row.asked else 0.0
    if holding.is_working(folder, row.worker):
        process = holding.worker(folder, row.worker) if waited > TERM_AFTER else None
        if process is not None:
            process.send_signal(signal.SIGKILL if waited > KILL_AFTER else signal.SIGTERM)
    elif not _begins_elsewhere(folder, row) or waited > KILL_AFTER:
        _end(connection, row, folder)


def _begins_elsewhere(folder: Path, row: RegistryRow) -> bool:
    """Tell whether another host has started a worker that has not taken the run yet."""
    status = read_status(folder)
    spoken = status is not None and status.worker == row.worker
    return holding.is_elsewhere(row.worker) and not spoken


def _look_again(connection: sqlite3.Connection, row: RegistryRow, folder: Path) -> None:
    """Take back that a run is lost where a process works on it, or has said how it ended."""
    if holding.is_held(folder):
        status = read_status(folder)
        change(connection, row.id, state="running", message="")
        if status is not None:
            change(connection, row.id, pid=status.pid, worker=status.worker)
    elif ended := _ended(folder):
        change(connection, row.id, state=ended[0], message=ended[1])


def _ended(folder: Path) -> tuple[str, str] | None:
    """Return how a run says that it ended, and the sentence with that; None if unknown."""
    status = read_status(folder)
    return (status.state, status.message) if status and status.state in ENDED else None


def _end(connection: sqlite3.Connection, row: RegistryRow, folder: Path) -> None:
    """Record how a run ended whose worker is gone."""
    state, message = _ended(folder) or (STOPPED if row.asked else GONE)
    change(connection, row.id, state=state, message=message, pid=0, worker="", asked=0.0)


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


def _start(
    connection: sqlite3.Connection, row: RegistryRow, folder: Path
) -> subprocess.Popen[bytes]:
    """Start the worker of a run, in its own session."""
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
    change(connection, row.id, state="running", asked=0.0, message="")
    change(connection, row.id, pid=child.pid, worker=holding.name_of(child.pid))
    return child


def _library() -> dict[str, str]:
    """Return the setting that lets the worker find this very library."""
    here = str(Path(registry.__file__).resolve().parents[3])
    paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def close(run_id: str, state: str, message: str) -> None:
    """Record how a run ended: a worker's last report."""
    with transaction() as connection:
        ended = {"state": state, "message": message, "asked": 0.0}
        change(connection, run_id, pid=0, worker="", **ended)


def pause(run_id: str) -> None:
    """Stop a run at its next look, with a checkpoint; a queued one leaves the queue."""
    _ask(run_id, "pause", "paused")


def cancel(run_id: str) -> None:
    """Stop a run for good, with a checkpoint; one that does not obey is killed after a while."""
    _ask(run_id, "cancel", "cancelled")


def _ask(run_id: str, request: str, state: str) -> None:
    with transaction() as connection:
        row = entry(connection, run_id)
        if row.state == "queued" or (row.state == "paused" and request == "cancel"):
            change(connection, run_id, state=state, message="")
        elif row.state == "running":
            if run_folder(run_id).is_dir():
                write_text(run_folder(run_id) / "request", request)
            change(connection, run_id, asked=time.monotonic(), request=request)
        else:
            raise ValueError(f"the run is {row.state}: there is nothing to {request}.")


def resume(run_id: str) -> None:
    """Put a stopped run back into the queue, to go on from its last checkpoint."""
    with transaction() as connection:
        row, folder = entry(connection, run_id), run_folder(run_id)
        if row.state not in ENDED or row.state == "finished":
            raise ValueError(f"the run is {row.state} and can't be resumed.")
        if not folder.is_dir():
            raise ValueError("the run's folder is gone: it can't be resumed.")
        if holding.is_held(folder):
            raise ValueError(f"another process is training in {folder} now.")
        last = max(row.position for row in rows(connection))
        change(connection, run_id, state="queued", message="", position=last + 1)
    pump()


def move(run_id: str, position: float) -> None:
    """Give a queued run another place: those of smaller position come first."""
    with transaction() as connection:
        if entry(connection, run_id).state != "queued":
            raise ValueError("only a queued run has a place in the queue.")
        change(connection, run_id, position=float(position))


def rename(run_id: str, title: str) -> None:
    """Give a run another title, of at most 80 characters."""
    if not _title(title):
        raise ValueError("a title needs at least one character.")
    with transaction() as connection:
        entry(connection, run_id)
        change(connection, run_id, title=_title(title))
        if run_folder(run_id).is_dir():
            write_text(run_folder(run_id) / "title", _title(title))


def delete(run_id: str) -> None:
    """Remove a run and its folder.

    Raises:
        ValueError: where a process works on it, and where the registry can't be written; then it
            is there as before.
        OSError: where its folder can't be removed; what is left of it is no run any more.
    """
    folder = run_folder(run_id)
    aside = folder.with_name(f".{run_id}.{os.urandom(2).hex()}.deleted")
    try:
        with transaction() as connection:
            row = entry(connection, run_id)
            if holding.is_working(folder, row.worker):
                raise ValueError("the run is running: cancel it before it is deleted.")
            if folder.is_dir():
                lock = holding.hold(folder)  # nobody begins to work on it now
                try:
                    folder.rename(aside)
                finally:
                    lock.release()
            remove(connection, run_id)
    except BaseException:
        if aside.is_dir():  # the registry could not be written: nothing is deleted
            aside.rename(folder)
        raise
    if aside.is_dir():
        shutil.rmtree(aside)


def _title(text: str) -> str:
    return " ".join(text.split())[:MAX_TITLE]
