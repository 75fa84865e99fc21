"""The Samples page's state in the session and in the address bar."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._samples.state import SamplesState, merged, start
from pages._sampling.draw import lead, process
from pages._sampling.models import load, menu, sound
from pages._sampling.setting import GUIDED, MAX_PINS, Setting
from pages._shared import cache
from pages._shared.page_state import DraggedState, json_address
from pages._shared.process_choice import choice_of
from rgdiff_core.colors import Color
from rgdiff_core.schedules import Schedule

__all__ = [
    "KEY",
    "bound",
    "change",
    "current",
    "history",
    "opening",
    "pin",
    "prepare",
    "problem",
    "rested",
    "restore",
    "sent",
    "revision",
    "take",
    "travelled",
    "unpin",
    "write_link",
]

KEY = "bench"  # of the component
IMAGES, IMAGES_DATA = "cifar10-conditional", "cifar10"
CLASS, FEW, STEPS = 1, 16, 10  # automobiles, and how many in how many steps: some seconds


def _read(link: str) -> SamplesState:
    bench = SamplesState.from_json(link)
    return replace(
        bench, setting=sound(bench.setting), pins=tuple(sound(each) for each in bench.pins)
    )


def _check(bench: SamplesState) -> None:
    process(bench.setting)
    lead(bench.setting, load(bench.setting))


def _carry(bench: SamplesState, present: SamplesState) -> SamplesState:
    return replace(bench, pins=present.pins)


_page = DraggedState("samples", json_address(_read), _check, KEY, merged, _carry)
current, problem, rested = _page.current, _page.problem, _page.rested
history, opening, travelled = _page.history, _page.opening, _page.travelled
sent, revision, write_link = _page.sent, _page.revision, _page.write_link


def prepare() -> None:
    """Take the state from a new address, or start afresh."""
    _page.prepare(start if _page.address.present() else _first)
    try:
        load(current().setting)
    except (ValueError, OSError) as error:  # a run that was deleted in the meantime
        _page.give_up(replace(start(), pins=current().pins), str(error))


def _first() -> SamplesState:
    """Return the initial state: images of a class, where their model and their data are there."""
    there = f"pretrained/{IMAGES}" in menu() and cache.has(IMAGES_DATA)
    if not there:
        return start()
    images = Setting(f"pretrained/{IMAGES}", steps=STEPS, class_label=CLASS, guidance=GUIDED)
    try:
        return SamplesState(sound(images), n=FEW)
    except (ValueError, OSError):  # a damaged file
        return start()


def bound(
    key: str, value: Any, make: Callable[[SamplesState, Any], SamplesState]
) -> dict[str, Any]:
    """Return a widget's arguments, as `PageState.bound`; the setting is fitted to its model."""

    return _page.bound(key, value, lambda bench, new: _fitted(make(bench, new)))


def change(make: Callable[[SamplesState], SamplesState]) -> None:
    """Go on with what is made of the state; the setting is fitted to its model."""
    _page.attempt(lambda: _fitted(make(current())))


def _fitted(bench: SamplesState) -> SamplesState:
    return replace(bench, setting=sound(bench.setting))


def _noted(make: Callable[[SamplesState], SamplesState]) -> None:
    """Change what the browser does not own."""
    rested(st.session_state.get(KEY, {}).get("client_state"))
    _page.note(make(current()))


def pin() -> None:
    """Pin the present setting, to compare others with it."""
    _noted(lambda bench: replace(bench, pins=(*bench.pins, bench.setting)[:MAX_PINS]))


def take(color: Color, schedule: Schedule) -> None:
    """Go on with another colour and schedule, which were made for steps uniform in its time."""

    def put(bench: SamplesState) -> SamplesState:
        side = choice_of(bench.setting.side.basis, color, schedule)
        return replace(bench, setting=replace(bench.setting, side=side, grid="uniform"))

    change(put)


def unpin(index: int) -> None:
    """Let a pinned setting go."""
    _noted(
        lambda bench: replace(
            bench, pins=tuple(each for i, each in enumerate(bench.pins) if i != index)
        )
    )


def restore(index: int) -> None:
    """Go back to a pinned setting."""
    _page.attempt(lambda: replace(current(), setting=current().pins[index]))
