"""What each arm gets wrong, by scale and noise level."""

from collections.abc import Sequence
from itertools import pairwise

import streamlit as st

from pages._results import figures
from pages._results.provenance import below
from pages._results.studies import Found, label
from pages._shared import plots
from rgdiff_core.study.images.verdict import less
from rgdiff_core.study.lattice.verdict import worst_place

__all__ = ["draw", "edges", "images", "levels", "starts"]

ACROSS = 3  # maps beside each other
AXIS = "log-SNR, lower edge"
WAYS = {
    "Δ to standard": "Δ to standard",
    "gain": "Over free theory",
    "left": "Error left",
}
ABOUT = {
    "Δ to standard": "Bits/dim that a method needs more (red) or less (blue) than standard "
    "diffusion, by scale and by the data's log-SNR; they add up to the difference of the two.",
    "gain": "Bits/dim that the network adds to the free theory's (negative: saves), by scale and "
    "the data's log-SNR.",
    "left": "The network's squared error as a share of the free theory's, by scale and the "
    "data's log-SNR: 1 where it has learnt nothing.",
}

Table = list[list[float | None]]
"""Numbers by scale and, within, by log-SNR."""


def levels(bounds: Sequence[float]) -> list[str]:
    """Return the names of the bins that bounds of the log-SNR cut."""
    inner = [f"{a:g} … {b:g}" for a, b in pairwise(bounds)]
    return [text.replace("-", "−") for text in (f"< {bounds[0]:g}", *inner, f"> {bounds[-1]:g}")]


def starts(bounds: Sequence[float]) -> list[str]:
    """Return the same in short: where each bin begins."""
    return [text.replace("-", "−") for text in (f"< {bounds[0]:g}", *(f"{a:g}" for a in bounds))]


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
        "method's KL; those slightly below zero are statistical noise."
    )
    columns, rows = levels(study["log_snr_edges"]), edges(study["scale_edges"])
    arms = study["arms"]
    same = st.toggle(
        "The same colours in all maps",
        key="same",
        bind="query-params",
        help="Otherwise every map has its own range, as its colour bar shows.",
    )
    highest = {arm["name"]: max(map(max, arm["table"])) for arm in arms}
    high = max(highest.values())
    for start in range(0, len(arms), ACROSS):
        for place, arm in zip(st.columns(ACROSS), arms[start : start + ACROSS], strict=False):
            with place:
                figure = figures.heat(
                    arm["table"],
                    starts(study["log_snr_edges"]),
                    rows,
                    AXIS,
                    "scale",
                    low=0.0,
                    high=high if same else highest[arm["name"]],
                    title=arm["title"],
                )
                st.plotly_chart(
                    figure,
                    key=f"results-where-{arm['name']}",
                    config=plots.BAR,
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
        f"Largest shares: scales {rows[place.band]} ({place.band_share:.0%}), log-SNR "
        f"{columns[place.level]} ({place.level_share:.0%})."
    )


def images(study: Found, arms: Sequence[Found]) -> None:
    """Draw maps of bits by scale and log-SNR for the arms of images."""
    way = st.segmented_control(
        "Map",
        list(WAYS),
        default="Δ to standard",
        required=True,
        format_func=lambda each: WAYS[each],
    )
    base = next((arm for arm in study["arms"] if arm["name"] == study["baseline"]), None)
    shown = [(arm, table) for arm in arms if (table := _table(arm, base, way))]
    if not shown:
        st.info(
            "None of the methods chosen has this map: it needs the basis, the network and the "
            "budget of standard diffusion.",
            icon=":material/info:",
        )
        return
    st.caption(ABOUT[way])
    _maps(study, shown, way)
    columns, rows = levels(study["log_snr_edges"]), edges(study["scale_edges"])
    below(
        study,
        f"where-{way.replace(' ', '-')}",
        [
            {"arm": arm["name"], "scale": scale, "log_snr": level, "value": value}
            for arm, table in shown
            for scale, line in zip(rows, table, strict=True)
            for level, value in zip(columns, line, strict=True)
        ],
        "ARM.bits",
    )


def _maps(study: Found, shown: Sequence[tuple[Found, Table]], way: str) -> None:
    """Draw the maps of some arms, all with the same colours."""
    values = [v for _, table in shown for row in table for v in row if v is not None]
    most = max(map(abs, values))
    low, high = (0.0, min(most, 1.5)) if way == "left" else (-most, most)
    for start in range(0, len(shown), 2):
        for place, (arm, table) in zip(st.columns(2), shown[start : start + 2], strict=False):
            title = label(arm)
            figure = figures.heat(
                table,
                starts(study["log_snr_edges"]),
                edges(study["scale_edges"]),
                AXIS,
                "scale",
                low=low,
                high=high,
                title=title,
                unit="" if way == "left" else "bits/dim",
                signed=way != "left",
            )
            place.plotly_chart(
                figure,
                key=f"results-where-{arm['name']}",
                config=plots.BAR,
                alt=f"{WAYS[way]} by scale and log-SNR: {title}",
            )


def _table(arm: Found, base: Found | None, way: str) -> Table | None:
    """Return what a map shows of an arm, None where it has no such map."""
    if way in ("gain", "left"):
        return arm[way]
    if base is None or not arm["against_baseline"] or arm["basis"] != base["basis"]:
        return None
    return less(arm["gain"], base["gain"])
