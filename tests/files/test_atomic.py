"""Files that cannot be written: the error names the file, and what was there before stays."""

import copy
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rgdiff_core.cli.main import main
from rgdiff_core.data import store
from rgdiff_core.data.records import Record
from rgdiff_core.files.atomic import WriteError, naming, replacing, write_tensors, write_text
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.checkpoint import Checkpoint, save_checkpoint
from rgdiff_core.training.records import RunWriter

LARGE = torch.arange(2.0**14)
ROOM = 1 << 13  # bytes


@contextmanager
def full_disk(room: int = ROOM) -> Iterator[None]:
    """Let no file grow beyond so many bytes: the system refuses, as on a disk without space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _checkpoint(folder: Path) -> None:
    save_checkpoint(folder, Checkpoint(7, 1.0, {"x": LARGE}), TrainConfig())


def _split(folder: Path) -> None:
    store.write(folder, "train", Record(LARGE.reshape(4, 1, 64, 64).numpy(), None, "here"))


def _samples(folder: Path) -> None:
    records = RunWriter(folder)
    try:
        records.samples(7, torch.rand(4, 1, 64, 64))
    finally:
        records.close()


def _curves(folder: Path) -> None:
    records = RunWriter(folder)
    try:
        records.point({"step": 7, "loss": [0.125] * ROOM})
    finally:
        records.close()


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda folder: write_text(folder / "text", "ä" * ROOM), "text"),
        (lambda folder: write_tensors(folder / "tensors", {"x": LARGE}), "tensors"),
        (_checkpoint, "state-000000007.safetensors"),
        (_split, "train-images-*.npy"),
        (_samples, "samples/step-00000007.npz"),
        (_curves, "metrics.jsonl"),
    ],
)
def test_a_full_disk_is_one_sentence_that_names_the_file(
    tmp_path: Path, write: Callable[[Path], None], name: str
):
    with full_disk(), pytest.raises(WriteError) as raised:
        write(tmp_path)
    error = raised.value
    assert Path(error.filename).match(name) and Path(error.filename).is_relative_to(tmp_path)
    assert str(error) == f"{error.filename} can't be written: {error.strerror}"
    assert "File too large" in str(error) and "\n" not in str(error)
    assert not list(tmp_path.rglob("*.part"))
    write(tmp_path)
    assert list(tmp_path.glob(name))


def test_what_was_there_before_stays(tmp_path: Path):
    write_text(tmp_path / "text", "old")
    write_tensors(tmp_path / "tensors", {"x": torch.ones(3)}, {"of": "ones"})
    with full_disk():
        for write in (
            lambda: write_text(tmp_path / "text", "new" * ROOM),
            lambda: write_tensors(tmp_path / "tensors", {"x": LARGE}),
        ):
            with pytest.raises(WriteError):
                write()
    assert (tmp_path / "text").read_text() == "old"
    torch.testing.assert_close(load_file(tmp_path / "tensors")["x"], torch.ones(3))


def test_other_errors_pass_and_leave_nothing(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "text") as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_an_error_keeps_its_words_on_the_way_to_another_process(tmp_path: Path):
    with pytest.raises(WriteError) as raised, naming(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    again = copy.copy(raised.value)  # as it is taken apart and put together for a process
    assert str(again) == f"{tmp_path / 'a'} can't be written: No space left on device"
    assert isinstance(again, WriteError) and again.errno == 28


@pytest.mark.parametrize("suffix", [".npz", ".png"])
def test_samples_for_which_there_is_no_room(tmp_path: Path, capsys, monkeypatch, suffix: str):
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    out = tmp_path / f"samples{suffix}"
    words = ["sample", "phi4-6x6", "--n", "2000", "--steps", "1", "--out", str(out)]
    with full_disk(1 << 16):
        assert main(words) == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith(f"rgdiff: {out} can't be written: File too large")
    assert not list(tmp_path.glob("*samples*"))


def test_the_same_tensors_and_strings_make_the_same_file(tmp_path: Path):
    strings = {f"name {i}": f'wert {i} \u00e4\u2202"\n' for i in range(12)}
    tensors = {"b": torch.ones(3, 2), "a": torch.arange(5)}
    made = set()
    for _ in range(4):
        write_tensors(tmp_path / "tensors", tensors, strings)
        made.add((tmp_path / "tensors").read_bytes())
    assert len(made) == 1
    with safe_open(tmp_path / "tensors", "pt") as file:
        assert file.metadata() == strings
        assert all(torch.equal(file.get_tensor(name), x) for name, x in tensors.items())
