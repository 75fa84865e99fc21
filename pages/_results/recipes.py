"""The comparison of recipes for class-conditional models, from `rgdiff study recipe`."""

from typing import Any

import streamlit as st

from pages._results.provenance import columns, download, pair
from pages._results.studies import Found, data_of, folder
from rgdiff_core.files.stored import reading
from rgdiff_core.study.report import read_results

__all__ = ["draw", "rows"]

COMMAND = "rgdiff study recipe --data {}"


def draw(study: Found) -> None:
    """Draw the tables of a study's data set; where there are none, say what makes them."""
    data = data_of(study)
    path = folder() / f"recipe-{data}.json"
    if not path.is_file():
        st.info("Recipes have not been compared yet.", icon=":material/hourglass_empty:")
        st.code(COMMAND.format(data), language="sh")
        return
    try:
        with reading(path):
            found = rows(read_results(path))
    except (ValueError, OSError) as error:
        st.warning(
            f"{error} Regenerate it with `{COMMAND.format(data)}`.", icon=":material/error:"
        )
        return
    st.dataframe(
        found,
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={
            "recipe": st.column_config.TextColumn("recipe", pinned=True),
            "minutes": st.column_config.NumberColumn("core-minutes", format="%.1f"),
            "steps": st.column_config.NumberColumn("steps", format="localized"),
        }
        | columns("band", "bits/dim in the band", "%+.3f", "Added to the free theory's.")
        | columns("change", "less the first", "%+.3f", "In pairs of the same images.")
        | columns(
            "matched", "bits/dim, matched", "%.3f", "All bits, in matched noise behind a cutoff."
        )
        | columns("named", "named", "%.3f", "Share of samples whose class a classifier names.")
        | {"about": st.column_config.TextColumn("what it is", width="large")},
    )
    download(data, "recipes", found)
    st.caption(
        "Small class-conditional networks of equal processor time by a timing beforehand, one "
        "seed: bits per dimension that the network adds to the free theory where the data log-SNR "
        "is between −4 and 4, lower is better, and the share of samples at guidance 2 that a "
        "classifier names as the class asked for, both in white noise; with random processes also "
        "all bits in matched noise. Each budget is compared with its own first row; "
        "processor time depends on what else the machine does. "
        f"`{COMMAND.format(data)} --size small --core-minutes M --base RECIPE --arms …`"
    )


def rows(found: Found) -> list[dict[str, Any]]:
    """Return the table's rows, budget after budget and the base of each first."""
    return [
        {
            "recipe": arm["name"],
            "minutes": sum(arm["core_minutes"]) / len(arm["core_minutes"]),
            "steps": round(sum(arm["steps"]) / len(arm["steps"])),
        }
        | pair("band", arm["band"])
        | pair("change", arm["band_less_base"])
        | pair("matched", arm.get("matched_bits"))
        | pair("named", arm.get("named"))
        | {"about": arm["title"]}
        for budget in found["budgets"]
        for arm in budget["arms"]
    ]
