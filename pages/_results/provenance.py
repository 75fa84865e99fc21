"""Below every table and figure: its numbers as a file, and what made them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages._results import studies
from pages._results.studies import Found
from pages._shared import plots

__all__ = ["below", "download", "whole"]

Rows = Sequence[Mapping[str, Any]]


def below(study: Found, name: str, rows: Rows, cells: str) -> None:
    """Draw the download of a table's or figure's rows, with the seeds and the cells behind it; the
    command is said by `whole`.

    Arguments:
        name: In the file's name, and of the button.
        rows: With the same names in each.
        cells: Which of the study's cells the numbers are from.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        download(studies.data_of(study), name, rows)
        seeds = studies.seeds(study)
        number = "seed" if seeds.isdigit() else "seeds"
        st.caption(f"{number} {seeds} · files of the study: `{cells}`")


def download(data: str, name: str, rows: Rows) -> None:
    """Draw the download of rows as CSV.

    Arguments:
        data: The data set, in the file's name.
        name: In the file's name, and of the button.
        rows: With the same names in each.
    """
    st.download_button(
        "CSV",
        lambda: _csv(rows),
        f"{data}-{name}.csv",
        "text/csv",
        key=f"results-csv-{data}-{name}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        help="The numbers of this table or figure, with their errors.",
    )


def _csv(rows: Rows) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return plots.table({name: [row.get(name) for row in rows] for name in names})


def whole(study: Found, method: str = "") -> None:
    """Draw the download of all of a study, and folded, how and with what it was computed.

    Arguments:
        method: What is said of the method.
    """
    data, versions = studies.data_of(study), study.get("versions", {})
    st.download_button(
        "All numbers (JSON)",
        lambda: json.dumps(study, ensure_ascii=False, indent=1) + "\n",
        f"study-{data}.json",
        "application/json",
        key=f"results-json-{data}",
        icon=":material/download:",
        on_click="ignore",
        help="The file as the command wrote it: every run with its config and seed, the search, "
        "all errors.",
    )
    minutes = study.get("processor_minutes")
    parts = [", ".join(f"{name} {number}" for name, number in versions.items())]
    parts += _machines(study)
    parts += [f"{minutes:g} processor minutes"] if minutes else []
    with st.expander("Method and reproduction", icon=":material/science:"):
        if method:
            st.markdown(method)
        st.caption(
            "All of it is made by one command, which continues where it was stopped: "
            f"`{studies.command(study)}`. {' · '.join(filter(None, parts))}"
        )


def _machines(study: Found) -> list[str]:
    """Return what computed the numbers, each kind of them where that is known."""
    kinds = {kind: names for kind, names in (study.get("machines") or {}).items() if names}
    known = [f"{kind} on {', '.join(names)}" for kind, names in kinds.items()]
    told = known or ([str(study["machine"])] if study.get("machine") else [])
    return [each.replace(" 1 threads", " one thread") for each in told]  # as old files have it
