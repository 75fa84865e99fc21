"""The Lattice page, alone and through the router, and its work in the background."""

import json
import math
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from apptest import finished, healthy, page_at
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._lattice import configurations, flows, phase_map
from pages._lattice import ensembles as lattice_ensembles
from pages._lattice.flows import FLOWS, FlowChoice
from pages._lattice.state import Theory
from pages._shared import jobs, plots
from pages._shared.pictures import colormap_of, pixels
from rgdiff_core.data import ensembles
from rgdiff_core.lattice import EnsembleSpec, FreeField, Phi4, observables
from rgdiff_core.lattice.scan import PhaseScan

VIEWS = (
    "Theory",
    "RG flow",
    "Grow",
    "Sample",
    "Observables",
    "Configurations",
    "Phase scan",
    "Model vs HMC",
)
SPEC = EnsembleSpec(-4.0, 6.975, 6, 320, 40, thermalization=60, thinning=2)
FREE = EnsembleSpec(0.5, 0.0, 4, 800, 800, thermalization=60, thinning=1)


@pytest.fixture(scope="module", autouse=True)
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep two small ensembles in a cache folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("RGDIFF_RUNS", str(tmp_path_factory.mktemp("runs")))
        ensembles.generate(FREE)
        ensembles.generate(SPEC)
        yield


def start(script: str = "pages/lattice.py", **link: str) -> AppTest:
    """Run the page with an address' query."""
    return page_at(script, **{"L": "6", "lam": "6.975", "ensemble": SPEC.id} | link)


def told(at: AppTest) -> Theory:
    return at.session_state["lattice-state"]


def button(at: AppTest, label: str):
    return next(each for each in at.button if each.label == label)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_shown(view):
    at = healthy(start(view=view).run())
    assert at.title[0].value == "Lattice"
    assert told(at) == Theory(-4.0, 6.975, 6)


def test_the_router_leads_here():
    at = start("app.py")
    at.run()
    assert at.switch_page("pages/lattice.py").run().title[0].value == "Lattice"
    healthy(at)


def test_the_first_look_is_of_the_theory_itself():
    run = phase_map.look(0.5, 0.0, 6)
    exact = FreeField(0.5, 6)
    found = observables(run.configurations, n_chains=run.n_chains)
    for name in ("phi2", "susceptibility", "energy"):
        off = found[name].value - exact.observables()[name]
        assert abs(off) < 4 * found[name].error


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("λ", -1.0, "λ = -1.0 is negative"),
        ("Size L", 1, "L = 1 is outside [2, 256]"),
        ("λ", 0.0, "the free theory needs m² > 0"),
    ],
)
def test_bad_numbers_are_one_sentence_and_lose_nothing(name, value, sentence):
    at = healthy(start().run())
    before = told(at)
    next(each for each in at.number_input if each.label == name).set_value(value).run()
    assert [sentence in each.value for each in at.error] == [True]
    assert told(at) == before
    assert not at.exception
    healthy(at.run())


@pytest.mark.parametrize(
    "link",
    [
        {"lam": "some"},
        {"m2": "-1", "lam": "0"},
        {"L": "1e9"},
        {"m2": "-10", "lam": "1e-320", "convention": "κ, λ"},
    ],
)
def test_a_bad_address_is_one_sentence(link):
    at = start(**link).run()
    assert len(at.error) == 1
    assert told(at) == Theory()


def test_an_unknown_ensemble_is_said_and_another_one_shown():
    at = healthy(start(view="Observables", ensemble="000000000000").run())
    assert any("no ensemble `'000000000000'`" in each.value for each in at.info)
    assert at.header[0].value in (SPEC.title, FREE.title)


def test_couplings_can_be_entered_in_any_convention():
    at = healthy(start(convention="κ, λ").run())
    kappa = next(each for each in at.number_input if each.label == "κ")
    lam = Phi4(-4.0, 6.975).to_hopping().lam
    healthy(kappa.set_value(0.25).run())
    assert told(at).action.m2 == pytest.approx(Phi4.from_hopping(0.25, lam).m2)
    assert told(at).action.lam == pytest.approx(Phi4.from_hopping(0.25, lam).lam)
    next(each for each in at.number_input if each.label == "κ").set_value(1e-200).run()
    assert [each.value.startswith("κ = 1e-200") for each in at.error] == [True]
    assert not at.exception
    at = healthy(start(convention="½: m², g").run())
    healthy(next(each for each in at.number_input if each.label == "g").set_value(12.0).run())
    assert told(at).lam == pytest.approx(2.0)


def test_theories_of_the_literature_can_be_taken():
    at = healthy(start().run())
    menu = next(each for each in at.selectbox if each.label == "Published parameters")
    name = next(each for each in menu.options if each.startswith("E4"))
    healthy(menu.set_value(name).run())
    assert told(at) == Theory(-4.0, 5.276, 12)
    assert at.query_params["lam"] == "5.276"


def test_the_table_is_what_the_core_measures():
    at = healthy(start(view="Observables").run())
    table = next(each.value for each in at.markdown if "Schwinger" in each.value)
    found = observables(ensembles.read(SPEC.id).configurations, n_chains=SPEC.n_chains)
    for name in ("abs_magnetization", "susceptibility", "binder", "correlation_length"):
        assert plots.in_brackets(found[name].value, found[name].error) in table
    assert "exact" not in table


def test_the_free_theory_stands_beside_its_closed_form():
    at = healthy(start(view="Observables", ensemble=FREE.id).run())
    table = next(each.value for each in at.markdown if "Schwinger" in each.value)
    exact = FreeField(FREE.m2, FREE.size)
    assert f"{exact.phi2:.5g}" in table and f"{exact.pole_mass:.5g}" in table
    head, _, *rows = table.splitlines()
    assert head.endswith("| exact | deviation (σ) |")
    assert sum(bool(row.split("|")[-2].strip()) for row in rows) == 11


def test_an_ensemble_is_sampled_in_the_background_and_is_then_a_data_set():
    at = healthy(start(view="Sample", lam="5", L="4", n="64", chains="8", therm="20").run())
    healthy(button(at, "Start").click().run())
    id = at.query_params["ensemble"]
    finished(jobs.find(f"{lattice_ensembles.PREFIX}{id}"))
    at = healthy(start(view="Observables", ensemble=id).run())
    made = ensembles.read(id)
    assert (made.spec.m2, made.spec.lam, made.spec.size) == (-4.0, 5.0, 4)
    assert at.header[0].value == made.spec.title
    name = f"lattice-{id}"
    assert name in {each.name for each in rg.data.available()}
    assert rg.data.load(name).images.shape[1:] == (1, 4, 4)
    assert colormap_of(name, 1) == "diverging"


def test_what_was_cancelled_can_be_resumed():
    spec = EnsembleSpec(-4.0, 5.5, 8, 4000, 8, thermalization=20, thinning=5)
    task = lattice_ensembles.sample(spec)
    end = time.monotonic() + PATIENCE
    while task.live is None and time.monotonic() < end:
        time.sleep(0.01)
    task.stop.set()
    assert finished(task).error == ""
    assert task.live is not None
    of, running = task.live
    assert of == spec and 0.4 < running.acceptance <= 1 and running.step_size > 0
    assert running.exp_delta_h.value == pytest.approx(1, abs=0.2)
    assert ensembles.info(spec.id) is None
    at = healthy(start(view="Sample").run())
    assert any("interrupted" in each.value for each in at.markdown)
    button(at, "Resume").click().run()
    again = jobs.find(f"{lattice_ensembles.PREFIX}{spec.id}")
    assert again is not None and again is not task
    again.stop.set()
    finished(again)
    at = healthy(start(view="Sample").run())
    button(at, "Discard").click().run()
    assert spec not in ensembles.unfinished()


def test_deleting_asks_first_and_then_does_it():
    spec = EnsembleSpec(-4.0, 6.0, 4, 64, 64, thermalization=20, thinning=1)
    ensembles.generate(spec)
    at = healthy(start(view="Sample", ensemble=spec.id).run())
    button(at, "Delete this ensemble").click().run()
    assert not at.exception
    assert ensembles.info(spec.id) is None


def test_deleting_says_whether_the_configurations_can_be_had_again(tmp_path):
    at = healthy(start(view="Sample").run())
    assert any("The same settings regenerate them." in each.value for each in at.markdown)
    np.save(tmp_path / "fields.npy", ensembles.read(FREE.id).configurations[:64])
    id = ensembles.bring(tmp_path / "fields.npy", Phi4(FREE.m2, FREE.lam), 64).spec.id
    at = healthy(start(view="Sample", ensemble=id).run())
    assert any("imported and cannot be regenerated" in each.value for each in at.markdown)
    ensembles.delete(id)


def test_a_damaged_ensemble_is_said_and_can_be_made_again():
    spec = EnsembleSpec(-4.0, 6.1, 4, 64, 64, thermalization=20, thinning=1)
    before = ensembles.generate(spec).configurations
    path = ensembles.store.cache_folder() / "ensembles" / spec.id / "ensemble.npz"
    path.write_bytes(path.read_bytes()[:2000])
    at = start(view="Configurations", ensemble=spec.id).run()
    assert len(at.error) == 1 and not at.exception
    several = {"flows": "several ensembles, one flow", "together": spec.id}
    other = start(view="RG flow", **several).run()
    assert ["cannot be read" in each.value for each in other.error] == [True]
    assert not other.exception
    button(at, "Regenerate").click().run()
    finished(jobs.find(f"{lattice_ensembles.PREFIX}{spec.id}"))
    assert torch.equal(ensembles.read(spec.id).configurations, before)


def test_pictures_are_of_the_configurations():
    at = healthy(start(view="Configurations").run())
    pictures = sum(each.proto.body.count("<img") for each in at.get("html"))
    assert pictures == 40 + 1 + 1  # one of each chain, the colour map, the enlarged one
    bound = configurations.bound_of(SPEC.id)
    field = ensembles.read(SPEC.id).configurations[8:9]  # the first one of the second chain
    drawn = plots.tiles(pixels(field, -bound, bound, "diverging"), ["chain 2"])
    source = drawn.split('src="')[1].split('"')[0]
    assert any(source in each.proto.body for each in at.get("html"))
    healthy(start(view="Configurations", browse="along one chain").run())


def test_the_flows_of_one_ensemble_are_followed():
    at = healthy(start(view="RG flow").run())
    for name in FLOWS:
        way = FlowChoice(name, 0.25)
        track = finished(flows.track(SPEC.id, way)).result
        assert track[0].step.factor == pytest.approx(1.0, rel=1e-4)
        # Nothing has happened yet: it is the ensemble itself.
        known = observables(ensembles.read(SPEC.id).configurations, n_chains=SPEC.n_chains)
        value = track[0].observables["binder"].value
        assert value == pytest.approx(known["binder"].value, abs=2e-3)
        near = [each.observables["neighbour_correlation"] for each in track]
        if name == "white noise":  # it ends without any correlation
            assert abs(near[-1].value) < 4 * near[-1].error
        if name == "matched noise":  # it ends with that of the data
            assert abs(near[-1].deviation(near[0])) < 4 and near[-1].value > 0.1
    at = healthy(start(view="RG flow", b="2").run())
    assert len(at.get("plotly_chart")) == 3


def test_several_ensembles_flow_together():
    at = start(view="RG flow", flows="several ensembles, one flow", together=SPEC.id).run()
    healthy(at)
    finished(flows.track(SPEC.id, FlowChoice("block spin")))
    at = healthy(
        start(view="RG flow", flows="several ensembles, one flow", together=SPEC.id).run()
    )
    assert len(at.get("plotly_chart")) == 2


def test_a_live_scan_is_shown_as_it_goes_on():
    link = {"view": "Phase scan", "scan": "live scan", "scan-points": "5", "scan-length": "50"}
    at = start(**link)
    at.query_params["scan-sizes"] = ["4", "6"]
    healthy(at.run())
    button(at, "Start").click().run()
    task = finished(jobs.listed("scan/")[-1])
    assert isinstance(task.result, PhaseScan) and task.result.complete
    assert task.result.spec.sizes == (4, 6)
    healthy(at.run())
    assert len(at.get("plotly_chart")) == 4
    at.query_params["collapse"] = "true"
    healthy(at.run())


def test_no_scan_where_there_is_no_transition():
    at = start(view="Phase scan", scan="live scan", m2="1").run()
    assert [each.value.startswith("No scan at m² = 1") for each in at.error] == [True]
    assert at.error[0].value.endswith("Choose m² below 0 in the sidebar.")
    at = start(view="Phase scan", scan="live scan", m2="-40").run()
    assert [each.value.endswith("outside [-31.9, 0].") for each in at.error] == [True]
    assert not at.exception


def test_a_perfect_model_is_perfect():
    """The free theory by the Gaussian with the spectrum of an ensemble: exact but for errors."""
    name = f"free/lattice-{FREE.id}"
    at = healthy(start(view="Model vs HMC", model=name).run())
    menu = next(each for each in at.selectbox if each.label == "Model")
    title = next(each for each in menu.options if each.startswith(FREE.title))
    for label, value in (("Samples", 128), ("HMC", 10_000)):
        next(each for each in at.selectbox if each.label == label).set_value(value)
    menu.set_value(title)
    healthy(at.run())
    button(at, "Measure").click().run()
    task = finished(jobs.listed("model/")[-1])
    assert task.error == ""
    report = task.result.report
    assert report.log_z.independent.value == pytest.approx(FreeField(0.5, 4).log_z, abs=1e-6)
    # 16 variances, each known to a share √(2/800): KL ≈ 16/4 · 2/800 = 0.01.
    assert report.reverse_kl.value + 4 * report.reverse_kl.error > 0
    assert report.reverse_kl.value < 0.03 + 4 * report.reverse_kl.error
    assert report.quality.ess.value > 0.9
    healthy(at.run())
    assert len(at.metric) == 5


def test_work_in_the_background_queues_stops_and_says_why_it_failed():
    going, gate = [], []

    def slow(task: jobs.Task) -> int:
        going.append(task.key)
        while not gate:
            task.progress(1, 4, "half way")
            time.sleep(0.005)
        task.progress(2, 4)
        return 7

    def bad(task: jobs.Task) -> int:
        raise ValueError("n = 0 is\ntoo few.")

    first = jobs.begin("test", "test/1", "First", slow)
    second = jobs.begin("test", "test/2", "Second", slow)
    third = jobs.begin("test", "test/3", "Third", bad)
    assert jobs.begin("test", "test/1", "First", slow) is first
    second.stop.set()
    assert not second.waited_for  # it waits for its turn, but nobody for it
    while not going:
        time.sleep(0.005)
    gate.append(True)
    assert finished(first).result == 7
    finished(third)
    assert going == ["test/1"]
    assert second.ended and second.result is None and second.error == ""
    assert third.error == "n = 0 is too few."
    assert first.share == 0.5 and not math.isnan(first.eta_s or 0.0)
    assert not jobs.missing("test/1") and jobs.missing("test/2") and jobs.missing("test/3")


def test_work_that_reports_nothing_ends_at_its_next_operation_on_tensors():
    going = []

    def silent(task: jobs.Task) -> None:
        with task.interruptible():
            x = torch.ones(8)
            while True:
                x = torch.nn.functional.silu(x + 1)
                going.append(1)

    task = jobs.begin("test", "test/4", "Silent", silent)
    while not going:
        time.sleep(0.005)
    task.stop.set()
    assert finished(task).error == "" and task.result is None
    assert torch.ones(2).sum() == 2  # other threads go on


def test_other_pages_open_with_an_ensemble():
    at = start("app.py")
    at.run()
    at.switch_page("pages/lattice.py")
    at.query_params["view"] = "Observables"
    healthy(at.run())
    button(at, "Open in Spectra").click().run()
    assert not at.exception
    assert at.title[0].value == "Spectra"
    menu = next(each for each in at.selectbox if each.label == "Data")
    assert json.dumps(menu.value).startswith('"lattice-')
