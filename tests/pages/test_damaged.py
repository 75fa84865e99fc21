"""The Training and Results pages with damaged files: sentences, and all the rest."""

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from apptest import page_at
from streamlit.testing.v1 import AppTest

from pages._results import studies
from rgdiff_core.study import own
from rgdiff_core.training import PRESETS, runs, train
from tests.damage import KINDS, damage
from tests.kept import SETS, cache_with
from tests.tiny_study import DATA, FIGURES, study_text

ROOT = Path(__file__).resolve().parents[2]
CASES = int(os.environ.get("RGDIFF_DAMAGE", "2"))  # of each battery
SHORT = replace(
    PRESETS["phi4-2min"].config,
    steps=8,
    batch=16,
    log_every=2,
    evaluations=2,
    previews=1,
    warmup=2,
)
FILES = (
    "config.json",
    "status.json",
    "metrics.jsonl",
    "provenance.json",
    "evaluation.json",
    "samples/step-00000008.npz",
    "checkpoint/model.safetensors",
)
PARTS = (
    "theory",
    "truth",
    "complete",
    "arms",
    "search",
    "samplers",
    "ablation",
    "schedule_scan",
    "runs",
)
ALL = [(name, kind) for name in FILES for kind in KINDS]
CURVES = ("All scales", "Scale by scale", "Loss")


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory):
    """Keep data sets and runs in folders of their own, with two runs that have ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", cache_with(tmp_path_factory.mktemp("cache"), *SETS))
        patch.setenv("RGDIFF_RUNS", str(tmp_path_factory.mktemp("runs")))
        for name in ("one", "other"):
            assert train(SHORT, runs.runs_root() / name, device="cpu").state == "finished"
        yield


def visit(page: str, **link: str) -> AppTest:
    return page_at(f"pages/{page}", **link).run()


def sentences(at: AppTest) -> list[str]:
    """Return what went wrong, each a sentence; no traceback is shown."""
    assert not at.exception, [each.stack_trace for each in at.exception]
    found = [each.value for each in (*at.error, *at.warning)]
    assert all("\n" not in text and len(text) < 600 for text in found)
    return found


@pytest.mark.parametrize(("name", "kind"), random.Random(0).sample(ALL, min(CASES, len(ALL))))
def test_a_run_with_a_damaged_file(name: str, kind: str, tmp_path: Path):
    root = runs.runs_root()
    shutil.copytree(root / "one", tmp_path / "sound")
    (root / "one" / "provenance.json").write_text('{"origin": "trained here"}')
    version = str(runs.model_path("one").stat().st_mtime_ns)
    metrics = {"kl": {"value": 0.1, "error": None, "n": 3}}
    own.keep(root / "one", {"metrics": metrics}, version)
    try:
        runs.pump()
        damage(root / "one" / name, kind)
        at = visit("training.py", run="one")
        sentences(at)
        assert set(at.selectbox(key="training-run").options) and len(at.dataframe[-1].value) == 2
        for view in CURVES:
            if any(each.key == "training-curves" for each in at.segmented_control):
                sentences(at.segmented_control(key="training-curves").set_value(view).run())
        if any(each.key == "training-draw" for each in at.button):
            sentences(at.button(key="training-draw").click().run())
        sentences(at.multiselect(key="training-compare").set_value(["one", "other"]).run())
        at = visit("results.py", section="Your runs")
        sentences(at)
        mine = next(each.value for each in at.dataframe if "run" in each.value)
        assert any("other" in row for row in mine["run"])
    finally:
        shutil.rmtree(root / "one")
        (tmp_path / "sound").rename(root / "one")


def test_a_damaged_run_is_named():
    path = runs.runs_root() / "one" / "status.json"
    kept = path.read_bytes()
    try:
        path.write_text('{"state": [3], "step": "many"}')
        assert any("one/status.json can't be read" in each for each in _training())
        assert not any("one/status.json" in each for each in _training("other"))
    finally:
        path.write_bytes(kept)


def _training(run: str = "one") -> list[str]:
    return sentences(visit("training.py", run=run))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two studies."""
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    monkeypatch.setattr(studies, "HOME", tmp_path)
    told = json.loads(study_text())
    told["theory"] |= {"data": "phi4-6x6-broken", "title": "the other theory"}
    (tmp_path / "study-phi4-6x6-broken.json").write_text(json.dumps(told))
    (tmp_path / f"study-{DATA}.json").write_text(study_text())
    return tmp_path


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("missing", "empty", "a list")])
def test_a_study_with_something_damaged_inside(results: Path, seed: int, kind: str):
    """Another part of the file each time; the other study is shown whole."""
    path = results / f"study-{DATA}.json"
    told, chance = json.loads(path.read_text()), random.Random(f"{kind} {seed}")
    part = chance.choice(PARTS)
    inside = results / "part.json"
    inside.write_text(json.dumps(told[part]))
    damage(inside, kind, seed)
    try:
        told[part] = json.loads(inside.read_text())
        path.write_text(json.dumps(told))
    except (ValueError, RecursionError):
        path.write_bytes(inside.read_bytes())
    drawn = visit("results.py", figure=chance.choice(FIGURES))
    summary = visit("results.py", section="Summary")
    assert all(DATA in text for at in (drawn, summary) for text in sentences(at))
    assert any("the other theory" in each.value for each in summary.markdown)
