"""Links with values that a page does not know: one sentence says what is allowed and shown."""

from dataclasses import replace

import pytest
from apptest import healthy, page_at
from streamlit.testing.v1 import AppTest

from rgdiff_core.data import ensembles
from rgdiff_core.lattice import EnsembleSpec
from rgdiff_core.training import PRESETS, runs, train

pytestmark = pytest.mark.usefixtures("folders")

SHORT = replace(PRESETS["phi4-2min"].config, steps=4, batch=8, evaluations=1, previews=1, warmup=1)
MARK = "[log in](//e.io)"
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


def test_what_is_not_here_is_named_as_it_is():
    ensembles.generate(EnsembleSpec(0.5, 0.0, 4, 100, 100, thermalization=20, thinning=1))
    assert train(SHORT, runs.runs_root() / "one", device="cpu").state == "finished"
    runs.pump()
    for page, name in (("lattice", "ensemble"), ("training", "run")):
        at = healthy(page_at(f"pages/{page}.py", **{name: MARK}).run())
        (text,) = [each.value for each in at.info if "There is no" in each.value]
        assert name in text and "e.io" in text and "](" not in "".join(text.split("`")[::2])


def test_a_name_in_a_config_or_in_what_was_pasted_is_no_link():
    told = []
    config = replace(PRESETS["phi4-2min"].config, data=MARK)
    at = page_at("pages/training.py", config=config.to_json()).run()
    told += [each.value for each in at.warning]
    at = page_at("pages/training.py").run()
    at.text_area(key="training-pasted").set_value(f'model.c_out = "{MARK}"')
    next(each for each in at.button if each.label == "Apply pasted config").click().run()
    told += [each.value for each in (*at.warning, *at.error)]
    assert len([text for text in told if "e.io" in text]) == 2
    assert not any("](" in text for text in told)


def test_the_recipes_are_there_again_when_one_comes_back_to_their_section():
    at = page_at("pages/results.py", section="CIFAR-10", view="Recipes").run()
    del at.query_params["section"]
    at.segmented_control(key="section").set_value("Summary").run()
    assert said(at) == [] and not at.exception
    at.segmented_control(key="section").set_value("CIFAR-10").run()
    assert said(at) == [] and at.session_state["view"] == "Recipes"


def test_a_view_of_no_section_is_a_damaged_link():
    (sentence,) = said(page_at("pages/results.py", view="foo").run())
    assert sentence.startswith(f"The link is damaged (`view = 'foo' is not one of {SECTIONS}, ")
    assert said(page_at("pages/results.py", view="Recipes").run()) == []


@pytest.mark.parametrize(("name", "value"), [("eta", "7"), ("flow-schedule", "foo")])
def test_what_a_closed_box_lacks_is_said_outside_it(name, value):
    """A popover is not looked into."""
    ensembles.generate(EnsembleSpec(0.5, 0.0, 4, 100, 100, thermalization=20, thinning=1))
    at = page_at("pages/lattice.py", view="RG flow", **{name: value}).run()
    (sentence,) = said(at)
    assert sentence.startswith(f"The link is damaged (`{name} = '{value}' is not one of ")
    inside = [each for box in at.get("popover") for each in box.get("warning")]
    assert sentence not in [each.value for each in inside]


def test_results_take_a_section_as_a_view():
    at = page_at("pages/results.py", view="Your runs").run()
    assert said(at) == []
    assert at.session_state["section"] == "Your runs"
