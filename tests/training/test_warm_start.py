"""Runs that start from the weights of a model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rgdiff_core.cli.main import main
from rgdiff_core.denoisers.files import load_model, read_metadata, sha256
from rgdiff_core.networks import LatticeNet
from rgdiff_core.training import TrainConfig, train


@pytest.fixture
def first(tmp_path: Path, toy: TrainConfig) -> Path:
    """Return the model of a short run."""
    assert train(toy, tmp_path / "first", device="cpu").state == "finished"
    return tmp_path / "first" / "checkpoint" / "model.safetensors"


def still(toy: TrainConfig) -> TrainConfig:
    """Return a config whose one step changes nothing that shows."""
    return replace(toy, steps=1, lr=1e-30, seed=5)


def test_a_run_starts_from_the_weights_and_says_so(tmp_path: Path, toy: TrainConfig, first: Path):
    outcome = train(still(toy), tmp_path / "next", weights=first, device="cpu")
    assert outcome.state == "finished"
    path = tmp_path / "next" / "checkpoint" / "model.safetensors"
    for name, value in load_file(first).items():
        torch.testing.assert_close(load_file(path)[name], value, rtol=0, atol=0)
    said = json.loads(read_metadata(path)["started_from"])
    assert said["sha256"] == sha256(first) and said["data"] == toy.data
    assert int(said["step"]) == toy.steps and said["started_from"] is None
    outcome = train(still(toy), tmp_path / "third", weights=path, device="cpu")
    said = json.loads(
        read_metadata(tmp_path / "third/checkpoint/model.safetensors")["started_from"]
    )
    assert said["started_from"]["sha256"] == sha256(first)


def test_a_run_killed_before_its_first_checkpoint_starts_from_them_again(
    tmp_path: Path, toy: TrainConfig, first: Path
):
    """Only the copy in the run folder is left, as a kill after the first second leaves it."""
    with pytest.raises(RuntimeError, match="killed"):
        train(
            replace(toy, log_every=1),
            tmp_path / "next",
            weights=first,
            device="cpu",
            on_point=lambda row, status: (_ for _ in ()).throw(RuntimeError("killed")),
        )
    assert not (tmp_path / "next" / "checkpoint" / "model.safetensors").exists()
    wanted = load_model(first).network.state_dict()
    first.unlink()
    (tmp_path / "next" / "config.json").unlink()
    assert train(still(toy), tmp_path / "next", resume=True, device="cpu").state == "finished"
    found = load_model(tmp_path / "next" / "checkpoint" / "model.safetensors").network
    for name, value in found.state_dict().items():
        assert torch.equal(value, wanted[name])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"network": LatticeNet(6, 1)}, "do not fit the config's network"),
        ({"network": LatticeNet(4, 2)}, "do not fit the config's network"),
        ({"c_out": "variance"}, "have c_out = 'std', the config 'variance'"),
        ({"conditioning": "time"}, "have conditioning = 'noise_levels', the config 'time'"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, toy, first, change, word):
    config = replace(still(toy), model=replace(toy.model, **change))
    with pytest.raises(ValueError, match=word):
        train(config, tmp_path / "next", weights=first, device="cpu")


def test_the_command(tmp_path: Path, toy: TrainConfig, first: Path, capsys):
    (tmp_path / "config.json").write_text(still(toy).to_json())
    command = ["train", str(tmp_path / "config.json"), "--device", "cpu", "--from", str(first)]
    assert main([*command, "--out", str(tmp_path / "next")]) == 0
    assert read_metadata(tmp_path / "next/checkpoint/model.safetensors")["started_from"]
    for extra, word in (
        (["--out", str(tmp_path / "next")], "holds a run already"),
        (["--out", str(tmp_path / "next"), "--resume"], "give one of them"),
    ):
        assert main([*command, *extra]) != 0
        assert word in capsys.readouterr().err
    missing = [*command[:-1], str(tmp_path / "none.safetensors")]
    assert main([*missing, "--out", str(tmp_path / "other")]) != 0
    assert "there is no model file none.safetensors" in capsys.readouterr().err
