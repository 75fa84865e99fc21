"""Who works on a run: strangers are left alone, a clock that is set changes nothing, and a run is
there as a whole or not at all.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.training import TrainConfig, holding, runs
from rgdiff_core.training.runs import queue, registry

CONFIG = TrainConfig(basis=BasisSpec(momentum="lattice"), steps=30)
WORKS = """
import fcntl, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("there", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a folder of runs, where nothing starts."""
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("RGDIFF_SLOTS", raising=False)
    monkeypatch.setattr(queue, "FREE_DISK", 1 << 60)
    return runs.runs_root()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen]:
    """Start a process that has nothing to do with runs."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def live(root: Path) -> Iterator[subprocess.Popen]:
    """Start a process that works on the run "live", and does not stop when it is asked to."""
    (root / "live").mkdir()
    command = [sys.executable, "-c", WORKS, str(root / "live" / holding.LOCK)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "there\n"
    write(root / "live", process.pid)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def write(folder: Path, pid: int) -> None:
    """Write the folder of a run that a process is said to work on."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(CONFIG.to_json())
    told = {"state": "running", "step": 3, "steps": 30, "pid": pid}
    told |= {"worker": holding.name_of(pid), "updated": time.time()}
    (folder / "status.json").write_text(json.dumps(told))


def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill at once what does not stop."""
    monkeypatch.setattr(queue, "TERM_AFTER", 0.0)
    monkeypatch.setattr(queue, "KILL_AFTER", 0.0)


def cancelled(run_id: str) -> None:
    """Ask a run to stop, and look after the queue."""
    runs.pump()
    if runs.get(run_id).active:
        runs.cancel(run_id)
    for _ in range(3):
        runs.pump()
        time.sleep(0.1)


def test_a_copied_folder_names_a_stranger(monkeypatch, root, stranger):
    no_patience(monkeypatch)
    write(root / "copied", stranger.pid)
    cancelled("copied")
    assert stranger.poll() is None
    assert runs.get("copied").state == "lost"
    runs.delete("copied")


@pytest.mark.parametrize("held", [False, True])
def test_an_entry_names_a_stranger(monkeypatch, root, stranger, held):
    """All is as it should be but the lock: it is free, or another process holds it."""
    no_patience(monkeypatch)
    write(root / "copied", stranger.pid)
    lock = holding.hold(root / "copied") if held else None
    runs.pump()
    with registry.transaction() as connection:
        name = holding.name_of(stranger.pid)
        known = {"pid": stranger.pid, "worker": name}
        registry.change(connection, "copied", state="running", **known)
    cancelled("copied")
    assert stranger.poll() is None
    if lock is not None:
        with pytest.raises(ValueError, match="cancel it before it is deleted"):
            runs.delete("copied")
        lock.release()


def test_a_worker_that_does_not_stop_is_stopped(monkeypatch, live):
    no_patience(monkeypatch)
    cancelled("live")
    assert live.wait(PATIENCE) == -signal.SIGKILL
    runs.pump()
    assert runs.get("live").state == "cancelled"


def test_a_copy_is_not_taken_for_the_run_itself(monkeypatch, root, live):
    no_patience(monkeypatch)
    runs.pump()
    shutil.copytree(root / "live", root / "copied")
    cancelled("copied")
    assert live.poll() is None
    assert (runs.get("copied").state, runs.get("live").state) == ("lost", "running")


@pytest.mark.parametrize("shift", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_changes_nothing(monkeypatch, root, live, shift):
    """The time of day, and with it what systems reckon from it: when a process began."""
    runs.pump()
    now, born = time.time, psutil.Process.create_time
    monkeypatch.setattr(time, "time", lambda: now() + shift)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: born(self) + shift)
    path = root / "live" / "status.json"
    told = json.loads(path.read_text())
    told["updated"] -= shift
    path.write_text(json.dumps(told))
    monkeypatch.setattr(queue, "FREE_DISK", 0)
    waiting = runs.submit(CONFIG, "waits")
    runs.pause("live")
    runs.pump()
    assert live.poll() is None  # it has all its seconds to stop
    assert [runs.get(each).state for each in ("live", waiting.id)] == ["running", "queued"]
    with pytest.raises(ValueError, match="cancel it before it is deleted"):
        runs.delete("live")
    assert (root / "live" / "status.json").is_file()


def test_a_run_that_is_held_is_not_lost(root, live):
    """A registry of before, whose clock was set, says so; a run by hand is nobody's else."""
    runs.pump()
    with registry.transaction() as connection:
        registry.change(connection, "live", state="lost", pid=0, worker="")
    with pytest.raises(ValueError, match="cancel it before it is deleted"):
        runs.delete("live")
    with pytest.raises(ValueError, match="another process is training"):
        runs.resume("live")
    runs.pump()
    assert runs.get("live").state == "running"


def test_the_queue_keeps_its_order_when_the_clock_goes_back(monkeypatch):
    first = runs.submit(CONFIG, "first")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    second = runs.submit(CONFIG, "second")
    with registry.transaction() as connection:
        assert [row.id for row in registry.rows(connection)] == [first.id, second.id]


LOOKS = """
from rgdiff_core.training import runs
from rgdiff_core.training.runs import queue
queue.FREE_DISK = 1 << 60
print("there", flush=True)
while True:
    runs.pump()
"""


def test_a_run_and_its_folder_are_there_together():
    """Another process looks after the queue all the time."""
    command = [sys.executable, "-c", LOOKS]
    looking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert looking.stdout is not None and looking.stdout.readline() == "there\n"
        for _ in range(15):
            runs.submit(CONFIG)
    finally:
        looking.kill()
        looking.communicate()
    assert [run.state for run in runs.list_runs()] == ["queued"] * 15
    assert not list(runs.runs_root().glob(".*.part"))


def test_a_submit_that_fails_leaves_nothing(monkeypatch, root):
    runs.submit(CONFIG, "there before")
    with registry.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON runs BEGIN SELECT RAISE(FAIL, "
            "'database or disk is full'); END"
        )
    with pytest.raises(ValueError, match="can't be used: database or disk is full"):
        runs.submit(CONFIG, "too much")
    assert len(runs.list_runs()) == 1
    assert len([path for path in root.iterdir() if path.is_dir()]) == 1
