"""Widgets that show a value which is kept elsewhere, and report what the user chooses.

Every message of the browser has the values of all widgets, also one that a browser component or a
timer sends while the page is being drawn with other values. Streamlit takes the old values in it
for choices. So a widget that is on the page never gets another value from the server: another
widget takes its place, and what is still said of the one before counts for nothing.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

__all__ = ["kept", "number"]

_SHOWN = "chosen-shown"  # in the session: by key, the number of the widget and what it shows


def kept(key: str, value: Any, choose: Callable[[Any], None]) -> dict[str, Any]:
    """Return a widget's arguments: it shows `value`, and `choose` gets what the user chooses.

    Arguments:
        key: The first widget's key; those that take its place have a number behind it.
        value: None for an empty field.
        choose: Called with None where the field was emptied.
    """
    shown = st.session_state.setdefault(_SHOWN, {})
    number, last = shown.get(key, (0, value))
    if value != last:
        number += 1
    shown[key] = number, value
    own = f"{key}~{number}" if number else key
    st.session_state[own] = value

    def changed() -> None:
        new = st.session_state[own]
        present, before = shown[key]
        if present == number and new != before:
            shown[key] = number, new
            choose(new)

    return {"key": own, "on_change": changed}


def number(place: Any, label: str, step: float, **options: Any) -> None:
    """Draw a field for a number whose value is kept elsewhere.

    It has no range of its own, of which a browser would only hint: what keeps the number refuses
    it in a sentence. Emptied, or with letters in it, it goes back to the number that is kept.

    Arguments:
        place: `st`, or where the field is drawn.
        step: a whole number for a field of whole numbers.
        options: of the widget, among them the key of `kept`.
    """
    place.number_input(label, value=None, step=step, **options)
