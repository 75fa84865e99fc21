"""Who works on a run: the lock that a process holds as long as it lives, and that process' name.

The name of a process is made of where it runs (host and name space of processes), of the boot of
that system, of its number, and of the clock ticks between boot and its start. None of these
changes when the system's clock is set, and no two processes share them all.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

__all__ = ["LOCK", "hold", "is_elsewhere", "is_held", "is_working", "name_of", "worker"]

LOCK = ".lock"
PATIENCE = 2.0  # seconds: others hold the lock for an instant, to see whether it is free
_PROC = Path("/proc")


def hold(folder: Path) -> FileLock:
    """Take a run for this process, until the lock is released or the process ends.

    Raises:
        ValueError: where another process works on the run.
        OSError: where nothing can be written there.
    """
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        return lock.acquire(timeout=PATIENCE, poll_interval=0.02).lock
    except Timeout:
        raise ValueError(f"another process is training in {folder} now.") from None


def is_held(folder: Path) -> bool:
    """Tell whether a process, of this host or another, holds a run's lock."""
    path = folder / LOCK
    if not path.is_file():
        return False
    with suppress(OSError, NotImplementedError):
        lock = FileLock(path, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
    return False


def name_of(pid: int) -> str:
    """Return the name of a living process, "" where there is none of this number."""
    ticks = _ticks(pid)
    return ticks and f"{_place()}/{_boot()}/{pid}/{ticks}"


def is_elsewhere(name: str) -> bool:
    """Tell whether a process runs where this one can't look for it."""
    return name != "" and not name.startswith(f"{_place()}/")


def is_working(folder: Path, name: str) -> bool:
    """Tell whether a run is worked on, by the process of this name or by any that holds it."""
    return is_held(folder) or _lives(name)


def worker(folder: Path, name: str) -> psutil.Process | None:
    """Return the process that works on a run, None unless all that is known of it agrees.

    The process of this name lives here, the run's lock is held, and it is this process that has
    the lock's file open.
    """
    if not _lives(name) or not is_held(folder):
        return None
    lock = folder / LOCK
    with suppress(psutil.Error, OSError):
        process = psutil.Process(_pid(name))
        opened = [Path(each.path) for each in process.open_files()]
        if any(path.name == LOCK and path.samefile(lock) for path in opened):
            return process
    return None


def _lives(name: str) -> bool:
    return name != "" and name_of(_pid(name)) == name


def _pid(name: str) -> int:
    """Return the number in a process' name, 0 where it has none that a system could give."""
    number = name.rpartition("/")[0].rpartition("/")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0


def _place() -> str:
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{space}"


def _boot() -> str:
    with suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _ticks(pid: int) -> str:
    """Return when a process began, "" where it has ended: on Linux in ticks since boot."""
    if pid <= 0:
        return ""
    if _boot():
        with suppress(OSError):
            # the program's name, in brackets, may hold anything
            words = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
            return "" if words[0] in (b"Z", b"X") else words[19].decode()
        return ""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return str(process.create_time())
    return ""
