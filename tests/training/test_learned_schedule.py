"""A schedule that is learned with the weights."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

import rgdiff_core as rg
from rgdiff_core.colors import White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.denoisers.files import read_metadata
from rgdiff_core.networks import LatticeNet
from rgdiff_core.schedules import Cutoff, LearnedGamma, LinearGamma
from rgdiff_core.schedules.kernels import HardKernel
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.models import config_of
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

START = LinearGamma(-9.0, 6.0)
NOISE = LearnedProcess(White(), START, points=9, rate=0.1, every=2)
CONFIG = TrainConfig(
    data="phi4-6x6",
    limit=64,
    noise=NOISE,
    model=ModelSpec(LatticeNet(4, 1)),
    steps=8,
    batch=8,
    evaluations=1,
    previews=0,
    checkpoint_seconds=3600.0,
)


def made(folder):
    """Return the config that a finished run's model carries."""
    config = config_of(read_metadata(folder / "checkpoint" / "model.safetensors"))
    assert config is not None
    return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert train(CONFIG, folder, device="cpu").state == "finished"
    return folder


def test_a_model_carries_the_schedule_that_was_learned(whole):
    noise = made(whole).noise
    assert isinstance(noise, FixedProcess) and isinstance(noise.schedule, LearnedGamma)
    assert noise.color == White()
    (row,) = noise.schedule.gammas
    assert (row[0], row[-1]) == (-9.0, 6.0)
    assert all(a <= b for a, b in itertools.pairwise(row))
    even = torch.linspace(-9, 6, 9, dtype=torch.float64)
    assert (torch.tensor(row, dtype=torch.float64) - even).abs().max() > 0.01
    config = json.loads((whole / "config.json").read_text())
    assert config["noise"] == rg.spec.to_dict(NOISE)  # the run's own config is as it was


def test_a_run_that_was_interrupted_learns_the_same(whole, tmp_path):
    asked = []

    def pause(row, status):
        if not asked:
            asked.append(status.step)
            (tmp_path / "request").write_text("pause")

    config = replace(CONFIG, log_every=3)
    train(config, tmp_path, device="cpu", on_point=pause)
    outcome = train(config, tmp_path, resume=True, device="cpu")
    assert outcome.state == "finished"
    assert made(tmp_path).noise == made(whole).noise
    models = (rg.load_model(f / "checkpoint" / "model.safetensors") for f in (whole, tmp_path))
    first, second = (model.network.state_dict() for model in models)
    for name, value in first.items():
        assert_close(second[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("match", "fields"),
    [
        ("scales = 1 is too few for Cutoff", {"start": Cutoff()}),
        ("Cutoff jumps", {"start": Cutoff(HardKernel()), "scales": 4}),
        ("scales = 33 is outside", {"scales": 33}),
        ("every = 0 is outside", {"every": 0}),
        ("rate = 0", {"rate": 0.0}),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(match, fields):
    with pytest.raises(ValueError, match=match) as caught:
        LearnedProcess(**fields)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_it_is_learned_for_one_theory():
    line = replace(CONFIG, data="phi4-6x6-line", coupling_conditional=True)
    with pytest.raises(ValueError, match="learned for one theory"):
        prepare(line, fabric_for("cpu"))
