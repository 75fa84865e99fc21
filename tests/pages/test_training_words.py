"""What the Training page calls runs, and how long it says that presets take."""

import json
import re
import shutil
import time
from dataclasses import replace

import pytest
from apptest import finished, healthy, page_at, present
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._shared import jobs
from pages._shared.plots import in_brackets
from pages._shared.tables import NONE
from pages._training.words import NOISES
from rgdiff_core.training import PRESETS, Timing, runs, train
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.records import Status
from rgdiff_core.training.runs.registry import change, transaction

SHORT = replace(PRESETS["phi4-2min"].config, steps=4, batch=8, evaluations=1, previews=1, warmup=1)

pytestmark = pytest.mark.usefixtures("folders")


def button(at: AppTest, label: str):
    return next(each for each in at.button if each.label == label)


def progress(at: AppTest) -> list[str]:
    return [each.proto.text for each in at.get("progress")]  # type: ignore[attr-defined]


def estimate(at: AppTest):
    return next(each for each in at.button if each.label == "Estimate the time")


def test_the_table_of_runs_has_titles_for_people():
    assert train(SHORT, runs.runs_root() / "one", device="cpu").state == "finished"
    runs.pump()
    at = healthy(page_at("pages/training.py", run="one").run())
    (line,) = at.dataframe[0].value.to_dict("records")
    titles = {info.name: info.title for info in rg.data.available()}
    assert line["data"] == titles[SHORT.data] != SHORT.data
    assert line["trained on"] == NOISES[FixedProcess] == "One process"


def test_the_table_of_runs_has_the_gain_on_held_out_data_with_its_error():
    for name, evaluations in (("held", 2), ("gone", 1)):
        config = replace(SHORT, evaluations=evaluations)
        assert train(config, runs.runs_root() / name, device="cpu").state == "finished"
    runs.pump()
    shutil.rmtree(runs.runs_root() / "gone")
    at = healthy(page_at("pages/training.py", run="held").run())
    lines = at.dataframe[0].value.set_index("id")
    first, last = (each["held_out"] for each in runs.curves(runs.history("held")[0])[1])
    assert first["gain"] != last["gain"] == pytest.approx(lines["gain"]["held"] / 1000)
    told = in_brackets(1000 * last["gain"], 1000 * last["gain_error"]).replace("-", "−")
    words = convert_arrow_bytes_to_pandas_df(
        at.dataframe[0].proto.arrow_data.styler.display_values
    )
    shown = dict(zip(words["id"], words["gain"], strict=True))
    assert {name: shown[name] for name in ("held", "gone")} == {"held": told, "gone": NONE}
    assert json.loads(at.dataframe[0].proto.columns)["gain"]["label"] == "validation gain × 1000"


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(("label", "words"), [("Pause", "Pausing …"), ("Cancel", "Cancelling …")])
def test_a_run_that_is_asked_to_stop_says_so_at_once(
    label: str, words: str, begun: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs.queue, "pump", lambda: None)
    monkeypatch.setattr(runs, "pump", lambda: None)  # no worker, which would obey
    title = f"{label}{begun}"
    name = runs.submit(SHORT, title).id
    with transaction() as connection:
        change(connection, name, state="running")
    if begun:
        status = Status("running", 2, 4, started=time.time(), updated=time.time())
        (runs.runs_root() / name / "status.json").write_text(status.to_json())
    at = healthy(page_at("pages/training.py", run=name).run())
    assert not any(words in text for text in progress(at))
    healthy(button(at, label).click().run())
    assert runs.get(name).stopping and button(at, label).disabled
    assert (runs.runs_root() / name / "request").read_text() == label.lower()
    elsewhere = healthy(page_at("pages/training.py", run=name).run())  # another tab
    for tab in (at, elsewhere):
        assert any(words in text for text in progress(tab)), progress(tab)
    menu = present(at.selectbox, "training-run")
    (option,) = [each for each in menu.options if each.startswith(f"{title} · ")]
    assert f" · {words.removesuffix(' …').lower()} · " in option
    with transaction() as connection:
        change(connection, name, state="cancelled")


def test_the_same_run_cannot_be_started_twice(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs.queue, "FREE_DISK", 1 << 60)  # nothing starts

    def start(at: AppTest):
        return next(each for each in at.button if each.key == "training-start")

    def told(at: AppTest) -> bool:
        return any("is under way" in caption.value for caption in at.caption)

    config = replace(SHORT, lr=3e-4)
    at = healthy(page_at("pages/training.py", config=config.to_json()).run())
    assert not start(at).disabled and not told(at)
    healthy(start(at).click().run())
    assert start(at).disabled and told(at)
    other = replace(SHORT, lr=5e-4)
    assert not start(healthy(page_at("pages/training.py", config=other.to_json()).run())).disabled
    (run,) = [run for run in runs.list_runs() if run.config == config]
    origin = runs.run_folder(run.id) / "initial.json"
    origin.write_text('{"sha256": "00"}')  # a run from weights is another run
    assert not start(healthy(at.run())).disabled
    origin.unlink()
    with transaction() as connection:
        change(connection, run.id, state="cancelled")
    assert not start(healthy(at.run())).disabled
    runs.delete(run.id)


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
    assert re.match(r".*(minutes|[Hh]our).* on .*\.$", preset.takes)


def test_a_measured_time_stands_instead_of_the_presets():
    preset = PRESETS["phi4-2min"]
    at = healthy(page_at("pages/training.py", config=preset.config.to_json()).run())
    assert f"{preset.about} {preset.takes}" in [each.value for each in at.caption]
    key = f"timing/{preset.config.to_json()}"
    found = Timing(0.01, 20.0, 1000, "cpu")
    finished(jobs.begin("timed", key, "Taking a few steps", lambda task: found))
    said = [each.value for each in healthy(at.run()).caption]
    assert preset.about in said and any("**20 s** for 2,000 steps" in each for each in said)


def test_lattice_fields_are_not_called_images():
    at = healthy(page_at("pages/training.py", config=SHORT.to_json()).run())
    assert any("4 steps of 8 fields" in caption.value for caption in at.caption)


def test_an_emptied_number_goes_back_and_an_optional_one_is_left_out():
    def field(at: AppTest, name: str):
        return present(at.number_input, f"training-form-{name}")

    def config(at: AppTest):
        return at.session_state["training-form-state"]

    at = healthy(page_at("pages/training.py", config=replace(SHORT, limit=50).to_json()).run())
    healthy(field(at, "steps").set_value(None).run())
    assert config(at).steps == field(at, "steps").value == SHORT.steps
    healthy(field(at, "limit").set_value(None).run())
    assert config(at).limit is None
    field(at, "steps").set_value(999_999_999).run()
    (sentence,) = [each.value for each in at.warning]
    assert sentence.startswith("steps = 999999999 is outside [1, 1e+08].")
    assert config(at).steps == field(at, "steps").value == SHORT.steps
