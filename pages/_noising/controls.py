"""The widgets of the three choices, for one side of the Noising page: each writes a new state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._noising import data, preset_pictures, session
from pages._noising.state import MAX_IMAGES, NoisingState, with_preset, with_second, without_second
from pages._sampling.link import open_button
from pages._sampling.setting import Setting
from pages._shared.chosen import number
from pages._shared.process_choice import ProcessChoice, choice_of
from pages._shared.process_widgets import (
    basis_widgets,
    bind_of,
    color_motion,
    color_number,
    color_widget,
    schedule_widgets,
)
from rgdiff_core.presets import PRESETS

__all__ = ["compare_toggle", "open_samples", "picture_controls", "preset_of", "side_controls"]


def picture_controls() -> None:
    """Draw the controls of what is shown: how many images, which, and the noise's seed."""
    left, right = st.columns(2)
    _whole(
        left,
        "Images",
        "images",
        (1, MAX_IMAGES),
        "How many images are noised at once. Large images are shown in smaller numbers.",
    )
    _whole(
        right,
        "Seed",
        "seed",
        (0, 2**31 - 1),
        "The seed of the noise. A and B always get the same noise.",
    )
    more = st.expander("More")
    _whole(
        more,
        "From image no.",
        "first",
        (0, 1_000_000),
        "The number of the first image in the data set.",
    )


def _whole(box: Any, label: str, name: str, limits: tuple[int, int], help: str) -> None:
    """Draw a field of the state that is a whole number; one beyond its limits is refused in a
    sentence, where the browser's own field would only turn red.
    """

    def put(now: NoisingState, value: int) -> NoisingState:
        low, high = limits
        if not low <= value <= high:
            raise ValueError(f"{label} must be from {low:,} to {high:,}, not {value:,}.")
        return replace(now, **{name: value})

    value = getattr(session.current(), name)
    number(box, label, 1, help=help, **session.kept(name, value, put))


def compare_toggle(lab: NoisingState) -> None:
    """Draw the switch that brings a second process."""

    st.toggle(
        "Compare A with B",
        help="A second process beside the first, at the same time and with the same noise.",
        **session.kept(
            "compare",
            len(lab.sides) == 2,
            lambda now, on: with_second(now) if on else without_second(now),
        ),
    )


def side_controls(lab: NoisingState, index: int) -> None:
    """Draw the controls of one side: preset, basis, colour, schedule."""
    side, name = lab.sides[index], "AB"[index]

    def key(what: str) -> str:
        return f"{what}-{name}"

    st.selectbox(
        "Preset",
        list(PRESETS),
        index=None,
        placeholder="Custom",
        format_func=lambda p: PRESETS[p].title,
        help="Processes of the literature, each with its reference and what to look at.",
        **session.kept(
            key("preset"),
            preset_of(side),
            lambda now, preset: data.fitting(with_preset(now, index, preset)),
        ),
    )

    if st.button(
        "Browse presets", key=key("pictures"), icon=":material/grid_view:", width="stretch"
    ):
        preset_pictures.choose(index)

    def put(now: NoisingState, change: Callable[[ProcessChoice], ProcessChoice]) -> NoisingState:
        if index >= len(now.sides):  # the click came from a side that has gone meanwhile
            return now
        return now.with_side(index, change(now.sides[index]))

    bind = bind_of(lambda what, *rest: session.kept(key(what), *rest), put)
    basis_widgets(side.basis, bind("basis"), tuple(data.fields(lab).shape[1:]))
    color_widget(side.color, bind("color"))
    if not data.draggable_color(lab.data, side):  # else its number is dragged inside the lab
        color_number(side.color, bind("color"))
    color_motion(side, bind)
    schedule_widgets(side.schedule, bind("schedule"), side.basis)


def open_samples(lab: NoisingState) -> None:
    """Draw a button that leads to the Samples page with side A's process and the free theory."""
    setting = Setting(f"free/{lab.data}", lab.sides[0], "shell")
    open_button(lambda: setting, "noising-open")


def preset_of(side: ProcessChoice) -> str | None:
    """Return the name of the preset that a side is, if it is one."""
    for name, preset in PRESETS.items():
        if choice_of(preset.basis, preset.color, preset.schedule) == side:
            return name
    return None
