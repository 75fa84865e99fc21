"""Former names of fields and values: read everywhere, written nowhere; old weights speak alike."""

import json

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import pretrained_folder, read_metadata
from rgdiff_core.spec import from_dict, from_json, to_dict
from rgdiff_core.training import TrainConfig, override
from rgdiff_core.training.config import config_to_toml, parse_config

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
        (FORMER | {"told": "all"}, "conditioning = 'all' is not one of noise_levels, time"),
        (FORMER | {"tolds": 1}, "ModelSpec has no field 'tolds'; it has network, c_out"),
    ],
)
def test_what_is_neither_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        from_dict(given)
    with pytest.raises(ValueError, match=message.partition(";")[0]):
        parse_config(json.dumps({"model": given}), "c.json")


# A network's output before its blocks, its memory layout and its attention were rewritten, every
# 1024th value (every 12th of the lattice).
BEFORE = {
    "cifar10-standard": (-0.176471, -0.211415, 0.439736, -0.008404, -0.652996, 0.019607),
    "phi4-6x6": (0.011529, -0.434211, 0.517851, -0.006609, 0.051145, -0.017227),
}


@pytest.mark.parametrize("name", BEFORE)
def test_old_weights_say_what_they_said(name):
    described = json.loads(
        read_metadata(pretrained_folder() / name / "model.safetensors")["model"]
    )
    assert "told" in described  # the file is of the old form
    model = rg.load_pretrained(name)
    shape, features = model.basis.shape, model.state.features
    x = torch.sin(torch.arange(2.0 * torch.Size(shape).numel()) * 0.37).reshape(2, *shape)
    state = torch.linspace(-1, 1, 2 * features).reshape(2, features)
    expected = torch.tensor(BEFORE[name])
    for grad in (False, True):  # attention takes another way with gradients
        with torch.set_grad_enabled(grad):
            found = model.network(x, state).flatten()
        every = found[:: len(found) // len(expected)]
        torch.testing.assert_close(every, expected, atol=1e-4, rtol=0)
