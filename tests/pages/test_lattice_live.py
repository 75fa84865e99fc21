"""The star of the phase diagram that is dragged, and the fields that follow it."""

from pathlib import Path

import pytest
from container import unpack
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

from pages._lattice import live
from pages._lattice.live import Star
from pages._lattice.state import Theory
from rgdiff_core.lattice import Phi4

ROOT = Path(__file__).resolve().parents[2]


def test_the_star_is_followed_and_fields_order():
    theory = Theory(-4.0, 8.0, 16)
    frame = live.first(theory)
    start = frame
    assert frame.fields.shape == (live.CHAINS, live.SIZE, live.SIZE)
    for seq in range(1, 40):
        frame = live.following(frame, Star(-4.0, 2.5, seq, False))
    orders = [float(each.fields.mean((-2, -1)).abs().mean()) for each in (start, frame)]
    assert orders[0] < 0.2 < 0.5 < orders[1]
    assert live.following(frame, Star(-4.0, 8.0, 39, True)) is frame  # an answer that came late
    header, arrays = unpack(live.message(frame, theory, [(-4.0, 4.26)], [Phi4(-4, 4.3)]))
    assert (header["seq"], header["star"], header["problem"]) == (39, [-4.0, 8.0], "")
    assert arrays["fields"].shape == (live.CHAINS, live.SIZE, live.SIZE, 3)
    # Where there is no theory the fields stay as they are.
    stays = live.following(frame, Star(-4.0, 0.0, 40, False))
    assert stays.fields is frame.fields and "m² = -4.0 with λ = 0" in stays.problem


@pytest.mark.parametrize(
    "told",
    [{}, {"m2": "a", "lam": 1, "seq": 1}, {"m2": 1, "lam": -1, "seq": 1}, {"m2": 1, "lam": 1}],
)
def test_nonsense_from_the_map_is_one_sentence(told):
    with pytest.raises(ValueError, match=r"the map sent|outside"):
        Star.read(told)


def test_fields_return_to_the_theory_and_the_browser_learns_of_it():
    theory = Theory(-4.0, 8.0, 16)

    def revision(frame: live.Frame) -> str:
        return unpack(live.message(frame, theory, [], []))[0]["revision"]

    start = live.first(theory)
    assert live.returned(start, theory) is start
    dragged = live.following(start, Star(-4.0, 2.5, 1, False))
    assert revision(dragged) == revision(start)  # where the browser has the star, it leaves it
    back = live.returned(dragged, theory)
    assert (back.star.m2, back.star.lam, back.star.seq) == (-4.0, 8.0, 1)
    assert revision(back) != revision(dragged) and not back.fields.equal(dragged.fields)
    assert live.returned(back, theory) is back


def test_fields_follow_the_theory_of_the_sidebar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    at = AppTest.from_file(str(ROOT / "pages" / "lattice.py"), default_timeout=10 * PATIENCE)
    at.query_params["map"] = "drag the star"
    at.run()
    before = at.session_state[live.KEY]
    at.number_input(key="lattice-m2").set_value(-2.5).run()
    assert not at.exception
    after = at.session_state[live.KEY]
    assert [(each.star.m2, each.star.lam) for each in (before, after)] == [(-4, 4.3), (-2.5, 4.3)]
    assert not after.fields.equal(before.fields)
