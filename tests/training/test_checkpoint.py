"""Checkpoints: whole or not at all, whatever is killed, damaged or full."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rgdiff_core.training import TrainConfig
from rgdiff_core.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_text,
)


def made(step: int) -> Checkpoint:
    """Return a checkpoint whose tensors say its step."""
    tensors = {"a": torch.full((50, 40), float(step)), "b.step": torch.tensor(step)}
    return Checkpoint(step, step / 7, tensors)


def save(folder: Path, config: TrainConfig, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, made(step), config)


def loaded(folder: Path, config: TrainConfig) -> Checkpoint:
    kept = load_checkpoint(folder, config)
    assert kept is not None
    return kept


def assert_is(kept: Checkpoint, step: int) -> None:
    expected = made(step)
    assert (kept.step, kept.elapsed) == (expected.step, expected.elapsed)
    assert kept.tensors.keys() == expected.tensors.keys()
    for name, value in expected.tensors.items():
        assert torch.equal(kept.tensors[name], value)
        assert kept.tensors[name].dtype == value.dtype


def test_what_is_saved_is_loaded_and_the_last_two_are_kept(tmp_path: Path, toy: TrainConfig):
    folder = tmp_path / "run" / "checkpoint"
    assert load_checkpoint(folder, toy) is None
    for step in (3, 5, 8, 13):
        save(folder, toy, step)
        assert_is(loaded(folder, toy), step)
    assert sorted(os.listdir(folder)) == [
        "previous.json",
        "state-000000008.safetensors",
        "state-000000013.safetensors",
        "state.json",
    ]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _list(path: Path) -> None:
    path.write_text("[1, 2]")


def _strange(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def _elsewhere(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"file": 7}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *[("state-000000005.safetensors", d) for d in (_cut, _flip, _empty, os.unlink)],
        *[("state.json", d) for d in (_cut, _empty, _list, _strange, _elsewhere, os.unlink)],
    ],
)
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(tmp_path, toy, name, damage):
    save(tmp_path, toy, 3, 5)
    damage(tmp_path / name)
    assert_is(loaded(tmp_path, toy), 3)
    save(tmp_path, toy, 5)  # the run goes on from there
    assert_is(loaded(tmp_path, toy), 5)
    save(tmp_path, toy, 8)
    assert_is(loaded(tmp_path, toy), 8)
    _flip(tmp_path / "state-000000008.safetensors")
    assert_is(loaded(tmp_path, toy), 5)


def test_the_way_out_of_the_folder_is_closed(tmp_path: Path, toy: TrainConfig):
    save(tmp_path / "other", toy, 9)
    save(tmp_path / "run", toy, 3, 5)
    other = json.loads((tmp_path / "other" / "state.json").read_text())
    other["file"] = f"../other/{other['file']}"
    (tmp_path / "run" / "state.json").write_text(json.dumps(other))
    assert_is(loaded(tmp_path / "run", toy), 3)


def test_when_all_are_damaged_it_is_said(tmp_path: Path, toy: TrainConfig):
    save(tmp_path, toy, 3, 5)
    for path in tmp_path.glob("*.safetensors"):
        _flip(path)
    with pytest.raises(ValueError, match=r"^no checkpoint in .* can be read: .*5.* damaged\.$"):
        load_checkpoint(tmp_path, toy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.5}, r"lr = 0\.01 and cannot continue with 0\.5\."),
        ({"steps": 41}, r"steps = 40 and cannot continue with 41\."),
        ({"seed": 1}, r"seed = 0 and cannot continue with 1\."),
        ({"limit": 7}, r"limit = None and cannot continue with 7\."),
        ({"precision": "bfloat16"}, r"'auto' and cannot continue with 'bfloat16'\."),
    ],
)
def test_another_config_is_refused_with_both_values(tmp_path, toy, changes, message):
    save(tmp_path, toy, 3, 5)
    with pytest.raises(ValueError, match=f"this run was started with .*{message}$"):
        load_checkpoint(tmp_path, replace(toy, **changes))
    free = replace(toy, log_every=2, previews=5, max_minutes=3, checkpoint_seconds=9.0)
    assert_is(loaded(tmp_path, free), 5)


def test_what_cannot_be_written_leaves_the_last_one(tmp_path: Path, toy: TrainConfig):
    save(tmp_path, toy, 3)
    with pytest.raises(OSError):
        save(tmp_path / "state.json" / "below", toy, 5)
    blocked = tmp_path / "state-000000005.safetensors"
    blocked.mkdir()  # a file can't take its place
    with pytest.raises(OSError):
        save(tmp_path, toy, 5)
    assert_is(loaded(tmp_path, toy), 3)
    assert not list(tmp_path.glob(".*"))


def test_a_text_is_replaced_as_a_whole(tmp_path: Path):
    path = tmp_path / "status.json"
    for text in ("one", "two: φ", ""):
        write_text(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["status.json"]
