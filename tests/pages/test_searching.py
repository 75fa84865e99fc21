"""Searches on the Samples page: begun, watched, stopped, taken over."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

import rgdiff_core as rg
from pages._samples.state import SamplesState, start
from pages._sampling.setting import Setting
from rgdiff_core.schedules import Cosine, Cutoff, LinearGamma
from tests.kept import SETS, cache_with

ROOT = Path(__file__).resolve().parents[2]
SMALL = replace(start(), n=4, measured=64, setting=replace(start().setting, steps=3))


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep data sets, runs and sweeps in folders of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", cache_with(tmp_path_factory.mktemp("cache"), *SETS))
        patch.setenv("RGDIFF_RUNS", str(tmp_path_factory.mktemp("runs")))
        home = tmp_path_factory.mktemp("sweeps")
        patch.setenv("RGDIFF_SWEEPS", f"sqlite:///{home / 'sweeps.db'}")
        yield


def opened(bench: SamplesState = SMALL) -> AppTest:
    at = AppTest.from_file(str(ROOT / "pages/samples.py"), default_timeout=PATIENCE)
    at.query_params["state"] = bench.to_json()
    return healthy(at.run())


def healthy(at: AppTest) -> AppTest:
    assert not at.exception
    assert not [e.value for e in (*at.error, *at.warning)]
    return at


def until(at: AppTest, happened: Callable[[AppTest], bool]) -> AppTest:
    for _ in range(200):
        healthy(at.run())
        if happened(at):
            return at
        time.sleep(0.3)
    raise AssertionError("it does not happen.")


def said(at: AppTest) -> str:
    return " ".join(each.value for each in (*at.markdown, *at.caption))


def setting(at: AppTest) -> Setting:
    return at.session_state["samples-state"].setting


def test_a_curve_is_bent_and_put_into_the_editor():
    at = opened()
    at.number_input(key="samples-search-rounds").set_value(10)
    healthy(at.button(key="samples-search-bend").click().run())
    until(at, lambda at: "in the editor" in said(at))
    found = setting(at).side.schedule
    assert isinstance(found, Cutoff) and len(found.path.times) == 4
    assert found != SMALL.setting.side.schedule
    assert setting(at).side.color == SMALL.setting.side.color
    assert "held-out images the 3-step bound went from" in said(at)
    search = at.session_state["samples-search"]
    assert [state.round for state in search.states] == list(range(11))
    assert found == search.states[-1].schedule
    healthy(at.button(key="samples-search-back").click().run())
    assert setting(at).side == SMALL.setting.side
    healthy(at.button(key="samples-search-use").click().run())
    assert setting(at).side.schedule == found


def test_a_search_is_cancelled_and_what_it_found_kept():
    at = opened()
    at.number_input(key="samples-search-rounds").set_value(2000)
    healthy(at.button(key="samples-search-bend").click().run())
    until(at, lambda at: len(at.session_state["samples-search"].states) > 2)
    assert at.button(key="samples-search-bend").disabled
    healthy(next(each for each in at.button if each.label == "Cancel").click().run())
    until(at, lambda at: "in the editor" in said(at))
    assert len(at.session_state["samples-search"].states) < 1000


def test_a_sweep_shows_its_trials_and_goes_on():
    at = opened()
    at.segmented_control(key="samples-search-way").set_value("sweep").run()
    assert at.selectbox(key="samples-search-by").options[0].startswith("N-step bound")
    for _ in range(2):
        at.number_input(key="samples-search-trials").set_value(2)
        healthy(at.button(key="samples-search-sweep").click().run())
        until(at, lambda at: any(b.key == "samples-search-use" for b in at.button))
    search = at.session_state["samples-search"]
    assert [trial.number for trial in search.states] == [0, 1, 2, 3]
    assert len(at.dataframe[0].value) == 4
    least = min(search.states, key=lambda trial: trial.value)
    healthy(at.button(key="samples-search-use").click().run())
    assert (setting(at).side.color, setting(at).side.schedule) == (least.color, least.schedule)


def test_a_schedule_without_points_can_only_be_swept():
    side = replace(SMALL.setting.side, schedule=Cosine())
    at = opened(replace(SMALL, setting=replace(SMALL.setting, side=side)))
    assert at.button(key="samples-search-bend").disabled
    assert "needs a cutoff schedule" in said(at)


def test_the_free_theory_needs_no_search():
    rg.data.load("phi4-6x6")
    side = replace(SMALL.setting.side, schedule=LinearGamma())
    at = opened(replace(SMALL, setting=replace(SMALL.setting, model="free/phi4-6x6", side=side)))
    assert "nothing to optimize" in said(at)
    assert not any((b.key or "").startswith("samples-search") for b in at.button)
