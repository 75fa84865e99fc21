"""Tables whose numbers have their errors in brackets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._shared import plots

__all__ = ["NONE", "Measured", "alike", "bracketed", "columns", "pair", "table"]

Rows = Sequence[Mapping[str, Any]]
NONE = "–"  # where there is no number


def pair(name: str, number: Mapping[str, Any] | None, factor: float = 1.0) -> dict[str, Any]:
    """Return a number and its error as two entries of a row, empty where there is none."""
    value, error = (number or {}).get("value"), (number or {}).get("error")
    return {
        name: None if value is None else factor * value,
        f"{name}_error": None if error is None else factor * error,
    }


def columns(
    name: str, title: str, digits: str = "%.4f", about: str | None = None, **more: Any
) -> dict[str, Any]:
    """Return how `table` shows what `pair` returns: as one column.

    Arguments:
        digits: The format of a number without an error; with a plus sign, every number has one.
        about: What a person reads over the title.
        more: Further options of the column.
    """
    column = st.column_config.NumberColumn(title, format=digits, help=about, **more)
    return {name: column, f"{name}_error": None}


def table(
    rows: Rows, config: Mapping[str, Any], settings: Mapping[str, str] | None = None, **more: Any
) -> None:
    """Draw a table whose numbers have their errors in brackets, and are sorted as numbers; a
    column that is empty in every row is not shown, and a setting that all rows share is said once
    below it.

    Arguments:
        config: Of the columns; those of `columns` show a number and its error.
        settings: Titles of the columns of settings.
        more: Further options of `st.dataframe`.
    """
    settings = settings or {}
    shared = alike(rows, settings)
    empty = [name for name in config if all(row.get(name) is None for row in rows)]
    config = {**settings, **config, **dict.fromkeys((*empty, *shared))}
    digits = {
        name: column["type_config"]["format"]
        for name, column in config.items()
        if f"{name}_error" in config and column is not None
    }
    told = [
        row | {name: Measured.of(row, name, digits[name]) for name in digits.keys() & row.keys()}
        for row in map(dict, rows)
    ]
    plain: Any = {name: {**config[name], "type_config": None} for name in digits}
    st.dataframe(
        pd.DataFrame(told, dtype=object).style.format(str, na_rep=NONE),
        hide_index=True,
        width="stretch",
        placeholder=NONE,
        column_config={**config, **plain},
        **more,
    )
    if shared:
        told = "; ".join(f"*{settings[name]}* {value}" for name, value in shared.items())
        st.caption(f"In all rows: {told}.")


def alike(rows: Rows, settings: Iterable[str]) -> dict[str, Any]:
    """Return the settings that are equal in all rows that have any, by name."""
    found = {
        name: {row[name] for row in rows if row.get(name) not in (None, "")} for name in settings
    }
    return {name: values.pop() for name, values in found.items() if len(values) == 1}


class Measured(float):
    """A number whose words have its error in brackets."""

    words: str

    @classmethod
    def of(cls, row: Mapping[str, Any], name: str, digits: str) -> "Measured | None":
        value, error = row[name], row.get(f"{name}_error")
        if value is None:
            return None
        measured, sign = cls(value), "+" if "+" in digits and value > 0 else ""
        known = sign + bracketed(value, error) if error else digits % value
        measured.words = known.replace("-", "−")
        return measured

    def __str__(self) -> str:
        return self.words


def bracketed(value: float, error: float | None) -> str:
    """Return "0.045(3)", with no brackets where the error is not known."""
    return plots.in_brackets(value, error or 0.0)
