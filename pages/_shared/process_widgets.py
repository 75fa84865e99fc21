"""The widgets of the three choices, basis, colour and schedule, wherever their values are kept."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import streamlit as st

from pages._shared.chosen import number
from pages._shared.drag_parameters import DragParameter, color_parameter, schedule_parameter
from pages._shared.menus import (
    BASES,
    COLORS,
    KERNELS,
    MOTIONS,
    ORDERS,
    SCHEDULES,
    START_COLORS,
    describe_noise,
)
from pages._shared.process_choice import ProcessChoice
from rgdiff_core.bases import orthogonal_wavelets
from rgdiff_core.bases import spec as bases
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, CurveColor
from rgdiff_core.schedules import (
    Cutoff,
    Kernel,
    Schedule,
    Sequential,
    SoftConditioning,
    WaveletLevels,
)

__all__ = [
    "Bind",
    "basis_widgets",
    "bind_of",
    "color_motion",
    "color_number",
    "color_widget",
    "deepest",
    "schedule_number",
    "schedule_widgets",
]

FIXED = "Fixed"

S = TypeVar("S")

Bind = Callable[[str, Any, Callable[[Any, Any], Any]], dict[str, Any]]
"""Called with a widget's name, its present value, and what makes the new spec of the present one
and a new value; returns the widget's arguments.
"""


def bind_of(
    bound: Callable[..., dict[str, Any]],
    put: Callable[[S, Callable[[ProcessChoice], ProcessChoice]], S],
) -> Callable[[str], Bind]:
    """Return what keeps the values of the widgets of a side's field, by the field's name.

    Arguments:
        bound: As `PageState.bound`.
        put: Returns a page's state with its side changed.
    """

    def bind(field: str) -> Bind:
        def change(make: Callable[[Any, Any], Any], state: S, new: Any) -> S:
            return put(state, lambda s: s.with_part(field, make(getattr(s, field), new)))

        return lambda what, value, make: bound(what, value, partial(change, make))

    return bind


def basis_widgets(basis: BasisSpec, bind: Bind, shape: tuple[int, ...]) -> None:
    """Draw the choice of a basis for images (C, H, W)."""

    def field(name: str) -> Callable[[BasisSpec, Any], BasisSpec]:
        return lambda b, v: replace(b, **{name: v})

    st.selectbox(
        "Basis U",
        list(BASES),
        format_func=BASES.__getitem__,
        help="Where the noise acts: the components in which it is added independently.",
        **bind("basis", basis.name, lambda b, v: replace(b, name=v, levels=None)),
    )
    if basis.name == "wavelet":
        left, right = st.columns([2, 1])
        left.selectbox(
            "Wavelet",
            orthogonal_wavelets(),
            help="Every orthogonal wavelet that PyWavelets has.",
            **bind("wavelet", basis.wavelet, field("wavelet")),
        )
        number(
            right,
            "Levels",
            1,
            help="How often the picture is halved.",
            **bind("levels", basis.levels or deepest(shape), field("levels")),
        )
    momentum, several = "momentum" in bases.BASES[basis.name].options, shape[0] > 1
    if not momentum and not several:
        return
    more = st.expander("More about the basis")
    if momentum:
        more.selectbox(
            "Momentum",
            ["continuum", "lattice"],
            help="|k|, or the lattice's 2 sin(k/2), in which the free theory is exact.",
            **bind("momentum", basis.momentum, field("momentum")),
        )
    if several:
        more.checkbox(
            "Decorrelate the colour channels",
            help="First rotate red, green and blue to their principal axes (orthonormal).",
            **bind("decorrelate", basis.decorrelate, field("decorrelate")),
        )


def deepest(shape: tuple[int, ...]) -> int:
    """Return how often images (C, H, W) can be halved, at least 1."""
    return max(1, min((n & -n).bit_length() - 1 for n in shape[-2:]))


def color_widget(color: Color, bind: Bind) -> None:
    """Draw the choice of a colour, without its number."""
    st.selectbox(
        "Noise colour S",
        _kinds(COLORS, color),
        format_func=lambda c: _title(COLORS, c),
        help="How strong the noise is at each scale: its spectrum, and so the fixed point where "
        "the flow ends.",
        **bind("color", type(color), _recolored),
    )


def _recolored(color: Color, kind: type[Color]) -> Color:
    """Return the menu's colour of a kind; a curve is drawn on the present colour."""
    if kind is CurveColor:
        return color if isinstance(color, CurveColor) else CurveColor(base=color)
    return _chosen(COLORS, color, kind)


def color_motion(side: ProcessChoice, bind: Callable[[str], Bind]) -> None:
    """Draw, folded, the choice of a colour that changes with time.

    Arguments:
        bind: keeps the values of the widgets of a field of the side.
    """
    colors = {FIXED: None} | {f"Starts {title}": color for title, color in START_COLORS.items()}
    title = next((t for t, color in colors.items() if color == side.start), None)
    if title is None and side.start is not None:
        colors[title := f"Starts with {describe_noise(side.start)} noise"] = side.start
    with st.expander("Colour over time", expanded=side.start is not None):
        st.selectbox(
            "Colour over time",
            list(colors),
            help="The noise starts with this spectrum and ends with the one chosen above; the "
            "logarithm of its power is interpolated between them at every scale. Valid as long as "
            "no scale's SNR increases with time.",
            label_visibility="collapsed",
            **bind("start")("start", title, lambda _, chosen: colors[chosen]),
        )
        if side.start is not None:
            st.selectbox(
                "Interpolation",
                list(MOTIONS),
                format_func=lambda kind: MOTIONS[kind][0],
                help="How the spectrum changes from start to end.",
                **bind("motion")("motion", type(side.motion), lambda _, kind: MOTIONS[kind][1]),
            )


def color_number(color: Color, bind: Bind) -> None:
    """Draw the number of a colour, where it has one."""
    _number("tint", color_parameter(color), color, bind)


def schedule_widgets(schedule: Schedule, bind: Bind, basis: BasisSpec) -> None:
    """Draw the choice of a schedule, its kernel and its order, without its number; those that
    mean nothing in a basis are not offered.
    """
    kinds = _kinds(SCHEDULES, schedule)
    if basis.name != "wavelet" and not isinstance(schedule, WaveletLevels):
        kinds.remove(WaveletLevels)
    st.selectbox(
        "Schedule γ(t)",
        kinds,
        format_func=lambda s: _title(SCHEDULES, s),
        help="When each component is erased. Only Cutoff has a Λ(t) to drag.",
        **bind("schedule", type(schedule), lambda s, v: _chosen(SCHEDULES, s, v)),
    )
    if isinstance(schedule, Cutoff):
        st.selectbox(
            "Kernel K_Λ(k)",
            _kinds(KERNELS, schedule.kernel),
            format_func=lambda k: _title(KERNELS, k),
            help="How sharply the cutoff divides signal from noise.",
            **bind("kernel", type(schedule.kernel), _with_kernel),
        )
    if isinstance(schedule, Sequential | SoftConditioning):
        st.selectbox(
            "Order",
            list(ORDERS),
            format_func=ORDERS.__getitem__,
            help="Which components are noised first; generation runs the other way.",
            **bind("order", schedule.order, lambda s, v: replace(s, order=v)),
        )


def _with_kernel(schedule: Schedule, kind: type[Kernel]) -> Schedule:
    """Return a schedule with the menu's kernel of a kind; only a cutoff has one."""
    if not isinstance(schedule, Cutoff):
        return schedule
    return replace(schedule, kernel=_chosen(KERNELS, schedule.kernel, kind))


def schedule_number(schedule: Schedule, bind: Bind) -> None:
    """Draw the number of a schedule, where it has one."""
    _number("shape", schedule_parameter(schedule), schedule, bind)


def _number(name: str, parameter: DragParameter | None, spec: Any, bind: Bind) -> None:
    if parameter is None:
        return
    value = parameter.value(spec)
    number(
        st,
        parameter.label,
        0.01,
        format="%.4g",
        help=parameter.help,
        **bind(name, value, lambda s, v: parameter.turn(s, float(v))),
    )


def _kinds(menu: Mapping[type, tuple[str, Any]], spec: Any) -> list[type]:
    """Return the menu's kinds, and that of a spec from a file that is not in the menu."""
    return list(dict.fromkeys((*menu, type(spec))))


def _title(menu: Mapping[type, tuple[str, Any]], kind: type) -> str:
    return menu[kind][0] if kind in menu else kind.__name__


def _chosen(menu: Mapping[type, tuple[str, Any]], spec: Any, kind: type) -> Any:
    return menu[kind][1] if kind in menu else spec
