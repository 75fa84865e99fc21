"""The widgets of the three choices, for one side of the Noising page: each writes a new state."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._shared import labdata, session
from pages._shared.knobs import color_knob
from pages._shared.labstate import MAX_IMAGES, Lab, Side, with_preset, with_second, without_second
from pages._shared.menus import BASES, COLORS, KERNELS, ORDERS, SCHEDULES
from rgdiff_core.bases import orthogonal_wavelets
from rgdiff_core.presets import PRESETS
from rgdiff_core.schedules import Cutoff, Sequential, SoftConditioning

__all__ = ["compare_toggle", "picture_controls", "preset_of", "side_controls"]


def _bound(key: str, value: Any, apply: Callable[[Any], Lab]) -> dict[str, Any]:
    """Return a widget's arguments: it shows `value`, and when it changes, `apply` makes the new
    state.
    """
    st.session_state[key] = value
    return {"key": key, "on_change": lambda: session.attempt(lambda: apply(st.session_state[key]))}


def picture_controls(lab: Lab) -> None:
    """Draw the controls of what is shown: how many images, which, and the noise's seed."""
    left, middle, right = st.columns(3)
    left.number_input(
        "Images",
        1,
        MAX_IMAGES,
        help="How many images are noised at once. Large images are shown in smaller numbers.",
        **_bound("images", lab.images, lambda v: replace(session.current(), images=int(v))),
    )
    middle.number_input(
        "First",
        0,
        1_000_000,
        help="The number of the first image in the data set.",
        **_bound("first", lab.first, lambda v: replace(session.current(), first=int(v))),
    )
    right.number_input(
        "Seed",
        0,
        2**31 - 1,
        help="The seed of the noise. A and B always get the same noise.",
        **_bound("seed", lab.seed, lambda v: replace(session.current(), seed=int(v))),
    )


def compare_toggle(lab: Lab) -> None:
    """Draw the switch that brings a second process."""

    def apply(on: bool) -> Lab:
        return with_second(session.current()) if on else without_second(session.current())

    st.toggle(
        "Compare A with B",
        help="A second process beside the first, at the same time and with the same noise.",
        **_bound("compare", len(lab.sides) == 2, apply),
    )


def side_controls(lab: Lab, index: int) -> None:
    """Draw the controls of one side: preset, basis, colour, schedule."""
    side, name = lab.sides[index], "AB"[index]

    def put(make: Callable[[Side, Any], Side]) -> Callable[[Any], Lab]:
        def apply(value: Any) -> Lab:
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
        placeholder="none: your own mix",
        format_func=lambda p: PRESETS[p].title,
        help="Processes of the literature, each with its reference and what to look at.",
        **_bound(
            key("preset"),
            preset_of(side),
            lambda p: (
                session.current()
                if p is None
                else labdata.fitting(with_preset(session.current(), index, p))
            ),
        ),
    )
    _basis_controls(side, put, key)
    st.selectbox(
        "Noise colour S — how loud",
        list(COLORS),
        format_func=lambda c: COLORS[c][0],
        help="The noise's spectrum, and so the fixed point in which the flow ends.",
        **_bound(key("color"), type(side.color), put(lambda s, c: replace(s, color=COLORS[c][1]))),
    )
    _color_number(lab, index, put, key)
    _schedule_controls(side, put, key)


def preset_of(side: Side) -> str | None:
    """Return the name of the preset that a side is, if it is one."""
    for name, preset in PRESETS.items():
        if (preset.basis, preset.color, preset.schedule) == (
            side.basis,
            side.color,
            side.schedule,
        ):
            return name
    return None


Put = Callable[[Callable[[Side, Any], Side]], Callable[[Any], Lab]]


def _basis_controls(side: Side, put: Put, key: Callable[[str], str]) -> None:
    basis = side.basis

    def field(name: str) -> Callable[[Any], Lab]:
        return put(lambda s, v: replace(s, basis=replace(s.basis, **{name: v})))

    st.selectbox(
        "Basis U — where",
        list(BASES),
        format_func=BASES.__getitem__,
        help="The components in which noise is added independently.",
        **_bound(
            key("basis"),
            basis.name,
            put(lambda s, v: replace(s, basis=replace(s.basis, name=v, levels=None))),
        ),
    )
    if basis.name in ("fourier", "cosine"):
        st.selectbox(
            "Momentum",
            ["continuum", "lattice"],
            help="|k|, or the lattice's 2 sin(k/2), in which the free theory is exact.",
            **_bound(key("momentum"), basis.momentum, field("momentum")),
        )
    if basis.name == "wavelet":
        left, right = st.columns([2, 1])
        left.selectbox(
            "Wavelet",
            orthogonal_wavelets(),
            help="Every orthogonal wavelet that PyWavelets has.",
            **_bound(key("wavelet"), basis.wavelet, field("wavelet")),
        )
        right.number_input(
            "Levels",
            1,
            10,
            help="How often the picture is halved.",
            **_bound(key("levels"), _levels(basis), field("levels")),
        )
    if _channels() > 1:
        st.checkbox(
            "Decorrelate the colour channels",
            help="First rotate red, green and blue to their principal axes (orthonormal).",
            **_bound(key("decorrelate"), basis.decorrelate, field("decorrelate")),
        )


def _levels(basis: Any) -> int:
    if basis.levels is not None:
        return basis.levels
    h, w = labdata.fields(session.current()).shape[-2:]
    return max(1, min((n & -n).bit_length() - 1 for n in (h, w)))


def _channels() -> int:
    return labdata.fields(session.current()).shape[1]


def _color_number(lab: Lab, index: int, put: Put, key: Callable[[str], str]) -> None:
    """Draw the colour's number here where the lab can't drag it: its noise bands are not
    separable.
    """
    side = lab.sides[index]
    knob = color_knob(side.color)
    if knob is None or labdata.draggable_color(lab.data, side):
        return
    st.number_input(
        knob.label,
        knob.low,
        knob.high,
        help=knob.help,
        **_bound(
            key("tint"),
            knob.value(side.color),
            put(lambda s, v: replace(s, color=knob.turn(s.color, float(v)))),
        ),
    )


def _schedule_controls(side: Side, put: Put, key: Callable[[str], str]) -> None:
    schedule = side.schedule
    st.selectbox(
        "Schedule γ(t) — when",
        list(SCHEDULES),
        format_func=lambda s: SCHEDULES[s][0],
        help="When each component is erased. Only Cutoff has a Λ(t) to drag.",
        **_bound(
            key("schedule"), type(schedule), put(lambda s, v: replace(s, schedule=SCHEDULES[v][1]))
        ),
    )
    if isinstance(schedule, Cutoff):
        st.selectbox(
            "Kernel K_Λ(k)",
            list(KERNELS),
            format_func=lambda k: KERNELS[k][0],
            help="How sharply the cutoff divides signal from noise.",
            **_bound(
                key("kernel"),
                type(schedule.kernel),
                put(lambda s, v: replace(s, schedule=replace(s.schedule, kernel=KERNELS[v][1]))),
            ),
        )
    if isinstance(schedule, Sequential | SoftConditioning):
        st.selectbox(
            "Order",
            list(ORDERS),
            format_func=ORDERS.__getitem__,
            help="Which components go first into the noise; generation runs the other way.",
            **_bound(
                key("order"),
                schedule.order,
                put(lambda s, v: replace(s, schedule=replace(s.schedule, order=v))),
            ),
        )
