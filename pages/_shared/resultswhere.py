"""What each arm gets wrong, by scale and noise level."""

from collections.abc import Sequence
from itertools import pairwise

import streamlit as st

from pages._shared import resultsplots
from pages._shared.resultsdata import Found
from pages._shared.resultsorigin import below
from rgdiff_core.study.verdict import worst_place

__all__ = ["draw", "edges", "levels"]

ACROSS = 3  # maps beside each other


def levels(bounds: Sequence[float]) -> list[str]:
    """Return the names of the bins that bounds of the log-SNR cut."""
    inner = [f"{a:g} … {b:g}" for a, b in pairwise(bounds)]
    return [text.replace("-", "−") for text in (f"< {bounds[0]:g}", *inner, f"> {bounds[-1]:g}")]


def edges(bounds: Sequence[float]) -> list[str]:
    """Return the names of the bins between bounds of the scale, the coarsest first."""
    return [f"{a:.2g}–{b:.2g}" for a, b in pairwise(bounds)]


def draw(study: Found) -> None:
    """Draw a map of each arm's distance over scale and log-SNR, and in words where most of it
    is.
    """
    st.caption(
        "KL(p‖q) in nats, by the scale of the components (0 the coarsest) and by how much signal "
        "is left in the noised field, the data's log-SNR. The numbers of a map add up to the "
        "arm's KL; those that are a little below zero are noise of the measurement."
    )
    columns, rows = levels(study["log_snr_edges"]), edges(study["scale_edges"])
    high = max(value for arm in study["arms"] for row in arm["table"] for value in row)
    arms = study["arms"]
    for start in range(0, len(arms), ACROSS):
        for place, arm in zip(st.columns(ACROSS), arms[start : start + ACROSS], strict=False):
            with place:
                figure = resultsplots.heat(
                    arm["table"],
                    columns,
                    rows,
                    "log-SNR",
                    "scale",
                    low=0.0,
                    high=high,
                    title=arm["title"],
                )
                st.plotly_chart(
                    figure,
                    key=f"results-where-{arm['name']}",
                    config=resultsplots.BAR,
                    alt=f"Distance by scale and log-SNR: {arm['title']}",
                )
                st.caption(_words(arm, columns, rows))
    below(
        study,
        "where",
        [
            {"arm": arm["title"], "scale": scale, "log_snr": level, "kl": value}
            for arm in arms
            for scale, row in zip(rows, arm["table"], strict=True)
            for level, value in zip(columns, row, strict=True)
        ],
        "run-ARM-SEED",
    )


def _words(arm: Found, columns: Sequence[str], rows: Sequence[str]) -> str:
    place = worst_place(arm["table"])
    if place is None:
        return "Within its noise the distance is zero."
    return (
        f"Most of it at scales {rows[place.band]} ({place.band_share:.0%}) and at log-SNR "
        f"{columns[place.level]} ({place.level_share:.0%})."
    )
