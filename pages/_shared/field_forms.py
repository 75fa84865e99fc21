"""Fields of other lattice theories, asked for in the menu of data sets: made in the background."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

import rgdiff_core as rg
from pages._shared import jobs
from pages._shared.uploads import WANTED
from rgdiff_core.data import FieldSet, GaussianSet, IsingSet
from rgdiff_core.data.spectrum_tables import parse_table
from rgdiff_core.lattice import FreeSpectrum, GaussianField, Ising, PowerSpectrum
from rgdiff_core.lattice.ising import CRITICAL_BETA
from rgdiff_core.lattice.random_fields import FieldSpectrum
from rgdiff_core.terminal import duration

__all__ = ["draw"]

LINE, PREFIX = "fields", "fields/"
SIZES, COUNTS = (8, 16, 32, 64), (500, 2000, 8000, 20_000)
TEST_SHARE = 4  # training fields to one test field
TABLE = "0.1, 100\n1, 10\n4, 1"

_BEGUN = "dataset-fields-begun"


def draw() -> None:
    """Draw the form, and how far the fields are that this session waits for."""
    with st.popover("Generate fields", icon=":material/grain:", width="stretch"):
        st.caption("Lattice fields of other theories than φ⁴, whose law is known exactly.")
        _form()
    begun = st.session_state.get(_BEGUN)
    if begun is not None:
        task = jobs.find(PREFIX + begun)
        busy = task is not None and task.waited_for
        st.fragment(_progress, run_every=0.8 if busy else None)(begun)


def _form() -> None:
    theory = st.segmented_control(
        "Theory", list(_THEORIES), default=next(iter(_THEORIES)), required=True, key=_key("theory")
    )
    left, right = st.columns(2)
    size = left.selectbox("Size L", SIZES, 2, key=_key("size"))
    count = right.selectbox(
        "Fields", COUNTS, 1, key=_key("count"), help="Of the training split; a fourth for tests."
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
        on_click=partial(_begin, spec),
        width="stretch",
    )


def _gaussian(size: int, count: int) -> FieldSet:
    law = st.segmented_control(
        "Spectrum", list(_SPECTRA), default=next(iter(_SPECTRA)), required=True, key=_key("law")
    )
    spectrum = _SPECTRA[law]()
    variance = st.number_input(
        "⟨φ²⟩ of a site",
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
        "|k| and power, two numbers a line",
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


def _begin(spec: FieldSet) -> None:
    def work(task: jobs.Task) -> str:
        return rg.data.generate(spec, task.progress)

    jobs.begin(LINE, PREFIX + spec.name, spec.title, work)
    st.session_state[_BEGUN] = spec.name


def _progress(name: str) -> None:
    """Draw how far the fields are; at their end the page is drawn again with them."""
    task = jobs.find(PREFIX + name)
    if task is not None and task.waited_for:
        left = "" if task.eta_s is None else f" · {duration(task.eta_s)} left"
        st.progress(task.share, f"{task.title} · {task.share:.0%}{left}")
        st.button(
            "Cancel",
            icon=":material/stop:",
            key=_key("stop"),
            on_click=task.stop.set,
            disabled=task.stopped,
            width="stretch",
        )
        return
    if task is not None and task.error:
        st.error(f"{task.title}: {task.error}", icon=":material/error:")
        return
    st.session_state.pop(_BEGUN, None)
    if task is not None and task.result is not None:
        st.session_state[WANTED] = name
    st.rerun()


def _key(name: str) -> str:
    return f"dataset-fields-{name}"
