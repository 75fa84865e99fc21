"""Undo and redo of what menus decide, on the pages whose component has the buttons."""

import io
import json
from dataclasses import replace

import noisingpage
import numpy as np
import pytest
import samplespage
from apptest import present
from samplespage import SMALL

import rgdiff_core as rg
from pages._noising.state import start
from rgdiff_core.colors import Matched, White
from rgdiff_core.schedules import Cosine, CutoffPath


def ask(at, page: str, step: int):
    """Ask for the state before or after, as the component does at the end of its own history."""
    own = at.session_state[f"{page}-state"].component() | {"travel": step, "seq": 1}
    own |= {"revision": at.session_state[f"{page}-revision"], "live": False}
    at.session_state["lab" if page == "noising" else "bench"] = {"client_state": own}
    return at.run()


def go(at, page: str, step: int):
    """Ask as `ask`, where nothing is wrong."""
    return noisingpage.healthy(ask(at, page, step))


def around(at, page: str) -> tuple[bool, bool]:
    """Return whether the component is told of states before and after the present one."""
    told = json.loads(at.session_state[f"{page}-history"])
    return told["earlier"], told["later"]


def small_set(name: str) -> str:
    """Make a data set of one's own, of small noise pictures."""
    file = io.BytesIO()
    np.savez(file, images=np.random.default_rng(0).uniform(size=(4, 8, 8)))
    rg.data.register_upload(name, {f"{name}.npz": file.getvalue()})
    return name


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return noisingpage.healthy(noisingpage.visit())


def test_menus_of_the_noising_page_are_undone_and_redone(lab):
    first = noisingpage.state(lab)
    present(lab.selectbox, "color-A").set_value(White).run()
    second = noisingpage.state(lab)
    present(lab.selectbox, "schedule-A").set_value(Cosine).run()
    third = noisingpage.state(lab)
    assert len({state.to_json() for state in (first, second, third)}) == 3
    for step, state in [(-1, second), (-1, first), (-1, first), (1, second), (1, third)]:
        assert noisingpage.state(go(lab, "noising", step)) == state
        assert present(lab.selectbox, "color-A").value is type(state.sides[0].color)
    assert present(lab.selectbox, "schedule-A").value is Cosine


def test_undo_of_a_menu_keeps_what_was_dragged_before_it_and_a_drag_ends_redo(lab):
    own = noisingpage.state(lab).component()["sides"][0]
    bent = [[0, 1], [0.5, 0.8], [1, 0]]
    noisingpage.rest(lab, sides=[own | {"points": bent}])
    dragged = noisingpage.state(lab)
    assert dragged.sides[0].schedule.path == CutoffPath((0, 0.5, 1), (1, 0.8, 0))
    present(lab.selectbox, "color-A").set_value(White).run()
    assert noisingpage.state(go(lab, "noising", -1)) == dragged
    noisingpage.rest(lab, t=0.25, forked=True)
    moved = noisingpage.state(lab)
    assert around(lab, "noising") == (False, False)
    assert noisingpage.state(go(lab, "noising", 1)) == moved == replace(dragged, t=0.25)


def test_before_a_link_there_is_nothing_to_go_back_to(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    linked = replace(start("photographs"), t=0.3)
    at = noisingpage.healthy(noisingpage.visit(linked))
    assert around(at, "noising") == (False, False)
    assert noisingpage.state(go(at, "noising", -1)) == linked


def test_menus_of_the_samples_page_are_undone():
    at = samplespage.at_bench(SMALL)
    samplespage.choose(at, "color", White)
    assert type(samplespage.state(at).setting.side.color) is White
    assert samplespage.state(go(at, "samples", -1)) == SMALL
    assert present(at.selectbox, "samples-color").value is Matched
    assert type(samplespage.state(go(at, "samples", 1)).setting.side.color) is White


def test_undo_and_redo_pass_over_states_whose_data_set_is_gone(lab):
    first = noisingpage.state(lab)
    gone = [small_set("gone-a"), small_set("gone-b")]
    lab.run()
    for each in (*gone, first.data):
        noisingpage.healthy(present(lab.selectbox, "dataset-menu").set_value(each).run())
    present(lab.selectbox, "color-A").set_value(White).run()
    last = noisingpage.state(lab)
    for each in gone:
        rg.data.delete(each)
    again = replace(last, sides=first.sides)  # on the first set again
    for step, state in [(-1, again), (-1, first), (1, again), (1, last)]:
        assert noisingpage.state(go(lab, "noising", step)) == state
    assert around(lab, "noising") == (True, False)


def test_where_all_data_sets_before_are_gone_it_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    at = noisingpage.healthy(noisingpage.visit(start(small_set("gone-c"))))
    present(at.selectbox, "dataset-menu").set_value("photographs").run()
    stays = noisingpage.state(at)
    rg.data.delete("gone-c")
    assert [error.value for error in ask(at, "noising", -1).error] == [
        "'gone-c' is not a known data set."
    ]
    assert around(at, "noising") == (False, False)
    assert noisingpage.state(noisingpage.healthy(at.run())) == stays


def test_undo_on_the_samples_page_keeps_the_pins():
    at = samplespage.at_bench(SMALL)
    samplespage.choose(at, "color", White)
    white = samplespage.state(at).setting
    samplespage.button(at, "Pin this setting").click().run()
    assert samplespage.state(go(at, "samples", -1)) == replace(SMALL, pins=(white,))
    samplespage.button(at, "Unpin").click().run()
    assert samplespage.state(go(at, "samples", 1)) == replace(SMALL, setting=white)
