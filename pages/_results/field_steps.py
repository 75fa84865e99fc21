"""Evaluations a site at equal accuracy: a part of the section on larger lattices."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.headline import joined
from pages._results.provenance import download
from pages._results.studies import Found
from pages._results.titles import titled
from pages._shared import plots
from pages._shared.plots import Curve
from rgdiff_core.study.lattice.sizes_steps import BOUND, MOST

__all__ = ["FieldSteps"]

WAYS: Mapping[str, tuple[str, str]] = {  # in the legend, and colour
    "white": ("white noise", plots.BLUE),
    "matched": ("matched noise", plots.GREEN),
    "white, cutoff": ("white noise with a cutoff schedule", plots.GREY),
    "matched, cutoff": ("matched noise with a cutoff schedule", plots.ORANGE),
    "chain": ("grown octave by octave", plots.PURPLE),
}
DASHES = ("solid", "dot", "dash", "dashdot")  # of models, in turn


@dataclass(frozen=True, eq=False)
class FieldSteps:
    """What is shown of the evaluations in a file of the study."""

    sentence: str
    curves: list[Curve]
    table: list[dict[str, Any]]

    @classmethod
    def of(cls, found: Found) -> "FieldSteps":
        """Read the evaluations; all is empty where a study has none."""
        rows = [row for row in found.get("steps", []) if row["way"] in WAYS]
        models = list(dict.fromkeys(row["model"] for row in rows))
        dashes = dict(zip(models, itertools.cycle(DASHES), strict=False))
        curves = [
            curve
            for model, (way, (title, color)) in itertools.product(models, WAYS.items())
            for curve in _curve(rows, model, way, title, (color, dashes[model]))
        ]
        table = [
            {"model": titled(row["model"]), "L": row["size"], "way": WAYS[row["way"]][0]}
            | {"grid": row["grid"], "evaluations per site": row["enough"]}
            for row in rows
        ]
        return cls(_sentence(rows), curves, table)

    def draw(self) -> None:
        """Draw the figure; nothing where the study has no evaluations."""
        if not self.table:
            return
        st.markdown(f"**Cost per site, networks**\n\n{self.sentence}")
        figure = figures.curves(self.curves, "L", "evaluations per site", log_x=True, height=380)
        alt = "Network evaluations per site at equal accuracy against the size of the lattice"
        st.plotly_chart(
            figure.update_yaxes(rangemode="tozero"),
            key="results-field-steps",
            config=plots.BAR,
            alt=alt,
        )
        download("phi4", "field-steps", self.table)
        st.caption(
            f"The fewest steps from which ⟨φ²⟩, the energy and χ stay within {100 * BOUND:g} % of "
            f"those of {MOST} steps from the same noise: this is the sampler's error, not the "
            "network's. Between the numbers that were tried, the error is assumed to follow a "
            "power law in the number of steps. Sampler of the interaction picture, on the better "
            "of two time grids, *uniform* and *gaussian*. Octave by octave: the sum over the "
            "octaves from 8×8 on, each with its share of the sites; networks of different models "
            "cost differently."
        )


def _sentence(rows: list[Found]) -> str:
    """Return what the ways take on the largest lattice, and on the smallest they were tried on."""
    told = []
    for key in dict.fromkeys((row["model"], row["way"]) for row in rows):
        there = {
            row["size"]: row["enough"]
            for row in rows
            if (row["model"], row["way"]) == key and row["enough"] is not None
        }
        if there:
            first, last = min(there), max(there)
            text = f"{titled(key[0])}, {WAYS[key[1]][0]}, **{there[last]:.2g}** at {last}×{last}"
            told.append(
                text + (f" ({there[first]:.2g} at {first}×{first})" if first < last else "")
            )
    return f"Network evaluations per site: {joined(told)}." if told else ""


def _curve(
    rows: list[Found], model: str, way: str, title: str, look: tuple[str, str]
) -> list[Curve]:
    points = [
        (row["size"], row["enough"])
        for row in rows
        if (row["model"], row["way"]) == (model, way) and row["enough"] is not None
    ]
    if not points:
        return []
    sizes, values = zip(*sorted(points), strict=True)
    return [Curve(f"{titled(model)}, {title}", sizes, values, *look, joined=True)]
