"""The Noising page's state in the session and in the address bar."""

from dataclasses import replace

from pages._noising.data import fitting
from pages._noising.state import NoisingState, merged, start
from pages._shared import datasets
from pages._shared.page_state import DraggedState, json_address
from pages._shared.process_choice import process

__all__ = [
    "KEY",
    "attempt",
    "change",
    "current",
    "history",
    "kept",
    "opening",
    "prepare",
    "problem",
    "rested",
    "sent",
    "revision",
    "started",
    "travelled",
    "with_data",
    "write_link",
]

KEY = "lab"  # of the component


def _check(lab: NoisingState) -> None:
    # what is dragged on a set that was deleted meanwhile is still taken over
    if lab.data != current().data and (problem := datasets.unknown(lab.data)):
        raise ValueError(problem)
    for side in lab.sides:
        process(lab.data, side)


_page = DraggedState("noising", json_address(NoisingState.from_json), _check, KEY, merged)
attempt, change, current, kept = _page.attempt, _page.change, _page.current, _page.kept
problem, rested, sent = _page.problem, _page.rested, _page.sent
history, opening, travelled = _page.history, _page.opening, _page.travelled
revision, started, write_link = _page.revision, _page.started, _page.write_link


def prepare(data: str) -> None:
    """Take the state from a new address, or start afresh with this data set."""
    _page.prepare(lambda: start(data))


def with_data(data: str) -> NoisingState:
    """Return the state on another data set, with as many wavelet levels as its images allow."""
    return fitting(replace(current(), data=data, first=0))
