"""Runs that start from the weights of a model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import load_model, pretrained_folder, read_metadata, sha256
from rgdiff_core.networks import LatticeNet, UNet
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.models import open_model
from rgdiff_core.training.warm_start import (
    adapted,
    bring_weights,
    images_of,
    misfit,
    start_of,
    started_from,
    steps_of,
    trained_on,
    warm_start,
)


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


def test_what_runs_started_from_is_told_however_many_there_were(tmp_path: Path):
    start = {"name": "earlier", "step": 1, "sha256": "0"}
    for step in range(2, 100):
        start = start | {"step": step, "started_from": start}
    (tmp_path / "initial.json").write_text(json.dumps(start))
    assert start_of(tmp_path) == "earlier at step 99"


def test_a_run_is_known_by_the_weights_that_it_started_from(tmp_path: Path, toy, first):
    other = tmp_path / "other.safetensors"
    other.write_bytes(first.read_bytes() + b" ")
    train(still(toy), tmp_path / "next", weights=first, device="cpu")
    starts = [(tmp_path / "first", None), (tmp_path / "next", first)]
    for folder, own in starts:
        assert [started_from(folder, each) for each in (None, first, other)] == [
            each == own for each in (None, first, other)
        ]


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


NETWORKS = (LatticeNet(4, 2), UNet(8, (1, 2), 1, ()))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("names", [(), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_without_classes_and_with_others_it_starts_as_the_null_label(
    tmp_path: Path, network, names: tuple[str, ...]
):
    images = torch.randn(50, 1, 4, 4)
    basis = rg.bases.FourierBasis((1, 4, 4)).float()
    spec, modes = ModelSpec(network, class_names=("x", "y", "z")), rg.Modes.fit(basis, images)
    before, after = spec.build(basis, modes), replace(spec, class_names=names).build(basis, modes)
    for parameter in before.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    rg.save_model(before, tmp_path / "m.safetensors")
    (tmp_path / "run").mkdir()
    bring_weights(tmp_path / "m.safetensors", tmp_path / "run")
    warm_start((after,), tmp_path / "run")
    x, state = images[:6], torch.randn(6, spec_features(before))
    expected = before.network(x, state, torch.full((6,), -1))
    found = after.network(x, state) if not names else after.network(x, state, torch.arange(6) % 2)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def spec_features(model: rg.NetworkDenoiser) -> int:
    return model.network.embed[0].in_features


def test_a_config_goes_on_from_a_model_or_says_why_not(tmp_path: Path, toy: TrainConfig, first):
    found = adapted(first, "photographs", True)
    assert found.data == "photographs" and found.model == toy.model
    assert found.lr < toy.lr and not found.class_conditional
    shape = load_model(first).basis.shape
    assert misfit(first, toy, shape) == "" and trained_on(first) == toy.data
    assert "another network" in misfit(
        first, replace(toy, model=replace(toy.model, network=LatticeNet(6, 1))), shape
    )
    assert "have c_out = 'std'" in misfit(
        first, replace(toy, model=replace(toy.model, c_out="variance")), shape
    )
    assert "the data are 3×6×6" in misfit(first, toy, (3, 6, 6))
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    assert "x.safetensors" in misfit(tmp_path / "x.safetensors", toy, shape)


@pytest.mark.parametrize(("name", "before"), [("cifar10", "bfloat16"), ("phi4-blocks", "float32")])
def test_a_config_that_goes_on_computes_in_what_is_fast_here(name: str, before: str):
    """A model of another machine may have been trained in bfloat16, which this one emulates."""
    path = pretrained_folder() / name / "model.safetensors"
    config = json.loads(read_metadata(path)["config"])
    assert config["precision"] == before
    assert adapted(path, config["data"], False).precision == "auto"


def told(*before: dict) -> dict[str, str]:
    """Return metadata of a run of 5 steps after others, the latest first."""
    start = None
    for run in reversed(before):
        start = run | {"started_from": start}
    return {"step": "5", "started_from": json.dumps(start)}


@pytest.mark.parametrize(
    ("metadata", "steps", "images"),
    [
        ({}, [], 0),
        ({"step": "5"}, [5], 50),
        (told({"step": "3"}, {"step": 2.0}), [5, 3, 2], 100),
        (told({"step": "3", "batch": "100"}, {"step": "2"}), [5, 3, 2], 370),
        (told({"step": "3", "batch": 100}, {"step": "2", "batch": "1"}), [5, 3, 2], 352),
        (told({"name": "older"}, {"step": "2"}), [5], 50),
        (told(*[{"step": "1"}] * 200), [5, *[1] * 200], 2050),
    ],
)
def test_each_run_counts_its_own_batch(metadata, steps, images):
    assert steps_of(metadata) == steps
    assert images_of(metadata, 10) == images


HOSTILE = ("1e999", "-5", "NaN", "[1]", "{}", "true", "null", '"x"', "2.5", '"-1"', "1e300")


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["step", "batch"])
def test_hostile_counts_are_refused(name: str, value: str):
    start = {"step": "3", "batch": "2"}
    text = json.dumps(start).replace(f'"{start[name]}"', value)
    metadata = {"step": "5", "started_from": text}
    with pytest.raises(ValueError, match=rf"^{name} = .* is no whole number from 0 to 1e\+15\.$"):
        images_of(metadata, 10)
    if name == "step":
        with pytest.raises(ValueError, match="no whole number"):
            steps_of(metadata)


@pytest.mark.parametrize("text", ["3", "[]", '"x"', "{", "", '{"step": 1, "started_from": [1]}'])
def test_a_start_that_is_no_object_is_refused(text: str):
    with pytest.raises(ValueError, match=r"is no object|not valid JSON"):
        steps_of({"step": "5", "started_from": text})


@pytest.mark.parametrize("runs", [201, 100_000])
def test_more_runs_than_anyone_makes_are_refused(runs: int):
    text = '{"step": 1, "started_from": ' * runs + "null" + "}" * runs
    with pytest.raises(ValueError, match=r"more than 200 runs|not valid JSON"):
        steps_of({"step": "5", "started_from": text})


@pytest.mark.parametrize("text", ["[]", '{"step": -1}', "{"])
def test_a_damaged_start_is_refused_before_anything_is_written(
    tmp_path: Path, first: Path, text: str
):
    model, metadata = load_model(first), read_metadata(first)
    extra = {name: metadata[name] for name in ("config", "data", "step")}
    rg.save_model(model, tmp_path / "m.safetensors", extra | {"started_from": text})
    with pytest.raises(ValueError, match=r"started_from|step"):
        bring_weights(tmp_path / "m.safetensors", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_of_runs_with_other_batches_are_added_up(tmp_path: Path, toy: TrainConfig, first):
    other = replace(still(toy), batch=toy.batch + 3)
    assert train(other, tmp_path / "next", weights=first, device="cpu").state == "finished"
    path = tmp_path / "next" / "checkpoint" / "model.safetensors"
    assert open_model(str(path)).images_seen == toy.steps * toy.batch + other.batch


def test_a_model_whose_file_is_hostile_opens(tmp_path: Path, first: Path):
    model, metadata = load_model(first), read_metadata(first)
    extra = {name: metadata[name] for name in ("config", "data", "step")}
    rg.save_model(model, tmp_path / "m.safetensors", extra | {"started_from": '{"step": 1e999}'})
    assert open_model(str(tmp_path / "m.safetensors")).images_seen is None
