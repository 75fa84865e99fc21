"""The queue of runs, with real workers in processes of their own."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from patience import PATIENCE

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.training import TrainConfig, runs
from rgdiff_core.training.runs import queue, registry


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Give the test a folder of runs and one slot; workers compute on one thread."""
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RGDIFF_SLOTS", raising=False)
    yield tmp_path / "runs"
    for row in _working():
        with contextlib.suppress(psutil.Error):
            psutil.Process(row.pid).kill()


def _working() -> list[registry.RegistryRow]:
    with contextlib.suppress(ValueError), registry.transaction() as connection:
        return [row for row in registry.rows(connection) if row.pid]
    return []


def config(steps: int = 30, **more) -> TrainConfig:
    return TrainConfig(
        basis=BasisSpec(momentum="lattice"),
        model=ModelSpec(LatticeNet(4, 1)),
        limit=200,
        steps=steps,
        batch=8,
        log_every=5,
        evaluations=1,
        previews=1,
        checkpoint_seconds=0.1,
        **more,
    )


def wait(done: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, [(r.state, r.message, r.status) for r in runs.list_runs()]
        time.sleep(0.2)


def state(run_id: str) -> str:
    """Return a run's state without looking after the queue."""
    return runs.get(run_id).state


@pytest.mark.slow
def test_a_killed_worker_is_noticed_and_goes_on():
    run = runs.submit(config(1_000_000))
    wait(lambda: (s := runs.get(run.id).status) and s.checkpoint_step > 0)
    with registry.transaction() as connection:
        (row,) = registry.rows(connection)
    with pytest.raises(ValueError, match="cancel it before it is deleted"):
        runs.delete(run.id)
    os.kill(row.pid, signal.SIGKILL)
    wait(lambda: runs.pump() or state(run.id) == "lost")
    kept = runs.get(run.id).status.checkpoint_step
    runs.resume(run.id)
    wait(lambda: (s := runs.get(run.id).status) and s.state == "running" and s.step > kept)
    runs.cancel(run.id)
    wait(lambda: runs.pump() or state(run.id) == "cancelled")
    steps = [row["step"] for row in runs.curves(runs.history(run.id)[0])[0]]
    assert steps == sorted(set(steps))
    runs.delete(run.id)
    assert runs.list_runs() == []
    assert not runs.run_folder(run.id).exists()


def halted(monkeypatch) -> None:
    """Let nothing start."""
    monkeypatch.setattr(queue, "FREE_DISK", 1 << 60)


def test_a_full_disk_keeps_runs_waiting(monkeypatch):
    halted(monkeypatch)
    run = runs.submit(config())
    assert run.state == "queued"
    assert "It waits for disk space" in run.message
    runs.cancel(run.id)
    assert state(run.id) == "cancelled"
    with pytest.raises(ValueError, match="there is nothing to pause"):
        runs.pause(run.id)


def test_a_damaged_registry_is_rebuilt_from_the_folders(monkeypatch, root):
    halted(monkeypatch)
    made = [runs.submit(config(), title) for title in ("one", "two")]
    for name in ("registry.sqlite-wal", "registry.sqlite-shm"):
        (root / name).unlink(missing_ok=True)
    (root / "registry.sqlite").write_bytes(b"no database" * 1000)
    runs.pump()
    assert {run.title for run in runs.list_runs()} == {"one", "two"}
    assert {run.id for run in runs.list_runs()} == {run.id for run in made}
    assert list(root.glob("registry.sqlite.damaged-*"))


# Two processes of one program, which has imported what is slow.
SERVERS = """
import os, sys
from rgdiff_core.training import TrainConfig, runs
from rgdiff_core.training.runs import queue
queue.FREE_DISK = 1 << 60
other = os.fork()
for _ in range(10):
    runs.submit(TrainConfig.from_json(sys.argv[1]))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0)
"""


def test_two_servers_make_one_queue(monkeypatch):
    halted(monkeypatch)
    subprocess.run(
        [sys.executable, "-c", SERVERS, config().to_json()], check=True, timeout=PATIENCE
    )
    assert len({run.id for run in runs.list_runs()}) == 20


def test_what_is_half_written_is_not_there_yet(monkeypatch):
    halted(monkeypatch)
    run = runs.submit(config())
    folder = runs.run_folder(run.id)
    row = json.dumps({"step": 5, "gain": -0.1})
    (folder / "metrics.jsonl").write_text(f"{row}\nnonsense\n{row[:10]}")
    rows, offset = runs.history(run.id)
    assert [each["step"] for each in rows] == [5]
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(row[10:] + "\n")
    rows, _ = runs.history(run.id, offset)
    assert [each["step"] for each in rows] == [5]
    (folder / "status.json").write_text('{"state": "runn')
    assert runs.get(run.id).status is None
    (folder / "samples").mkdir()
    (folder / "samples" / "step-00000005.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"step-00000005\.npz can.t be read: File is not"):
        runs.samples(run.id, 5)
    assert runs.samples(run.id, 6) is None


def test_a_resumed_curve_replaces_what_was_beyond_its_checkpoint():
    rows = [{"step": s, "gain": 0.0} for s in (5, 10, 15)]
    rows += [{"step": s, "gain": 1.0} for s in (10, 15, 20)]
    training, _ = runs.curves(rows)
    assert [(row["step"], row["gain"]) for row in training] == [
        (5, 0.0),
        (10, 1.0),
        (15, 1.0),
        (20, 1.0),
    ]


def test_a_deleted_folder_is_said_and_can_be_removed(monkeypatch):
    halted(monkeypatch)
    run = runs.submit(config())
    for path in sorted(runs.run_folder(run.id).rglob("*"), reverse=True):
        path.unlink()
    runs.run_folder(run.id).rmdir()
    assert runs.get(run.id).missing
    runs.delete(run.id)
    assert runs.list_runs() == []


@pytest.mark.parametrize("run_id", ["", "..", "../x", "a/b", "/etc", "A", "x" * 99, "x\n"])
def test_ids_never_leave_the_folder_of_runs(run_id):
    for act in (runs.get, runs.delete, runs.model_path, runs.run_folder):
        with pytest.raises(ValueError, match="is not the id of a run"):
            act(run_id)


def test_a_link_is_no_run(root, tmp_path):
    runs.list_runs()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text(config().to_json())
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    runs.pump()
    assert runs.list_runs() == []
    with pytest.raises(ValueError, match="is a link, not a run"):
        runs.delete("linked")


def test_uploads_are_checked(root):
    for data in (b"", b"junk" * 100, b"\x80\x04\x95"):
        with pytest.raises(ValueError, match="is not a safetensors file"):
            runs.register_model(data, "bad")
    assert [path for path in root.iterdir() if path.is_dir()] == []


def test_bad_settings_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RGDIFF_SLOTS", "many")
    with pytest.raises(ValueError, match="RGDIFF_SLOTS = 'many' is not a whole number"):
        runs.submit(config())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "file" / "runs"))
    with pytest.raises(ValueError, match="can't be made"):
        runs.list_runs()


def test_titles_are_kept_short(monkeypatch):
    halted(monkeypatch)
    run = runs.submit(config(), "  a  title " + "x" * 200)
    assert run.title == ("a title " + "x" * 200)[:80]
    runs.rename(run.id, "φ⁴ again")
    assert runs.get(run.id).title == "φ⁴ again"
    with pytest.raises(ValueError, match="at least one character"):
        runs.rename(run.id, "  ")


def test_the_registry_is_an_ordinary_database(monkeypatch, root):
    halted(monkeypatch)
    run = runs.submit(config())
    with sqlite3.connect(root / "registry.sqlite") as connection:
        assert connection.execute("SELECT id, state FROM runs").fetchall() == [(run.id, "queued")]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
