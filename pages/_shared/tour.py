"""The guided tour: stops on the pages, each with one task and the control that it needs.

A page calls `arrive` before it draws, which follows the way to another page and says at which stop
the page's state is to be set; `draw` then draws the line with the story. The address names the
stop: "?tour=3" is what a teacher sends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import streamlit as st

from pages._shared.chosen import kept
from pages._shared.page_state import verbatim

__all__ = ["STOPS", "Stop", "arrive", "draw"]

PARAMETER = "tour"
_STOP, _WANTED, _PROBLEM = "tour-stop", "tour-wanted", "tour-problem"  # in the session
NOISING = "noising"
LOOK = """<style>
.st-key-tour > .stElementContainer:has(.stSelectbox) { flex-shrink: 1; min-width: 11rem; }
</style>"""
WIDTH = 304  # pixels of the menu, where there is room


@dataclass(frozen=True)
class Stop:
    """One step of the tour.

    Attributes:
        title: of a few words.
        text: the story, in a sentence or two.
        task: what to do.
        mark: the control that it needs: the name of a part of the browser component, or a
            selector of CSS.
        page: where it is.
        link: what the page's address says beside the stop.
    """

    title: str
    text: str
    task: str
    mark: str
    page: str = NOISING
    link: Mapping[str, str] = field(default_factory=dict)


STOPS = (
    Stop(
        "Diffusion",
        "White noise is added to every pixel alike. Yet scales are not alike: the spectrum of "
        "images falls off as a power of k (about 1/k² to 1/k³), that of the noise is flat, and so "
        "the fine scales drown first.",
        "Scrub the time t and watch the crossing move.",
        "time",
    ),
    Stop(
        "Noise colour",
        "A: white noise. B: noise with the data's own spectrum, and the same schedule. Now all "
        "scales lose their signal together, and the flow ends in a Gaussian field with the "
        "spectrum of the data, whose score is known exactly.",
        "Drag A's noise spectrum up or down, towards that of B.",
        "spectrum",
    ),
    Stop(
        "A moving cutoff",
        "The renormalization group erases information scale by scale: scales finer than Λ(t) have "
        "become noise, coarser ones are still largely intact.",
        "Drag the cutoff's curve, then hover over the spectrum to see one scale alone.",
        "curve",
    ),
    Stop(
        "Soft to hard",
        "The cutoff width interpolates between diffusion (A, soft: many scales at a time) and "
        "autoregression (B, sharp: one scale after another, each given the coarser ones).",
        "Move the divider across the pictures.",
        "stage",
    ),
    Stop(
        "Wavelets",
        "Wavelets are local in space and in scale. Here the levels of a Haar basis go one after "
        "another: first the finest detail, and last of all the mean colour, as in block-spin "
        "renormalization.",
        "Press Play, and follow one level at a time in the map.",
        "play",
    ),
    Stop(
        "φ⁴ theory",
        "Field configurations near the critical point of φ⁴ theory have structure at every scale. "
        "Free-theory noise and a falling cutoff take them to the Gaussian fixed point: the flow "
        "that sampling runs backwards.",
        "Drag the cutoff's curve and compare the fields at t = 0 and t = 1.",
        "curve",
    ),
    Stop(
        "Backwards: samples",
        "A network that has learned what is not Gaussian runs the flow backwards: noise becomes "
        "images or field configurations, coarse scales first.",
        "Drag the cutoff's curve: the same noise becomes other samples.",
        "curve",
        "samples",
    ),
    Stop(
        "Train a model",
        "The score of the data's spectrum is exact from the start; the network learns only what "
        "is left. Two minutes on two cores are enough for φ⁴ on a small lattice.",
        "Press Start, and watch the samples improve.",
        ".st-key-training-start button",
        "training",
    ),
    Stop(
        "Renormalization-group flow",
        "Block spins, momentum shells and noise are flows of the same fields: each loses the fine "
        "scales first.",
        "Move the slider of the scale factor b.",
        ".st-key-b",
        "lattice",
        {"view": "RG flow"},
    ),
)


def arrive(page: str, *, settled: bool = False) -> int | None:
    """Follow the tour to the page of its stop, and return the number, from 0, of a stop whose
    state the page has to set now; None where there is nothing to set.

    Arguments:
        page: The page that is drawn.
        settled: Whether the address has a state of its own, which counts for more.
    """
    _read_address(settled)
    wanted = st.session_state.get(_WANTED)
    if wanted is None:
        return None
    stop = STOPS[wanted]
    link = {PARAMETER: str(wanted + 1), **stop.link}
    if stop.page != page or any(
        st.query_params.get(name) != word for name, word in stop.link.items()
    ):
        st.switch_page(f"pages/{stop.page}.py", query_params=link)
    del st.session_state[_WANTED]
    return wanted


def _read_address(settled: bool) -> None:
    """Take the stop from a new address; one that is no stop's is refused in one sentence."""
    told = st.query_params.get(PARAMETER)
    if told is None or _WANTED in st.session_state:
        return
    known = {str(number): number - 1 for number in range(1, len(STOPS) + 1)}
    if told not in known:
        st.session_state[_PROBLEM] = (
            f"tour = {verbatim(repr(told[:20]))} is not one of the steps 1 to {len(STOPS)}."
        )
        _leave()
    elif st.session_state.get(_STOP) != known[told]:
        st.session_state[_STOP] = known[told]
        if not settled:
            st.session_state[_WANTED] = known[told]


def draw(page: str) -> None:
    """Draw the line of the tour: the stops, back and next, and the story with its task.

    On the first page it is there from the beginning, on others while the tour is at one of
    their stops.
    """
    at = st.session_state.get(_STOP)
    if at is not None and STOPS[at].page != page:
        at = None
    if at is None and page != NOISING:
        return
    st.html(LOOK)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="tour"):
        _choice(at)
        if at is None:
            st.button(
                "Start the tour", key="tour-start", on_click=_go, args=(0,), icon=":material/tour:"
            )
        else:
            _steps(at)
    story = st.empty()  # always there: what follows keeps its place, and is not built again
    if at is not None:
        stop = STOPS[at]
        story.markdown(f"{stop.text} **{stop.task}**")
        st.html(f"<style>{_outline(stop.mark)}</style>")
        if st.query_params.get(PARAMETER) != str(at + 1):
            st.query_params[PARAMETER] = str(at + 1)
    if text := st.session_state.pop(_PROBLEM, None):
        st.warning(text, icon=":material/info:")


def _choice(at: int | None) -> None:
    """Draw the menu of the stops."""

    def choose(number: int | None) -> None:
        _leave() if number is None else _go(number)

    st.selectbox(
        "Step of the tour",
        range(len(STOPS)),
        index=None,
        format_func=lambda number: f"{number + 1} of {len(STOPS)} · {STOPS[number].title}",
        placeholder=f"Tour: {len(STOPS)} steps",
        label_visibility="collapsed",
        width=WIDTH,
        **kept("tour-choice", at, choose),
    )


def _steps(at: int) -> None:
    """Draw the buttons that lead back, on and out."""
    last = at + 1 == len(STOPS)
    st.button(
        "Back",
        key="tour-back",
        on_click=_go,
        args=(at - 1,),
        disabled=at == 0,
        icon=":material/arrow_back:",
    )
    st.button(
        "End" if last else "Next",
        key="tour-next",
        on_click=_leave if last else _go,
        args=() if last else (at + 1,),
        type="primary",
        icon=None if last else ":material/arrow_forward:",
        icon_position="right",
    )
    if not last:
        st.button(
            "Leave the tour",
            key="tour-leave",
            on_click=_leave,
            type="tertiary",
            help="What is on the page stays.",
        )


def _go(number: int) -> None:
    st.session_state[_STOP] = st.session_state[_WANTED] = number


def _leave() -> None:
    st.session_state.pop(_STOP, None)
    st.session_state.pop(_WANTED, None)
    st.query_params.pop(PARAMETER, None)


def _outline(mark: str) -> str:
    """Return the style that highlights a control; the browser components read it as a variable."""
    line = "2px solid var(--st-primary-color, #2f5fd0)"
    if mark.isalpha():
        return f".stMain {{ --tour-{mark}: {line}; }}"
    return f"{mark} {{ outline: {line}; outline-offset: 4px; border-radius: 0.5rem; }}"
