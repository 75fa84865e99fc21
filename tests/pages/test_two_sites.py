"""Two sites on the Noising page: the switch, its link, what comes back from the browser."""

import json
from pathlib import Path

import numpy as np
import pytest
from container import unpack
from patience import PATIENCE
from streamlit.testing.v1 import AppTest

from pages._noising.two_sites import Plane, merged, message

ROOT = Path(__file__).resolve().parents[2]


def visit(**link: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "pages" / "noising.py"), default_timeout=PATIENCE)
    for name, value in {"show": "Two sites", **link}.items():
        at.query_params[name] = value
    return at.run()


def test_the_switch_shows_the_plane_and_the_link_holds_it():
    at = visit(plane=Plane(m2=-1.0, lam=2.0).to_json())
    assert not at.exception and not at.error
    assert at.slider(key="two-sites-m2").value == -1.0
    at.slider(key="two-sites-lam").set_value(3.0).run()
    assert not at.exception and not at.error
    held = at.query_params["plane"]
    link = held if isinstance(held, str) else held[0]
    assert json.loads(link)["lam"] == 3.0


def test_what_is_dragged_comes_back():
    own = {"points": [[0.0, 1.0], [0.4, 0.3], [1.0, 0.0]], "shape": 0.2, "tint": 0.0}
    plane = merged(Plane(), {"t": 0.7, "sides": [own]})
    assert plane.t == 0.7
    assert plane.component()["sides"][0]["points"][1] == [0.4, 0.3]
    assert type(plane.side.color).__name__ == "White"


def test_the_cutoff_beside_the_curve_is_the_true_one():
    """Λ runs from where k = 0 has γ = 6 to where k = π has γ = −9, with γ = (k − Λ)/w."""
    header, arrays = unpack(message(Plane().to_json(), "s"))
    (side,) = header["sides"]
    assert side["cutoff"] == "Λ/k_max"
    width = np.array(side["shape"]["grid"])[:, None]
    y = np.linspace(0, 1, arrays["cutoff"].shape[1])
    true = (1 + 9 * width) * y - 6 * width * (1 - y)
    np.testing.assert_allclose(arrays["cutoff"], true, rtol=0, atol=1e-4)


@pytest.mark.parametrize("report", [{}, {"t": 2.0, "sides": []}, {"t": "x", "sides": [{}]}])
def test_nonsense_is_one_sentence(report: dict):
    with pytest.raises(ValueError, match=r"plane|t =|points"):
        merged(Plane(), report)
