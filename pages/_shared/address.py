"""Widgets that are kept in the address, whatever an address contains.

Streamlit checks an address's value for a widget, with two exceptions: an empty value takes the
choice from a menu that must have one, and an infinite one has no whole number.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import streamlit as st

__all__ = ["menu", "whole"]

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
) -> T:
    """Draw a menu in a box, a container or `st` itself, of which one option is always chosen."""
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


def whole(key: str) -> Literal["query-params"] | None:
    """Return how a field of a whole number is bound: not, where the address has it infinite."""
    try:
        infinite = math.isinf(float(st.query_params.get(key, "0")))
    except ValueError:
        infinite = False
    return None if infinite else "query-params"
