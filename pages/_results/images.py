"""Pictures, spectra and softness of the CIFAR-10 section."""

from collections.abc import Sequence

import streamlit as st
from PIL import Image

from pages._results import figures, studies
from pages._results.provenance import below
from pages._results.studies import Found, label
from pages._shared import plots
from pages._shared.plots import Curve
from pages._shared.tables import columns, pair, table
from rgdiff_core.study.images.verdict import frechet_name

__all__ = ["ablation", "pictures", "softness", "spectra"]

ACROSS, ENLARGED = 3, 2  # pictures beside each other; pixels of the screen for one of theirs
DASHES = ("solid", "dash", "dot")
SCAN_COLORS = {"White": (plots.BLUE, "dash"), "Matched": (plots.ORANGE, "solid")}


def pictures(study: Found, arms: Sequence[Found]) -> None:
    """Draw the first samples of each arm beside real images."""
    known = {row["arm"]: row for row in study["pictures"]}
    wanted = [("floor", "real images"), *((arm["name"], label(arm)) for arm in arms)]
    there = [(known[name], title) for name, title in wanted if name in known]
    if not there:
        st.info("No pictures were kept.", icon=":material/hourglass_empty:")
        return
    for start in range(0, len(there), ACROSS):
        some = there[start : start + ACROSS]
        for place, (row, title) in zip(st.columns(ACROSS), some, strict=False):
            steps = f", {row['nfe']} steps" if row["nfe"] else ""
            with place:
                _picture(row["file"], f"{title}{steps}")
    st.caption("The first samples, uncurated, with the same seeds for every method.")
    rows = [{"arm": row["arm"], "steps": row["nfe"], "file": row["file"]} for row, _ in there]
    below(study, "pictures", rows, "ARM.samples-STEPS")


def _picture(file: str, caption: str) -> None:
    path = (studies.folder() / file).resolve()
    try:
        if not path.is_relative_to(studies.folder().resolve()):
            raise ValueError(f"{file[:80]} is outside of the folder of results.")
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError) as error:
        st.warning(f"{caption}: {str(error)[:200]}", icon=":material/broken_image:")
        return
    larger = image.resize(
        (ENLARGED * image.width, ENLARGED * image.height), Image.Resampling.NEAREST
    )
    st.image(larger, caption=caption, width="stretch", alt=caption)


def spectra(study: Found, nfe: int | None, arms: Sequence[Found]) -> None:
    """Draw by how much the samples' power is off the data's, by scale."""
    drawn, rows = [], []
    for arm, look in zip(arms, figures.looks(arms), strict=True):
        found = next((row for row in arm["samples"] if row["nfe"] == nfe), None)
        if found:
            drawn.append(_ratio(label(arm), found["spectrum"], *look))
    if study["floor"]:
        drawn.append(_ratio("real images", study["floor"]["spectrum"], figures.REAL, "solid"))
    if not drawn:
        st.info("No samples have been drawn yet.", icon=":material/hourglass_empty:")
        return
    figure = figures.curves(
        drawn, "scale, 0 the coarsest", "relative power − 1", level=0.0, height=460
    )
    st.plotly_chart(
        figure, key="results-spectra", config=plots.BAR, alt="Power of samples by scale"
    )
    st.caption(
        f"Samples in {nfe} steps against test images, by shells of |k|. Below zero at the right: "
        "too smooth; above: noisy."
    )
    for curve in drawn:
        for x, y, error in zip(curve.x, curve.y, curve.error or (), strict=False):
            rows.append({"arm": curve.label, "scale": x, "relative": y, "relative_error": error})
    below(study, "spectra", rows, f"ARM.samples-{nfe}")


def _ratio(title: str, spectrum: Found, color: str, dash: str) -> Curve:
    x, y, error = (spectrum[name] for name in ("scale", "relative", "error"))
    return Curve(title, x, y, color, dash, error=error, joined=True)


def softness(study: Found) -> None:
    """Draw bits and Fréchet distance against softness, on twin panels for each scan."""
    scans = [scan for scan in study["scans"] if scan["rows"]]
    if not scans:
        st.info("No softness was scanned.", icon=":material/hourglass_empty:")
        return
    metrics = [name for name in ("bits", frechet_name(study)) if name]
    rows = []
    for scan in scans:
        st.markdown(f"**{scan['title']}**")
        for place, metric in zip(st.columns(2), metrics, strict=False):
            drawn = [
                curve
                for color, look in SCAN_COLORS.items()
                if (curve := _scanned(scan["rows"], color, metric, look))
            ]
            if drawn:
                name = scan["name"]
                title = study["metrics"][metric]["title"]
                figure = figures.curves(drawn, scan["axis"], title, log_x=True, height=360)
                place.plotly_chart(
                    figure,
                    key=f"results-{name}-{metric}",
                    config=plots.BAR,
                    alt=f"{scan['title']}: {title}",
                )
        rows += [
            {"scan": scan["name"], "noise": row["color"], "softness": row["softness"]}
            | {k: v for m in metrics for k, v in pair(m, row["metrics"].get(m)).items()}
            for row in scan["rows"]
        ]
    st.caption(
        "From soft at the right, where all components are noised at the same time, to hard at "
        "the left, one after another. By variance, standard diffusion is the softest with white "
        "noise, and softness 1 with matched noise. The bars of bits are those of the difference "
        "to white noise at the softest, image by image."
    )
    below(study, "softness", rows, "ARM.bits, ARM.samples-STEPS")


def _scanned(
    rows: Sequence[Found], color: str, metric: str, look: tuple[str, str]
) -> Curve | None:
    mine = [row for row in rows if row["color"] == color and metric in row["metrics"]]
    mine.sort(key=lambda row: row["softness"])
    if not mine:
        return None
    found = [row["metrics"][metric] for row in mine]
    return Curve(
        f"{color.lower()} noise",
        [row["softness"] for row in mine],
        [number["value"] for number in found],
        *look,
        error=[_error(row, metric) for row in mine],
        joined=True,
    )


def _error(row: Found, metric: str) -> float:
    """Return an error to compare rows by: that of the paired difference where there is one."""
    paired = (row.get("against_standard") or {}).get(metric)
    return (paired or row["metrics"][metric])["error"] or 0.0


def ablation(study: Found) -> None:
    """Draw bits against training steps, from standard diffusion to ours."""
    found = studies.ablation(studies.data_of(study))
    if found is None:
        st.info("The ablation has not been run. This runs it:", icon=":material/info:")
        st.code("rgdiff study ablation", language="sh")
        return
    seeds = len(found["seeds"])
    errors_are = (
        f"Means and standard errors over {seeds} seeds; the images are the same for all."
        if seeds > 1
        else "One seed. Errors are over images, which are the same for all, so that differences "
        "are known far better."
    )
    st.caption(
        "Small networks with one budget; bits/dim, a bound on held-out images, of the averaged "
        f"weights on the way. {errors_are}"
    )
    steps, rows, drawn = found["models"], [], []
    for number, (entry, color) in enumerate(zip(steps, plots.ramp(len(steps)), strict=True), 1):
        points = entry["points"]
        title = f"{number}. {entry['title']}"
        values, errors = ([p["bits"][k] for p in points] for k in ("value", "error"))
        at = [point["step"] for point in points]
        bars = errors if seeds > 1 else None
        dash = DASHES[number % 3]
        drawn.append(Curve(title, at, values, color, dash, error=bars, joined=True))
        rows += [
            {
                "#": number,
                "model": entry["title"],
                "step": step,
                "bits": value,
                "bits_error": error,
                "less_first": (point.get("less_first") or {}).get("value"),
                "less_first_error": (point.get("less_first") or {}).get("error"),
            }
            for step, value, error, point in zip(at, values, errors, points, strict=True)
        ]
    figure = figures.curves(drawn, "training steps", "bits/dim (upper bound)", height=480)
    st.plotly_chart(
        figure, key="results-image-ablation", config=plots.BAR, alt="Bits along the ablation"
    )
    if seeds > 1:
        _differences(steps)
    own = {**study, "arms": [{"seeds": found["seeds"]}], "models": []}
    below(own, "ablation", rows, "DATA-MODEL-SEED")
    st.caption(f"`{found['command']}`")


def _differences(steps: Sequence[Found]) -> None:
    """Show what each model of the ablation has more than the first, at the points on the way."""
    rows, told = [], {}
    for number, entry in enumerate(steps[1:], 2):
        row = {"model": f"{number}. {entry['title']}"}
        for point in entry["points"]:
            found, at = point.get("less_first"), f"{point['step']:,} steps"
            if found and found["error"] is not None:
                row |= pair(at, found)
                told |= columns(at, at, "%+.4f")
        rows.append(row)
    table(rows, told)
    st.caption("Bits/dim minus those of the first model, in pairs of the same seed.")
