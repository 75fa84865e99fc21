"""Scans of cards: other grids where the integrator is at fault, nothing worse in their place."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.cli.main import main
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.evaluation import quality
from rgdiff_core.lattice import Phi4
from rgdiff_core.pretraining.lattice import PROCESSES
from rgdiff_core.pretraining.scan import Scan, Scanner
from rgdiff_core.statistics import Estimate

WHITE = "white noise, linear log-SNR"
NAME = "phi4-6x6"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one pretrained model, whose card has a process that is far too low."""
    known, shelf = pretrained_folder(), tmp_path / "shelf"
    shutil.copytree(known / NAME, shelf / NAME)
    listed = json.loads((known / "index.json").read_text("utf-8"))
    mine = [each for each in listed if each["name"] == NAME]
    (shelf / "index.json").write_text(json.dumps(mine), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(shelf))
    card = json.loads((shelf / NAME / "card.json").read_text("utf-8"))
    few = card["scan"][WHITE] | {"n": 16, "nfe": 4, "ess": {"value": 0.3, "error": 0.1}}
    best = card["scan"][card["best"]] | {"n": 16}
    card["scan"] = {WHITE: few, card["best"]: best}
    (shelf / NAME / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return shelf / NAME


def test_a_scan_is_measured_again_where_it_is_too_low_and_better_then():
    model, action = rg.load_pretrained(NAME), rg.data.action_of(NAME)
    assert isinstance(action, Phi4)
    noise, told = torch.Generator().manual_seed(0), []
    fair = quality(model, PROCESSES[WHITE].on(model), action, 16, 2, noise)
    low = replace(fair, nfe=4, ess=Estimate(0.3, 0.01))
    lower = replace(fair, nfe=4, ess=Estimate(0.94, 1.0))  # nothing is better by two errors
    for first, better in ((low, True), (lower, False), (fair, False)):
        scan, processes = Scan({WHITE: first}, {}), {WHITE: PROCESSES[WHITE]}
        again = Scanner(model, processes, action, 16, 2, noise, told.append).again(scan)
        assert (WHITE in again.grids) == better == (again.found[WHITE] != first)
    assert len(told) == 2  # the last was on the best grid already


def test_an_installed_card_is_scanned_again(shelf: Path, capsys: pytest.CaptureFixture[str]):
    before = json.loads((shelf / "card.json").read_text("utf-8"))
    words = ["pretrain", NAME, "--rescan", "--scan-samples", "16", "--steps", "3"]
    assert main(words) in (0, 1)
    told = capsys.readouterr()
    after = json.loads((shelf / "card.json").read_text("utf-8"))
    if told.err:  # another process came out best: nothing is changed
        assert "is the best process of phi4-6x6 now" in told.err and after == before
        return
    assert f"{WHITE}, grid" in told.out and "ESS at least" in told.out
    assert after["scan"][WHITE]["ess"]["value"] > 0.9 and WHITE in after["grids"]
    assert {key: after[key] for key in ("quality", "held_out", "best", "steps_before")} == {
        key: before[key] for key in ("quality", "held_out", "best", "steps_before")
    }
    assert "evaluations |" in (shelf / "card.md").read_text("utf-8")


def test_what_cannot_be_scanned_again_is_one_sentence(
    shelf: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["pretrain", NAME, "--rescan", "--scan-samples", "2"]) == 1
    assert "scan samples = 2, but the card of phi4-6x6 has" in capsys.readouterr().err
    card = json.loads((shelf / "card.json").read_text("utf-8"))
    card["scan"]["nothing known"] = card["scan"].pop(WHITE)
    (shelf / "card.json").write_text(json.dumps(card), encoding="utf-8")
    assert main(["pretrain", NAME, "--rescan"]) == 1
    assert "'nothing known', which is not known" in capsys.readouterr().err
    (shelf / "card.json").write_text("{}", encoding="utf-8")
    assert main(["pretrain", NAME, "--rescan"]) == 1
    assert "the card of phi4-6x6 has no scan" in capsys.readouterr().err
