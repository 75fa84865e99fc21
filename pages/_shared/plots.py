"""Values to figures: nothing is computed here, and nothing is known of torch."""

import base64
import csv
import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

# Plotly uses pandas where it is loaded; a thread that is still importing it would show it
# half of it. From here on it is whole.
import pandas  # noqa: F401
import plotly.graph_objects as go
import streamlit as st
from PIL import Image
from plotly.colors import sample_colorscale

__all__ = [
    "BAR",
    "BLUE",
    "Curve",
    "GREEN",
    "GREY",
    "MOMENTUM",
    "ORANGE",
    "PURPLE",
    "add_ratios",
    "band",
    "bracketed",
    "draw",
    "forest",
    "histogram",
    "in_brackets",
    "log_ticks",
    "lines",
    "log_log",
    "ramp",
    "short",
    "table",
    "tiles",
    "trace",
]

# Okabe and Ito's colours, which colour-blind people tell apart, at a lightness that stands out
# from both a white and a dark page; dashes say the same once more.
GREEN, ORANGE, BLUE, PURPLE, GREY = "#009e73", "#d9641e", "#2c8fd1", "#c3699b", "#8a8f9c"
HEIGHT = 430  # of a figure, in pixels
MARGIN = 1.12  # left and right of logarithmic axes
TILE = 80  # of a small picture
BAR = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}  # of a figure

_FLAT: Mapping[str, Any] = {
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "hovermode": "x unified",
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    "uirevision": "lines",
}

Values = Any  # what NumPy makes an array of (n,), tensors too


@dataclass(frozen=True, eq=False)
class Curve:
    """A line, or points where there are error bars.

    Attributes:
        label: The entry in the legend.
        x: (n,); x = 0 is drawn at the left edge, under a tick labelled 0.
        y: (n,), above 0.
        color: One of this module's.
        dash: "solid", "dash", "dot" or "dashdot".
        width: Of the line, in pixels.
        points: Draw points instead of a line.
        error: (n,), half the length of the error bars.
        low: (n,), the lower edge of a shaded band.
        high: (n,), its upper edge.
        joined: Points, and a line through them.
    """

    label: str
    x: Values
    y: Values
    color: str
    dash: str = "solid"
    width: float = 2.0
    points: bool = False
    error: Values | None = None
    low: Values | None = None
    high: Values | None = None
    joined: bool = False


class WithError(Protocol):
    """A value with an error."""

    @property
    def value(self) -> float: ...

    @property
    def error(self) -> float: ...


def log_log(curves: Sequence[Curve], x_title: str, y_title: str) -> go.Figure:
    """Draw curves on logarithmic axes, with a place for x = 0 left of the smallest x."""
    every = np.concatenate([np.asarray(curve.x, dtype=float) for curve in curves])
    positive = every[every > 0]
    least = float(positive.min()) if len(positive) else 1.0
    most = float(positive.max()) if len(positive) else 1.0
    zero = least / 2
    figure = go.Figure()
    for curve in curves:
        x = _with_zero(curve, zero)
        if curve.low is not None and curve.high is not None:
            figure.add_trace(band(curve, x))
        figure.add_trace(trace(curve, x))
    ticks, texts = log_ticks(least, most)
    if (every == 0).any():
        ticks, texts = [zero, *ticks], ["0", *texts]
    first = zero if ticks[0] == zero else least
    edges = [math.log10(first / MARGIN), math.log10(most * MARGIN)]
    figure.update_xaxes(
        type="log", title=x_title, tickvals=ticks, ticktext=texts, range=edges, zeroline=False
    )
    figure.update_yaxes(type="log", title=y_title, exponentformat="power", dtick=1, zeroline=False)
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0},
        uirevision="spectra",
    )
    return figure


def _with_zero(curve: Curve, zero: float) -> np.ndarray:
    return np.where(np.asarray(curve.x, dtype=float) > 0, curve.x, zero)


def add_ratios(figure: go.Figure, ratios: Sequence[Curve], title: str) -> None:
    """Add a lower panel to curves on logarithmic axes: ratios to one of them, with a line at 1.

    Arguments:
        figure: From `log_log`.
        ratios: With errors, at the x of the curves above; several are drawn side by side.
        title: Of the axis.
    """
    ends = [10 ** float(edge) for edge in figure["layout"]["xaxis"]["range"]]
    for index, curve in enumerate(ratios):
        x = _with_zero(curve, MARGIN * ends[0]) * 1.02 ** (index - (len(ratios) - 1) / 2)
        figure.add_trace(trace(curve, x).update(yaxis="y2", showlegend=False))
    figure.update_layout(
        height=HEIGHT + 130,
        xaxis_anchor="y2",
        yaxis_domain=[0.42, 1],
        yaxis2={
            "domain": [0, 0.34],
            "title": title,
            "zeroline": False,
            "anchor": "x",
            "automargin": True,
        },
    )
    line = {"color": GREY, "width": 1}
    figure.add_scatter(
        x=ends, y=[1, 1], mode="lines", line=line, yaxis="y2", showlegend=False, hoverinfo="skip"
    )


def histogram(filled: Curve, others: Sequence[Curve], x_title: str) -> go.Figure:
    """Draw densities over the middles of bins: one filled in steps, the others with error bars."""
    steps = trace(filled, np.asarray(filled.x))
    figure = go.Figure(steps.update(line_shape="hvh", fill="tozeroy", mode="lines"))
    figure.add_traces([trace(curve, np.asarray(curve.x)) for curve in others])
    figure.update_xaxes(title=x_title, zeroline=False, automargin=True)
    figure.update_yaxes(title="density", rangemode="tozero", zeroline=False, automargin=True)
    figure.update_layout(**_FLAT, height=320)
    return figure


def forest(rows: Mapping[str, Mapping[str, WithError]], colors: Mapping[str, str]) -> go.Figure:
    """Draw values with errors as points beside a line at 1, a row for each name.

    Arguments:
        rows: Values by name and, within, by label.
        colors: Of each label.
    """
    figure = go.Figure()
    names = list(rows)[::-1]
    for index, (label, color) in enumerate(colors.items()):
        held = [(i, rows[name][label]) for i, name in enumerate(names) if label in rows[name]]
        shift = 0.18 * ((len(colors) - 1) / 2 - index)
        figure.add_scatter(
            x=[each.value for _, each in held],
            y=[i + shift for i, _ in held],
            error_x={"type": "data", "array": [each.error for _, each in held], "width": 4},
            name=label,
            mode="markers",
            marker={"color": color, "size": 8},
            hovertemplate="%{x:.4g}",
        )
    figure.add_vline(x=1, line={"color": GREY, "width": 1})
    figure.update_xaxes(title="ratio to data", zeroline=False, automargin=True)
    ticks = {"tickvals": list(range(len(names))), "ticktext": names}
    figure.update_yaxes(**ticks, zeroline=False, automargin=True)
    figure.update_layout({**_FLAT, "hovermode": "closest"}, height=110 + 40 * len(names))
    return figure


def lines(curves: Sequence[Curve], x_title: str, y_title: str, height: int = 320) -> go.Figure:
    """Draw curves on linear axes, with a thin line at zero."""
    figure = go.Figure([trace(curve, np.asarray(curve.x, dtype=float)) for curve in curves])
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    figure.update_xaxes(title=x_title, zeroline=False, rangemode="tozero")
    figure.update_yaxes(title=y_title, zeroline=False)
    figure.update_layout(**_FLAT, height=height)
    return figure


def ramp(n: int) -> list[str]:
    """Return n colours in an order, each of which stands out from a white and a dark page."""
    places = [i / max(1, n - 1) for i in range(n)]
    return [str(color) for color in sample_colorscale([BLUE, GREEN, ORANGE, PURPLE], places)]


def trace(curve: Curve, x: np.ndarray) -> go.Scatter:
    """Return a curve's line or points, at x (n,)."""
    bars = None
    if curve.error is not None:
        bars = {"type": "data", "array": np.asarray(curve.error), "thickness": 1.5, "width": 4}
    return go.Scatter(
        x=x,
        y=np.asarray(curve.y),
        name=curve.label,
        legendgroup=curve.label,
        mode="lines+markers"
        if curve.joined
        else "markers"
        if curve.points or len(x) == 1
        else "lines",
        marker={"color": curve.color, "size": 7 if curve.joined else 8},
        line={"color": curve.color, "dash": curve.dash, "width": curve.width},
        error_y=bars,
        hovertemplate="%{y:.3g}",
        zorder=int(curve.points),
    )


def band(curve: Curve, x: np.ndarray) -> go.Scatter:
    """Return a curve's shaded band, at x (n,)."""
    red, green, blue = (int(curve.color[i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=np.concatenate((x, x[::-1])),
        y=np.concatenate((np.asarray(curve.high), np.asarray(curve.low)[::-1])),
        mode="lines",
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        legendgroup=curve.label,
        showlegend=False,
        hoverinfo="skip",
    )


def log_ticks(least: float, most: float) -> tuple[list[float], list[str]]:
    """Return round numbers between two values: one to three in each decade, more where there
    would be fewer than three.
    """
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    finer = (range(1, 10), *(np.arange(1, 10, step) for step in (0.5, 0.2, 0.1, 0.02)))
    ticks: list[float] = []
    for steps in ((1, 2, 5) if most < 1000 * least else (1,), *finer):
        if len(ticks) >= 3:
            break
        all_ticks = (float(f"{step * 10.0**decade:.3g}") for decade in decades for step in steps)
        ticks = [tick for tick in all_ticks if least * 0.999 <= tick <= most * 1.001]
    ticks = ticks or [least]
    ticks = ticks[:: 1 + (len(ticks) - 1) // 10]
    return ticks, [f"{tick:g}" for tick in ticks]


def tiles(
    pictures: np.ndarray,
    captions: Sequence[str],
    title: str | None = None,
    *,
    size: int = TILE,
    smooth: bool = False,
) -> str:
    """Return small pictures as HTML that wraps on a narrow screen.

    Arguments:
        pictures: uint8 (n, H, W, 3).
        captions: n lines, written below the pictures unless there is a title.
        title: One line above all of them.
        size: Side of a picture on the screen, in pixels; on a narrow screen it may be less.
        smooth: Interpolate between pixels.
    """
    small = 'style="font-size:0.8rem;opacity:0.8;margin:2px 0;width:'
    figures = "".join(
        f'<figure style="margin:0;max-width:100%">{_image(picture, caption, size, smooth)}'
        + ("" if title else f'<figcaption {small}{size}px">{html.escape(caption)}</figcaption>')
        + "</figure>"
        for picture, caption in zip(pictures, captions, strict=True)
    )
    head = f'<div {small}100%">{html.escape(title)}</div>' if title else ""
    row = "display:flex;flex-wrap:wrap;gap:4px 8px"
    return f'<div style="{row}">{head}{figures}</div>'


def _image(picture: np.ndarray, caption: str, size: int, smooth: bool) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    way = "auto" if smooth else "pixelated"
    style = f"width:{size}px;max-width:100%;aspect-ratio:1;image-rendering:{way};border-radius:4px"
    alt = html.escape(caption, quote=True)
    return f'<img alt="{alt}" style="{style};display:block" src="data:image/png;base64,{data}">'


def table(columns: Mapping[str, Values]) -> str:
    """Return columns of equal length as CSV, with a line of names."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(np.asarray(x).tolist() for x in columns.values()), strict=True))
    return file.getvalue()


def short(value: float) -> str:
    """Return a number of size one or more with three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def in_brackets(value: float, error: float) -> str:
    """Return "1.063(15)": the error, with two digits, in units of the value's last digit."""
    text = f"{value:.3g}"
    if math.isfinite(error) and error > 0:
        decimals = min(12, max(0, 1 - math.floor(math.log10(error))))
        text = f"{value:.{decimals}f}({error * 10**decimals:.0f})"
    return text.replace("-", "−")


def bracketed(measured: WithError | None) -> str:
    """Return "1.063(15)", or a dash where there is no number."""
    if measured is None or not math.isfinite(measured.value):
        return "–"
    return in_brackets(measured.value, measured.error)


MOMENTUM = "|k| in radians per pixel"


def draw(curves: Sequence[Curve], x_title: str, y_title: str, alt: str) -> None:
    """Draw curves."""
    st.plotly_chart(log_log(curves, x_title, y_title), key=alt, config=BAR, alt=alt)
