"""What a site of a larger lattice costs, for Gaussian data: a part of the section on them."""

from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.provenance import download
from pages._results.studies import Found, folder
from pages._shared import plots
from pages._shared.plots import Curve
from rgdiff_core.files.stored import reading
from rgdiff_core.study.report import read_results

__all__ = ["COMMAND", "draw", "sentence"]

FILE = "cost-gaussian.json"
COMMAND = "rgdiff study cost"
WAYS = {  # in the legend, colour and dash
    "white": ("white noise", plots.ORANGE, "solid"),
    "matched": ("matched noise", plots.BLUE, "solid"),
    "cutoff": ("matched noise behind a cutoff", plots.GREEN, "dash"),
    "octaves": ("octave by octave (Haar)", plots.PURPLE, "dot"),
}


def draw() -> None:
    """Draw the figure; where nothing was computed, say what does it."""
    st.markdown("**What a site costs, Gaussian data**")
    path = folder() / FILE
    if not path.is_file():
        st.info("This has not been computed yet. This does it, in seconds:")
        st.code(COMMAND, language="sh")
        return
    try:
        with reading(path):
            found = read_results(path)
            told, drawn, rows = sentence(found), _curves(found), _rows(found)
            bound, command = float(found["bound"]), str(found["command"])
            gamma, steps = float(found["gamma"]), int(found["steps"])
    except (ValueError, OSError) as error:
        st.warning(f"{error} Regenerate it with `{COMMAND}`.", icon=":material/error:")
        return
    st.markdown(told)
    figure = figures.curves(drawn, "L", "evaluations a site", log_x=True, height=330)
    st.plotly_chart(
        figure,
        key="results-cost",
        config=plots.BAR,
        alt="Evaluations of the network a site against the size of the lattice",
    )
    download("gaussian", "cost", rows)
    st.caption(
        "Free theory with a correlation length of L/2, in closed form: steps of DDIM until the KL "
        f"divergence a site is below {bound:g} nats, at equal steps of the log-SNR, of which "
        f"every component passes at least {gamma:g}. Octave by octave, details are drawn given "
        "the averages of their blocks, and a step at a coarser octave counts by its share of "
        f"the sites. The file also holds the divergence after {steps} steps. The samplers of the "
        "interaction picture are not shown: for Gaussian data they are exact in one step. "
        f"`{command}`"
    )


def sentence(found: Found) -> str:
    """Return how the cost changes from the smallest lattice to the largest."""
    cost = {(row["way"], row["size"]): float(row["evaluations"]) for row in found["rows"]}
    sizes = sorted({size for _, size in cost})
    first, last = sizes[0], sizes[-1]
    parts = []
    for way, (label, _, _) in WAYS.items():
        small, large = (f"{cost[way, size]:.0f}" for size in (first, last))
        parts.append(f"{label} **{large}**" + ("" if small == large else f" (from {small})"))
    ratio = cost["white", last] / cost["matched", last]
    return (
        f"Evaluations a site at {last}×{last}, and at {first}×{first} where that is another "
        f"number: {', '.join(parts)}. White noise pays for the logarithm of the loudest wave, and "
        f"costs {ratio:.2g} times what matched noise does in the end."
    )


def _curves(found: Found) -> list[Curve]:
    drawn = []
    for way, (label, color, dash) in WAYS.items():
        points = [(r["size"], r["evaluations"]) for r in found["rows"] if r["way"] == way]
        sizes, values = zip(*sorted(points), strict=True)
        drawn.append(Curve(label, sizes, values, color, dash, joined=True))
    return drawn


def _rows(found: Found) -> list[dict[str, Any]]:
    return [
        {
            "L": row["size"],
            "way": WAYS[row["way"]][0],
            "evaluations a site": row["evaluations"],
            "nats a site": row["kl_per_site"],
        }
        for row in found["rows"]
    ]
