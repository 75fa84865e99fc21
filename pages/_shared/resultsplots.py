"""Figures of the Results page: values to Plotly, as in `plots`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pages._shared import plots
from pages._shared.plots import Curve

__all__ = ["BAR", "color_of", "curves", "dots", "heat", "look"]

BAR = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
LEGEND = {"orientation": "h", "yanchor": "top", "y": -0.22, "x": 0}
MAP = "Viridis"
LOOKS: Mapping[str, tuple[str, str]] = {  # colour and dash of an arm, the same in every figure
    "standard": (plots.GREY, "dot"),
    "white-scalar": (plots.BLUE, "dash"),
    "white-component": (plots.PURPLE, "dashdot"),
    "matched-scalar": (plots.GREEN, "dash"),
    "matched-component": (plots.ORANGE, "solid"),
}


def look(name: str, index: int, of: int) -> tuple[str, str]:
    """Return an arm's colour and dash; one that is not known takes its place among all."""
    return LOOKS.get(name) or (plots.ramp(max(2, of))[index], "solid")


def color_of(name: str) -> str:
    """Return a known arm's colour."""
    return LOOKS.get(name, (plots.ORANGE, ""))[0]


def curves(
    drawn: Sequence[Curve],
    x_title: str,
    y_title: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
    height: int = 400,
) -> go.Figure:
    """Draw curves with error bars.

    Arguments:
        log_x, log_y: Logarithmic axes; x has a tick at every place where there is a point. Where
            a y is not positive its axis stays linear.
        level: Where a thin line is drawn across.
    """
    figure = go.Figure([plots.trace(each, np.asarray(each.x, dtype=float)) for each in drawn])
    if level is not None:
        figure.add_hline(y=level, line={"color": plots.GREY, "width": 1})
    places = sorted({float(x) for each in drawn for x in each.x})
    axis: dict[str, Any] = {"type": "log"} if log_x else {}
    if len(places) <= 12:
        axis |= {"tickvals": places, "ticktext": [f"{x:g}" for x in places]}
    figure.update_xaxes(title=x_title, zeroline=False, **axis)
    positive = all(float(y) > 0 for each in drawn for y in each.y)
    figure.update_yaxes(title=y_title, zeroline=False, type="log" if log_y and positive else None)
    if log_y and positive:
        figure.update_yaxes(dtick="D2", exponentformat="power")
    figure.update_layout(
        height=height, margin=MARGIN, hovermode="x unified", legend=LEGEND, uirevision="results"
    )
    return figure


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
) -> go.Figure:
    """Draw a table as a map with its numbers in it; what is None stays empty.

    Arguments:
        low, high: Where the colours end, so that maps beside each other have the same.
    """
    z = np.array([[np.nan if v is None else v for v in row] for row in table], dtype=float)
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=list(columns),
            y=list(rows),
            zmin=low,
            zmax=high if high > low else low + 1,
            colorscale=MAP,
            reversescale=True,
            showscale=False,
            hoverongaps=False,
            xgap=1,
            ygap=1,
            texttemplate=f"%{{z:{digits}}}",
            textfont={"size": 11},
            hovertemplate=f"{y_title} %{{y}}<br>{x_title} %{{x}}<br>%{{z:.4g}} {unit}"
            "<extra></extra>",
        )
    )
    figure.update_xaxes(title=x_title, type="category", showgrid=False)
    figure.update_yaxes(title=y_title, type="category", showgrid=False, autorange="reversed")
    figure.update_layout(
        height=90 + 34 * len(rows),
        margin=MARGIN | {"t": 34},
        title={"text": title, "font": {"size": 14}, "x": 0, "y": 0.98},
    )
    return figure
