"""The Results page, alone and through the router: what files say, links, your runs."""

import base64
import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from apptest import page_at
from patience import PATIENCE
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from pages._noising.state import NoisingState
from pages._results import headline, links, perfect, studies
from pages._results.verdict import phrase
from pages._samples.state import SamplesState
from pages._shared import jobs, plots
from pages._training import state as training_state
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.spec import from_dict
from rgdiff_core.study import own
from rgdiff_core.study.headline import Effect, effects
from rgdiff_core.study.lattice.verdict import Difference, phi4_verdict
from rgdiff_core.training import PRESETS, runs, train
from rgdiff_core.training.config import parse_config
from tests.tiny_study import DATA, FIGURES, study_text

ROOT = Path(__file__).resolve().parents[2]
VIEWS = (
    "Sampling steps",
    "Pictures",
    "Spectra",
    "Softness",
    "Recipes",
    "FID and KID",
    "Error by scale and noise level",
)
COMMITTED = ROOT / "results" / "study-cifar10.json"
with_images = pytest.mark.skipif(not COMMITTED.is_file(), reason="no results of CIFAR-10 here")
SHORT = replace(
    PRESETS["phi4-2min"].config,
    data=DATA,
    model=ModelSpec(LatticeNet(4, 1)),
    steps=4,
    batch=8,
    warmup=1,
    evaluations=1,
    previews=0,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study at a tiny budget."""
    folder = tmp_path_factory.mktemp("results")
    (folder / f"study-{DATA}.json").write_text(study_text(), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path):
    """Show these results, and keep runs in a folder of the test's own."""
    monkeypatch.setenv("RGDIFF_RESULTS", str(folder))
    monkeypatch.setenv("RGDIFF_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(studies, "HOME", tmp_path)  # where studies work


@pytest.fixture
def study(folder: Path) -> dict:
    return json.loads((folder / f"study-{DATA}.json").read_text(encoding="utf-8"))


def visit(script: str = "pages/results.py", **link: str) -> AppTest:
    """Open the page, at an address if one is given, and by default where the theories are."""
    if script == "pages/results.py" and not {"theory", "figure"} & set(link):
        link = {"section": "φ⁴ theory"} | link
    return page_at(script, **link).run()


def theories() -> AppTest:
    """Open the app, and go to where the theories are."""
    at = healthy(visit("app.py").switch_page("pages/results.py").run())
    return healthy(at.segmented_control(key="section").set_value("φ⁴ theory").run())


def healthy(at: AppTest) -> AppTest:
    assert not at.exception
    assert not at.error
    assert not at.warning
    return at


def button(at: AppTest, label: str):
    return next(each for each in at.button if each.label == label)


def said(at: AppTest) -> str:
    return "\n".join(each.value for each in (*at.markdown, *at.caption, *at.info))


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_drawn(figure):
    at = healthy(visit(figure=figure))
    assert at.title[0].value == "Results"
    assert len(at.get("plotly_chart")) >= 1
    assert "rgdiff study phi4 --budget tiny --theories phi4-6x6" in said(at)


def test_the_verdict_is_the_numbers_own(study):
    text = said(healthy(visit(section="Summary")))
    verdict = phi4_verdict(study)
    assert verdict is not None
    assert phrase(verdict.difference) in text
    assert verdict.best["title"] in text
    words = {"better": "better by", "worse": "worse by"}
    words |= {"same": "equal", "undecided": "not distinguishable"}
    assert words[verdict.difference.outcome] in text


def test_the_page_opens_with_a_sentence_and_a_figure_of_the_numbers(study):
    at = healthy(page_at("pages/results.py").run())
    (ours,) = (each for each in effects(study) if each.claimed)
    told = at.markdown[0].value
    assert f"{headline.OUTCOMES[ours.difference.outcome]} on φ⁴, 6×6, symmetric phase" in told
    drawn = json.loads(at.get("plotly_chart")[0].proto.spec)["data"]
    (series,) = (trace for trace in drawn if trace.get("name") == "6×6, symmetric phase")
    off = {each.method: each.percent for each in effects(study)}
    order = [each.method for each in effects(study)]
    shown = dict(zip(order, series["x"], strict=True))
    assert shown == {name: max(-100, min(100, value)) for name, (value, _) in off.items()}


def numbers(values: dict[str, str] | list[float]) -> list[float]:
    """Return what Plotly writes as a list, or as the bytes of an array."""
    if isinstance(values, list):
        return values
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()


def test_the_page_opens_with_what_few_steps_cost_a_perfect_denoiser(monkeypatch, tmp_path):
    """The repository's own file: every theory has a figure whose points are the file's."""
    shutil.copy(ROOT / "results" / perfect.FILE, tmp_path)
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = healthy(page_at("pages/results.py").run())
    found = json.loads((tmp_path / perfect.FILE).read_text(encoding="utf-8"))
    assert at.markdown[0].value == perfect.sentence(found["theories"], found["decided_at"])
    lines = [line.split(" | ") for line in at.markdown[1].value.splitlines()[2:]]
    for theory, (title, process, _, *told) in zip(found["theories"], lines, strict=True):
        assert title == f"| {theory['title']}"
        base = {each["name"]: each for each in theory["processes"]}["white-linear"]
        mine = next(each for each in theory["processes"] if each["title"] == process)
        haar = next((x for x in theory["processes"] if x["name"] == "haar-0"), None)
        assert (told.pop() == "– |") == (haar is None)
        for grid, number in zip(("best", "angle", "logsnr"), told, strict=True):
            off = mine["against_baseline"][grid]["16"]["value"]
            percent = float(number.split("(")[0].replace("−", "-"))
            assert percent == pytest.approx(100 * off / base["gap"][grid]["16"]["value"], abs=0.6)
    charts = at.get("plotly_chart")
    assert len(charts) == len(found["theories"])
    for chart, theory in zip(charts, found["theories"], strict=True):
        rows = {each["title"]: each for each in theory["processes"]}
        base = next(each for each in rows.values() if each["name"] == found["baseline"])
        gaps = [gap["value"] for gap in base["gap"]["best"].values()]
        (best,) = (
            x.split(" | ")[1]
            for x in at.markdown[1].value.splitlines()
            if theory["title"] in x.split(" | ")[0]
        )
        offs = rows[best]["against_baseline"]["best"].values()
        spec = json.loads(chart.proto.spec)
        (trace,) = (each for each in spec["data"] if each["name"] == perfect.BEST[0])
        told = [
            [100 * x[k] / gap for x, gap in zip(offs, gaps, strict=True)]
            for k in ("value", "error")
        ]
        assert numbers(trace["y"]) == pytest.approx(told[0])
        assert numbers(trace["error_y"]["array"]) == pytest.approx(told[1])
        assert not spec["layout"]["showlegend"]


def test_a_damaged_file_of_the_perfect_denoiser_is_one_sentence(monkeypatch, tmp_path):
    (tmp_path / perfect.FILE).write_text('{"theories": [{}]}', encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = visit(section="Summary")
    assert not at.exception
    assert [each.value for each in at.warning if perfect.FILE in each.value]


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (("undecided", "undecided"), "two data sets, .* is [*]+not distinguishable on two[*]+"),
        (("better", "worse"), "better on a and worse on b[*]+"),
        (("better", "same", "worse"), "better on a, equal on b and worse on c[*]+"),
    ],
)
def test_the_sentence_counts_the_outcomes(outcomes, words):
    signs = {
        "better": Difference(-1.0, 0.1, 30),
        "worse": Difference(1.0, 0.1, 30),
        "same": Difference(0.0, 0.1, 30, margin=1.0),
        "undecided": Difference(0.0, 0.1, 30),
    }
    known = {
        title: [
            Effect("matched-component", "ours", "x", signs[outcome], 1.0, claimed=True),
            Effect("white-scalar", "other", "x", signs["better"], 1.0),
        ]
        for title, outcome in zip("abc", outcomes, strict=False)
    }
    told = headline.sentence(known)
    assert re.search(words, told)
    count = headline.NUMBERS[len(outcomes)]
    where = "a" if count == "one" else count
    assert told.endswith(f"conditioning) is **better on {where}**.")
    alone = {t: each[0].difference for t, each in known.items()}
    added = headline.sentence(known, alone)
    assert added.startswith(told.removesuffix("."))
    assert "the same denoiser, so that only the process differs" in added
    assert re.search(words, added[len(told) :])
    assert "not been measured" in headline.sentence({})


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (Difference(-0.5, 0.1, 30), "better by 0.50(10) nats, 5.0 standard errors"),
        (Difference(0.5, 0.1, 30), "worse by 0.50(10) nats, 5.0 standard errors"),
        (Difference(0.5, 0.1, 30, higher=True), "better by 0.50(10) nats, 5.0 standard errors"),
        (
            Difference(0.1, 0.1, 30),
            "not distinguishable, 0.10(10) nats (95 % interval −0.1 to +0.3, Student's test)",
        ),
        (
            Difference(0.0, 0.1, 30, margin=0.1),
            "not distinguishable, 0.00(10) nats (95 % interval −0.2 to +0.2, margin ±0.1, Stud",
        ),
        (
            Difference(0.0, 0.1, 30, margin=0.5),
            "equal, 0.00(10) nats (95 % interval −0.2 to +0.2, margin ±0.5, Stud",
        ),
        (
            Difference(-0.1, None, 0),
            "lower by 0.1 nats; with a single seed, significance cannot be",
        ),
    ],
)
def test_differences_in_words(difference, words):
    assert phrase(difference).startswith(words)


def test_the_table_has_every_arm_with_its_errors(study):
    first = healthy(visit()).dataframe[0]
    table = first.value.to_dict("list")
    assert table["arm"] == [arm["title"] for arm in study["arms"]]
    assert table["kl"] == [arm["metrics"]["kl"]["value"] for arm in study["arms"]]
    assert min(table["kl_error"]) > 0
    words = convert_arrow_bytes_to_pandas_df(first.proto.arrow_data.styler.display_values)
    pairs = zip(table["kl"], table["kl_error"], strict=True)
    assert list(words["kl"]) == [plots.in_brackets(*each) for each in pairs]
    assert all(each[0] in "+−–" for each in words["change"])


@pytest.mark.parametrize("name", ["standard", "matched-scalar", "matched-component"])
def test_an_arm_opens_its_very_schedule_and_config(study, name):
    arm = next(each for each in study["arms"] if each["name"] == name)
    side = links.side_of(study, arm)
    assert side.schedule == from_dict(arm["schedule"])
    at = theories()
    at.selectbox(key="arm").set_value(name).run()
    at = button(at, "Open in Noising").click().run()
    assert not at.exception
    assert at.title[0].value == "Noising"
    state = NoisingState.from_json(at.session_state["noising-state"].to_json())
    assert (state.data, state.sides) == (DATA, (side,))


def test_the_samples_and_training_pages_take_an_arm(study):
    arm = next(each for each in study["arms"] if each["name"] == "matched-component")
    at = theories()
    button(at, "Open in Samples").click().run()
    bench: SamplesState = at.session_state["samples-state"]
    assert bench.setting.model == f"pretrained/{DATA}"
    assert bench.setting.side.schedule == from_dict(arm["schedule"])
    run = next(each for each in study["runs"] if each["arm"] == arm["name"])
    told = training_state.told(from_dict(run["config"]))  # type: ignore[arg-type]
    assert parse_config(told, "The link") == from_dict(run["config"])


def test_a_models_own_file_becomes_a_run_only_once(monkeypatch, tmp_path):
    assert train(SHORT, tmp_path / "trained").state == "finished"
    (model,) = (tmp_path / "trained").rglob("model.safetensors")
    place = tmp_path / "models" / DATA / "matched-component.safetensors"
    place.parent.mkdir(parents=True)
    place.write_bytes(model.read_bytes())
    (tmp_path / f"study-{DATA}.json").write_text(study_text(), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    names = set()
    for _ in range(2):
        at = theories()
        button(at, "Open in Samples").click().run()
        names.add(at.session_state["samples-state"].setting.model)
    (known,) = runs.list_runs()
    told = next(r for r in json.loads(study_text())["runs"] if r["arm"] == "matched-component")
    assert known.config is not None
    assert known.config.noise == from_dict(told["config"]["noise"])
    assert names == {f"run/{known.id}"}


def test_without_results_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    for section, command in (("φ⁴ theory", "rgdiff study phi4"), ("CIFAR-10", "study cifar10")):
        at = healthy(visit(section=section))
        assert command in at.code[0].value


@pytest.mark.parametrize("text", ["{", "[]", '{"arms": 3}', '{"arms": []}'])
def test_a_damaged_file_is_a_sentence(monkeypatch, tmp_path, text):
    (tmp_path / "study-phi4-6x6.json").write_text(text, encoding="utf-8")
    (tmp_path / "study-phi4-8x8.json").write_text(study_text(), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    at = visit()
    assert not at.exception
    assert "study-phi4-6x6.json can't be read" in at.warning[0].value
    assert at.dataframe


def test_an_unfinished_study_is_said_to_be(monkeypatch, tmp_path, study):
    study["complete"]["of"] += 1
    arms = [arm["name"] for arm in study["arms"]][:2]
    study["arms"] = study["arms"][:2]
    study["runs"] = [run for run in study["runs"] if run["arm"] in arms]
    (tmp_path / "study-phi4-6x6.json").write_text(json.dumps(study), encoding="utf-8")
    monkeypatch.setenv("RGDIFF_RESULTS", str(tmp_path))
    assert "no verdict yet" in said(healthy(visit(section="Summary")))
    assert "rerun the command to continue" in said(healthy(visit()))


@with_images
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_images_is_drawn(monkeypatch, view):
    monkeypatch.setenv("RGDIFF_RESULTS", str(COMMITTED.parent))
    at = visit(section="CIFAR-10", view=view)
    assert not at.exception and not at.error
    assert not [each.value for each in at.warning if "No such file" in each.value]
    assert "CSV" in {each.proto.label for each in at.get("download_button")}


@pytest.mark.parametrize("figure", FIGURES)
def test_the_results_that_come_along_are_shown(monkeypatch, figure):
    monkeypatch.setenv("RGDIFF_RESULTS", str(COMMITTED.parent))
    names = [path.stem for path in COMMITTED.parent.glob("study-*.json")]
    known = studies.read_all()
    assert not known[1]
    assert len(known[0]) == len(names)
    titles = [study["theory"]["title"] for study in known[0].values() if "theory" in study]
    for title in titles:
        healthy(visit(theory=title, figure=figure))


@with_images
def test_known_results_are_decided_by_numbers(monkeypatch):
    monkeypatch.setenv("RGDIFF_RESULTS", str(COMMITTED.parent))
    text = said(healthy(visit(section="CIFAR-10", view="Known results")))
    for paper in ("2410.02667", "2505.11278", "2501.09064"):
        assert paper in text


def test_a_run_is_evaluated_and_stands_beside_the_arms(monkeypatch, study):
    monkeypatch.setattr("pages._results.own_runs.EFFORT", own.Effort(64, 4, 32, 5000))
    assert train(SHORT, runs.runs_root() / "mine").state == "finished"
    runs.pump()
    at = healthy(visit(section="Your runs"))
    assert "None of your runs" in said(at)
    button(at, "Evaluate").click().run()
    task = jobs.listed("results/mine")[0]
    end = time.monotonic() + PATIENCE
    while not task.ended and time.monotonic() < end:
        time.sleep(0.1)
    assert (task.error, task.result) == ("", True)
    table = healthy(at.run()).dataframe[0].value.to_dict("list")
    assert table["run"] == ["yours · mine", *(arm["title"] for arm in study["arms"])]
    assert table["kl"][0] > 0 and table["kl_error"][0] > 0
    found = json.loads((runs.run_folder("mine") / own.FILE).read_text(encoding="utf-8"))
    assert found["metrics"]["kl"]["value"] == table["kl"][0]


def test_no_runs_are_a_hint():
    assert "Training page" in said(healthy(visit(section="Your runs")))


def test_seeds_and_commands_are_the_files_own(study):
    assert studies.seeds(study) == "0, 1"
    assert studies.command(study).endswith("--theories phi4-6x6")
