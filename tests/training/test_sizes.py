"""Training on lattices of several sizes: turns, batches of equal cost, and resuming."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import rgdiff_core as rg
from rgdiff_core.data import sets
from rgdiff_core.data.phi4 import LatticeSet
from rgdiff_core.denoisers.files import load_model
from rgdiff_core.lattice import Phi4
from rgdiff_core.networks import UNet
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.config import config_to_toml, parse_config
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.losses import denoising_loss
from rgdiff_core.training.measures import RunningMeans
from rgdiff_core.training.noise_levels import Universal
from rgdiff_core.training.sizes import SizedBatches, batch_on
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

FREE = Phi4(1.0, 0.0)
NAMES = ("phi4-6x6", "phi4-8x8", "phi4-12x12-critical", "phi4-6x6-critical", "phi4-6x6-line")
HOME, SMALL, LARGE, OTHER, LINE = NAMES


@pytest.fixture(scope="module")
def fresh(wells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sizes") / "cache"
    return shutil.copytree(wells, home, ignore=shutil.ignore_patterns("phi4*"))


@pytest.fixture(autouse=True)
def small_lattices(cache: None, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put free fields on 6×6, 4×4 and 8×8, and another theory, in the place of what is shipped."""
    monkeypatch.setenv("RGDIFF_CACHE", str(fresh))
    for name, side, action in (
        (HOME, 6, FREE),
        (SMALL, 4, FREE),
        (LARGE, 8, FREE),
        (OTHER, 8, Phi4(2.0, 0.0)),
    ):
        spec = LatticeSet(action, side, 100, 40, 20, 60, 3)
        monkeypatch.setitem(sets.SETS, name, sets._lattice(name, spec, "small."))  # type: ignore[arg-type]


def points(folder: Path) -> dict[tuple[int, bool], dict]:
    """Read the points of the curves without the times, the last of each step and kind."""
    told = [json.loads(x) for x in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    times = ("elapsed_s", "images_per_s")
    return {
        (row["step"], "held_out" in row): {k: v for k, v in row.items() if k not in times}
        for row in told
    }


@pytest.fixture
def sized(toy: TrainConfig) -> TrainConfig:
    return replace(toy, data=HOME, other_sizes=(SMALL, LARGE), steps=12, batch=8, log_every=3)


def test_every_size_has_its_turn_and_its_batch_has_as_many_sites(sized: TrainConfig):
    learner, batches, learned = prepare(sized, fabric_for("cpu"))
    assert isinstance(batches, SizedBatches)
    shapes = [tuple(batches.draw(step).x0.shape) for step in range(30)]
    for turn in range(10):
        assert set(shapes[3 * turn : 3 * turn + 3]) == {(8, 1, 6, 6), (18, 1, 4, 4), (4, 1, 8, 8)}
    assert len({tuple(shapes[3 * turn : 3 * turn + 3]) for turn in range(10)}) > 1
    again = prepare(sized, fabric_for("cpu"))[1].draw(7)
    assert torch.equal(again.x0, batches.draw(7).x0)
    assert learned.modes.shape == (1, 6, 6) and len(learner.sized) == 3
    # noise is matched to the lattice's own spectrum
    assert again.levels.marginal.std.shape[-1] == again.x0.shape[-1]


def test_couplings_are_learned_together_where_the_network_is_given_the_variance(
    sized: TrainConfig,
):
    """Two theories of one size are told apart by their spectra."""
    told = replace(sized.model, conditioning="octave_levels")
    both = replace(sized, model=told, other_sizes=(LARGE, OTHER))
    learner, batches, learned = prepare(both, fabric_for("cpu"))
    one, two = (each.modes for each in learned.others)
    assert one.variance.shape == two.variance.shape
    assert two.variance.mean() < 0.85 * one.variance.mean()
    seen = []
    for step in range(6):
        batch = batches.draw(step)
        learner.learn(batch)
        seen.append(batch.part)
        if batch.part:
            drawn = sorted_values(batch.x0)
            known = sorted_values(learned.others[batch.part - 1].images)
            assert all((known - each).abs().sum(1).min() < 1e-4 for each in drawn)
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]
    for part, modes in ((1, one), (2, two)):
        model = learner.sized[part]
        torch.testing.assert_close(model.modes_variance, modes.variance)
        assert model.network is learner.model.network and model.unit == learner.model.unit_variance


def test_the_gain_of_the_curves_is_of_the_configs_own_theory(sized: TrainConfig):
    told = replace(sized.model, conditioning="octave_levels")
    both = replace(sized, data=LARGE, model=told, other_sizes=(OTHER,))  # the same lattice
    learner, batches, learned = prepare(both, fabric_for("cpu"))
    window, gains = RunningMeans(learner, learned), []
    for step in range(4):
        batch = batches.draw(step)
        terms, norm = learner.learn(batch)
        loud = replace(terms, gain=torch.full_like(terms.gain, 1.0 if batch.part == 0 else -5.0))
        window.add(loud, norm, batch.part)
        gains.append(batch.part)
    assert sorted(gains) == [0, 0, 1, 1]
    assert window.row()["gain"] == pytest.approx(1.0)


def sorted_values(x: torch.Tensor) -> torch.Tensor:
    """Return what lattice symmetries leave of fields: their values' sizes in order."""
    return x.flatten(1).abs().sort(1).values


def test_the_loss_of_a_batch_is_that_of_the_model_on_its_lattice(sized: TrainConfig):
    learner, batches, learned = prepare(sized, fabric_for("cpu"))
    for step in range(3):
        batch = batches.draw(step)
        terms, _ = learner.learn(batch)
        side = batch.x0.shape[-1]
        modes = {6: learned.modes} | {o.basis.shape[1]: o.modes for o in learned.others}
        model = learner.model if side == 6 else learner.model.on((1, side, side), modes[side])
        now = denoising_loss(model, batch.x0, batch.levels, batch.noise).loss
        assert now.isfinite() and terms.unit.shape == batch.x0.shape
        torch.testing.assert_close(now, terms.loss, atol=0.2, rtol=0)  # one step later


@pytest.mark.parametrize("noise", ["fixed", "universal"])
def test_a_run_that_stops_goes_on_bit_for_bit(noise: str, sized: TrainConfig, tmp_path: Path):
    if noise == "universal":
        sized = replace(sized, noise=Universal(4))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(sized, whole, device="cpu").state == "finished"
    stopped = replace(sized, max_minutes=1e-9, checkpoint_seconds=0.1)
    for _ in range(30):  # it takes a step or more each time
        outcome = train(stopped, parts, resume=True, device="cpu")
        if outcome.state == "finished":
            break
        if outcome.step >= 5:
            stopped = replace(stopped, max_minutes=None)
    assert outcome.state == "finished"
    one, two = (load_file(x / "checkpoint" / "model.safetensors") for x in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert points(whole) == points(parts)
    model = load_model(whole / "checkpoint" / "model.safetensors")
    assert model.basis.shape == (1, 6, 6) and model.units is None


def test_the_config_is_kept_in_a_file(sized: TrainConfig):
    assert parse_config(config_to_toml(sized), "a.toml") == sized


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"other_sizes": (SMALL, SMALL)}, "every size of a theory may be there once"),
        ({"other_sizes": (OTHER,)}, "is of another theory"),
        ({"other_sizes": ("wells",)}, "'wells' holds no fields of one lattice theory"),
        ({"data": "wells"}, "'wells' holds no fields of one lattice theory"),
        ({"other_sizes": (LINE,)}, "holds no fields of one lattice theory"),
        ({"other_sizes": ("nowhere",)}, "'nowhere'"),
        ({"noise": LearnedProcess()}, "a schedule is learned on one lattice"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, match, sized: TrainConfig):
    with pytest.raises(ValueError, match=match):
        prepare(replace(sized, **changes), fabric_for("cpu"))


def test_a_network_of_one_size_is_refused(sized: TrainConfig):
    model = replace(sized.model, network=UNet(8, (1,), 1, ()))
    with pytest.raises(ValueError, match="a UNet serves 6×6 fields alone"):
        prepare(replace(sized, model=model), fabric_for("cpu"))


def test_batches_on_other_lattices_have_fields_for_every_process():
    assert batch_on(128, (1, 8, 8), (1, 16, 16), 1) == 32
    assert batch_on(128, (1, 8, 8), (1, 6, 6), 1) == 228
    assert batch_on(4, (1, 8, 8), (1, 64, 64), 3) == 3
    assert batch_on(12, (1, 8, 8), (1, 6, 6), 3) % 3 == 0


def test_data_without_other_sizes_are_trained_as_ever(sized: TrainConfig):
    plain = replace(sized, other_sizes=())
    batches = prepare(plain, fabric_for("cpu"))[1]
    assert not isinstance(batches, SizedBatches)
    assert rg.data.action_of(HOME) == FREE
