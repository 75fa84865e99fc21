"""What a site of a larger lattice costs, for Gaussian data: a part of the section on them."""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.provenance import download
from pages._results.studies import Found, from_file
from pages._shared import plots
from pages._shared.plots import Curve

__all__ = ["COMMAND", "draw", "sentence"]

FILE = "cost-gaussian.json"
COMMAND = "rgdiff study cost"
WAYS = {  # in the legend, and colour
    "white": ("white noise", plots.BLUE),
    "matched": ("matched noise", plots.GREEN),
    "cutoff": ("matched noise with a cutoff schedule", plots.ORANGE),
    "octaves": ("octave by octave (Haar)", plots.PURPLE),
}
KINDS = {"best": "best steps", "logsnr": "equal steps of the log-SNR"}


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is shown of the file."""

    sentence: str
    table: list[dict[str, Any]]
    curves: dict[str, list[Curve]]
    top: float
    bound: float
    gamma: float
    command: str

    @classmethod
    def of(cls, found: Found) -> "_Parts":
        curves = {kind: _curves(found, kind) for kind in KINDS}
        top = 1.05 * max(float(row["evaluations"]) for row in found["rows"])
        numbers = top, float(found["bound"]), float(found["gamma"])
        return cls(sentence(found), _rows(found), curves, *numbers, str(found["command"]))


def draw() -> None:
    """Draw the figures; where nothing was computed, say what does it."""
    st.markdown("**Cost per site, Gaussian data**")
    missing = "This has not been computed yet. This does it, in a minute:"
    parts = from_file(FILE, COMMAND, missing, _Parts.of)
    if parts is None:
        return
    st.markdown(parts.sentence)
    for place, (kind, title) in zip(st.columns(len(KINDS)), KINDS.items(), strict=True):
        place.markdown(title[0].upper() + title[1:])
        figure = figures.curves(
            parts.curves[kind], "L", "evaluations per site", log_x=True, height=330
        )
        place.plotly_chart(
            figure.update_yaxes(range=[0, parts.top]),
            key=f"results-cost-{kind}",
            config=plots.BAR,
            alt=f"Network evaluations per site against the size of the lattice, {title}",
        )
    download("gaussian", "cost", parts.table)
    st.caption(
        "Free theory with a correlation length of L/2, in closed form: steps of DDIM until the KL "
        f"divergence per site is below {parts.bound:g} nats; every component passes at least "
        f"{parts.gamma:g} in the log-SNR. The best steps are those of the time grid "
        "*gaussian*. Octave by octave, details are drawn given the averages of their blocks, and "
        "a step at a coarser octave counts by its share of the sites. The samplers of the "
        "interaction picture are not shown: for Gaussian data they are exact in one step. "
        f"`{parts.command}`"
    )


def sentence(found: Found) -> str:
    """Return what the ways cost on the largest lattice, and on the smallest where that differs."""
    cost = {
        (row["way"], row["size"], row["steps"]): float(row["evaluations"]) for row in found["rows"]
    }
    sizes = sorted({size for _, size, _ in cost})
    first, last = sizes[0], sizes[-1]
    parts = []
    for kind, title in KINDS.items():
        told = []
        for way, (label, _) in WAYS.items():
            small, large = (f"{cost[way, size, kind]:.0f}" for size in (first, last))
            told.append(f"{label} **{large}**" + ("" if small == large else f" ({small})"))
        parts.append(f"at {title}, {', '.join(told)}")
    ratios = [cost["white", last, kind] / cost["matched", last, kind] for kind in KINDS]
    return (
        f"Network evaluations per site at {last}×{last}, in brackets at {first}×{first} where "
        f"that differs: {'; '.join(parts)}. White noise costs {ratios[1]:.2g} times what matched "
        f"noise does where steps are equal in the log-SNR, and {ratios[0]:.2g} times where they "
        "are best placed: most of the difference is due to the time grid."
    )


def _curves(found: Found, kind: str) -> list[Curve]:
    drawn = []
    for way, (label, color) in WAYS.items():
        points = [
            (row["size"], row["evaluations"])
            for row in found["rows"]
            if (row["way"], row["steps"]) == (way, kind)
        ]
        sizes, values = zip(*sorted(points), strict=True)
        drawn.append(Curve(label, sizes, values, color, joined=True))
    return drawn


def _rows(found: Found) -> list[dict[str, Any]]:
    return [
        {
            "L": row["size"],
            "way": WAYS[row["way"]][0],
            "steps": KINDS[row["steps"]],
            "evaluations per site": row["evaluations"],
        }
        for row in found["rows"]
    ]
