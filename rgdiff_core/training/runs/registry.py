"""The registry: one SQLite file that says which runs there are and who works on them.

Servers, command lines and workers all open it themselves; changes of state are made in immediate
transactions, so that two of them never start the same run. A file of an older version gets the
columns that it lacks. One that is damaged is moved aside and rebuilt from the run folders, which
hold everything else; an entry that is damaged is passed over, and `mend` takes it out.
"""

import logging
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import SQLITE_ERROR, SQLITE_FULL, SQLITE_IOERR
from typing import Any, get_type_hints

from filelock import FileLock

from rgdiff_core.spec import check_range, typed
from rgdiff_core.training.runs.folder import is_id, runs_root

__all__ = ["ENDED", "RegistryRow", "change", "insert", "mend", "remove", "rows", "transaction"]

logger = logging.getLogger(__name__)
NAME = "registry.sqlite"
BUSY_SECONDS = 20
ENDED = ("paused", "cancelled", "finished", "failed", "lost")
STATES = ("queued", "running", *ENDED)
MAX_NUMBER = 1e11  # seconds or places in the queue
ROOM = 1 << 18  # bytes of disk that a change may take

_COLUMNS: Mapping[str, str] = {
    "id": "TEXT PRIMARY KEY",
    "title": "TEXT NOT NULL DEFAULT ''",
    "created": "REAL NOT NULL DEFAULT 0",
    "state": "TEXT NOT NULL DEFAULT 'lost'",
    "position": "REAL NOT NULL DEFAULT 0",
    "pid": "INTEGER NOT NULL DEFAULT 0",
    "worker": "TEXT NOT NULL DEFAULT ''",
    "interpreter": "TEXT NOT NULL DEFAULT ''",
    "asked": "REAL NOT NULL DEFAULT 0",
    "request": "TEXT NOT NULL DEFAULT ''",
    "message": "TEXT NOT NULL DEFAULT ''",
}
_NAMES = ", ".join(_COLUMNS)
_SCHEMA = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())


@dataclass(frozen=True)
class RegistryRow:
    """A run in the registry.

    Attributes:
        id: of the run.
        title: display name.
        created: seconds since 1970.
        state: "queued", "running", or how it ended.
        position: in the queue, least first.
        pid: of its worker.
        worker: the name of that process, see `rgdiff_core.training.holding`.
        interpreter: the Python that runs it.
        asked: when it was asked to stop, by the monotonic clock; 0 where it wasn't.
        request: "pause" or "cancel", what it was asked for then.
        message: one sentence.
    """

    id: str
    title: str
    created: float
    state: str
    position: float
    pid: int = 0
    worker: str = ""
    interpreter: str = ""
    asked: float = 0.0
    request: str = ""
    message: str = ""


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        _write_ahead(connection, path)
        (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        _fit(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    """Let readers not wait for writers, which the file itself remembers.

    SQLite doesn't wait for others here, but fails: so of several that find a new file only one at
    a time changes it.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        with FileLock(path.with_name(f".{NAME}.mode.lock")):
            connection.execute("PRAGMA journal_mode=WAL")


def _fit(connection: sqlite3.Connection) -> None:
    """Make the table, or add the columns that one of an older version lacks.

    Raises `sqlite3.DatabaseError` for a table that is none of this library's.
    """
    if _lacking(connection) == []:
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may do the same
    connection.execute(f"CREATE TABLE IF NOT EXISTS runs ({_SCHEMA})")
    for name in _lacking(connection):
        connection.execute(f"ALTER TABLE runs ADD COLUMN {name} {_COLUMNS[name]}")
    connection.execute("COMMIT")


def _lacking(connection: sqlite3.Connection) -> list[str]:
    known = connection.execute("PRAGMA table_info(runs)").fetchall()
    for _, name, _, needed, default, key in known:
        if name not in _COLUMNS and needed and default is None and not key:
            raise sqlite3.DatabaseError(f"the column {name!r} is unknown")
    names = {name for _, name, *_ in known}
    if names and "id" not in names:
        raise sqlite3.DatabaseError("its table of runs has no ids")
    return [name for name in _COLUMNS if name not in names]


def _open() -> sqlite3.Connection:
    path = runs_root() / NAME
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        _check_damaged(path, error)
        with FileLock(path.with_name(f".{NAME}.lock")):
            return _rebuilt(path)


def _check_damaged(path: Path, error: sqlite3.DatabaseError) -> None:
    """Raise `ValueError` where it is not the file itself that is at fault."""
    if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode != SQLITE_ERROR:
        raise ValueError(f"the registry {path} can't be opened: {_reason(error)}.") from None


def _reason(error: sqlite3.Error) -> str:
    """Return why a file can't be used: SQLite calls a disk without space an I/O error, too."""
    kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without its further distinctions
    full = kind in (SQLITE_FULL, SQLITE_IOERR) and shutil.disk_usage(runs_root()).free < ROOM
    return "no space is left on its disk" if full else str(error)


def _rebuilt(path: Path) -> sqlite3.Connection:
    """Move a damaged registry aside, unless another process has done so meanwhile."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        _check_damaged(path, error)
        aside = path.with_name(f"{NAME}.damaged-{time.time_ns()}")
        logger.warning("%s is damaged (%s): moved to %s and rebuilt.", path, error, aside.name)
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(NAME + suffix).unlink(missing_ok=True)
        return _connect(path)


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """Open the registry for changes that nobody else can come between.

    Raises:
        ValueError: where it can't be read or written, with the reason; then nothing has changed.
    """
    connection = _open()
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        reason = _reason(error)
        raise ValueError(f"the registry {runs_root() / NAME} can't be used: {reason}.") from None
    finally:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        connection.close()


def rows(connection: sqlite3.Connection) -> list[RegistryRow]:
    """Return all runs, in the order of the queue."""
    found = connection.execute(f"SELECT {_NAMES} FROM runs ORDER BY position, id")
    return [row for each in found if (row := _row(each)) is not None]


def _row(values: tuple[Any, ...]) -> RegistryRow | None:
    """Return an entry, None where it is damaged."""
    hints = get_type_hints(RegistryRow)
    try:
        named = {k: typed(v, hints[k], k) for k, v in zip(_COLUMNS, values, strict=True)}
        for name in ("created", "position", "asked", "pid"):
            check_range(name, named[name], 0 if name == "pid" else -MAX_NUMBER, MAX_NUMBER)
    except ValueError:
        return None
    return RegistryRow(**named) if named["state"] in STATES and is_id(named["id"]) else None


def mend(connection: sqlite3.Connection) -> set[str]:
    """Take out the entries that are damaged, and return the ids in them."""
    found = connection.execute(f"SELECT rowid, {_NAMES} FROM runs").fetchall()
    bad = {number: str(values[0]) for number, *values in found if _row(tuple(values)) is None}
    for number, name in bad.items():
        logger.warning("the entry of run %r in %s is damaged: it was removed.", name, NAME)
        connection.execute("DELETE FROM runs WHERE rowid = ?", (number,))
    return set(bad.values())


def change(connection: sqlite3.Connection, run_id: str, **values: object) -> None:
    """Set some columns of a run."""
    names = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE runs SET {names} WHERE id = ?", (*values.values(), run_id))


def insert(connection: sqlite3.Connection, row: RegistryRow) -> None:
    """Add a run."""
    marks = ", ".join("?" for _ in _COLUMNS)
    values = tuple(getattr(row, name) for name in _COLUMNS)
    connection.execute(f"INSERT INTO runs ({_NAMES}) VALUES ({marks})", values)


def remove(connection: sqlite3.Connection, run_id: str) -> None:
    """Take a run out."""
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
