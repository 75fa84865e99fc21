"""The widgets of the three choices, for one side of the Noising page: each writes a new state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._noising import data, preset_pictures, session
from pages._noising.state import MAX_IMAGES, NoisingState, with_preset, with_second, without_second
from pages._sampling.link import open_button
from pages._sampling.setting import Setting
from pages._shared.process_choice import ProcessChoice, choice_of
from pages._shared.process_widgets import (
    Bind,
    basis_widgets,
    color_motion,
    color_number,
    color_widget,
    schedule_widgets,
)
from rgdiff_core.presets import PRESETS

__all__ = ["compare_toggle", "open_samples", "picture_controls", "preset_of", "side_controls"]


def _bound(key: str, value: Any, apply: Callable[[Any], NoisingState]) -> dict[str, Any]:
    """Return a widget's arguments: it shows `value`, and when it changes, `apply` makes the new
    state.
    """
    st.session_state[key] = value
    return {"key": key, "on_change": lambda: session.attempt(lambda: apply(st.session_state[key]))}


def picture_controls(lab: NoisingState) -> None:
    """Draw the controls of what is shown: how many images, which, and the noise's seed."""
    left, right = st.columns(2)
    left.number_input(
        "Images",
        1,
        MAX_IMAGES,
        help="How many images are noised at once. Large images are shown in smaller numbers.",
        **_bound("images", lab.images, lambda v: replace(session.current(), images=int(v))),
    )
    right.number_input(
        "Seed",
        0,
        2**31 - 1,
        help="The seed of the noise. A and B always get the same noise.",
        **_bound("seed", lab.seed, lambda v: replace(session.current(), seed=int(v))),
    )
    with st.expander("More"):
        st.number_input(
            "From image no.",
            0,
            1_000_000,
            help="The number of the first image in the data set.",
            **_bound("first", lab.first, lambda v: replace(session.current(), first=int(v))),
        )


def compare_toggle(lab: NoisingState) -> None:
    """Draw the switch that brings a second process."""

    def apply(on: bool) -> NoisingState:
        return with_second(session.current()) if on else without_second(session.current())

    st.toggle(
        "Compare A with B",
        help="A second process beside the first, at the same time and with the same noise.",
        **_bound("compare", len(lab.sides) == 2, apply),
    )


def side_controls(lab: NoisingState, index: int) -> None:
    """Draw the controls of one side: preset, basis, colour, schedule."""
    side, name = lab.sides[index], "AB"[index]

    def put(make: Callable[[ProcessChoice, Any], ProcessChoice]) -> Callable[[Any], NoisingState]:
        def apply(value: Any) -> NoisingState:
            now = session.current()
            if index >= len(now.sides):  # the click came from a side that has gone meanwhile
                return now
            return now.with_side(index, make(now.sides[index], value))

        return apply

    def key(what: str) -> str:
        return f"{what}-{name}"

    st.selectbox(
        "Preset",
        list(PRESETS),
        index=None,
        placeholder="Custom",
        format_func=lambda p: PRESETS[p].title,
        help="Processes of the literature, each with its reference and what to look at.",
        **_bound(
            key("preset"),
            preset_of(side),
            lambda p: (
                session.current()
                if p is None
                else data.fitting(with_preset(session.current(), index, p))
            ),
        ),
    )

    if st.button(
        "Browse presets", key=key("pictures"), icon=":material/grid_view:", width="stretch"
    ):
        preset_pictures.choose(index)

    def bind(field: str) -> Bind:
        """Keep the values of the widgets of one of the side's choices."""
        return lambda what, value, make: _bound(
            key(what),
            value,
            put(lambda s, v: s.with_part(field, make(getattr(s, field), v))),
        )

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
