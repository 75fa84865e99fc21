"""Training along a line of couplings: fields, their couplings, and what is written of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2

import rgdiff_core as rg
from rgdiff_core.data import sets
from rgdiff_core.data.phi4 import LatticeLine
from rgdiff_core.denoisers.files import load_model
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.pretraining.lattice import pretrain
from rgdiff_core.training import PRESETS, TrainConfig, train
from rgdiff_core.training.batches import Batches
from rgdiff_core.training.config import config_to_toml, parse_config
from rgdiff_core.training.losses import denoising_loss
from rgdiff_core.training.models import LoadedModel, open_model, theory_of
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

LINE = CouplingLine(((0.5, 0.0), (1.0, 0.0), (1.5, 0.0)))  # free theories, which are known
NAME = "phi4-6x6-line"


@pytest.fixture(scope="module")
def fresh(wells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the cache, which has the real line where other tests have used it."""
    home = tmp_path_factory.mktemp("line") / "cache"
    return shutil.copytree(wells, home, ignore=shutil.ignore_patterns(f"{NAME}*"))


@pytest.fixture(autouse=True)
def small_line(cache: None, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a line of free theories of 4×4 sites in the place of the one that is shipped."""
    monkeypatch.setenv("RGDIFF_CACHE", str(fresh))
    spec = LatticeLine(LINE, 4, 400, 100, n_chains=100, thermalization=60, thinning=3)
    small = sets._lattice_line("free theories", spec, "small.")
    monkeypatch.setitem(sets.SETS, NAME, small)  # type: ignore[arg-type]


@pytest.fixture
def line(toy: TrainConfig) -> TrainConfig:
    return replace(toy, data=NAME, coupling_conditional=True, batch=13, steps=12)


def test_every_field_is_labelled_with_its_couplings():
    found = rg.data.load(NAME)
    assert found.line == LINE and found.labels is not None
    assert found.labels.bincount().tolist() == [400] * 3
    assert found.class_names == ("m² = 0.5, λ = 0", "m² = 1, λ = 0", "m² = 1.5, λ = 0")
    for label, (m2, lam) in enumerate(LINE.points):
        own = rg.data.load_at(NAME, "train", m2, lam).images
        assert torch.equal(own, found.images[found.labels == label])
        # M is a Gaussian of variance 1/(2m²V); chains, of four fields each, are correlated
        m = own.mean((1, 2, 3)).double()
        total = float((m**2).sum()) * 2 * m2 * 16
        low, high = chi2.ppf((1e-5, 1 - 1e-5), 100) * 4
        assert low < total < high


def test_fields_between_the_couplings_are_generated_and_others_refused():
    own = rg.data.load_at(NAME, "test", 0.75, 0.0)
    assert own.images.shape == (100, 1, 4, 4)
    assert torch.equal(own.images, rg.data.load_at(NAME, "test", 0.75, 0.0).images)
    expected, x = 2 * 0.75, own.images.double()
    kinetic = sum((x - x.roll(1, axis)).square() for axis in (-1, -2))
    identity = (2 * kinetic + expected * x**2).mean((1, 2, 3))  # ⟨φ ∂S/∂φ⟩ = 1 a site
    assert abs(float(identity.mean()) - 1) < 4.5 * float(identity.std()) / 10
    with pytest.raises(ValueError, match="outside the line of couplings"):
        rg.data.load_at(NAME, "test", 2.0, 0.0)
    with pytest.raises(ValueError, match="is not a data set along a line"):
        rg.data.load_at("wells", "test", 1.0, 0.0)
    assert rg.data.is_lattice(NAME) and rg.data.action_of(NAME) is None


def test_a_batch_shares_out_its_fields_evenly_and_knows_where_each_belongs(line: TrainConfig):
    learner, batches, learned = prepare(line, fabric_for("cpu"))
    assert learned.line is not None and learner.average.couplings == (1.0, 0.0)
    known = rg.data.load(NAME)
    assert known.labels is not None
    for point, modes in enumerate(learned.line.modes):
        own = known.images[known.labels == point]
        fitted = rg.Modes.fit(learned.basis, own, symmetries="lattice")
        assert torch.equal(modes.variance, fitted.variance)  # type: ignore[arg-type]
    seen = torch.zeros(3)
    for step in range(40):
        batch = batches.draw(step)
        assert batch.class_labels is not None
        assert batch.class_labels.bincount().tolist() == [5, 4, 4]
        power = (batch.x0**2).mean((1, 2, 3))
        seen += torch.stack([power[batch.class_labels == i].mean() for i in range(3)])
        # matched noise is matched to the couplings of each field
        for point, modes in enumerate(learned.line.modes):
            rows = batch.class_labels == point
            std, alpha = batch.levels.marginal.std[rows], batch.levels.marginal.alpha[rows]
            assert modes.variance is not None
            shape = std**2 / (1 - alpha**2) / modes.variance
            torch.testing.assert_close(shape, shape.mean((1, 2, 3), keepdim=True).expand_as(shape))
    assert seen[0] > seen[1] > seen[2]  # the heavier the smaller


def test_processes_share_out_a_mixed_batch(line: TrainConfig):
    _, batches, _ = prepare(line, fabric_for("cpu"))
    whole = batches.draw(3)
    shares = [replace(batches, rank=rank, world=2).draw(3) for rank in (0, 1)]  # type: ignore[type-var]
    for rank, share in enumerate(shares):
        assert torch.equal(share.x0, whole.x0[rank::2])
        assert torch.equal(share.class_labels, whole.class_labels[rank::2])  # type: ignore
        assert torch.equal(share.levels.marginal.std, whole.levels.marginal.std[rank::2])


def test_what_is_trained_is_written_with_its_line(tmp_path: Path, line: TrainConfig):
    assert train(line, tmp_path, device="cpu").state == "finished"
    model = load_model(tmp_path / "checkpoint" / "model.safetensors")
    assert (model.line, model.couplings) == (LINE, (1.0, 0.0))
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(text) for text in lines]
    written = [row["held_out"]["loss"] for row in rows if "held_out" in row][-1]
    # the loss on held-out fields is the mean of those of each coupling by itself
    losses = []
    for m2, lam in LINE.points:
        here, x = model.at(m2, lam), rg.data.load_at(NAME, "test", m2, lam).images
        sampler = line.noise.sampler(here.basis, here.modes, line.objective, 4)
        batch = Batches(x, sampler, len(x), "none", 5).draw(0)
        losses.append(float(denoising_loss(here, x, batch.levels, batch.noise).loss))
    assert written == pytest.approx(sum(losses) / 3, rel=1e-5)
    opened = LoadedModel("it", model.at(0.75, 0.0), NAME, FixedProcess())
    assert torch.equal(
        opened.images("test").images, rg.data.load_at(NAME, "test", 0.75, 0.0).images
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": "wells"}, "'wells' is no line of couplings"),
        ({"batch": 2}, "batch = 2 is too small"),
        ({"limit": 3}, "fields are too few for a line of 3 couplings"),
    ],
)
def test_what_does_not_fit_is_said(line: TrainConfig, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        prepare(replace(line, **changes), fabric_for("cpu"))


def test_classes_and_couplings_exclude_each_other(line: TrainConfig):
    with pytest.raises(ValueError, match="are both true"):
        replace(line, class_conditional=True)
    # the couplings may serve as classes
    _, _, learned = prepare(
        replace(line, coupling_conditional=False, class_conditional=True), fabric_for("cpu")
    )
    assert learned.line is None and len(learned.class_names) == 3


def test_the_preset_is_a_config_that_a_file_can_hold():
    config = PRESETS["phi4-line"].config
    assert config.coupling_conditional
    assert parse_config(config_to_toml(config), "config.toml") == config


def test_a_card_says_what_the_model_is_worth_between_its_couplings(
    tmp_path: Path, line: TrainConfig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path))
    monkeypatch.setattr("rgdiff_core.pretraining.lines.HMC_SAMPLES", 2000)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "config.toml").write_text(config_to_toml(line), encoding="utf-8")
    card = pretrain(
        "small",
        tmp_path / "run",
        samples=64,
        scan_samples=8,
        steps=8,
        device="cpu",
        say=lambda _: None,
    )
    written = json.loads((tmp_path / "small" / "card.json").read_text(encoding="utf-8"))
    assert written["points"] == [list(point) for point in LINE.points]
    assert [(row["m2"], row["lam"]) for row in written["rows"]] == [(0.75, 0.0), (1.25, 0.0)]
    for row in card.rows:  # type: ignore[union-attr]
        # 400 fields determine each variance to 7 %, so that the free theory is nearly exact
        assert row.quality.ess.value > 0.7
        exact = 1 / (2 * row.m2)
        assert abs(row.hmc.value - exact) < 5 * row.hmc.error
    text = (tmp_path / "small" / "card.md").read_text(encoding="utf-8")
    assert "m² = 0.5 to 1.5, λ = 0" in text and "| 0 | 1.25 |" not in text
    opened = open_model("small")
    assert opened.denoiser.couplings == (1.0, 0.0)
    assert theory_of(opened.denoiser, opened.data) == Phi4(1.0, 0.0)
