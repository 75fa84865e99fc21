"""Links with values that a page does not know: one sentence says what is allowed and shown."""

import pytest
from apptest import page_at
from streamlit.testing.v1 import AppTest

from rgdiff_core.training import PRESETS

pytestmark = pytest.mark.usefixtures("folders")

SECTIONS = "Summary, φ⁴ theory, Larger lattices, CIFAR-10, Your runs"


def said(at: AppTest) -> list[str]:
    """Return what the page says of its link."""
    assert not at.exception
    sentences = [each.value for each in (*at.error, *at.warning)]
    return [text for text in sentences if text.startswith("The link is damaged")]


@pytest.mark.parametrize(
    ("page", "name", "value", "why", "shown"),
    [
        ("samples", "state", "[]", "state = '[]' must be a JSON object with a kind", None),
        ("noising", "state", "{}", "state = '{}' must be a JSON object with a kind", None),
        ("lattice", "L", "-5", "L = -5 is outside [2, 256]", None),
        ("lattice", "L", "big", "L = 'big' is not a whole number", None),
        ("lattice", "m2", "x", "m² = 'x' is not a number", None),
        ("results", "section", "foo", f"section = 'foo' is not one of {SECTIONS}", None),
        (
            "training",
            "config",
            "nosuch",
            f"config = 'nosuch' is neither JSON nor one of {', '.join(PRESETS)}",
            None,
        ),
        ("spectra", "data", "nosuch", "data = 'nosuch' is not one of ", "Photographs"),
    ],
)
def test_a_damaged_link_is_one_sentence(page, name, value, why, shown):
    (sentence,) = said(page_at(f"pages/{page}.py", **{name: value}).run())
    assert sentence.startswith(f"The link is damaged (`{why}")
    assert sentence.endswith(f"`); the page shows {shown or 'its defaults'}.")


def test_a_damaged_link_leaves_the_theory_that_was_there():
    at = page_at("pages/lattice.py", L="8").run()
    assert said(at) == []
    at.query_params["L"] = "-5"
    assert said(at.run()) == [
        "The link is damaged (`L = -5 is outside [2, 256]`); the page shows what it showed before."
    ]
    assert at.query_params["L"] == "8"


def test_a_refused_number_leaves_the_theory():
    at = page_at("pages/lattice.py").run()
    at.number_input(key="lattice-size").set_value(1000).run()
    (error,) = at.error
    assert error.value == "L = 1000 is outside [2, 256]. The previous theory is kept."


@pytest.mark.parametrize("mark", ["[log in](//e.io)", "![x](http://e.io/x.png)", "`[x](//e.io)`"])
@pytest.mark.parametrize(
    ("page", "name", "link"),
    [
        ("results", "section", "{}"),
        ("samples", "state", '{{"kind": "{}"}}'),
        ("lattice", "L", "{}"),
        ("training", "config", "{}"),
    ],
)
def test_what_a_link_says_is_shown_as_it_is(page, name, link, mark):
    """Within a code span, which ends at the next backtick, Markdown has no meaning."""
    (sentence,) = said(page_at(f"pages/{page}.py", **{name: link.format(mark)}).run())
    outside = "".join(sentence.split("`")[::2])
    assert sentence.count("`") == 2 and "e.io" in sentence and "e.io" not in outside


@pytest.mark.parametrize(("page", "name"), [("lattice", "ensemble"), ("training", "run")])
def test_what_is_not_here_is_named_as_it_is(page, name):
    at = page_at(f"pages/{page}.py", **{name: "[log in](//e.io)"}).run()
    for text in (each.value for each in at.info):
        assert "](" not in "".join(text.split("`")[::2])


def test_the_view_of_a_section_stays_in_the_address_when_the_section_is_left():
    at = page_at("pages/results.py", section="CIFAR-10", view="Recipes").run()
    del at.query_params["section"]
    at.segmented_control(key="section").set_value("Summary").run()
    assert said(at) == [] and not at.exception


def test_results_take_a_section_as_a_view():
    at = page_at("pages/results.py", view="Your runs").run()
    assert said(at) == []
    assert at.session_state["section"] == "Your runs"
