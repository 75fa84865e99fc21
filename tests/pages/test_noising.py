"""The Noising page, alone and through the router."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from apptest import present
from container import unpack
from noisingpage import exact, healthy, leave, rest, state, visit
from streamlit.testing.v1 import AppTest

from pages._noising import messages
from pages._noising.state import NoisingState, start
from pages._noising.tour import states
from pages._shared.process_choice import ProcessChoice
from pages._shared.tour import STOPS
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import PowerLaw, White
from rgdiff_core.data import cache_folder
from rgdiff_core.presets import PRESETS
from rgdiff_core.schedules import (
    Cutoff,
    CutoffPath,
    GaussianKernel,
    LearnedGamma,
    SigmoidKernel,
    SoftConditioning,
)
from tests.kept import cache_with

DATA = "photographs"
pytestmark = pytest.mark.usefixtures("folders")


def refused(at: AppTest, *words: str) -> AppTest:
    """Check that one sentence says why, and nothing else went wrong."""
    assert not at.exception
    sentences = [e.value for e in at.error]
    assert len(sentences) == 1
    assert all(word in sentences[0] for word in words), sentences
    assert "\n" not in sentences[0] and len(sentences[0]) < 400 and sentences[0].endswith(".")
    return at


def test_a_newcomer_sees_real_images_without_an_address():
    at = healthy(visit())
    assert at.title[0].value == "Noising"
    assert state(at) == start(DATA)
    assert len(at.get("bidi_component")) == 5  # data, white and matched noise, lab, result channel
    assert "rg.data.load('photographs'" in at.code[0].value


def test_the_router_starts_here_and_comes_back():
    at = healthy(visit(replace(start(DATA), t=0.25), "app.py"))
    healthy(at.switch_page("pages/spectra.py").run())
    healthy(at.switch_page("pages/noising.py").run())
    assert state(at).t == 0.25


@pytest.mark.parametrize("data", [DATA, "phi4-6x6"])
def test_every_preset_can_be_chosen(data):
    at = healthy(visit(start(data)))
    for name, preset in PRESETS.items():
        healthy(present(at.selectbox, "preset-A").set_value(name).run())
        side = state(at).sides[0]
        assert (side.color, side.schedule) == (preset.color, preset.schedule)
        assert side.basis == preset.basis or (data, name) == ("phi4-6x6", "gud-haar")
        assert np.isfinite(exact(state(at))).all()
        if side.basis == preset.basis:
            assert any(preset.look in c.value for c in at.caption)


def test_every_menu_entry_can_be_chosen():
    at = healthy(visit(start("phi4-6x6")))
    for menu in ("basis-A", "color-A", "schedule-A", "kernel-A"):
        if menu == "kernel-A":
            healthy(present(at.selectbox, "schedule-A").set_value(Cutoff).run())
        for index in range(len(present(at.selectbox, menu).options)):
            healthy(present(at.selectbox, menu).select_index(index).run())
            assert np.isfinite(exact(state(at))).all()
    assert state(at).sides[0].basis.name == "pca"
    assert type(state(at).sides[0].schedule.kernel).__name__ == "ButterworthKernel"


def test_a_learned_schedule_comes_by_a_link_and_one_that_falls_is_one_sentence():
    table = LearnedGamma(
        (0.0, 0.2, 1.0), (0.0, 0.4, 1.0), ((-9, -6, 5), (-9, -1, 5), (-9.0, 3.0, 5.0))
    )
    side = ProcessChoice(BasisSpec(), White(), table)
    lab = replace(start(DATA), sides=(side,), t=0.4)
    at = healthy(visit(lab))
    assert state(at) == lab and np.isfinite(exact(lab)).all()
    assert present(at.selectbox, "schedule-A").value is LearnedGamma
    falling = lab.to_json().replace("-1", "6")
    refused(visit(falling), "scale 0.2", "falls from 6 to 5")


def test_the_tour_leads_on_and_back_through_its_states():
    cache_with(cache_folder(), "phi4-32x32")
    at = healthy(visit(start(DATA)))
    assert [stop.page for stop in STOPS[:6]] == ["noising"] * 6 and STOPS[6].page != "noising"
    healthy(at.button(key="tour-start").click().run())
    for index, wanted in enumerate(states(DATA)):
        assert state(at) == wanted
        assert at.query_params["tour"] == str(index + 1)
        assert any(f"**{STOPS[index].task}**" in each.value for each in at.markdown)
        if index < 5:
            healthy(at.button(key="tour-next").click().run())
    healthy(at.button(key="tour-back").click().run())
    assert state(at) == states(DATA)[4]
    healthy(present(at.selectbox, "tour-choice").set_value(1).run())
    assert state(at) == states(DATA)[1]
    healthy(at.button(key="tour-leave").click().run())
    assert state(at) == states(DATA)[1] and "tour" not in at.query_params


def test_an_address_opens_a_stop_of_the_tour_and_keeps_a_state_of_its_own():
    at = healthy(visit(script="app.py", tour="3"))
    assert state(at) == states(DATA)[2]
    mine = replace(start(DATA), t=0.25)
    at = healthy(visit(mine, "app.py", tour="3"))
    assert state(at) == mine
    assert present(at.selectbox, "tour-choice").value == 2


@pytest.mark.parametrize("told", ["0", "10", "x", "", "3.0"])
def test_a_stop_that_is_none_is_one_sentence_over_the_first_page(told: str):
    at = visit(tour=told)
    assert not at.exception
    assert [each.value for each in at.warning] == [
        f"tour = `{told!r}` is not one of the steps 1 to 9."
    ]
    assert state(at) == start(DATA) and "tour" not in at.query_params


def test_the_tour_goes_on_over_other_pages():
    at = healthy(visit(script="app.py", tour="8"))
    assert at.title[0].value == "Training"
    assert any(STOPS[7].task in each.value for each in at.markdown)
    healthy(at.button(key="tour-next").click().run())
    assert at.title[0].value == "Lattice"
    healthy(at.button(key="tour-next").click().run())  # its end
    assert not [each for each in at.button if str(each.key).startswith("tour")]


def test_compare_brings_a_second_process_and_takes_it_away():
    at = healthy(visit(start(DATA)))
    healthy(present(at.toggle, "compare").set_value(True).run())
    two = state(at)
    assert len(two.sides) == 2 and two.view == "side" and two.sides[0] == start(DATA).sides[0]
    healthy(present(at.selectbox, "schedule-B").select_index(5).run())
    assert state(at).sides[0] == two.sides[0] != state(at).sides[1] != two.sides[1]
    healthy(present(at.toggle, "compare").set_value(False).run())
    assert state(at) == start(DATA)


def test_other_images_keep_the_state_and_fit_the_levels():
    haar = ProcessChoice(
        BasisSpec("wavelet", levels=3), PowerLaw(1.5), SoftConditioning(softness=0.3)
    )
    at = healthy(visit(replace(start(DATA), sides=(haar,), t=0.7, seed=4)))
    healthy(present(at.selectbox, "dataset-menu").set_value("phi4-6x6").run())
    lab = state(at)
    assert (lab.data, lab.t, lab.seed) == ("phi4-6x6", 0.7, 4)
    assert lab.sides[0] == replace(haar, basis=BasisSpec("wavelet"))
    assert present(at.number_input, "levels-A").value == 1
    refused(present(at.number_input, "levels-A").set_value(2).run(), "levels = 2")
    assert state(at) == lab
    healthy(present(at.selectbox, "dataset-menu").set_value(DATA).run())
    assert state(at).data == DATA


def test_an_address_restores_everything():
    path = CutoffPath((0.0, 0.3, 0.8, 1.0), (0.9, 0.7, 0.2, 0.1))
    sides = (
        ProcessChoice(
            BasisSpec("cosine", "lattice"), PowerLaw(1.25), Cutoff(SigmoidKernel(0.07), path)
        ),
        ProcessChoice(
            BasisSpec("wavelet", wavelet="db2", levels=2), PowerLaw(), Cutoff(GaussianKernel())
        ),
    )
    lab = NoisingState(DATA, sides, 9, 3, 17, 0.625, "blend", 0.25, 0.75, 2.0)
    at = healthy(visit(lab))
    assert state(at) == lab
    told, _ = unpack(messages.bands_message(at.session_state["noising-sent"], "s"))
    assert told["state"] == lab.component()
    assert told["state"]["sides"][0] == {
        "points": [[0, 0.9], [0.3, 0.7], [0.8, 0.2], [1, 0.1]],
        "shape": 0.07,
        "tint": 1.25,
        "curve": None,
        "keep": True,
    }
    assert (told["state"]["t"], told["images"]["n"]) == (0.625, 9)
    assert present(at.number_input, "seed").value == 17
    assert present(at.selectbox, "wavelet-B").value == "db2"


def test_what_is_dragged_is_in_the_address_and_in_the_exact_picture():
    at = healthy(visit(start(DATA)))
    before = exact(state(at))
    sides = [{"points": [[0, 1], [0.4, 0.3], [1, 0]], "shape": 0.3, "tint": None}]
    healthy(rest(at, sides=sides, t=0.4))
    lab = state(at)
    path = CutoffPath((0.0, 0.4, 1.0), (1.0, 0.3, 0.0))
    assert lab.sides[0].schedule == Cutoff(SigmoidKernel(0.3), path)
    assert lab.t == 0.4
    assert np.abs(exact(lab) - before).max() > 0.1
    assert "times=(0.0, 0.4, 1.0)" in at.code[0].value


POINTS = [
    [[0, 0.2], [1, 0.8]],
    [[0, 1]],
    [[0, 1], [0.5, float("nan")], [1, 0]],
    [[0.5, 1], [0.2, 0.5], [1, 0]],
    "up",
    [[0, 1, 2], [1, 0, 3]],
    None,
]


@pytest.mark.parametrize(
    "values",
    [
        *({"sides": [{"points": points, "shape": 0.1, "tint": None}]} for points in POINTS),
        {"sides": [{"points": [[0, 1], [1, 0]], "shape": -3}]},
        {"sides": [{"points": [[0, 1], [1, 0]], "shape": "wide"}]},
        {"sides": [{"points": [[0, 1], [1, 0]], "curve": [[0, 1.0]]}]},
        {"sides": [{"points": [[0, 1], [1, 0]], "curve": [[0, 1.0], [1, 1e9]]}]},
        {"sides": [{"points": [[0, 1], [1, 0]], "curve": "steep"}]},
        {"sides": [{}]},
        {"sides": 7},
        {"t": 2},
        {"t": None},
        {"view": "backwards"},
        {"wipe": "x"},
        {"speed": 0},
    ],
    ids=repr,
)
def test_nonsense_from_the_browser_is_one_sentence(values):
    at = healthy(visit(replace(start("phi4-6x6"), t=0.3)))
    before = state(at)
    refused(rest(at, **values))
    assert state(at) == before


def test_a_rest_of_an_older_state_is_left_alone():
    at = healthy(visit(start("phi4-6x6")))
    before = state(at)
    healthy(rest(at, revision="older", t=0.9))
    assert state(at) == before


def test_a_click_right_after_a_drag_keeps_both():
    at = healthy(visit(start("phi4-6x6")))
    sides = [{"points": [[0, 1], [0.4, 0.3], [1, 0]], "shape": 0.3, "tint": None}]
    leave(at, sides=sides, t=0.4)
    healthy(present(at.selectbox, "color-A").set_value(White).run())
    lab = state(at)
    assert lab.t == 0.4 and lab.sides[0].color == White()
    assert lab.sides[0].schedule.path.times == (0.0, 0.4, 1.0)


def test_a_click_before_the_address_is_written_goes_on_from_the_present_state():
    at = healthy(visit(start("phi4-6x6")))
    older = at.query_params["state"]
    healthy(rest(at, t=0.9))
    at.query_params["state"] = older
    healthy(present(at.selectbox, "color-A").set_value(White).run())
    assert (state(at).t, state(at).sides[0].color) == (0.9, White())
    at.query_params["state"] = older  # now as the browser's Back button does
    healthy(at.run())
    assert state(at).t == start("phi4-6x6").t


def test_the_free_theory_follows_the_process():
    at = healthy(visit(replace(start("phi4-6x6"), t=0.3)))
    healthy(next(t for t in at.toggle if "free theory" in t.label).set_value(True).run())
    first = at.image[0].value
    healthy(rest(at, t=0.8))
    assert at.image[0].value == first
    healthy(present(at.selectbox, "color-A").set_value(White).run())
    assert at.image[0].value != first


DELETE = object()
SIDE = ("sides", 0)
SCHEDULE, COLOR = (*SIDE, "schedule"), (*SIDE, "color")
NONSENSE = {
    "a rising path": ((*SCHEDULE, "path", "values"), [1, 0.2, 0.6, 0], "Λ(t) must never rise"),
    "too few values": ((*SCHEDULE, "path", "values"), [1, 0], "4 times and 2 values"),
    "nan in the path": ((*SCHEDULE, "path", "times"), [0, float("nan"), 0.6, 1], "nan"),
    "a path without end": (
        (*SCHEDULE, "path"),
        {"kind": "CutoffPath", "times": [0.001] * 5000, "values": [0.5] * 5000},
        "5000",
    ),
    "unknown kernel": ((*SCHEDULE, "kernel"), {"kind": "BoxKernel"}, "BoxKernel"),
    "a kernel that is a number": ((*SCHEDULE, "kernel"), 3, "Kernel"),
    "negative width": ((*SCHEDULE, "kernel", "width"), -1, "width = -1"),
    "infinite width": ((*SCHEDULE, "kernel", "width"), float("inf"), "width = inf"),
    "unknown schedule": (SCHEDULE, {"kind": "Cosine2"}, "Cosine2"),
    "unknown order": (SCHEDULE, {"kind": "Sequential", "order": "zig"}, "zig"),
    "an order of labels": (SCHEDULE, {"kind": "Sequential", "order": [0.5] * 36}, "menu"),
    "a colour as schedule": (SCHEDULE, {"kind": "White"}, "Schedule"),
    "a blend": (
        SCHEDULE,
        {"kind": "BlendedSchedule", "first": {"kind": "EDM"}, "second": {"kind": "EDM"}},
        "BlendedSchedule",
    ),
    "unknown colour": (COLOR, {"kind": "Pink"}, "Pink"),
    "a colour of its own": (COLOR, {"kind": "CustomColor", "variances": [1.0] * 36}, "menu"),
    "a curve on a curve": (
        COLOR,
        {"kind": "CurveColor", "base": {"kind": "CurveColor"}},
        "base of the drawn colour",
    ),
    "huge exponent": (COLOR, {"kind": "PowerLaw", "exponent": 1e300}, "exponent = 1e+300"),
    "unknown basis": ((*SIDE, "basis", "name"), "sine", "basis = 'sine'"),
    "unknown wavelet": ((*SIDE, "basis", "wavelet"), "nope", "wavelet = 'nope'"),
    "unknown field": ((*SIDE, "basis", "size"), 3, "'size'"),
    "too many levels": (
        (*SIDE, "basis"),
        {"kind": "BasisSpec", "name": "wavelet", "levels": 9},
        "levels = 9",
    ),
    "endless levels": (
        (*SIDE, "basis"),
        {"kind": "BasisSpec", "name": "wavelet", "levels": 10**600},
        "levels",
    ),
    "no sides": (("sides",), [], "sides"),
    "three sides": (("sides",), 3, "sides"),
    "sides of another kind": (("sides",), [{"kind": "White"}], "ProcessChoice"),
    "unknown data": (("data",), "nothing", "'nothing'"),
    "missing data": (("data",), DELETE, "'data'"),
    "a file as data": (("data",), "../../etc/passwd", "passwd"),
    "endless data": (("data",), "x" * 5000, "xxxx"),
    "huge number of images": (("images",), 10**9, "images = 1000000000"),
    "half an image": (("images",), 1.5, "images"),
    "negative first": (("first",), -1, "first = -1"),
    "huge seed": (("seed",), 2**40, "seed"),
    "time nan": (("t",), float("nan"), "t = nan"),
    "time beyond the end": (("t",), 1.5, "t = 1.5"),
    "time as text": (("t",), "noon", "noon"),
    "unknown view": (("view",), "above", "view = 'above'"),
}


@pytest.fixture(scope="module")
def open_page() -> AppTest:
    """Return a page in a state of its own, which nonsense must leave alone."""
    return healthy(visit(replace(start("phi4-6x6"), t=0.3, seed=5)))


def follow(at: AppTest, link: str, *words: str) -> None:
    before = state(at)
    at.query_params["state"] = link
    refused(at.run(), "The link is damaged (", "); the page shows what it", *words)
    assert state(at) == before


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_the_address_is_one_sentence(open_page, name):
    keys, value, word = NONSENSE[name]
    data = copy.deepcopy(json.loads(start("phi4-6x6").to_json()))
    place = data
    for key in keys[:-1]:
        place = place[key]
    if value is DELETE:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    follow(open_page, json.dumps(data), word)


@pytest.mark.parametrize(
    "link",
    ["", "{", "[]", "3", "null", '"state"', "[" * 5000, "9" * 5000, '{"kind":"White"}', "\0"],
    ids=lambda link: repr(link[:9]),
)
def test_an_address_that_is_no_state_is_one_sentence(open_page, link):
    follow(open_page, link)


def test_after_nonsense_a_good_address_opens():
    at = refused(visit("{"))
    assert state(at) == start(DATA)
    other = replace(start("phi4-6x6"), t=0.8)
    at.query_params["state"] = other.to_json()
    healthy(at.run())
    assert state(at) == other
