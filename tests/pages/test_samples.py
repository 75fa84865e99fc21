"""The Samples page, alone and through the router: link, menus, measurements, comparison, files."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from apptest import present
from container import unpack
from patience import PATIENCE
from samplespage import SMALL, at_bench, button, choose, healthy, rest, state, table, visit

import rgdiff_core as rg
from pages._samples import files
from pages._samples.distribution import distribution
from pages._samples.messages import samples_message
from pages._samples.quality import LINE
from pages._samples.state import start
from pages._sampling import models
from pages._sampling.models import load
from pages._sampling.parts import measured
from pages._sampling.setting import Request, Setting, Zoom
from pages._sampling.turns import followed
from pages._shared import jobs, menus
from pages._shared.process_choice import ProcessChoice
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched, White
from rgdiff_core.evaluation import magnetization_limit
from rgdiff_core.schedules import Cosine, Cutoff, CutoffPath, HardKernel, SigmoidKernel
from rgdiff_core.training import PRESETS, runs, train
from rgdiff_core.training.noise_levels import FixedProcess

pytestmark = pytest.mark.usefixtures("folders")


@pytest.fixture(scope="module")
def run(folders: None) -> str:
    """Train a short run, and return its id."""
    config = replace(
        PRESETS["phi4-2min"].config, steps=8, batch=16, evaluations=1, previews=1, warmup=2
    )
    assert train(config, runs.runs_root() / "mine", device="cpu").state == "finished"
    runs.pump()
    return "mine"


def test_a_newcomer_finds_samples_of_a_pretrained_model():
    at = healthy(visit())
    assert state(at) == start()
    side = start().setting.side
    assert (start().n, start().setting.steps, start().setting.model) == (
        64,
        20,
        "pretrained/phi4-6x6-broken",
    )
    assert side.schedule == Cutoff(SigmoidKernel(0.3), gamma_max=6.0) and side.color == Matched()
    assert "susceptibility" in rg.lattice.observables(torch.randn(9, 1, 6, 6))
    assert "χ = V⟨M²⟩" in table(at) and "σ]" in table(at)


def test_histograms_are_of_the_samples_and_of_the_data_at_the_same_time():
    setting = replace(start().setting, steps=4)
    source = load(setting)
    fields = rg.data.load(source.data, limit=5000).images
    frames = followed(Request(setting, 16, 3))
    arrays, pending = distribution(frames, source, setting)
    histogram, reference = arrays["distribution"], arrays["reference"]
    limit, bins = magnetization_limit(fields), histogram.shape[-1]
    assert not pending and histogram.shape == (5, 2, bins) and reference.shape == (5, bins)
    for frame, (density, _) in zip(frames, histogram, strict=True):
        m = frame.x.double().mean((1, 2, 3)).numpy()
        count, edges = np.histogram(m, bins, (-limit, limit))
        np.testing.assert_allclose(density, count / 16 / np.diff(edges), rtol=1e-5)
    m = np.concatenate((fields.double().mean((1, 2, 3)).numpy(),) * 2) * np.repeat((1, -1), 5000)
    count, edges = np.histogram(m, bins, (-limit, limit))
    wanted, width = count / len(m), 2 * limit / bins
    error = np.sqrt(wanted.clip(1e-3) / 2048)
    assert np.all(np.abs(reference[-1] * width - wanted) < 5 * error)  # standard errors
    zoomed = replace(setting, zoom=Zoom())
    assert set(distribution(frames, source, zoomed)[0]) == {"distribution"}


def test_the_router_leads_here_and_the_address_is_read():
    at = healthy(visit("app.py"))
    at.switch_page("pages/samples.py")
    at.query_params["state"] = SMALL.to_json()
    healthy(at.run())
    assert state(at) == SMALL


@pytest.mark.parametrize(
    ("link", "word"),
    [
        ("nonsense", "JSON"),
        ('{"kind":"Cosine"}', "SamplesState"),
        (replace(SMALL, setting=Setting(model="pretrained/none")).to_json(), "pretrained/none"),
        (replace(SMALL, setting=Setting(model="run/none")).to_json(), "run"),
        (replace(SMALL, setting=Setting(model="free/none")).to_json(), "free/none"),
        (SMALL.to_json().replace('"steps":20', '"steps":2000'), "steps"),
        (SMALL.to_json().replace('"n":6', '"n":600'), "n = 600"),
        (SMALL.to_json().replace("interaction", "magic"), "method"),
    ],
)
def test_a_bad_link_is_one_sentence_and_the_defaults(link: str, word: str):
    at = visit(state=link)
    assert not at.exception
    (sentence,) = [e.value for e in at.error]
    assert word in sentence and "\n" not in sentence and len(sentence) < 320
    assert state(at) == start()


def test_every_menu_works_and_is_in_the_address():
    at = at_bench(SMALL)
    for color in menus.COLORS:
        choose(at, "color", color)
        assert type(state(at).setting.side.color) is color
    for schedule in (Cosine, type(menus.SCHEDULES[Cutoff][1])):
        choose(at, "schedule", schedule)
        assert type(state(at).setting.side.schedule) is schedule
    healthy(present(at.number_input, "samples-gamma_max").set_value(3.5).run())
    assert state(at).setting.side.schedule.gamma_max == 3.5
    at = present(at.number_input, "samples-gamma_min").set_value(10.0).run()
    (sentence,) = [each.value for each in (*at.error, *at.warning)]
    assert sentence.startswith("γ(1) = 3.5 must be above γ(0) = 10.")
    assert state(at).setting.side.schedule.gamma_min < 3.5
    at = healthy(present(at.number_input, "samples-gamma_min").set_value(None).run())
    choose(at, "measured", 256)
    assert state(at).measured == 256


def test_a_schedule_that_jumps_brings_a_sampler_that_can_take_it():
    at = at_bench(SMALL)
    choose(at, "kernel", HardKernel)
    assert state(at).setting.method == "shell"
    told, _ = unpack(samples_message(state(at).to_json(), "s", True))
    assert not told["continuous"]
    assert {m["name"] for m in told["methods"] if m["ode"]} >= {"heun", "dpmpp_2m"}
    at_jumps = {m["name"]: m["at_jumps"] for m in told["methods"] if not m["ode"]}
    assert "not Gaussian" in at_jumps["shell"]  # what no number of steps is enough for
    assert "variance" in at_jumps["ancestral"]


def test_models_bring_their_basis_and_the_free_theory_lets_one_choose(run: str):
    rg.data.load("phi4-6x6-broken", limit=1)
    at = at_bench(
        replace(SMALL, setting=Setting(side=ProcessChoice(BasisSpec(), White(), Cosine())))
    )
    assert state(at).setting.side.basis.momentum == "lattice"
    choose(at, "model", f"run/{run}")
    assert state(at).setting.model == "run/mine"
    own = PRESETS["phi4-2min"].config.noise
    assert isinstance(own, FixedProcess)
    side = state(at).setting.side
    assert (side.color, side.schedule) == (own.color, own.schedule)
    choose(at, "schedule", "Cosine")  # not what it was trained on
    next(each for each in at.button if each.label == "Use its process").click().run()
    assert (state(at).setting.side.color, state(at).setting.side.schedule) == (
        own.color,
        own.schedule,
    )
    assert "Use its process" not in {each.label for each in at.button}
    choose(at, "model", "free/phi4-6x6-broken")
    choose(at, "basis", "cosine")
    assert state(at).setting.side.basis.name == "cosine"
    assert set(models.menu()) >= {"pretrained/phi4-6x6", "run/mine", "free/phi4-6x6"}


def test_what_rests_in_the_browser_is_measured_and_kept():
    at = at_bench(SMALL)
    before = table(at)
    points = [[0, 1], [0.3, 0.4], [1, 0]]
    own = {"points": points, "shape": 0.8, "tint": None}
    healthy(rest(at, sides=[own], steps=7, seed=5, method="shell", grid="angle", chosen=2))
    bench = state(at)
    schedule = bench.setting.side.schedule
    assert isinstance(schedule, Cutoff) and schedule.kernel == SigmoidKernel(0.8)
    assert schedule.path == CutoffPath((0.0, 0.3, 1.0), (1.0, 0.4, 0.0))
    assert (bench.setting.steps, bench.seed, bench.chosen) == (7, 5, 2)
    assert table(at) != before
    assert not rest(at, steps=0).exception
    assert "steps" in at.error[0].value
    assert state(at) == bench


def test_settings_are_pinned_compared_restored_and_let_go():
    at = at_bench(SMALL)
    healthy(button(at, "Pin this setting").click().run())
    assert state(at).pins == (SMALL.setting,)
    assert button(at, "Pin this setting").disabled
    healthy(rest(at, steps=3))
    assert "| Now | A |" in table(at)
    healthy(button(at, "Pin this setting").click().run())
    assert [each.steps for each in state(at).pins] == [20, 3]
    healthy(at.button(key="samples-restore-1").click().run())
    assert state(at).setting == SMALL.setting
    healthy(at.button(key="samples-unpin-1").click().run())
    assert [each.steps for each in state(at).pins] == [3]
    again = healthy(visit(state=state(at).to_json()))
    assert state(again) == state(at)


def ended() -> None:
    """Wait until all that was measured in the background is over."""
    end = time.monotonic() + PATIENCE
    while any(not task.ended for task in jobs.listed(LINE)):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_quality_is_measured_in_the_background_and_can_be_cancelled():
    at = at_bench(SMALL)
    present(at.selectbox, "samples-weighed").set_value(64)
    healthy(button(at.run(), "Measure").click().run())
    assert button(at, "Measure").disabled
    healthy(button(at, "Cancel").click().run())
    ended()
    healthy(at.run())
    healthy(button(at, "Measure").click().run())
    ended()
    healthy(at.run())
    row = next(m.value for m in at.markdown if "ESS" in m.value)
    ess = float(row.split("ESS |")[1].split("(")[0])
    assert 0.5 < ess <= 1  # the model's card says 0.9 or more


def test_the_nearest_data_are_shown_for_the_chosen_sample():
    at = at_bench(replace(SMALL, chosen=3))
    healthy(present(at.toggle, "samples-nearest").set_value(True).run())
    assert any("nearest of 20,000" in caption.value for caption in at.caption)


def test_a_zoom_keeps_the_coarse_scales_of_an_image():
    setting = replace(SMALL.setting, zoom=Zoom(2, 0.7, 0.01))
    at = at_bench(replace(SMALL, setting=setting))
    assert present(at.toggle, "samples-zoom").value
    x = files.drawn(replace(state(at).request, n=6))
    image = rg.data.load("phi4-6x6-broken", limit=3).images[-1:]
    basis = models.load(setting).denoiser.basis
    apart = (basis.analyze(x) - basis.analyze(image)).abs().amax(0)
    scale = basis.scale.expand_as(apart)
    assert apart[scale < 0.6].max() < 0.05 < apart[scale > 0.8].min()
    assert not healthy(present(at.toggle, "samples-zoom").set_value(False).run()).exception
    assert state(at).setting.zoom is None


def test_the_pictures_walk_between_two_samples():
    at = at_bench(SMALL)
    healthy(present(at.toggle, "samples-walk").set_value(True).run())
    assert state(at).request.walk == (0, 1)
    healthy(present(at.number_input, "samples-walk-1").set_value(5).run())
    assert state(at).request.walk == (0, 4)
    for number in (0, 65):  # counted from 1, as in the field
        present(at.number_input, "samples-walk-1").set_value(number).run()
        (sentence,) = [each.value for each in (*at.error, *at.warning)]
        assert sentence.startswith(f"sample = {number} is outside [1, 64].")
        assert state(at).request.walk == (0, 4)
    healthy(present(at.toggle, "samples-walk").set_value(False).run())
    assert state(at).request.walk is None


def test_a_walk_to_a_sample_that_does_not_exist_is_one_sentence():
    with pytest.raises(ValueError, match=r"a sample in walk = 64 is outside \[0, 63\]"):
        replace(SMALL, walk=(0, 64))
    with pytest.raises(ValueError, match="from sample 3 to itself leads nowhere"):
        replace(SMALL, walk=(2, 2))


def test_a_model_brings_as_many_samples_and_steps_as_are_soon_drawn():
    at = at_bench(SMALL)
    choose(at, "model", "pretrained/phi4-8x8")
    assert (state(at).n, state(at).setting.steps) == (64, 20)
    whole = state(at).request
    measured(whole, models.load(whole.setting), 4e6)  # a slow machine
    measured(whole, models.load(whole.setting), 4e6)
    choose(at, "model", "free/phi4-6x6")
    choose(at, "model", "pretrained/phi4-8x8")
    assert state(at).n < 64 and state(at).setting.steps < 20
