"""One of each form in which older versions stored something: read everywhere, written nowhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rgdiff_core as rg
from pages._noising.state import NoisingState
from pages._samples.state import SamplesState
from pages._shared.process_choice import ProcessChoice
from pages._training import state as training_form
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import pretrained_folder, read_metadata
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.networks import LatticeNet
from rgdiff_core.spec import from_dict, from_json, to_dict
from rgdiff_core.study import BUDGETS
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.report import read_results
from rgdiff_core.training import TrainConfig, override, runs
from rgdiff_core.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from rgdiff_core.training.config import config_to_toml, parse_config
from rgdiff_core.training.losses import denoising_loss
from rgdiff_core.training.measures import RunningMeans
from rgdiff_core.training.models import open_model
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.runs.folder import history, standing
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

PRESENT = ModelSpec(c_out="variance", network_input="whitened", conditioning="time")
FORMER = {"kind": "ModelSpec", "scaling": "variance", "sees": "scaled", "told": "time"}
DEFAULTS = {"kind": "ModelSpec", "scaling": "deviation", "sees": "mean", "told": "levels"}
TOML = '[model]\nscaling = "deviation"\nsees = "scaled"\ntold = "levels"\n'


def test_descriptions_with_former_names_are_read():
    assert from_json(json.dumps(FORMER)) == PRESENT
    assert from_dict(DEFAULTS) == ModelSpec()
    whole = json.dumps({"kind": "TrainConfig", "model": FORMER})
    assert TrainConfig.from_json(whole) == TrainConfig(model=PRESENT)
    assert parse_config(whole, "c.json") == TrainConfig(model=PRESENT)
    toml = parse_config(TOML, "c.toml")
    assert toml == TrainConfig(model=ModelSpec(network_input="whitened"))


def test_overrides_may_use_former_names():
    texts = ["model.told=time", "model.sees=scaled", "model.scaling=variance"]
    assert override(TrainConfig(), texts) == TrainConfig(model=PRESENT)
    back = ["model.conditioning=noise_levels", "model.told=time", "model.told=levels"]
    assert override(TrainConfig(), back) == TrainConfig()


def test_former_names_are_not_written():
    config = TrainConfig(model=from_dict(FORMER))  # type: ignore[arg-type]
    for text in (config.to_json(), config_to_toml(config), repr(config)):
        assert not any(name in text for name in (*ModelSpec.former_names, "deviation", "scaled"))
    assert to_dict(PRESENT)["conditioning"] == "time"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (FORMER | {"conditioning": "time"}, "has 'conditioning' twice, once as 'told'"),
        (
            FORMER | {"told": "all"},
            "conditioning = 'all' is not one of noise_levels, octave_levels",
        ),
        (FORMER | {"tolds": 1}, "ModelSpec has no field 'tolds'; it has network, c_out"),
    ],
)
def test_what_is_neither_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        from_dict(given)
    with pytest.raises(ValueError, match=message.partition(";")[0]):
        parse_config(json.dumps({"model": given}), "c.json")


# A network's output before its blocks, its memory layout and its attention were rewritten, every
# 1024th value.
BEFORE = {
    "cifar10-standard": (-0.176471, -0.211415, 0.439736, -0.008404, -0.652996, 0.019607),
}


@pytest.mark.parametrize("name", BEFORE)
def test_old_weights_give_the_same_output(name):
    described = json.loads(
        read_metadata(pretrained_folder() / name / "model.safetensors")["model"]
    )
    assert "told" in described  # the file is of the old form
    model = rg.load_pretrained(name)
    shape = model.basis.shape
    features = model.spec.features(shape[0])
    x = torch.sin(torch.arange(2.0 * torch.Size(shape).numel()) * 0.37).reshape(2, *shape)
    state = torch.linspace(-1, 1, 2 * features).reshape(2, features)
    expected = torch.tensor(BEFORE[name])
    for grad in (False, True):  # attention takes another way with gradients
        with torch.set_grad_enabled(grad):
            found = model.network(x, state).flatten()
        every = found[:: len(found) // len(expected)]
        torch.testing.assert_close(every, expected, atol=1e-4, rtol=0)


ONE = {
    "kind": "OneProcess",
    "color": {"kind": "Matched"},
    "schedule": {"kind": "LinearGamma", "gamma_min": -8.0, "gamma_max": 6.0},
}
SIDE = {
    "kind": "Side",
    "basis": {"kind": "BasisSpec", "name": "fourier", "momentum": "continuum"},
    "color": {"kind": "White"},
    "schedule": {"kind": "Cosine", "s": 0.01},
}
CHOICE = ProcessChoice(BasisSpec(), rg.colors.White(), rg.schedules.Cosine(0.01))
FIXED = FixedProcess(rg.colors.Matched(), rg.schedules.LinearGamma(-8.0, 6.0))
SPECS = [
    (ONE, FIXED),
    (
        {"kind": "Lab", "data": "photographs", "sides": [SIDE]},
        NoisingState("photographs", (CHOICE,)),
    ),
    (SIDE, CHOICE),
    ({"kind": "Bench", "n": 3, "seed": 4}, SamplesState(n=3, seed=4)),
    (
        {"kind": "Budget", "judged": 7, "plain": 8, "weighed": 9, "draws": 2, "ladder_steps": 3},
        type(BUDGETS["full"])(
            n_eval_fields=7,
            n_observable_samples=8,
            n_ess_samples=9,
            levels_per_image=2,
            ablation_steps=3,
        ),
    ),
]


@pytest.mark.parametrize(("stored", "spec"), SPECS, ids=[str(old["kind"]) for old, _ in SPECS])
def test_former_kinds_are_read_and_not_written(stored, spec):
    assert from_dict(stored) == from_json(json.dumps(stored)) == spec
    assert stored["kind"] != to_dict(spec)["kind"]
    assert json.dumps(stored["kind"]) not in spec.to_json()


def test_a_former_kind_cannot_be_taken():
    with pytest.raises(ValueError, match="'OneProcess' is taken by rgdiff_core"):
        type("OneProcess", (rg.schedules.Schedule,), {"__module__": "mine"})


NOISE_TOML = """
steps = 7
[noise]
kind = "OneProcess"
[noise.schedule]
kind = "LinearGamma"
gamma_min = -8.0
gamma_max = 6.0
"""


def test_a_config_with_a_former_kind_is_read():
    expected = TrainConfig(noise=FIXED, steps=7)
    assert parse_config(NOISE_TOML, "c.toml") == expected
    assert override(expected, ["noise.kind=OneProcess", "steps=8"]).noise == FIXED
    assert "OneProcess" not in config_to_toml(expected)
    link = json.dumps({"noise": ONE, "steps": 7})  # of the Training page
    assert training_form.read(link) == expected


# Stored by every version so far, in links, weights, runs and results.
KINDS = (
    *(f'{{"kind":"{name}"}}' for name in ("White", "Matched", "PowerLaw", "FreeTheory")),
    '{"kind":"CurveColor","scales":[0,1],"log_variances":[1,-1],"normalize":true}',
    '{"kind":"BlendedColor","first":{"kind":"White"},"second":{"kind":"Matched"},"weight":0.5}',
    *(f'{{"kind":"{name}"}}' for name in ("LinearBeta", "Cosine", "LinearGamma", "EDM", "VE")),
    *(f'{{"kind":"{name}"}}' for name in ("FlowMatching", "InverseHeat", "BlurringDiffusion")),
    *(f'{{"kind":"{name}"}}' for name in ("InverseRG", "Carosso", "Polchinski", "Sequential")),
    '{"kind":"Cutoff","kernel":{"kind":"SigmoidKernel","width":0.3},"path":{"kind":"CutoffPath",'
    '"times":[0,1],"values":[1,0]},"gamma_min":-9,"gamma_max":6}',
    '{"kind":"SoftConditioning","softness":2,"order":"variance"}',
    '{"kind":"WaveletLevels","softness":0.1}',
    '{"kind":"Universal","processes":64,"every":1}',
)


@pytest.mark.parametrize("text", KINDS, ids=[text[9:24] for text in KINDS])
def test_kinds_in_stored_processes_are_read(text):
    spec = from_json(text)
    assert from_json(spec.to_json()) == spec
    assert type(spec).__name__ == json.loads(text)["kind"]


ROWS = """
{"step": 5, "loss": 1.5, "unit": 0.99, "excess": -0.25, "by_scale": [-0.5, null, 0.25]}
{"step": 5, "held_out": {"loss": 1.4, "excess": -0.5, "excess_error": 0.125, "by_scale": [-1.0]}}
"""


def test_a_run_folder_of_an_older_version_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path))
    folder = tmp_path / "old-run"
    folder.mkdir()
    config = {"kind": "TrainConfig", "model": FORMER, "noise": ONE}
    (folder / "config.json").write_text(json.dumps(config))
    status = {"state": "finished", "step": 5, "steps": 5, "loss": 1.5, "excess": -0.25}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "metrics.jsonl").write_text(ROWS.lstrip())
    found = standing(folder)
    assert found.problems == ()
    assert found.config == TrainConfig(model=PRESENT, noise=FIXED)
    assert found.status is not None and found.status.gain == 0.25
    (training,), (held_out,) = runs.curves(history("old-run")[0])
    assert (training["gain"], training["by_scale"]) == (0.25, [0.5, None, -0.25])
    assert held_out["held_out"]["gain"] == 0.5
    assert held_out["held_out"]["gain_error"] == 0.125


def test_a_checkpoint_of_an_older_version_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    images = np.random.default_rng(0).uniform(-1, 1, (40, 1, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "small.npz", images=images)
    rg.data.register_folder(tmp_path / "small.npz")
    config = TrainConfig(data="small", noise=FIXED, model=ModelSpec(LatticeNet(4, 1)), batch=4)
    learner, batches, learned = prepare(config, fabric_for("cpu"))
    for weight in learner.model.network.parameters():
        torch.nn.init.normal_(weight)  # at first the network gains nothing
    means, again = RunningMeans(learner, learned), RunningMeans(learner, learned)
    batch = batches.draw(0)
    terms = denoising_loss(learner.model, batch.x0, batch.levels, batch.noise)
    means.add(terms, torch.tensor(2.0))
    tensors = means.tensors()
    assert tensors["window.gain"].abs().max() > 0
    older = {name: x for name, x in tensors.items() if name != "window.gain"}
    older["window.excess"] = -tensors["window.gain"]
    save_checkpoint(tmp_path, Checkpoint(1, 0.5, older), config)
    manifest = json.loads((tmp_path / "state.json").read_text())
    assert manifest["config"]["noise"]["kind"] == "FixedProcess"
    manifest["config"] |= {"noise": ONE}
    (tmp_path / "state.json").write_text(json.dumps(manifest))
    found = load_checkpoint(tmp_path, config)
    assert found is not None and found.step == 1
    again.restore(found.tensors)
    torch.testing.assert_close(again.tensors(), tensors)


def test_a_models_file_of_an_older_version_says_what_it_was_trained_on(tmp_path):
    path = Path(__file__).parents[1] / "results/models/phi4-8x8-critical/standard.safetensors"
    metadata = read_metadata(path)
    older = metadata["config"].replace('"FixedProcess"', '"OneProcess"')
    assert "OneProcess" in older
    write_tensors(tmp_path / "old.safetensors", load_file(path), metadata | {"config": older})
    found = open_model(str(tmp_path / "old.safetensors")).trained_on
    assert found == parse_config(metadata["config"], "config.json").noise
    assert isinstance(found, FixedProcess)


def test_results_of_an_older_version_are_read(tmp_path):
    path = tmp_path / "study-phi4-6x6.json"
    path.write_text(json.dumps({"ladder": [1], "landscape": [2], "arms": [3]}))
    assert read_results(path) == {"ablation": [1], "schedule_scan": [2], "arms": [3]}
    path.write_text(json.dumps({"rungs": [1], "seeds": [0]}))
    assert read_results(path) == {"models": [1], "seeds": [0]}


def test_a_cell_of_an_older_version_is_not_computed_again(tmp_path):
    older = {"config": {"kind": "TrainConfig", "noise": ONE, "model": FORMER}, "sizes": [1, 2]}
    cell = {"inputs": older, "result": {"kl": 1.0}, "seconds": 1.0}
    (tmp_path / "run.json").write_text(json.dumps(cell))
    noise = {"kind": "FixedProcess", "color": {"kind": "Matched"}, "schedule": ONE["schedule"]}
    model = {"kind": "ModelSpec", "c_out": "variance", "network_input": "whitened"}
    model["conditioning"] = "time"
    inputs = {"config": {"kind": "TrainConfig", "noise": noise, "model": model}, "sizes": [1, 2]}
    found = Cells(tmp_path).read_or_compute(
        "run", inputs, lambda: pytest.fail("it was computed again")
    )
    assert (found["inputs"], found["result"]) == (inputs, {"kl": 1.0})


@pytest.mark.parametrize(
    ("name", "former"),
    [
        ("ablation-standard-0", "ladder-standard-0"),
        ("schedule_scan-white-3", "landscape-white-3"),
    ],
)
def test_a_cell_is_found_under_its_former_name_and_not_written_there(tmp_path, name, former):
    stored = {"name": former, "inputs": {"n": 1}, "result": {"kl": 1.0}, "seconds": 1.0}
    (tmp_path / f"{former}.json").write_text(json.dumps(stored))
    cells = Cells(tmp_path, lambda text: None)
    assert cells.read_or_compute(name, {"n": 1}, dict) == stored | {"name": name}
    assert cells.read_or_compute(name, {"n": 2}, lambda: {"kl": 2.0})["result"] == {"kl": 2.0}
    assert json.loads((tmp_path / f"{former}.json").read_text()) == stored
    assert json.loads((tmp_path / f"{name}.json").read_text())["result"] == {"kl": 2.0}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_of_the_study_comes_back_by_its_former_names(name):
    budget, kind = BUDGETS[name], type(BUDGETS[name])
    now = to_dict(budget)
    olds = {new: old for old, new in kind.former_names.items()}
    assert olds.keys() <= now.keys()
    former = {olds.get(key, key): value for key, value in now.items()} | {"kind": "Budget"}
    assert from_dict(former) == budget == from_dict(now)
    assert not former.keys() & olds.keys()


def test_a_command_that_results_name_is_understood(capsys):
    with pytest.raises(SystemExit):
        main(["study", "ladder", "--help"])
    assert capsys.readouterr().out.startswith("usage: rgdiff study ablation")
