"""Widgets that are kept in the address, whatever an address contains.

Streamlit checks an address's value for a widget, with two exceptions: an empty value takes the
choice from a menu that must have one, and an infinite one has no whole number.
"""

import math
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import streamlit as st

from pages._shared.page_state import damaged

__all__ = ["choose", "menu", "told", "whole"]

T = TypeVar("T")


def menu(
    box: Any,
    label: str,
    options: Sequence[T],
    *,
    default: T,
    key: str,
    format_func: Callable[[Any], str] = str,
    help: str | None = None,
    label_visibility: Literal["visible", "hidden", "collapsed"] = "visible",
    damage: Any = None,
) -> T:
    """Draw a menu in a box, a container or `st` itself, of which one option is always chosen.

    Where the address has none of them, a sentence says so, in the box or where `damage` is.
    """
    titles = [str(format_func(option)) for option in options]
    told(damage or box, key, titles)
    chosen: T | None = box.segmented_control(
        label,
        options,
        default=default,
        required=True,
        key=key,
        bind="query-params",
        format_func=format_func,
        help=help,
        label_visibility=label_visibility,
    )
    return default if chosen is None else chosen


def choose(key: str, value: Any, spelt: str) -> None:
    """Choose an option of a menu to come for a link that spells it in another way."""
    st.session_state.setdefault(key, value)
    st.query_params.pop(spelt)


def told(box: Any, key: str, titles: Sequence[str], instead: str = "its defaults") -> str | None:
    """Return what the address has for a menu; where the menu lacks it, say so, and what is shown
    instead.
    """
    given = st.query_params.get(key)
    if given is None or given in titles:
        return given
    why = f"{key} = {reprlib.repr(given)} is not one of {', '.join(titles)}"
    box.warning(damaged(why, instead), icon=":material/link_off:")
    return None


def whole(key: str) -> Literal["query-params"] | None:
    """Return how a field of a whole number is bound: not, where the address has it infinite."""
    try:
        infinite = math.isinf(float(st.query_params.get(key, "0")))
    except ValueError:
        infinite = False
    return None if infinite else "query-params"
