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

__all__ = ["COMMAND", "draw", "sentence", "titles"]

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
            command, images, whole = found["command"], int(found["n"]), found["complete"]
            steps, features = int(found["steps"]), str(found["features"])
    except (ValueError, OSError) as error:
        st.warning(f"{error} Regenerate it with `{COMMAND}`.", icon=":material/error:")
        return
    if not table:
        st.info("No sampling setting is complete yet: rerun the command to continue.")
        st.code(str(command), language="sh")
        return
    st.markdown(told)
    names, distances, errors = zip(*values, strict=True)
    about = [f"{name}: {bracketed(x, e)}" for name, x, e in values]
    fid, kid = titles(features)
    figure = figures.dots(names, distances, errors, about, fid)
    st.plotly_chart(
        figure, key="results-distances", config=plots.BAR, alt="FID of samples by guidance"
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={"way": st.column_config.TextColumn("drawn", pinned=True), "n": "images"}
        | columns("frechet", fid, "%.2f", "Lower is better; compares at equal numbers alone.")
        | columns("kernel", kid, "%.5f", "Unbiased: compares at any number of images.")
        | columns("named", "classified as asked", "%.3f", "By our own classifier."),
    )
    download(data, "distances", table)
    st.caption(
        f"`{found['model']}`, {found['process']}, {steps} steps; {images:,} samples of each way "
        f"against as many test images, features of {features.capitalize()}. A Fréchet distance is "
        "biased upwards by few images: *training images* in the place of samples show by how "
        f"much. The literature takes 50,000 and the training set. "
        f"{'' if whole else 'The study is not complete. '}`{command}`"
    )


def titles(features: str) -> tuple[str, str]:
    """Return what the two distances are called: FID and KID are those of Inception alone."""
    if features == "inception":
        return "FID", "KID"
    return "Fréchet, own features", "kernel, own features"


def sentence(found: Found) -> str:
    """Return the distances in words."""
    rows = found["rows"]
    fid, kid = titles(str(found["features"]))
    drawn = [row for row in rows if row["way"] != REAL]
    if not drawn:
        return ""
    parts = [
        f"{row['way']} **{_number(row['frechet'])}** ({kid} {_number(row['kernel'])})"
        for row in drawn
    ]
    floor = next((row for row in rows if row["way"] == REAL), None)
    of_real = "" if floor is None else f" Training images have {_number(floor['frechet'])}."
    return f"{fid} with {found['n']:,} samples: {joined(parts)}.{of_real}"


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
