"""Figures of the Results page: values to Plotly, as in `plots`."""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pages._shared import plots
from pages._shared.plots import Curve

__all__ = ["Mark", "curves", "dots", "forest", "heat", "legend", "look", "looks"]

MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
LEGEND = {"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0}
MAP, SIGNED = "Viridis", "RdBu_r"
LOOKS: Mapping[str, tuple[str, str]] = {  # colour and dash of an arm, the same in every figure
    "standard": (plots.GREY, "dot"),
    "white-scalar": (plots.BLUE, "dash"),
    "white-component": (plots.PURPLE, "dashdot"),
    "matched-scalar": (plots.GREEN, "dash"),
    "matched-component": (plots.ORANGE, "solid"),
    "cifar10-standard": (plots.GREY, "dot"),
    "cifar10-matched": (plots.ORANGE, "solid"),
}
OTHER = "#b8860b"
REAL = "#a83232"  # of what is no model
BORDERS = {"dash": "dashed", "dashdot": "dashed", "dot": "dotted"}  # in CSS
SPARE = (plots.PURPLE, plots.GREEN, plots.BLUE, OTHER, plots.GREY, "#5a56d6", "#7d5a3c")
DASHES: Mapping[str, str] = {
    "cifar10": "dash",
    "cifar10-small": "solid",
    "cifar10-pca": "dashdot",
    "cifar10-haar": "longdash",
}


@dataclass(frozen=True)
class Mark:
    """A number with its error in a figure of rows by series.

    Attributes:
        row: Key of its row.
        series: What the legend says; a colour each.
        value: The number.
        error: Its error.
        about: What is said of it when the mouse is over it.
    """

    row: str
    series: str
    value: float
    error: float
    about: str


def look(arm: Mapping[str, Any]) -> tuple[str, str]:
    """Return an arm's colour, by its kind of process, and its dash, by its model."""
    if arm["name"] in LOOKS:
        return LOOKS[arm["name"]]
    color = LOOKS.get(arm.get("group", ""), (OTHER, ""))[0]
    return color, DASHES.get(str(arm.get("model")), "solid")


def looks(arms: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the looks of arms that are drawn together: where one has been taken, the next colour
    that is free.
    """
    found: list[tuple[str, str]] = []
    for arm in arms:
        color, dash = look(arm)
        taken = {color for color, _ in found}
        free = (each for each in (color, *SPARE) if each not in taken)
        found.append((next(free, color), dash))
    return found


def curves(
    drawn: Sequence[Curve],
    x_title: str,
    y_title: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
    named: str = "",
    height: int = 400,
) -> go.Figure:
    """Draw curves with error bars.

    Arguments:
        log_x: Logarithmic x axis, with a tick at every place where there is a point.
        log_y: Logarithmic y axis; it stays linear where a y is not positive.
        level: Where a thin line is drawn across.
        named: What that line is.
    """
    figure = go.Figure([plots.trace(each, np.asarray(each.x, dtype=float)) for each in drawn])
    if level is not None:
        label = {"text": named, "textposition": "start", "font": {"size": 11}}
        figure.add_hline(y=level, line={"color": plots.GREY, "width": 1}, label=label)
    places = sorted({float(x) for each in drawn for x in each.x})
    axis: dict[str, Any] = {"type": "log"} if log_x else {}
    if len(places) <= 12:
        axis |= {
            "tickvals": places,
            "ticktext": [f"{x:,.0f}" if x > 9999 else f"{x:g}" for x in places],
        }
    figure.update_xaxes(title=x_title, zeroline=False, **axis)
    positive = all(float(y) > 0 for each in drawn for y in each.y)
    figure.update_yaxes(title=y_title, zeroline=False, type="log" if log_y and positive else None)
    if log_y and positive:
        values, texts = plots.log_ticks(*_extent(drawn))
        figure.update_yaxes(tickvals=values, ticktext=texts)
    figure.update_layout(
        height=height, margin=MARGIN, hovermode="x unified", legend=LEGEND, uirevision="results"
    )
    return figure


def legend(drawn: Iterable[Curve]) -> str:
    """Return one legend for several figures of the same curves, as HTML."""
    looks = {each.label: f"{BORDERS.get(each.dash, 'solid')} {each.color}" for each in drawn}
    line = "display:inline-block;width:1.8rem;vertical-align:middle;border-top:2px"
    entries = "".join(
        f'<span><i style="{line} {border}"></i> {html.escape(label)}</span>'
        for label, border in looks.items()
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:0 1.2rem">{entries}</div>'


def _extent(drawn: Sequence[Curve]) -> tuple[float, float]:
    """Return the least and the largest y of curves that are positive, with their error bars."""
    ends = [(float(y), e or 0.0) for c in drawn for y, e in zip(c.y, _bars(c), strict=True)]
    return min(y - e if e < y else y for y, e in ends), max(y + e for y, e in ends)


def _bars(curve: Curve) -> Sequence[float]:
    return [0.0] * len(curve.y) if curve.error is None else [float(e) for e in curve.error]


def dots(
    labels: Sequence[str],
    values: Sequence[float],
    errors: Sequence[float],
    about: Sequence[str],
    x_title: str,
) -> go.Figure:
    """Draw numbers with error bars, one below the other.

    Arguments:
        labels: Short ones, at the axis.
        about: What is said of each when the mouse is over it.
    """
    figure = go.Figure(
        go.Scatter(
            x=list(values),
            y=list(labels),
            mode="markers",
            error_x={"type": "data", "array": list(errors), "thickness": 1.5, "width": 4},
            marker={"size": 9, "color": plots.BLUE},
            customdata=list(about),
            hovertemplate="%{customdata}<br>%{x:.4g}<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", type="category", zeroline=False)
    figure.update_xaxes(title=x_title, zeroline=False)
    figure.update_layout(height=80 + 34 * len(labels), margin=MARGIN, showlegend=False)
    return figure


def forest(
    marks: Sequence[Mark],
    rows: Mapping[str, str],
    colors: Sequence[str],
    x_title: str,
    *,
    limits: tuple[float, float] | None = None,
    unit: str = "",
) -> go.Figure:
    """Draw numbers with error bars in rows, the series of a row below each other, and a line at 0.

    Arguments:
        rows: Titles of the rows by key; those without a mark are left out.
        colors: Of the series, in the order in which they appear.
        limits: Ends of the axis; what lies beyond is an arrow at the edge, with its number.
        unit: Of the numbers at the arrows.
    """
    present = {mark.row for mark in marks}
    kept = [key for key in rows if key in present]
    every = list(dict.fromkeys(mark.series for mark in marks))
    figure = go.Figure()
    figure.add_vline(x=0, line={"color": plots.GREY, "width": 1.5})
    for number, (series, color) in enumerate(zip(every, colors, strict=False)):
        mine = [mark for mark in marks if mark.series == series]
        shift = 0.8 * ((number + 0.5) / len(every) - 0.5)
        y = [kept.index(mark.row) + shift for mark in mine]
        figure.add_trace(_points(mine, y, color, limits or (-np.inf, np.inf), unit))
    figure.update_xaxes(title=x_title, zeroline=False, range=limits)
    figure.update_yaxes(
        tickvals=list(range(len(kept))),
        ticktext=[rows[key] for key in kept],
        range=(len(kept) - 0.5, -0.5),
        zeroline=False,
        showgrid=False,
    )
    figure.update_layout(
        height=110 + 72 * len(kept), margin=MARGIN, legend=LEGEND, uirevision="results"
    )
    return figure


def _points(
    marks: Sequence[Mark], y: Sequence[float], color: str, limits: tuple[float, float], unit: str
) -> go.Scatter:
    """Return a series of `forest`, at heights y; what lies beyond the limits is an arrow."""
    low, high = limits
    beyond = [mark.value < low or mark.value > high for mark in marks]
    each = list(zip(beyond, marks, strict=True))
    return go.Scatter(
        x=[min(max(mark.value, low), high) for mark in marks],
        y=y,
        name=marks[0].series,
        mode="markers+text",
        error_x={
            "type": "data",
            "array": [0.0 if out else mark.error for out, mark in each],
            "thickness": 2,
            "width": 4,
        },
        marker={
            "size": 9,
            "color": color,
            "symbol": [
                ("triangle-right" if mark.value > 0 else "triangle-left") if out else "circle"
                for out, mark in each
            ],
        },
        text=[
            f"{mark.value:+.0f} {unit}".replace("-", "−").rstrip() if out else ""
            for out, mark in each
        ],
        textposition=["middle left" if mark.value > 0 else "middle right" for mark in marks],
        textfont={"size": 11},
        cliponaxis=False,
        customdata=[mark.about for mark in marks],
        hovertemplate="%{customdata}<extra></extra>",
    )


def heat(
    table: Sequence[Sequence[float | None]],
    columns: Sequence[str],
    rows: Sequence[str],
    x_title: str,
    y_title: str,
    *,
    low: float,
    high: float,
    title: str,
    unit: str = "nats",
    digits: str = ".3f",
    signed: bool = False,
    written: bool = False,
) -> go.Figure:
    """Draw a table as a map; what is None stays empty.

    Arguments:
        low: Where the colours begin, so that maps beside each other have the same range.
        high: Where they end.
        digits: Of the numbers in it.
        signed: Colours that tell below zero from above.
        written: Write the numbers, and draw no bar of colours.
    """
    z = np.array([[np.nan if v is None else v for v in row] for row in table], dtype=float)
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=list(columns),
            y=list(rows),
            zmin=low,
            zmax=high if high > low else low + 1,
            colorscale=SIGNED if signed else MAP,
            reversescale=not signed,
            showscale=not written,
            colorbar={"thickness": 10, "outlinewidth": 0, "nticks": 5},
            hoverongaps=False,
            xgap=1,
            ygap=1,
            texttemplate=f"%{{z:{digits}}}" if written else None,
            textfont={"size": 11},
            hovertemplate=f"{y_title} %{{y}}<br>{x_title} %{{x}}<br>%{{z:.4g}} {unit}"
            "<extra></extra>",
        )
    )
    angle = -40 if max(map(len, columns)) > 5 else 0
    figure.update_xaxes(title=x_title, type="category", showgrid=False, tickangle=angle)
    figure.update_yaxes(title=y_title, type="category", showgrid=False, autorange="reversed")
    figure.update_layout(
        height=96 + (34 if written else 26) * len(rows),
        margin=MARGIN | {"t": 34},
        title={"text": title, "font": {"size": 14}, "x": 0, "y": 0.98},
    )
    return figure
