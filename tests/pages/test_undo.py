"""Undo and redo of what menus decide, on the pages whose component has the buttons."""

import json
from dataclasses import replace

import noisingpage
import pytest
import samplespage
from samplespage import SMALL

from pages._noising.state import start
from rgdiff_core.colors import Matched, White
from rgdiff_core.schedules import Cosine, CutoffPath


def ask(at, page: str, step: int):
    """Ask for the state before or after, as the component does at the end of its own history."""
    own = at.session_state[f"{page}-state"].component() | {"travel": step, "seq": 1}
    own |= {"revision": at.session_state[f"{page}-revision"], "live": False}
    at.session_state["lab" if page == "noising" else "bench"] = {"client_state": own}
    return noisingpage.healthy(at.run())


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return noisingpage.healthy(noisingpage.visit())


def test_menus_of_the_noising_page_are_undone_and_redone(lab):
    first = noisingpage.state(lab)
    lab.selectbox(key="color-A").set_value(White).run()
    second = noisingpage.state(lab)
    lab.selectbox(key="schedule-A").set_value(Cosine).run()
    third = noisingpage.state(lab)
    assert len({state.to_json() for state in (first, second, third)}) == 3
    for step, state in [(-1, second), (-1, first), (-1, first), (1, second), (1, third)]:
        assert noisingpage.state(ask(lab, "noising", step)) == state
        assert lab.selectbox(key="color-A").value is type(state.sides[0].color)
    assert lab.selectbox(key="schedule-A").value is Cosine


def test_undo_of_a_menu_keeps_what_was_dragged_before_it_and_a_drag_ends_redo(lab):
    own = noisingpage.state(lab).component()["sides"][0]
    bent = [[0, 1], [0.5, 0.8], [1, 0]]
    noisingpage.rest(lab, sides=[own | {"points": bent}])
    dragged = noisingpage.state(lab)
    assert dragged.sides[0].schedule.path == CutoffPath((0, 0.5, 1), (1, 0.8, 0))
    lab.selectbox(key="color-A").set_value(White).run()
    assert noisingpage.state(ask(lab, "noising", -1)) == dragged
    noisingpage.rest(lab, t=0.25, forked=True)
    moved = noisingpage.state(lab)
    assert noisingpage.state(ask(lab, "noising", 1)) == moved == replace(dragged, t=0.25)


def test_before_a_link_there_is_nothing_to_go_back_to(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    linked = replace(start("photographs"), t=0.3)
    at = noisingpage.healthy(noisingpage.visit(linked))
    assert json.loads(at.session_state["noising-history"])["earlier"] is False
    assert noisingpage.state(ask(at, "noising", -1)) == linked


def test_menus_of_the_samples_page_are_undone():
    at = samplespage.at_bench(SMALL)
    samplespage.choose(at, "color", White)
    assert type(samplespage.state(at).setting.side.color) is White
    assert samplespage.state(ask(at, "samples", -1)) == SMALL
    assert at.selectbox(key="samples-color").value is Matched
    assert type(samplespage.state(ask(at, "samples", 1)).setting.side.color) is White
