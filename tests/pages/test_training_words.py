"""What the Training page calls runs, and how long it says that presets take."""

import re
import time
from dataclasses import replace

import pytest
from apptest import finished, healthy, page_at, present
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._shared import jobs
from pages._shared.plots import in_brackets
from pages._training.words import NOISES
from rgdiff_core.training import PRESETS, runs, train
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.runs.registry import change, transaction

SHORT = replace(PRESETS["phi4-2min"].config, steps=4, batch=8, evaluations=1, previews=1, warmup=1)

pytestmark = pytest.mark.usefixtures("folders")


def estimate(at: AppTest):
    return next(each for each in at.button if each.label == "Estimate the time")


def test_the_table_of_runs_has_titles_for_people():
    assert train(SHORT, runs.runs_root() / "one", device="cpu").state == "finished"
    runs.pump()
    at = healthy(page_at("pages/training.py", run="one").run())
    (line,) = at.dataframe[0].value.to_dict("records")
    titles = {info.name: info.title for info in rg.data.available()}
    assert line["data"] == titles[SHORT.data] != SHORT.data
    assert line["noise"] == NOISES[FixedProcess] == "One process"


def test_the_table_of_runs_has_the_gain_on_held_out_data_with_its_error():
    assert train(SHORT, runs.runs_root() / "held", device="cpu").state == "finished"
    runs.pump()
    at = healthy(page_at("pages/training.py", run="held").run())
    lines = at.dataframe[0].value.to_dict("records")
    line = next(line for line in lines if line["id"] == "held")
    last = runs.curves(runs.history("held")[0])[1][-1]["held_out"]
    shown = in_brackets(1000 * last["gain"], 1000 * last["gain_error"])
    assert line["validation gain × 1000"] == shown and "gain × 1000" not in line


@pytest.mark.parametrize(("label", "words"), [("Pause", "Pausing …"), ("Cancel", "Cancelling …")])
def test_a_run_that_is_asked_to_stop_says_so_at_once(
    label: str, words: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs.queue, "pump", lambda: None)
    monkeypatch.setattr(runs, "pump", lambda: None)  # no worker, which would obey
    name = runs.submit(SHORT, label).id
    with transaction() as connection:
        change(connection, name, state="running")
    at = healthy(page_at("pages/training.py", run=name).run())
    healthy(next(each for each in at.button if each.label == label).click().run())
    assert runs.get(name).stopping
    shown = [each.proto.text for each in at.get("progress")]  # type: ignore[attr-defined]
    assert any(words in text for text in shown), shown
    menu = present(at.selectbox, "training-run")
    (option,) = [each for each in menu.options if each.startswith(f"{label} · ")]
    assert f" · {words.removesuffix(' …').lower()} · " in option


def test_the_same_run_cannot_be_started_twice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs.queue, "FREE_DISK", 1 << 60)  # nothing starts

    def start(at: AppTest):
        return next(each for each in at.button if each.key == "training-start")

    config = replace(SHORT, lr=3e-4)
    at = healthy(page_at("pages/training.py", config=config.to_json()).run())
    assert not start(at).disabled
    healthy(start(at).click().run())
    assert start(at).disabled and "is under way" in start(at).help
    other = replace(SHORT, lr=5e-4)
    assert not start(healthy(page_at("pages/training.py", config=other.to_json()).run())).disabled
    (run,) = [run for run in runs.list_runs() if run.config == config]
    runs.delete(run.id)
    assert not start(healthy(at.run())).disabled


def test_the_time_can_be_estimated_again():
    at = healthy(page_at("pages/training.py", config=SHORT.to_json()).run())
    healthy(estimate(at).click().run())
    key = f"timing/{SHORT.to_json()}"
    first = finished(jobs.find(key))
    healthy(at.run())
    assert first.result is not None and not estimate(at).disabled
    healthy(estimate(at).click().run())
    assert finished(jobs.find(key)) is not first


def test_the_time_is_not_estimated_twice_at_once():
    config = replace(SHORT, lr=1e-4)
    key = f"timing/{config.to_json()}"

    def work(task: jobs.Task) -> None:
        while True:
            task.progress(0, 1)
            time.sleep(0.01)

    task = jobs.begin("held", key, "Taking a few steps", work)
    at = healthy(page_at("pages/training.py", config=config.to_json()).run())
    assert estimate(at).disabled
    task.stop.set()
    finished(task)
    assert not estimate(healthy(at.run())).disabled


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_called_by_what_it_is_and_says_how_long_it_takes(name: str):
    preset = PRESETS[name]
    assert not re.search(r"minute|quick|hour", preset.title)
    assert re.search(r"minutes|hour", preset.about)


def test_lattice_fields_are_not_called_images():
    at = healthy(page_at("pages/training.py", config=SHORT.to_json()).run())
    assert any("4 steps of 8 fields" in caption.value for caption in at.caption)
