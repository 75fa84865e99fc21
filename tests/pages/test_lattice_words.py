"""What the Lattice page says of where its numbers come from."""

import pytest
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

from rgdiff_core.data import ensembles
from rgdiff_core.lattice import EnsembleSpec

SPEC = EnsembleSpec(-4.0, 6.975, 6, 160, 40, thermalization=20, thinning=1)

pytestmark = pytest.mark.usefixtures("folders")


def seen(**link: str) -> AppTest:
    return healthy(page_at("pages/lattice.py", **link).run())


def test_the_phase_scan_says_at_which_mass_it_was_made():
    same, other = ({"view": "Phase scan", "m2": m2, "lam": "4.2"} for m2 in ("-4", "-2.4"))
    (said,) = [each.value for each in seen(**same).markdown if "This scan" in each.value]
    assert said == "This scan is at **m² = −4**."
    at = seen(**other)
    (said,) = [each.value for each in at.markdown if "This scan" in each.value]
    assert said.startswith("This scan is at **m² = −4**.")
    assert "The sidebar's m² = −2.4 does not change it." in said and "*live scan*" in said
    assert [each.label for each in at.metric][:2] == [
        "Critical λ, this scan",
        "Critical λ, literature",
    ]


@pytest.mark.parametrize("view", ["Observables", "Configurations"])
def test_a_view_of_an_ensemble_says_that_it_does_not_follow_the_theory(view: str):
    ensembles.generate(SPEC)
    at = seen(view=view, ensemble=SPEC.id, m2="-2.4", lam="5", L="8")
    assert SPEC.title in [each.value for each in at.header]
    (said,) = [each.value for each in at.caption if "*Ensemble*" in each.value]
    assert "does not follow its *Theory*" in said


def test_the_menu_of_published_parameters_has_room_for_its_placeholder():
    at = seen()
    menu = next(each for each in at.selectbox if each.label == "Published parameters")
    assert menu.placeholder == "Choose one"


def test_a_model_says_what_it_is_unless_it_is_a_pretrained_one():
    menu = seen(view="Model vs HMC").selectbox(key="model").options
    assert any("free theory" in each for each in menu)
    assert any(each.startswith("φ⁴") for each in menu)
    assert not any("pretrained" in each for each in menu)
