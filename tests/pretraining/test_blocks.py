"""Pretrained models of blocks: training, growing, the card."""

import json
from pathlib import Path

import pytest

import rgdiff_core as rg
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.sampling.growth import by_blocks
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.config import config_to_toml
from rgdiff_core.training.noise_levels import FixedProcess


def test_a_model_of_blocks_is_trained_measured_and_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shelf = tmp_path / "shelf"
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(shelf))
    monkeypatch.setattr("rgdiff_core.pretraining.blocks.SIDES", (4, 8))
    monkeypatch.setattr("rgdiff_core.pretraining.blocks.SITES", 2**12)
    config = TrainConfig(
        data="phi4-6x6",
        basis=BasisSpec("wavelet", levels=1),
        noise=FixedProcess(rg.colors.White(), rg.schedules.WaveletLevels(0.0)),
        model=ModelSpec(LatticeNet(4, 1, patch=2)),
        steps=2,
        batch=8,
        evaluations=1,
        previews=0,
    )
    (shelf / "own").mkdir(parents=True)
    (shelf / "own" / "config.toml").write_text(config_to_toml(config), encoding="utf-8")
    words = ["pretrain", "own", f"--work={tmp_path / 'run'}", "--steps=2", "--device=cpu"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "8×8: ⟨φ²⟩" in told and "own: ⟨φ²⟩ off by" in told
    card = json.loads((shelf / "own" / "card.json").read_text(encoding="utf-8"))
    assert [(row["side"], row["n"]) for row in card["rows"]] == [(4, 256), (8, 64)]
    assert card["sampler_steps"] == 2
    text = (shelf / "own" / "card.md").read_text(encoding="utf-8")
    assert "| 8×8 | 64 |" in text and "in 2 steps" in text
    assert by_blocks(rg.load_pretrained("own"))
