"""Samples page: pinned settings of other data, and runs that are deleted while it is open."""

from dataclasses import replace

import pytest
from samplespage import SMALL, at_bench, button, choose, healthy, rest, table

from pages._samples.state import SamplesState, start
from pages._samples.views import words
from pages._sampling.setting import Setting
from pages._training.run_samples import MAX_VALUES, NUMBERS, _numbers
from rgdiff_core.colors import Matched
from rgdiff_core.training import PRESETS, runs, train

pytestmark = pytest.mark.usefixtures("folders")


@pytest.fixture
def run(folders: None):
    """A short run, which a test may delete."""
    config = replace(
        PRESETS["phi4-2min"].config, steps=2, batch=4, evaluations=1, previews=0, warmup=1
    )
    assert train(config, runs.runs_root() / "short-lived", device="cpu").state == "finished"
    runs.pump()
    yield "short-lived"
    if "short-lived" in {each.id for each in runs.list_runs()}:
        runs.delete("short-lived")


def of(run_id: str) -> Setting:
    return Setting(f"run/{run_id}", SMALL.setting.side, steps=2)


def pins(at) -> tuple[Setting, ...]:
    return at.session_state["samples-state"].pins


def said(at) -> str:
    return " ".join(each.value for each in at.caption)


def test_a_pin_of_other_data_is_shown_and_not_measured():
    at = at_bench(SMALL)
    healthy(button(at, "Pin this setting").click().run())
    choose(at, "model", "pretrained/phi4-8x8-critical")
    assert "A sampled other data than Now: only the pictures are shown." in said(at)
    assert "Now" in table(at) and "| A |" not in table(at)
    choose(at, "model", SMALL.setting.model)
    healthy(rest(at, steps=3))
    assert "other data" not in said(at) and "| Now | A |" in table(at)


def test_a_pin_says_the_strength_of_its_noise_in_words():
    side = replace(SMALL.setting.side, color=Matched(strength=0.5))
    for each, strength in ((SMALL.setting.side, "1"), (side, "0.5")):
        told = words(replace(SMALL.setting, side=each)).split("  \n")
        assert f"matched noise, strength {strength}" in told
    assert "matched (strength 0.5) noise" in words(replace(SMALL.setting, side=side))


def test_a_deleted_run_gives_way_to_the_usual_model(run: str):
    at = at_bench(replace(SMALL, setting=of(run), pins=(SMALL.setting,)))
    runs.delete(run)
    at.run()
    assert not at.exception
    assert [each.value for each in at.error] == [f"there is no run {run!r}."]
    assert at.session_state["samples-state"].setting == start().setting
    assert pins(at) == (SMALL.setting,)
    healthy(at.run())


def test_the_pin_of_a_deleted_run_can_be_removed_and_hinders_nothing(run: str):
    kept = replace(SMALL.setting, steps=3)
    at = at_bench(replace(SMALL, pins=(of(run), kept)))
    runs.delete(run)
    rest(at, steps=4)
    assert not at.exception and not at.error
    assert [each.value for each in at.warning] == [f"A: there is no run {run!r}."]
    assert at.session_state["samples-state"].setting.steps == 4
    assert "| Now | B |" in table(at)
    at.button(key="samples-unpin-1").click().run()
    assert pins(at) == (kept,)
    healthy(at)


def test_the_buttons_of_a_column_are_of_its_own_pin(run: str):
    kept = replace(SMALL.setting, steps=3)
    bench = SamplesState.from_json(replace(SMALL, pins=(of(run), kept)).to_json())
    at = at_bench(bench)
    runs.delete(run)
    at.run()
    at.button(key="samples-restore-2").click().run()
    assert at.session_state["samples-state"].setting == kept


@pytest.mark.parametrize(("values", "offered"), [(36, 4), (3 * 32**2, 2), (3 * 64**2, 1)])
def test_as_many_samples_are_offered_as_are_soon_drawn(values: int, offered: int):
    assert _numbers(values) == list(NUMBERS[:offered])
    assert _numbers(values)[-1] * values <= MAX_VALUES


def test_of_the_largest_images_one_sample_is_offered():
    assert _numbers(3 * 256**2) == [1]
