"""Inception distances of samples by guidance, from `rgdiff study distances`."""

from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.headline import joined
from pages._results.provenance import bracketed, columns, download, pair
from pages._results.studies import Found, data_of, folder
from pages._shared import plots
from rgdiff_core.files.stored import reading
from rgdiff_core.study.images.distances import REAL
from rgdiff_core.study.report import read_results

__all__ = ["COMMAND", "draw", "sentence"]

COMMAND = "rgdiff study distances"


def draw(study: Found) -> None:
    """Draw the figure and the table; where there are none, say what makes them."""
    data = data_of(study)
    path = folder() / f"distances-{data}.json"
    if not path.is_file():
        st.info("Distances have not been measured yet.", icon=":material/hourglass_empty:")
        st.code(COMMAND, language="sh")
        return
    try:
        with reading(path):
            found = read_results(path)
            table, told = _table(found), sentence(found)
            values = [(row["way"], row["frechet"], row["frechet_error"]) for row in table]
            command, images = str(found["command"]), int(found["n"])
            steps, features = int(found["steps"]), str(found["features"])
    except (ValueError, OSError) as error:
        st.warning(f"{error} Regenerate it with `{COMMAND}`.", icon=":material/error:")
        return
    if not table:
        st.info("No way to draw samples has been measured to its end yet.")
        return
    st.markdown(told)
    names, distances, errors = zip(*values, strict=True)
    about = [f"{name}: {bracketed(x, e)}" for name, x, e in values]
    figure = figures.dots(names, distances, errors, about, "Fréchet distance (FID)")
    st.plotly_chart(
        figure, key="results-distances", config=plots.BAR, alt="FID of samples by guidance"
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={"way": st.column_config.TextColumn("drawn", pinned=True), "n": "images"}
        | columns("frechet", "FID", "%.2f", "Lower is better; compares at equal numbers alone.")
        | columns("kernel", "KID", "%.5f", "Unbiased: compares at any number of images.")
        | columns("named", "share named", "%.3f", "By our own classifier, as the class asked."),
    )
    download(data, "distances", table)
    st.caption(
        f"`{found['model']}`, {found['process']}, {steps} steps; {images:,} samples of each way "
        f"against as many test images, features of {features.capitalize()}. A Fréchet distance is "
        "biased upwards by few images: *training images* in the place of samples show by how "
        f"much. The literature takes 50,000 and the training set. `{command}`"
    )


def sentence(found: Found) -> str:
    """Return the distances in words."""
    rows = found["rows"]
    drawn = [row for row in rows if row["way"] != REAL]
    if not drawn:
        return ""
    parts = [
        f"{row['way']} **{_number(row['frechet'])}** (KID {_number(row['kernel'])})"
        for row in drawn
    ]
    floor = next((row for row in rows if row["way"] == REAL), None)
    of_real = "" if floor is None else f" Training images have {_number(floor['frechet'])}."
    return f"FID with {found['n']:,} samples: {joined(parts)}.{of_real}"


def _number(each: Found) -> str:
    return bracketed(float(each["value"]), float(each["error"]))


def _table(found: Found) -> list[dict[str, Any]]:
    return [
        {"way": str(row["way"]), "n": int(row["n"])}
        | pair("frechet", row["frechet"])
        | pair("kernel", row["kernel"])
        | pair("named", row["named"])
        for row in found["rows"]
    ]
