"""Results: the comparison with standard diffusion, as it came out, and your own runs beside it."""

from collections.abc import Callable, Mapping

import streamlit as st

from pages._results import cifar10, headline, own_runs, perfect, recipes, sizes, verdict
from pages._results import phi4 as results_phi4
from pages._results import studies as results_studies
from pages._results.studies import Found
from pages._shared import address

PHI4, CIFAR = "rgdiff study phi4 --budget hour", "rgdiff study cifar10"


def phi4(studies: Mapping[str, Found]) -> None:
    """Draw the results of one φ⁴ theory."""
    known = {name: study for name, study in studies.items() if "theory" in study}
    if not known:
        missing("φ⁴", PHI4)
        return
    name = address.menu(
        st,
        "Theory",
        list(known),
        default=next(iter(known)),
        key="theory",
        format_func=lambda each: known[each]["theory"]["title"],
    )
    results_phi4.draw(known[name])


def cifar(studies: Mapping[str, Found]) -> None:
    """Draw the results of CIFAR-10."""
    study = next((study for study in studies.values() if "theory" not in study), None)
    if study is None:
        missing("CIFAR-10", CIFAR)
    else:
        cifar10.draw(study)


def missing(what: str, command: str) -> None:
    """Say how results are made."""
    st.info(f"There are no results of {what} here yet. This makes them:", icon=":material/info:")
    st.code(command, language="sh")


def summary(studies: Mapping[str, Found]) -> None:
    """Draw what came out in all."""
    headline.draw(studies)
    perfect.draw()
    recipes.summarize("cifar10")
    with st.expander("The claim, and the verdict on each data set"):
        verdict.draw(studies)


SECTIONS: Mapping[str, Callable[[Mapping[str, Found]], None]] = {
    "Summary": summary,
    "φ⁴ theory": phi4,
    "Larger lattices": sizes.draw,
    "CIFAR-10": cifar,
    "Your runs": own_runs.draw,
}


def page() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    st.title("Results")
    studies, problems = results_studies.read_all()
    view = st.query_params.get("view", "")  # as other pages call it; of CIFAR-10 the menu's
    if "section" not in st.query_params and view in SECTIONS:
        address.choose("section", view, spelt="view")
    elif "section" not in st.query_params:
        address.told(st, "view", [*SECTIONS, *cifar10.FIGURES])
    if "section" not in st.query_params and {"theory", "figure"} & set(st.query_params):
        # a link from before there was a summary
        st.session_state.setdefault("section", "φ⁴ theory")
    section = address.menu(
        st,
        "Section",
        list(SECTIONS),
        default=next(iter(SECTIONS)),
        key="section",
        label_visibility="collapsed",
    )
    for text in problems:
        st.warning(text, icon=":material/error:")
    SECTIONS[section](studies)


page()
