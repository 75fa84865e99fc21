"""The record of the search, and the map of component-wise schedules."""

import streamlit as st

from pages._results import figures
from pages._results.provenance import below
from pages._results.studies import Found
from pages._shared import plots
from pages._shared.tables import columns, pair, table

__all__ = ["schedule_scan", "search"]

NONE = "–"  # of a kernel without a number


def schedule_scan(study: Found) -> None:
    """Draw KL over kernel and width, one map for each colour of the noise."""
    found = study["schedule_scan"]
    if not found:
        st.info("The map of schedules has not been run for this theory.", icon=":material/info:")
        return
    st.caption(
        "What the component-wise schedule does: KL(p‖q) in nats after short trainings, one seed "
        "each, for every kernel of the cutoff and its one number: width of the sigmoid, order of "
        "Butterworth, softness. Nothing but the noise and the schedule differs between cells."
    )
    kernels = list(dict.fromkeys(row["kernel"] for row in found))
    numbers = sorted({row["number"] for row in found if row["number"] is not None})
    lines = [f"{number:g}" for number in numbers]
    lines += [NONE] if any(row["number"] is None for row in found) else []
    values = [row["kl"]["value"] for row in found]
    colors = list(dict.fromkeys(row["color"] for row in found))
    for place, color in zip(st.columns(len(colors)), colors, strict=True):
        cells = {
            (row["kernel"], NONE if row["number"] is None else f"{row['number']:g}"): row["kl"]
            for row in found
            if row["color"] == color
        }
        figure = figures.heat(
            [[cells.get((kernel, line), {}).get("value") for kernel in kernels] for line in lines],
            [kernel.replace(" conditioning by variance", "") for kernel in kernels],
            lines,
            "",
            "width, order or softness",
            low=min(values),
            high=max(values),
            title=f"{color} noise",
            written=True,
        )
        place.plotly_chart(
            figure,
            key=f"results-map-{color}",
            config=plots.BAR,
            alt=f"KL by kernel and number, {color} noise",
        )
    best = min(found, key=lambda row: row["kl"]["value"])
    number = "" if best["number"] is None else f" {best['number']:g}"
    st.caption(
        f"The lowest: {best['color']} noise, {best['kernel']}{number}. Errors over the held-out "
        f"fields are {min(r['kl']['error'] for r in found):.2g} to "
        f"{max(r['kl']['error'] for r in found):.2g} nats; those of a training's seed come on top."
    )
    rows = [
        {"noise": row["color"], "kernel": row["kernel"], "number": row["number"]}
        | pair("kl", row["kl"])
        for row in found
    ]
    below(study, "map", rows, "schedule_scan-COLOUR-NUMBER")


def search(study: Found) -> None:
    """Draw what the search tried in each arm, and what it chose."""
    titles = {arm["name"]: arm["title"] for arm in study["arms"]}
    rows = [
        {
            "arm": titles.get(row["arm"], row["arm"]),
            "schedule": row["schedule"],
            "lr": row["lr"],
            "steps": row["steps"],
        }
        | pair("kl", row["kl"])
        | {"chosen": row["chosen"], "seconds": row["seconds"]}
        for row in study["search"]
    ]
    with st.expander(f"The record of the search: {len(rows)} trials", icon=":material/search:"):
        st.caption(
            "Alike for every method: as many schedules at one learning rate, the best of them at "
            "the others, then the best few for longer, of which the best is taken. All are "
            "evaluated on validation fields not used in the tables above."
        )
        table(
            rows,
            {
                "arm": st.column_config.TextColumn("method"),
                **columns("kl", "KL(p‖q), nats"),
                "lr": st.column_config.NumberColumn("learning rate", format="%g"),
                "seconds": st.column_config.NumberColumn(format="%.1f"),
            },
        )
        below(study, "search", rows, "search-ARM-SCHEDULE-RATE")
