"""Noising page: the preset's menu follows what is dragged."""

from apptest import present
from noisingpage import healthy, rest, state, visit

from pages._noising.state import start


def test_a_drag_away_from_a_preset_empties_its_menu_and_the_way_back_fills_it():
    at = healthy(visit(start("phi4-6x6")))
    healthy(present(at.selectbox, "preset-A").set_value("rg-cutoff").run())
    own = state(at).component()["sides"][0]
    middle = [0.5, 0.7]
    healthy(rest(at, sides=[own | {"points": [own["points"][0], middle, own["points"][-1]]}]))
    assert present(at.selectbox, "preset-A").value is None
    assert middle in state(at).component()["sides"][0]["points"]
    healthy(rest(at, sides=[own]))
    assert present(at.selectbox, "preset-A").value == "rg-cutoff"
