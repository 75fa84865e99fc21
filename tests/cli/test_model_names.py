"""What models are called in results, wherever their files are."""

from pathlib import Path

import pytest

from rgdiff_core.cli.model_names import model_digest, model_name, model_typed
from rgdiff_core.denoisers.files import list_pretrained, pretrained_folder, sha256

NAME = "phi4-6x6"


def test_a_pretrained_model_has_one_name_and_digest_as_a_file_too(monkeypatch: pytest.MonkeyPatch):
    path = pretrained_folder() / NAME / "model.safetensors"
    monkeypatch.chdir(pretrained_folder().parent)
    relative = str(path.relative_to(Path.cwd()))
    for word in (NAME, str(path), relative, f"pretrained/../{relative}"):
        assert model_name(word) == model_typed(word) == NAME
    (listed,) = (each.sha256 for each in list_pretrained() if each.name == NAME)
    assert model_digest(NAME) == model_digest(relative) == listed


def test_another_file_is_named_without_its_place(tmp_path: Path):
    path = tmp_path / "models" / "snapshot-1-16.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    assert model_name(str(path)) == "models/snapshot-1-16"
    assert model_typed(str(path)) == "models/snapshot-1-16.safetensors"
    assert model_digest(str(path)) == sha256(path)
    assert model_name("20260101-120000-run") == "20260101-120000-run"
    assert model_typed("20260101-120000-run") == "20260101-120000-run"
    with pytest.raises(ValueError, match="no checkpoint"):
        model_digest("20260101-120000-run")


def test_checkpoints_are_told_apart_by_their_runs(tmp_path: Path):
    for run in ("first", "second"):
        word = str(tmp_path / run / "checkpoint" / "model.safetensors")
        assert model_name(word) == f"{run}/model"
        assert model_typed(word) == f"{run}/checkpoint/model.safetensors"
