"""The Training page, alone and through the router: form, link, runs, samples."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from apptest import healthy, page_at, present
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._noising.state import start as newcomer
from pages._shared import menus
from rgdiff_core.networks import NETWORKS, parameter_count
from rgdiff_core.training import PRESETS, TrainConfig, runs, settings, train
from rgdiff_core.training.config import config_to_toml, parse_config
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess, Universal

FIRST = PRESETS["phi4-2min"].config
SHORT = replace(FIRST, steps=24, batch=16, log_every=4, evaluations=2, previews=2, warmup=2)
SPECS = ("data", "basis", "noise", "model", "objective")

pytestmark = pytest.mark.usefixtures("folders")


@pytest.fixture(scope="module")
def pair(folders: None):
    """Train two short runs that differ in their learning rate, and return their ids."""
    for name, config in (("one", SHORT), ("other", replace(SHORT, lr=1e-3))):
        assert train(config, runs.runs_root() / name, device="cpu").state == "finished"
    runs.pump()
    return "one", "other"


def visit(script: str = "pages/training.py", **link: str) -> AppTest:
    """Open the page, at an address if one is given."""
    return page_at(script, **link).run()


def button(at: AppTest, label: str):
    return next(each for each in at.button if each.label == label)


def config(at: AppTest) -> TrainConfig:
    """Return the config that the address tells, which must be the session's."""
    link = at.query_params["config"]
    link = link[0] if isinstance(link, list) else link
    told = PRESETS[link].config if link in PRESETS else parse_config(link, "link")
    assert told == at.session_state["training-form-state"]
    return told


def refused(at: AppTest, *words: str) -> AppTest:
    """Check that one sentence says why, and that nothing else went wrong."""
    healthy(at)
    sentences = [w.value for w in at.warning]
    assert len(sentences) == 1 and "\n" not in sentences[0] and len(sentences[0]) < 310
    assert all(word in sentences[0] for word in words), sentences
    return at


def linked(given: TrainConfig) -> str:
    return given.to_json()


def test_a_newcomer_finds_a_config_that_fits_and_what_to_do():
    at = healthy(visit())
    assert config(at) == FIRST
    assert at.query_params["config"] in ("phi4-2min", ["phi4-2min"])
    assert not button(at, "Start").disabled
    assert any("Start" in info.value for info in at.info)
    assert any("parameters" in caption.value for caption in at.caption)


def test_the_router_leads_here_and_the_noising_page_lends_its_process():
    at = healthy(visit("app.py"))
    lab = newcomer("phi4-6x6")
    at.query_params["state"] = lab.to_json()
    healthy(at.run())
    healthy(at.switch_page("pages/training.py").run())
    healthy(button(at, "Use process A of the Noising page").click().run())
    side = lab.sides[0]
    assert config(at).noise == FixedProcess(side.color, side.schedule)
    assert config(at).basis == side.basis


def test_every_setting_has_a_control_that_shows_it():
    at = healthy(visit(config=linked(SHORT)))
    shown = {
        widget.key.removeprefix("training-form-").split("~")[0]: widget.value
        for kind in ("number_input", "selectbox", "text_input", "toggle")
        for widget in at.get(kind)
        if str(widget.key).startswith("training-form-")
    }
    for name in settings():
        if name not in SPECS:
            value = getattr(SHORT, name)
            assert shown[name] == (", ".join(value) if isinstance(value, tuple) else value), name
    specs = {"c_out", "network_input", "conditioning", "reference", "weighting", "times"}
    assert specs <= set(shown)


def test_controls_change_the_config_and_reset_brings_the_preset_back():
    at = healthy(visit())
    healthy(present(at.number_input, "training-form-steps").set_value(77).run())
    healthy(present(at.number_input, "training-form-lr").set_value(1.5e-4).run())
    healthy(present(at.selectbox, "training-form-network").set_value("lattice").run())
    healthy(present(at.number_input, "training-form-network-width").set_value(12).run())
    healthy(present(at.number_input, "training-form-shape").set_value(0.2).run())
    now = config(at)
    assert (now.steps, now.lr, now.model.network.width) == (77, 1.5e-4, 12)
    assert now.noise.schedule.kernel.width == 0.2
    assert present(at.selectbox, "training-form-preset").value is None
    healthy(button(at, "Reset to “φ⁴, one process”").click().run())
    assert config(at) == FIRST


def test_every_entry_of_the_menus_can_be_chosen():
    at = healthy(visit())
    for name in ("color", "schedule", "basis", "network"):
        options = present(at.selectbox, f"training-form-{name}").options
        seen = set()
        for value in options:
            present(at.selectbox, f"training-form-{name}").select(value).run()
            assert not at.exception, (name, value)
            seen.add(config(at))
        assert len(seen) == len(options) > 3
    present(at.selectbox, "training-form-noise").set_value(Universal).run()
    assert config(at).noise == Universal()


def test_classes_are_offered_where_the_data_have_labels(tmp_path: Path):
    at = healthy(visit())
    assert present(at.toggle, "training-form-class_conditional").disabled
    assert any("no class labels" in caption.value for caption in at.caption)
    chance = np.random.default_rng(0)
    images = chance.random((60, 8, 8), dtype=np.float32)
    np.savez(tmp_path / "three.npz", images=images, labels=np.arange(60) % 3)
    rg.data.register_folder(tmp_path / "three.npz")
    plain = replace(FIRST, data="three")
    at = healthy(visit(config=linked(plain)))
    assert present(at.number_input, "training-form-label_dropout").disabled
    healthy(present(at.toggle, "training-form-class_conditional").set_value(True).run())
    healthy(present(at.number_input, "training-form-label_dropout").set_value(0.4).run())
    assert config(at) == replace(plain, class_conditional=True, label_dropout=0.4)
    assert not button(at, "Start").disabled
    by_class = replace(FIRST.model, class_names=("0", "1", "2"))
    told = f"{by_class.parameters((1, 8, 8)):,} parameters"
    assert told in [caption.value for caption in at.caption]


def test_a_config_that_asks_for_classes_of_data_without_can_be_mended():
    at = visit(config=linked(replace(FIRST, class_conditional=True)))
    assert not at.exception
    assert ["no class labels" in error.value for error in at.error] == [True]
    assert button(at, "Start").disabled
    healthy(present(at.toggle, "training-form-class_conditional").set_value(False).run())
    assert config(at) == FIRST


def test_the_numbers_of_the_noise_and_of_its_levels_are_kept():
    at = healthy(visit(config=linked(replace(FIRST, noise=Universal(9, 4)))))
    assert present(at.number_input, "training-form-every").value == 4
    healthy(present(at.number_input, "training-form-processes").set_value(7).run())
    assert config(at).noise == Universal(7, 4)
    healthy(present(at.selectbox, "training-form-weighting").set_value("edm").run())
    healthy(present(at.selectbox, "training-form-times").set_value("lognormal").run())
    healthy(present(at.number_input, "training-form-level_std").set_value(1.5).run())
    assert config(at).objective == Objective("edm", "lognormal", level_std=1.5)


@pytest.mark.parametrize("link", ["{", '{"stepz": 3}', '{"lr": 0}', '{"lr": NaN}', "phi5", "[1]"])
def test_nonsense_in_a_link_leaves_the_page_whole(link):
    assert config(refused(visit(config=link))) == FIRST


def test_values_out_of_range_are_one_sentence():
    at = healthy(visit())
    refused(present(at.number_input, "training-form-lr").set_value(0.0).run(), "lr", "0")
    assert config(at) == FIRST


def test_a_config_is_pasted_and_a_bad_one_stays_to_be_mended():
    at = healthy(visit())
    bad = 'steps = 5\nlearning_rate = "high"'
    at.text_area(key="training-pasted").set_value(bad)
    refused(button(at, "Apply pasted config").click().run(), "learning_rate")
    assert at.text_area(key="training-pasted").value == bad
    assert config(at) == FIRST
    at.text_area(key="training-pasted").set_value('steps = 5\nmodel.network = "lattice"')
    healthy(button(at, "Apply pasted config").click().run())
    assert (config(at).steps, config(at).model.network) == (5, NETWORKS["lattice"])


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_a_config_is_opened_from_a_file(kind):
    at = healthy(visit())
    text = config_to_toml(SHORT) if kind == "toml" else SHORT.to_json()
    upload = next(each for each in at.file_uploader if each.key == "training-file")
    healthy(upload.set_value([(f"mine.{kind}", text.encode(), "text/plain")]).run())
    assert config(at) == SHORT
    upload = next(each for each in at.file_uploader if each.key == "training-file")
    refused(upload.set_value([(f"x.{kind}", b"\xff\xfe\x00", "text/plain")]).run(), "x.")
    assert config(at) == SHORT


def test_toml_holds_every_config():
    processes = [
        FixedProcess(color, schedule)
        for _, color in menus.COLORS.values()
        for _, schedule in menus.SCHEDULES.values()
    ]
    configs = [preset.config for preset in PRESETS.values()]
    configs += [replace(SHORT, noise=noise, limit=10, max_minutes=1.5) for noise in processes]
    for each in configs:
        assert parse_config(config_to_toml(each), "c.toml") == each


def test_a_network_that_does_not_fit_the_data_cannot_be_started():
    at = healthy(visit())
    present(at.selectbox, "training-form-network").set_value("unet-40m").run()
    assert not at.exception
    assert any("divisible" in error.value for error in at.error)
    assert button(at, "Start").disabled


def test_the_number_of_parameters_is_that_of_the_network():
    images = rg.data.load("phi4-6x6-broken", limit=100).images
    basis = FIRST.basis.build(images)
    for name in ("lattice-small", "lattice"):
        for conditioning in ("noise_levels", "octave_levels", "time"):
            spec = replace(FIRST.model, network=NETWORKS[name], conditioning=conditioning)
            model = spec.build(basis, rg.Modes.fit(basis, images))
            assert spec.parameters((1, 6, 6)) == parameter_count(model.network)


def test_a_finished_run_shows_its_curves_and_samples(pair):
    at = healthy(visit(run="one"))
    assert present(at.selectbox, "training-run").value == "one"
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    names = [trace["name"] for trace in figure["data"]]
    assert names == ["training", "validation (EMA weights)"]
    wells = json.loads(at.get("plotly_chart")[1].proto.spec)["data"]
    assert [trace["name"] for trace in wells] == ["Data", "Samples"]
    assert "64 samples" in " ".join(caption.value for caption in at.caption)
    assert at.select_slider[0].options == ["0", "12", "24", "latest"]
    healthy(at.select_slider[0].set_value(12).run())
    healthy(at.segmented_control(key="training-curves").set_value("Scale by scale").run())
    figure = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert len(figure["data"]) > 2 and all("scale" in t["name"] for t in figure["data"])


def test_a_run_is_sampled_from(pair):
    at = healthy(visit(run="one"))
    healthy(present(at.number_input, "training-steps").set_value(4).run())
    healthy(at.button(key="training-draw").click().run())
    table = next(m.value for m in at.markdown if "observable" in m.value)
    assert len(re.findall(r"\d\(\d+\)", table)) >= 10
    spectrum = json.loads(at.get("plotly_chart")[2].proto.spec)["data"]
    assert [trace.get("name") for trace in spectrum] == ["Data", "Samples", "Samples", None]
    assert spectrum[2]["yaxis"] == "y2"


def test_runs_are_compared_by_what_differs(pair):
    at = healthy(visit(run="one"))
    healthy(present(at.multiselect, "training-compare").set_value(list(pair)).run())
    assert at.table[0].value["setting"].tolist() == ["lr"]
    assert len(at.get("plotly_chart")) == 3


def test_a_runs_settings_fill_the_form(pair):
    at = healthy(visit(run="other"))
    healthy(button(at, "Use its settings").click().run())
    assert config(at) == replace(SHORT, lr=1e-3)


def test_a_model_is_brought_along_renamed_and_deleted(pair):
    at = healthy(visit())
    content = runs.model_path("one").read_bytes()

    def bring(name: str, data: bytes) -> AppTest:
        place = next(each for each in at.file_uploader if each.key == "training-upload")
        return place.set_value([(name, data, "application/octet-stream")]).run()

    refused(bring("bad.safetensors", b"not a model"), "safetensors")
    assert len(runs.list_runs()) == 2
    healthy(bring("mine.safetensors", content))
    brought = present(at.selectbox, "training-run").value
    assert runs.get(brought).title == "mine" and runs.get(brought).config is not None
    healthy(present(at.text_input, f"training-title-{brought}").set_value("Ours").run())
    assert runs.get(brought).title == "Ours"
    healthy(at.button(key=f"training-delete-{brought}").click().run())
    assert brought not in [run.id for run in runs.list_runs()]
    assert not at.info


def test_an_unknown_run_is_said_plainly(pair):
    at = healthy(visit(run="nothing-here"))
    assert any("nothing-here" in info.value for info in at.info)
    assert present(at.selectbox, "training-run").value in pair


def test_a_failed_run_says_why_and_a_deleted_folder_is_noticed(pair):
    folder = runs.runs_root() / "failed-one"
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "config.json").write_text(SHORT.to_json())
    why = "The loss was not finite at step 7."
    status = {"state": "failed", "step": 7, "steps": 24, "message": why}
    (folder / "status.json").write_text(json.dumps(status))
    at = visit(run="failed-one")
    assert not at.exception
    assert [error.value for error in at.error] == [why]
    shutil.rmtree(folder)
    at = healthy(visit(run="failed-one"))
    assert any("deleted" in warning.value for warning in at.warning)
    healthy(at.button(key="training-delete-failed-one").click().run())
    assert {run.id for run in runs.list_runs()} == set(pair)


def test_the_time_is_measured_in_the_background():
    at = healthy(visit(config=linked(SHORT)))
    healthy(button(at, "Estimate the time").click().run())
    end = time.monotonic() + PATIENCE
    while not any("ms per step" in caption.value for caption in at.caption):
        assert time.monotonic() < end
        time.sleep(0.2)
        healthy(at.run())


@pytest.mark.slow
def test_start_trains_to_the_end_and_cancel_stops(pair):
    at = healthy(visit(config=linked(replace(SHORT, steps=100_000))))
    healthy(button(at, "Start").click().run())
    name = present(at.selectbox, "training-run").value
    assert name not in pair
    _wait(lambda: (s := runs.get(name).status) is not None and s.step > 20)
    at = healthy(visit(run=name))  # the tab was closed, and here it is again
    assert at.get("plotly_chart") and not at.info
    healthy(button(at, "Cancel").click().run())
    _wait(lambda: not runs.get(name).active)
    healthy(at.run())
    assert runs.get(name).state == "cancelled"
    assert button(at, "Resume")
    healthy(at.button(key="training-draw").click().run())
    assert any("observable" in m.value for m in at.markdown)
    runs.delete(name)


def test_a_run_starts_from_the_weights_of_another(pair, monkeypatch):
    monkeypatch.setattr(runs.queue, "FREE_DISK", 1 << 60)  # nothing starts
    at = healthy(visit())
    assert present(at.selectbox, "training-from").value is None
    at = healthy(present(at.selectbox, "training-from").set_value("run/one").run())
    found = config(at)
    assert found.model == SHORT.model and found.lr < SHORT.lr and found.steps != SHORT.steps
    link = {name: at.query_params[name] for name in ("from", "config")}
    assert healthy(visit(**link)).selectbox(key="training-from").value == "run/one"
    other = present(at.selectbox, "training-form-network").set_value("lattice-large").run()
    assert button(other, "Start").disabled
    assert any("another network" in each.value for each in other.error)
    at = healthy(present(at.selectbox, "training-from").set_value(None).run())
    assert not button(at, "Start").disabled and "from" not in at.query_params
    at = healthy(present(at.selectbox, "training-from").set_value("run/other").run())
    assert not button(at, "Start").disabled
    healthy(button(at, "Start").click().run())
    name = present(at.selectbox, "training-run").value
    said = json.loads((runs.run_folder(name) / "initial.json").read_text(encoding="utf-8"))
    assert said["data"] == SHORT.data and int(said["step"]) == SHORT.steps
    words = f"Started from the weights of model.safetensors at step {SHORT.steps}."
    assert any(each.value == words for each in at.caption)
    runs.cancel(name)
    runs.delete(name)


def test_data_without_classes_end_the_conditioning_on_them():
    at = visit(config=linked(replace(FIRST, class_conditional=True)))
    at = healthy(present(at.selectbox, "dataset-menu").set_value("phi4-6x6").run())
    assert config(at) == replace(FIRST, data="phi4-6x6")


def test_a_model_of_other_images_brings_its_data_or_says_what_it_needs(pair):
    at = (
        visit().selectbox(key="training-from").set_value("pretrained/cifar10").run()
    )  # no data of it here
    assert not at.exception and button(at, "Start").disabled
    assert any("3×32×32 images, the data are 1×6×6" in each.value for each in at.error)


def _wait(done) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, [run.message for run in runs.list_runs()]
        runs.pump()
        time.sleep(0.2)
