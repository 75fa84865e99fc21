"""Fields of other lattice theories, asked for in the menu of data sets: made in the background."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

import rgdiff_core as rg
from pages._shared import jobs
from pages._shared.uploads import PROBLEM, SAID
from rgdiff_core.data import FieldSet, GaussianSet, IsingSet
from rgdiff_core.data.spectrum_tables import parse_table
from rgdiff_core.lattice import FreeSpectrum, GaussianField, Ising, PowerSpectrum
from rgdiff_core.lattice.ising import CRITICAL_BETA
from rgdiff_core.lattice.random_fields import FieldSpectrum

__all__ = ["arrived", "draw"]

LINE, PREFIX = "fields", "fields/"
SIZES, COUNTS = (8, 16, 32, 64), (500, 2000, 8000, 20_000)
TEST_SHARE = 4  # training fields to one test field
TABLE = "0.1, 100\n1, 10\n4, 1"

_BEGUN = "dataset-fields-begun"


def draw(current: str, chosen: str) -> None:
    """Draw the form, and how far fields are that are being made.

    Arguments:
        current: The data set that the page shows.
        chosen: The one that it is about to show, which a rerun here would undo.
    """
    with st.popover("Generate fields", icon=":material/grain:", width="stretch"):
        st.caption(
            "Lattice fields of theories other than φ⁴, whose distribution is known exactly."
        )
        _form(current)
    keys = [task.key for task in jobs.listed(PREFIX) if task.waited_for]
    if keys:
        st.fragment(jobs.watch, run_every=0.8)(keys, "fields", True, narrow=True)
    begun = st.session_state.get(_BEGUN, {})
    if chosen == current and any(PREFIX + name not in keys for name in begun):
        st.rerun()  # some have just come


def arrived(current: str) -> str:
    """Return the set that this session asked for, if it has just been made, else the present one.

    Where another set has been chosen since, it stays, and a sentence says that the fields are
    there.
    """
    begun: Mapping[str, str] = st.session_state.setdefault(_BEGUN, {})
    tasks = {name: jobs.find(PREFIX + name) for name in begun}
    ended = {name: task for name, task in tasks.items() if task is None or task.ended}
    before = {name: begun[name] for name in ended}
    st.session_state[_BEGUN] = {name: begun[name] for name in begun if name not in ended}
    for name, task in ended.items():
        if task is None:
            continue
        if task.error:
            st.session_state[PROBLEM] = f"{task.title}: {task.error}"
        elif task.result is not None and before[name] == current:
            return name
        elif task.result is not None:
            st.session_state[SAID] = f"{task.title} can be chosen now."
    return current


def _form(current: str) -> None:
    theory = st.segmented_control(
        "Theory", list(_THEORIES), default=next(iter(_THEORIES)), required=True, key=_key("theory")
    )
    left, right = st.columns(2)
    size = left.selectbox("Size L", SIZES, 2, key=_key("size"))
    count = right.selectbox(
        "Fields",
        COUNTS,
        1,
        key=_key("count"),
        help="To train on; a quarter as many again to test with.",
    )
    spec, problem = None, ""
    try:
        spec = _THEORIES[theory](size, count)
    except ValueError as error:
        problem = str(error)
    if problem:
        st.error(problem, icon=":material/error:")
    if spec is not None:
        st.caption(f"{spec.title} · {spec.bytes / 1e6:.0f} MB")
    st.button(
        "Generate",
        type="primary",
        icon=":material/play_arrow:",
        key=_key("go"),
        disabled=spec is None,
        on_click=None if spec is None else partial(_begin, spec, current),
        width="stretch",
    )


def _gaussian(size: int, count: int) -> FieldSet:
    law = st.segmented_control(
        "Spectrum", list(_SPECTRA), default=next(iter(_SPECTRA)), required=True, key=_key("law")
    )
    spectrum = _SPECTRA[law]()
    variance = st.number_input(
        "⟨φ²⟩ per site",
        1e-6,
        1e6,
        1.0,
        key=_key("variance"),
        help="The spectrum is scaled to it.",
    )
    field = GaussianField(spectrum, size, variance)
    return GaussianSet(field, count, count // TEST_SHARE)


def _power() -> FieldSpectrum:
    left, right = st.columns(2)
    exponent = left.number_input(
        "Exponent p", -4.0, 8.0, 2.0, 0.25, key=_key("exponent"), help="P = (k² + k₀²)^(−p/2)"
    )
    cutoff = right.number_input(
        "k₀", 0.001, 10.0, 0.1, 0.05, key=_key("cutoff"), format="%.3f", help="Radians per site."
    )
    return PowerSpectrum(exponent, cutoff)


def _free() -> FieldSpectrum:
    mass2 = st.number_input(
        "m²", 1e-6, 1e6, 0.1, 0.05, key=_key("m2"), format="%.4g", help="P = 1/(2(k̂² + m²))"
    )
    return FreeSpectrum(mass2)


def _table() -> FieldSpectrum:
    text = st.text_area(
        "|k| and power, two numbers per line",
        TABLE,
        key=_key("table"),
        help="|k| in radians per site, increasing; between the points a power law.",
    )
    return parse_table(text.splitlines(), "the table")


def _ising(size: int, count: int) -> FieldSet:
    temperature = st.number_input(
        "T/Tc", 0.2, 10.0, 1.0, 0.05, key=_key("temperature"), help="1 is the critical point."
    )
    return IsingSet(Ising(CRITICAL_BETA / temperature, size), count, count // TEST_SHARE)


_SPECTRA: Mapping[str, Callable[[], FieldSpectrum]] = {
    "power law": _power,
    "free theory": _free,
    "table": _table,
}
_THEORIES: Mapping[str, Callable[[int, int], FieldSet]] = {
    "Gaussian": _gaussian,
    "Ising": _ising,
}


def _begin(spec: FieldSet, current: str) -> None:
    def work(task: jobs.Task) -> str:
        return rg.data.generate(spec, task.progress)

    jobs.begin(LINE, PREFIX + spec.name, spec.title, work)
    st.session_state[_BEGUN] = {**st.session_state.get(_BEGUN, {}), spec.name: current}


def _key(name: str) -> str:
    return f"dataset-fields-{name}"
