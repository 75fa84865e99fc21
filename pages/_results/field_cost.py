"""What an independent field costs on lattices of many sizes: a part of the section on them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.provenance import download
from pages._results.studies import Found
from pages._results.titles import titled
from pages._shared import plots
from pages._shared.plots import Curve
from pages._shared.tables import bracketed

__all__ = ["FieldCost"]

MONTE_CARLO = {  # in the legend, colour and dash
    "hmc": ("HMC", plots.GREY, "solid"),
    "clusters": ("HMC with clusters", plots.GREY, "dash"),
}
WAYS: Mapping[str, tuple[str, str]] = {"drawn": ("drawn", "solid"), "chain": ("grown", "dot")}
COLORS = (plots.ORANGE, plots.BLUE, plots.GREEN, plots.PURPLE)  # of models, in turn


@dataclass(frozen=True, eq=False)
class FieldCost:
    """What is shown of the costs in a file of the study."""

    sentence: str
    curves: list[Curve]
    table: list[dict[str, Any]]

    @classmethod
    def of(cls, found: Found) -> "FieldCost":
        """Read the costs; all is empty where a study has none."""
        table = [
            {"L": row["size"], "how": _title(row), "processor seconds": row["seconds"]}
            | {"error": row.get("error")}
            for row in found.get("cost", [])
        ]
        return cls(_sentence(found), _curves(found), table) if table else cls("", [], [])

    def draw(self) -> None:
        """Draw the figure; nothing where the study has no costs."""
        if not self.table:
            return
        st.markdown(f"**Cost of an independent field**\n\n{self.sentence}")
        figure = figures.curves(
            self.curves, "L", "processor seconds", log_x=True, log_y=True, height=380
        )
        alt = "Processor seconds of an independent field against the size of the lattice"
        st.plotly_chart(figure, key="results-field-cost", config=plots.BAR, alt=alt)
        download("phi4", "field-cost", self.table)
        st.caption(
            "One thread. HMC: 2τ of |M| trajectories, without thermalization. Models: a field, "
            "without training and without the spectrum on its lattice, which is from HMC; grown "
            "fields begin with a field of HMC with clusters at 16×16, blocked to 8×8, and the "
            "octaves' costs add up. A model's fields are not exact (see the figures above), and "
            "no correction by weights or trajectories is counted here."
        )


def _sentence(found: Found) -> str:
    """Return how the ways compare on the largest lattice where all were measured."""
    for last in sorted({row["size"] for row in found["cost"]}, reverse=True):
        there = [row for row in found["cost"] if row["size"] == last]
        exact = {row["way"]: row for row in there if row["model"] is None}
        models = [row for row in there if row["model"] is not None]
        if models and set(exact) == set(MONTE_CARLO):
            best = min(models, key=lambda row: row["seconds"])
            parts = [_told(exact[way], float(best["seconds"])) for way in MONTE_CARLO]
            return (
                f"At {last}×{last} the cheapest way to draw fields from a model, *{_title(best)}*"
                f", costs **{plots.short(best['seconds'])} s** a field: {' and '.join(parts)}."
            )
    return "Models and Monte Carlo have not been timed on the same lattice yet."


def _told(row: Found, seconds: float) -> str:
    """Return how many times more or less than Monte Carlo a field costs."""
    ratio = seconds / float(row["seconds"])
    times, than = (ratio, "more") if ratio >= 1 else (1 / ratio, "less")
    exact = bracketed(float(row["seconds"]), float(row.get("error", 0.0)))
    return f"{float(f'{times:.2g}'):g} times {than} than {_title(row)} ({exact} s)"


def _curves(found: Found) -> list[Curve]:
    """Return the costs by size, Monte Carlo's first."""
    drawn = []
    for way, (title, color, dash) in MONTE_CARLO.items():
        drawn += _curve(found, way, None, title, color, dash)
    models = list(dict.fromkeys(row["model"] for row in found["cost"] if row["model"]))
    for model, color in zip(models, itertools.cycle(COLORS), strict=False):
        for way, (title, dash) in WAYS.items():
            drawn += _curve(found, way, model, f"{titled(model)}, {title}", color, dash)
    return drawn


def _curve(
    found: Found, way: str, model: str | None, title: str, color: str, dash: str
) -> list[Curve]:
    points = [
        (row["size"], row["seconds"], row.get("error", 0.0))
        for row in found["cost"]
        if (row["way"], row["model"]) == (way, model)
    ]
    if not points:
        return []
    sizes, seconds, errors = zip(*sorted(points), strict=True)
    return [Curve(title, sizes, seconds, color, dash, error=errors, joined=True)]


def _title(row: Found) -> str:
    if row["model"] is None:
        return MONTE_CARLO[row["way"]][0]
    return f"{titled(row['model'])}, {WAYS[row['way']][0]}"
