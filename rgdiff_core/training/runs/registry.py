"""The registry: one SQLite file that says which runs there are and who works on them.

Servers, command lines and workers all open it themselves; changes of state are made in immediate
transactions, so that two of them never start the same run. A file that is damaged is moved aside
and rebuilt from the run folders, which hold everything else.
"""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from rgdiff_core.training.runs.folder import runs_root

__all__ = ["Row", "change", "insert", "remove", "rows", "transaction"]

logger = logging.getLogger(__name__)
NAME = "registry.sqlite"
BUSY_SECONDS = 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    created REAL NOT NULL,
    state TEXT NOT NULL,
    position REAL NOT NULL,
    pid INTEGER NOT NULL DEFAULT 0,
    born REAL NOT NULL DEFAULT 0,
    interpreter TEXT NOT NULL DEFAULT '',
    asked REAL NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT ''
)
"""


@dataclass(frozen=True)
class Row:
    """A run in the registry.

    Attributes:
        id, title, created: of the run.
        state: "queued", "running", or how it ended.
        position: in the queue, least first.
        pid, born: of its worker, and when that process began.
        interpreter: the Python that runs it.
        asked: when it was asked to stop, 0 where it wasn't.
        message: one sentence.
    """

    id: str
    title: str
    created: float
    state: str
    position: float
    pid: int = 0
    born: float = 0.0
    interpreter: str = ""
    asked: float = 0.0
    message: str = ""


_COLUMNS = ", ".join(field.name for field in fields(Row))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(_SCHEMA)
        connection.execute(f"SELECT {_COLUMNS} FROM runs LIMIT 1")
    except BaseException:
        connection.close()
        raise
    return connection


def _open() -> sqlite3.Connection:
    path = runs_root() / NAME
    try:
        return _connect(path)
    except sqlite3.OperationalError as error:
        raise ValueError(f"the registry {path} can't be opened: {error}.") from None
    except sqlite3.DatabaseError as error:
        aside = path.with_name(f"{NAME}.damaged-{time.time_ns()}")
        logger.warning("%s is damaged (%s): moved to %s and rebuilt.", path, error, aside.name)
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(NAME + suffix).unlink(missing_ok=True)
        return _connect(path)


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    """Open the registry for changes that nobody else can come between."""
    connection = _open()
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.close()


def rows(connection: sqlite3.Connection) -> list[Row]:
    """Return all runs, in the order of the queue."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM runs ORDER BY position, id")
    return [Row(*each) for each in found]


def change(connection: sqlite3.Connection, run_id: str, **values: object) -> None:
    """Set some columns of a run."""
    names = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE runs SET {names} WHERE id = ?", (*values.values(), run_id))


def insert(connection: sqlite3.Connection, row: Row) -> None:
    """Add a run."""
    marks = ", ".join("?" for _ in fields(Row))
    values = tuple(getattr(row, field.name) for field in fields(Row))
    connection.execute(f"INSERT OR IGNORE INTO runs ({_COLUMNS}) VALUES ({marks})", values)


def remove(connection: sqlite3.Connection, run_id: str) -> None:
    """Take a run out."""
    connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
