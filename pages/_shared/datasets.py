"""The menu of data sets: choose one, fetch CIFAR-10, bring one's own images, generate fields."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import rgdiff_core as rg
from pages._shared import cache, field_forms, uploads
from pages._shared.chosen import kept
from pages._shared.page_state import unlinked
from rgdiff_core.data import DatasetInfo, DataUnavailable

__all__ = ["choose", "first", "ready", "unknown"]

FALLBACKS = ("photographs", "phi4-6x6")  # built from what is installed: no network

_LAST = "dataset-last"


def first() -> str:
    """Return what to start with: the set chosen last, CIFAR-10, or what needs no network."""
    last = st.session_state.get(_LAST)
    if last is not None:
        return last
    return "cifar10" if cache.has("cifar10") else FALLBACKS[0]


def choose(current: str) -> str:
    """Draw the menu, showing `current`, and return the name of a set that is ready to load.

    A set that is not on this machine is fetched or generated here, with a progress bar. What
    is not available, and an upload that can't be read, is said in one line; the present set stays.
    """
    wanted = field_forms.arrived(st.session_state.pop(uploads.WANTED, current))
    problem = st.session_state.pop(uploads.PROBLEM, None)
    said = st.session_state.pop(uploads.SAID, None)
    name = wanted
    for name in dict.fromkeys((wanted, current, *FALLBACKS)):
        failure = ready(name)
        if failure is None:
            break
        problem = problem or failure
    menu = {info.name: info for info in rg.data.available()}
    if name == current:  # which the page has accepted
        st.session_state[_LAST] = name
    st.selectbox(
        "Data",
        list(menu),
        format_func=lambda each: _title(menu[each]),
        help=menu[name].description,
        **kept("dataset-menu", name, _want),
    )
    if problem is not None:
        stays = f" Shown instead: {menu[name].title}." if name != wanted else ""
        st.warning(f"{unlinked(problem)}{stays}", icon=":material/info:")
    if said:
        st.info(said, icon=":material/photo_library:")
    uploads.draw()
    field_forms.draw(current, name)
    return name


def _title(info: DatasetInfo) -> str:
    if info.cached:
        return info.title
    return f"{info.title} · {'fetch' if info.name == 'cifar10' else 'generate'}"


def _want(name: str) -> None:
    st.session_state[uploads.WANTED] = name


def unknown(name: str) -> str | None:
    """Return the sentence that says that there is no such set, or None where there is; what was
    deleted may still be in the cache.
    """
    known = any(info.name == name for info in rg.data.available())
    return None if known else f"{name!r} is not a known data set."


def ready(name: str) -> str | None:
    """Make a set ready to load; return the sentence that says why it can't be, or None."""
    slot = st.empty()
    try:
        if problem := unknown(name):
            return problem
        if not cache.has(name):
            _build(name, slot)
        cache.images(name)
    except (DataUnavailable, ValueError, OSError) as error:
        return " ".join(str(error).split())
    finally:
        slot.empty()
    return None


def _build(name: str, slot: DeltaGenerator) -> None:
    """Fetch or generate a data set, with a bar that shows what is being done."""
    bar = slot.progress(0.0, "Starting …")

    def show(done: int, total: int, text: str) -> None:
        bar.progress(min(1.0, done / total) if total > 0 else 0.0, text)

    rg.data.load(name, limit=1, progress=show)
