"""The noise colour that is dragged on the Noising page."""

from dataclasses import replace

import numpy as np
import pytest
from container import unpack
from noisingpage import exact, healthy, rest, state, visit

from pages._noising import messages
from pages._noising.state import start
from rgdiff_core.colors import CurveColor, Matched, PowerLaw, White

FLAT = [[0, 0.0], [0.2, 0.0], [1, 0.0]]
DRAWN = [[0, 0.5], [0.2, 0.0], [1, -2.0]]


@pytest.mark.parametrize(
    ("hand", "color"),
    [
        ({"tint": 0, "curve": FLAT, "keep": True}, White()),
        ({"tint": 1, "curve": FLAT, "keep": True}, Matched()),
        ({"tint": 1.5, "curve": None}, Matched(strength=1.5)),
        (
            {"tint": 0.5, "curve": DRAWN, "keep": True},
            CurveColor((0, 0.2, 1), (0.5, 0, -2), Matched(strength=0.5)),
        ),
        (
            {"tint": 0, "curve": DRAWN, "keep": False},
            CurveColor((0, 0.2, 1), (0.5, 0, -2), White(), normalize=False),
        ),
    ],
)
def test_the_noise_that_is_dragged_is_in_the_address_and_in_the_exact_picture(hand, color):
    at = healthy(visit(replace(start("phi4-6x6"), t=0.6)))
    before = exact(state(at))
    own = state(at).component()["sides"][0]
    healthy(rest(at, sides=[own | hand]))
    lab = state(at)
    assert lab.sides[0].color == color
    told = lab.component()["sides"][0]
    assert told["tint"] == hand["tint"] and told["keep"] == color.normalize
    assert told["curve"] == (DRAWN if hand["curve"] == DRAWN else None)
    assert color == Matched() or np.abs(exact(lab) - before).max() > 0.05
    assert f"{type(color).__name__}(" in at.code[0].value
    assert state(healthy(visit(lab))) == lab


def test_a_curve_is_drawn_on_the_colour_that_was_chosen():
    at = healthy(visit(start("phi4-6x6")))
    healthy(at.selectbox(key="color-A").set_value(PowerLaw).run())
    healthy(at.selectbox(key="color-A").set_value(CurveColor).run())
    assert state(at).sides[0].color == CurveColor(base=PowerLaw())
    _, arrays = unpack(messages.bands_message(at.session_state["noising-sent"], "s"))
    assert arrays["0/share"].sum(1) == pytest.approx(1, abs=1e-4)  # of all noise of each exponent
