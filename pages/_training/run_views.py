"""A run as it goes: where it stands, its curves, its samples."""

import html
import time
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages._sampling.models import has_model
from pages._shared import cache, comparisons, pictures, plots
from pages._shared.plots import Curve
from rgdiff_core.data import DataUnavailable, ImageSet, is_lattice, line_of
from rgdiff_core.spec import to_dict
from rgdiff_core.terminal import duration
from rgdiff_core.training import runs
from rgdiff_core.training.runs import Run

__all__ = ["COLORS", "ICONS", "comparison", "live", "points", "word"]

ICONS: Mapping[str, str] = {
    "queued": ":material/schedule:",
    "running": ":material/play_circle:",
    "paused": ":material/pause_circle:",
    "cancelled": ":material/cancel:",
    "finished": ":material/check_circle:",
    "failed": ":material/error:",
    "lost": ":material/help:",
}
COLORS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE)
GAIN = "gain over the Gaussian × 1000"
ABOUT = (
    "The loss is 1 for the free theory, on average. What the network has learnt is its small "
    "**gain** over that Gaussian: 0 is the Gaussian score, and higher is better."
)
COLUMNS = 8
MAX_POINTS = 1000  # of a curve on the screen
STOPPING = {"pause": "Pausing", "cancel": "Cancelling"}


def word(run: Run) -> str:
    """Return where a run stands, in one word."""
    return asked(run).lower() if run.active and run.stopping else run.state


def asked(run: Run) -> str:
    """Return what a run that has been asked to stop does."""
    return STOPPING.get(run.request, "Stopping")


def live(run: Run) -> None:
    """Draw a run; while it is active, refresh it every second."""
    interval = 1.0 if run.active else None
    st.fragment(_live, run_every=interval)(run.id, run.state, has_model(run.id))


def _live(run_id: str, state: str, had_model: bool) -> None:
    try:
        runs.pump()
        run = runs.get(run_id)
    except (ValueError, OSError) as error:
        st.warning(str(error), icon=":material/info:")
        return
    if run.state != state or has_model(run_id) != had_model:
        st.rerun()  # other buttons, something to sample from; no timer where nothing happens
    for text in run.problems:
        st.warning(text, icon=":material/error:")
    _standing(run)
    if run.missing:
        return
    training, held_out = points(run_id)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _curves(training, held_out)
    with right:
        _samples(run)


def points(run_id: str) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return a run's points of training and of held-out data; only what is new is read."""
    store = st.session_state.setdefault("training-points", {})
    rows, offset = store.get(run_id, ([], 0))
    new, after = runs.history(run_id, offset)
    rows = rows + new if after >= offset else new
    store[run_id] = (rows, after)
    return runs.curves(rows)


def _standing(run: Run) -> None:
    status, now = run.status, run.state
    stopping = f"{asked(run)} …" if run.stopping else ""
    if run.missing:
        st.warning("The folder of this run has been deleted.", icon=":material/folder_off:")
        return
    if now == "queued":
        st.info(run.message or "Waiting for its turn.", icon=ICONS[now])
        return
    if status is None:
        if now == "running":
            st.progress(0.0, stopping or "Starting: libraries and data are loaded …")
        return
    share = min(1.0, status.step / max(1, status.steps))
    text = f"Step {status.step:,} of {status.steps:,}"
    if now == "running":
        words = stopping or status.message
        if status.eta_s is not None:
            words = words or f"{duration(status.eta_s)} left"
        text = " · ".join(filter(None, (text, words or "Starting …")))
        if status.images_per_s:
            lattice = run.config is not None and is_lattice(run.config.data)
            pictures = "fields" if lattice else "images"
            text += f" · {status.images_per_s:,.0f} {pictures}/s on {status.device}"
        if time.time() - status.updated > 30:
            text += f" · no update for {duration(time.time() - status.updated)}"
    else:
        text = f"{now.capitalize()} · {text} · {duration(status.elapsed_s)}"
    st.progress(share, text)
    message = run.message or status.message
    if message and now in ("failed", "lost", "cancelled"):
        st.error(message, icon=ICONS[now])


def _curves(training: Sequence[Mapping[str, Any]], held_out: Sequence[Mapping[str, Any]]) -> None:
    st.caption(ABOUT)
    if not training:
        st.caption("The curves begin after the first steps.")
        return
    view = st.segmented_control(
        "Curves",
        ["All scales", "Scale by scale", "Loss"],
        default="All scales",
        required=True,
        key="training-curves",
        help="The gain, in all or in eight bands from the coarsest to the finest; or the loss "
        "that is minimized, with its weights.",
    )
    title = "loss" if view == "Loss" else GAIN
    if view == "Loss":
        curves = [_curve("loss", training, plots.BLUE, "loss", 1.0)]
    elif view == "All scales":
        curves = [_curve("training", training, plots.BLUE), *_held_out(held_out, plots.ORANGE)]
    else:
        curves = _by_scale(training)
    alt = "Loss" if view == "Loss" else f"Gain, {view.lower()}"
    figure = plots.lines(curves, "step", title)
    if view == "Loss":
        figure.layout.shapes = ()  # from the line at zero it would hardly move
    st.plotly_chart(figure, key="training-figure", config=plots.BAR, alt=alt)


def _curve(
    label: str,
    rows: Sequence[Mapping[str, Any]],
    color: str,
    name: str = "gain",
    factor: float = 1000.0,
) -> Curve:
    rows = rows[:: -(-len(rows) // MAX_POINTS)]
    x = [row["step"] for row in rows]
    y = [None if row[name] is None else factor * row[name] for row in rows]
    return Curve(label, x, y, color)


def _held_out(rows: Sequence[Mapping[str, Any]], color: str) -> list[Curve]:
    if not rows:
        return []
    values = [row["held_out"] for row in rows]
    return [
        Curve(
            "validation (EMA weights)",
            [row["step"] for row in rows],
            [1000 * value["gain"] for value in values],
            color,
            points=True,
            error=[1000 * (value["gain_error"] or 0.0) for value in values],
        )
    ]


def _by_scale(rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    rows = rows[:: -(-len(rows) // MAX_POINTS)]
    bands = range(len(rows[-1]["by_scale"]))
    rows = [row for row in rows if len(row["by_scale"]) == len(bands)]
    used = [b for b in bands if any(row["by_scale"][b] is not None for row in rows)]
    curves = []
    for band, color in zip(used, plots.ramp(len(used)), strict=True):
        y = [1000 * (row["by_scale"][band] or 0.0) for row in rows]
        label = f"scale {band / len(bands):.2g}–{(band + 1) / len(bands):.2g}"
        label += {used[0]: ", coarsest", used[-1]: ", finest"}.get(band, "")
        curves.append(Curve(label, [row["step"] for row in rows], y, color, width=1.5))
    return curves


def source_of(run: Run) -> ImageSet | None:
    """Return some of the data that a run learns from, None where they are not available."""
    if run.config is None or not cache.has(run.config.data):
        return None
    try:
        line = line_of(run.config.data)
        if run.config.coupling_conditional and line is not None:
            return cache.fields(run.config.data, *line.middle)  # where its samples are drawn
        return cache.images(run.config.data)
    except (ValueError, OSError, DataUnavailable):
        return None


def _samples(run: Run) -> None:
    steps = runs.sample_steps(run.id)
    if not steps:
        st.caption("Samples appear here as it trains.")
        return
    key = f"training-at-{run.id}"
    latest = "latest"
    options = [*steps, latest]
    chosen = st.select_slider(
        "Samples at step",
        options,
        value=latest,
        key=key,
        help="Drawn with the averaged weights and the same noise every time.",
    )
    source = source_of(run)
    if source is None:
        st.caption("These samples can't be shown: their data set is not on this machine.")
        return
    try:
        drawn = runs.samples(run.id, chosen if isinstance(chosen, int) else steps[-1])
    except ValueError as error:
        st.warning(str(error), icon=":material/error:")
        return
    if drawn is None:
        return
    if drawn.images.shape[1:] != source.images.shape[1:]:
        shape = tuple(drawn.images.shape[1:])
        st.warning(f"The samples of step {drawn.step} have shape {shape}, not that of the data.")
        return
    show(drawn.images, source, f"Samples of the model at step {drawn.step:,}")
    show(source.images[: len(drawn.images)], source, "Data")
    if is_lattice(source.name):
        groups = [comparisons.Samples("Samples", drawn.images, plots.ORANGE)]
        comparisons.distribution(groups, source.images, f"training-distribution-{run.id}")
        st.caption(
            "Samples turn into the data while it trains: the magnetization of "
            f"{len(drawn.images)} samples, with the data's distribution behind them."
        )


def show(images: Any, source: ImageSet, caption: str) -> None:
    """Draw fields (n, C, H, W) as one picture, in the data's range of colours."""
    scale = max(1, 96 // images.shape[-1])
    picture = pictures.grid(images, source, columns=COLUMNS, scale=scale)
    st.image(picture, caption=caption, width="stretch", alt=caption)


def comparison(chosen: Sequence[Run]) -> None:
    """Draw the curves of several runs on the same axes, and what differs between them."""
    curves = []
    for run, color in zip(chosen, COLORS, strict=False):
        training, held_out = points(run.id)
        title = html.escape(run.title)  # Plotly reads tags
        if training:
            curves.append(_curve(title, training, color))
        for curve in _held_out(held_out, color):
            curves.append(Curve(f"{title}, validation", **_rest(curve)))
    if curves:
        figure = plots.lines(curves, "step", GAIN, height=380)
        st.plotly_chart(figure, key="training-comparison", config=plots.BAR, alt="Runs compared")
    table = _differing(chosen)
    if table:
        st.caption("What differs between their configs:")
        st.table(table)


def _differing(chosen: Sequence[Run]) -> list[dict[str, str]]:
    """Return a line for each number of the configs that is not the same in all of them."""
    flat = [_flat(to_dict(run.config)) if run.config else {} for run in chosen]
    names = dict.fromkeys(name for each in flat for name in each)
    lines = []
    for name in names:
        values = [each.get(name, "–") for each in flat]
        if len(set(values)) > 1:
            titles = (f"{i} · {run.title}" for i, run in enumerate(chosen, 1))
            lines.append({"setting": name} | dict(zip(titles, values, strict=True)))
    return lines


def _flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as one table: {"model.network.width": "16", …}."""
    found: dict[str, str] = {}
    for name, value in spec.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def _rest(curve: Curve) -> dict[str, Any]:
    return {"x": curve.x, "y": curve.y, "color": curve.color, "points": True, "error": curve.error}
