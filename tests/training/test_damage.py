"""A damaged file of a run is a sentence that names it, and hides nothing else."""

import contextlib
import io
import json
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rgdiff_core.cli.main import main
from rgdiff_core.study import own
from rgdiff_core.training import TrainConfig, runs, train
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.models import open_model
from rgdiff_core.training.runs import queue, registry
from tests.damage import KINDS, damage

FILES = (
    "config.json",
    "status.json",
    "metrics.jsonl",
    "title",
    "provenance.json",
    "evaluation.json",
    "log.txt",
    "request",
    "samples/step-00000040.npz",
    "checkpoint/state.json",
    "checkpoint/model.safetensors",
)
SEEDS = range(int(os.environ.get("RGDIFF_DAMAGE", "1")))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the place of the folder of a run, with every file that there may be in one."""
    return tmp_path_factory.mktemp("sound") / "sound"


@pytest.fixture
def root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sound: Path, toy: TrainConfig
) -> Iterator[Path]:
    """Return a folder of two runs that have ended, where nothing starts."""
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(queue, "FREE_DISK", 1 << 60)
    if not sound.is_dir():
        train(replace(toy, max_minutes=None), sound, device="cpu")
        (sound / "title").write_text("φ⁴, sound")
        (sound / "provenance.json").write_text('{"origin": "trained here"}')
        (sound / "log.txt").write_text("said\n")
        (sound / "request").write_text("pause")
        found = {"metrics": {"kl": {"value": 0.1, "error": None, "n": 3}}}
        own.keep(sound, found, "1")
    for name in ("one", "other"):
        shutil.copytree(sound, runs.runs_root() / name)
    yield runs.runs_root()


def said(*words: str) -> tuple[int, str]:
    """Call the command line; return its exit status and all that it says."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        status = main(words)
    return status, out.getvalue()


def read_all(run_id: str) -> None:
    """Read all there is of a run, as the pages do; what can't be read is one sentence."""
    folder, config = runs.run_folder(run_id), TrainConfig()
    readers = [
        lambda: runs.curves(runs.history(run_id)[0]),
        lambda: [runs.samples(run_id, step) for step in runs.sample_steps(run_id)],
        lambda: runs.log_tail(run_id),
        lambda: runs.origin(run_id),
        lambda: own.kept(folder, "1"),
        lambda: open_model(run_id),
        lambda: load_checkpoint(folder / "checkpoint", runs.get(run_id).config or config),
    ]
    for reader in readers:
        try:
            reader()
        except (ValueError, OSError) as error:
            assert "\n" not in str(error) and len(str(error)) < 600


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_hides_nothing_else(root: Path, name: str, kind: str):
    for seed in SEEDS:
        known = (seed + list(KINDS).index(kind)) % 2 == 0  # or copied in
        if known:
            runs.pump()
        damage(root / "one" / name, kind, seed)
        runs.pump()
        status, text = said("runs", "list")
        assert status == 0 and "other " in text and "Traceback" not in text
        assert runs.get("other").problems == () and runs.get("other").state == "finished"
        if known or name != "config.json" or kind != "missing":
            assert "one " in text
            run = runs.get("one")
            assert all(f"one/{name} can't be read" in each for each in run.problems)
            assert (run.config is None) <= (name == "config.json")
            assert said("runs", "show", "one")[0] == said("runs", "log", "one")[0] == 0
            read_all("one")
            runs.rename("one", "as before")
            runs.delete("one")
        shutil.rmtree(root / "one", ignore_errors=True)
        shutil.copytree(root / "other", root / "one")


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file(root: Path, name: str):
    runs.pump()
    (root / "one" / name).unlink()
    (root / "one" / name).mkdir()
    runs.pump()
    status, text = said("runs", "list")
    assert status == 0 and "one " in text and "other " in text
    read_all("one")


def test_a_link_in_the_place_of_a_folder(root: Path, tmp_path: Path):
    runs.pump()
    (root / "one").rename(tmp_path / "elsewhere")
    (root / "one").symlink_to(tmp_path / "elsewhere")
    runs.pump()
    listed = {run.id: run for run in runs.list_runs()}
    assert listed["one"].missing and "is a link" in listed["one"].problems[0]
    assert listed["other"].problems == ()


COLUMNS = ("id", "title", "created", "state", "position", "pid", "worker", "asked", "message")
VALUES = ("seven", b"\xff\xfe", -1e300, float("inf"), 10**18, "")


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_damaged_entry_is_made_anew(root: Path, column: str, value: object):
    runs.pump()
    with sqlite3.connect(root / registry.NAME) as connection:
        connection.execute(f"UPDATE runs SET {column} = ? WHERE id = 'one'", (value,))
    connection.close()
    assert "other" in {run.id for run in runs.list_runs()}
    runs.pump()
    runs.pump()
    states = {run.id: run.state for run in runs.list_runs()}
    assert states["one"] == states["other"] == "finished"
    assert said("runs", "list")[0] == 0


OLDER = (
    "CREATE TABLE runs (id TEXT PRIMARY KEY, title TEXT NOT NULL, created REAL NOT NULL, "
    "state TEXT NOT NULL, position REAL NOT NULL)",
    "CREATE TABLE runs (id TEXT PRIMARY KEY, title TEXT NOT NULL, created REAL NOT NULL, "
    "state TEXT NOT NULL, position REAL NOT NULL, pid INTEGER NOT NULL DEFAULT 0, born REAL NOT "
    "NULL DEFAULT 0, interpreter TEXT NOT NULL DEFAULT '', asked REAL NOT NULL DEFAULT 0, "
    "message TEXT NOT NULL DEFAULT '')",
    "CREATE TABLE runs (id TEXT, surprise TEXT NOT NULL)",
    "CREATE TABLE runs (number INTEGER)",
    "CREATE VIEW runs AS SELECT 'one' AS id",
    "CREATE TABLE other (id TEXT)",
)


@pytest.mark.parametrize("table", OLDER, ids=range(len(OLDER)))
def test_a_registry_of_another_version(root: Path, table: str):
    (root / registry.NAME).unlink(missing_ok=True)
    with sqlite3.connect(root / registry.NAME) as connection:
        connection.execute(table)
        if "position" in table:
            connection.execute(
                "INSERT INTO runs (id, title, created, state, position) "
                "VALUES ('one', 'kept', 5.0, 'cancelled', 1.0)"
            )
    connection.close()
    runs.pump()
    known = {run.id: run for run in runs.list_runs()}
    assert known.keys() == {"one", "other"}
    assert known["other"].state == "finished"
    if "position" in table:
        assert (known["one"].title, known["one"].state) == ("kept", "cancelled")
    made = runs.submit(TrainConfig(), "new")
    assert made.state == "queued"


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "missing"])
def test_a_damaged_registry(root: Path, kind: str):
    for seed in SEEDS:
        runs.pump()
        damage(root / registry.NAME, kind, seed)
        runs.pump()
        assert {run.id for run in runs.list_runs()} == {"one", "other"}


def test_a_worker_that_cannot_start_stops_nobody(root: Path, monkeypatch):
    monkeypatch.setattr(queue, "FREE_DISK", 1 << 60)
    bad = runs.submit(TrainConfig(), "bad")
    (root / bad.id / "log.txt").mkdir()
    monkeypatch.setattr(queue, "FREE_DISK", 0)
    runs.pump()
    assert runs.get(bad.id).state == "failed"
    assert "It can't start" in runs.get(bad.id).message
    assert json.loads(said("runs", "list", "--json")[1])


def test_resume_without_a_run_begins_nothing(tmp_path: Path, capsys):
    words = ["train", "phi4-2min", "--resume", "--out", str(tmp_path / "typo")]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "typo holds no run to go on with" in told
    assert not (tmp_path / "typo").exists()


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


ACTS = {
    "submit": lambda: runs.submit(TrainConfig(), "new"),
    "pump": runs.pump,
    "rename": lambda: runs.rename("one", "another"),
    "pause": lambda: runs.pause("waits"),
    "resume": lambda: runs.resume("stopped"),
    "delete": lambda: runs.delete("one"),
}


@pytest.mark.parametrize("size", [0, 3000, 40_000])
@pytest.mark.parametrize("act", ACTS)
def test_a_full_disk_loses_nothing(root: Path, act: str, size: int):
    """An act is done or it is not; what it can't do is one sentence."""
    for name, state in (("waits", "queued"), ("stopped", "cancelled")):
        shutil.copytree(root / "one", root / name)
        runs.pump()
        with registry.transaction() as connection:
            registry.change(connection, name, state=state)
    before = {run.id: run for run in runs.list_runs()}
    with full_disk(size):
        try:
            ACTS[act]()
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)
            failed = True
        else:
            failed = False
    runs.pump()
    after = {run.id: run for run in runs.list_runs()}
    new = {"submit": 1, "delete": -1}.get(act, 0)
    assert len(after) == len(before) + (0 if failed else new)
    assert all(run.problems == () and not run.missing for run in after.values())
    assert not list(root.glob(".*.part"))
    if failed:
        assert {k: (r.state, r.title) for k, r in after.items()} == {
            k: (r.state, r.title) for k, r in before.items()
        }


def test_a_run_that_cannot_be_deleted_is_kept_whole(root: Path):
    runs.pump()
    before, files = runs.get("one"), {path.name for path in (root / "one").rglob("*")}
    with registry.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE DELETE ON runs BEGIN SELECT RAISE(FAIL, "
            "'database or disk is full'); END"
        )
    with pytest.raises(ValueError, match="can't be used: database or disk is full"):
        runs.delete("one")
    assert runs.get("one") == before
    assert {path.name for path in (root / "one").rglob("*")} - {".lock"} == files - {".lock"}
    assert not list(root.glob(".*.deleted"))


def test_a_disk_without_space_is_called_so(root: Path, monkeypatch: pytest.MonkeyPatch):
    """SQLite says "disk I/O error" where there is no room for its shared memory."""
    with full_disk(3000):
        with pytest.raises(ValueError, match=r"disk I/O error|full"):
            runs.get("one")
        monkeypatch.setattr(registry, "ROOM", 1 << 62)
        with pytest.raises(ValueError, match="no space is left on its disk"):
            runs.get("one")


def test_a_folder_that_only_others_may_write(sound: Path, monkeypatch: pytest.MonkeyPatch, root):
    del root
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "runs"
        monkeypatch.setenv("RGDIFF_RUNS", str(home))
        shutil.copytree(sound, home / "one")
        runs.pump()
        for path in (Path(place), home, *home.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            for act in (*ACTS.values(), runs.list_runs):
                with pytest.raises((ValueError, OSError), match=r"^[^\n]+$"):
                    act()
            status, text = said("runs", "list")
            assert status == 1 and "the registry" in text and text.count("\n") == 2
        finally:
            os.seteuid(user)
            for path in (Path(place), home, *home.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        assert runs.get("one").state == "finished"
