"""Figures of the Lattice page: values to Plotly, as in `plots`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from pages._shared import plots
from pages._shared.plots import Values

__all__ = ["Marks", "histogram", "phase_map", "points"]

LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}
MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


@dataclass(frozen=True, eq=False)
class Marks:
    """Points of the map with names.

    Attributes:
        label: The entry in the legend.
        x: m², (n,).
        y: λ, (n,).
        names: (n,), shown when the mouse is over them.
        color: Of the markers.
        symbol: Of the markers.
        size: Of the markers.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    names: Sequence[str]
    color: str
    symbol: str = "circle"
    size: int = 10


def phase_map(
    line: tuple[Values, Values], marks: Sequence[Marks], grid: tuple[Values, Values]
) -> go.Figure:
    """Draw the phase diagram: m² to the right, λ upwards.

    Arguments:
        line: m² and λ of the critical line.
        marks: Points with names.
        grid: m² and λ of a fine grid, (n,) and (m,), every point of which can be clicked.
    """
    x, y = (np.asarray(each, dtype=float) for each in grid)
    gx, gy = (each.ravel() for each in np.meshgrid(x, y))
    figure = go.Figure()
    figure.add_scatter(
        x=gx,
        y=gy,
        mode="markers",
        marker={"size": 13, "opacity": 0.0, "color": plots.GREY},
        name="the plane",
        showlegend=False,
        hovertemplate="m² = %{x:.3g}, λ = %{y:.3g}<extra>click to select</extra>",
    )
    figure.add_scatter(
        x=np.asarray(line[0]),
        y=np.asarray(line[1]),
        mode="lines",
        name="critical line",
        line={"color": plots.ORANGE, "width": 3},
        hoverinfo="skip",
    )
    figure.add_traces([_markers(each) for each in marks])
    # What is not selected stays as it is: a click chooses a theory, it does not mark.
    for name, opacity in (("the plane", 0.0), *((each.label, 1.0) for each in marks)):
        same = {"marker": {"opacity": opacity}}
        figure.update_traces(selected=same, unselected=same, selector={"name": name})
    wide = 0.02 * (x[-1] - x[0]), 0.02 * (y[-1] - y[0])
    figure.update_xaxes(title="m²", range=[x[0] - wide[0], x[-1] + wide[0]], zeroline=False)
    figure.update_yaxes(title="λ", range=[y[0] - wide[1], y[-1] + wide[1]], zeroline=False)
    figure.update_layout(
        height=430,
        margin=MARGIN,
        legend=LEGEND,
        hovermode="closest",
        dragmode="pan",
        clickmode="event+select",
        uirevision="map",
    )
    return figure


def _markers(marks: Marks) -> go.Scatter:
    return go.Scatter(
        x=list(marks.x),
        y=list(marks.y),
        mode="markers",
        name=marks.label,
        text=list(marks.names),
        marker={
            "color": marks.color,
            "symbol": marks.symbol,
            "size": marks.size,
            "line": {"width": 1, "color": "white"},
        },
        hovertemplate="%{text}<br>m² = %{x:.4g}, λ = %{y:.4g}<extra></extra>",
    )


def points(
    curves: Sequence[plots.Curve],
    x_title: str,
    y_title: str,
    *,
    lines: Mapping[float, str] | None = None,
    levels: Mapping[float, str] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 320,
    revision: str = "points",
) -> go.Figure:
    """Draw curves and points with error bars on linear axes.

    Arguments:
        lines: Vertical lines, and what is written at them.
        levels: Horizontal lines, and what is written at them.
        log_x: Whether the x axis is logarithmic.
        log_y: Whether the y axis is logarithmic.
    """
    figure = go.Figure()
    for curve in curves:
        x = np.asarray(curve.x, dtype=float)
        if curve.low is not None and curve.high is not None:
            figure.add_trace(plots.band(curve, x))
        figure.add_trace(plots.trace(curve, x))
    style = {"color": plots.GREY, "width": 1.5, "dash": "dash"}
    for number, (place, text) in enumerate((lines or {}).items()):
        # Of annotated lines Plotly takes the place as it is, of an axis of logarithms too.
        figure.add_vline(x=place, line=style)
        if text:
            figure.add_annotation(
                x=math.log10(place) if log_x else place,
                y=1 - 0.09 * number,  # lines may be close to each other
                yref="paper",
                text=text,
                showarrow=False,
                xanchor="left",
                yanchor="top",
                font={"size": 11},
            )
    for place, text in (levels or {}).items():
        figure.add_hline(y=place, line=style, annotation={"text": text, "font": {"size": 11}})
    figure.update_xaxes(title=x_title, zeroline=False)
    if log_x:
        figure.update_xaxes(type="log", tick0=0, dtick=math.log10(2), tickformat=".3~g")
    figure.update_yaxes(
        title=y_title, zeroline=False, type="log" if log_y else "linear", exponentformat="power"
    )
    figure.update_layout(
        height=height,
        margin=MARGIN,
        hovermode="x unified",
        legend=LEGEND,
        showlegend=True,
        uirevision=revision,
    )
    return figure


def histogram(
    edges: Values, density: Values, curve: plots.Curve | None, x_title: str, label: str
) -> go.Figure:
    """Draw a histogram, and a curve over it.

    Arguments:
        edges: (n + 1,).
        density: (n,).
    """
    edges = np.asarray(edges, dtype=float)
    figure = go.Figure(
        go.Bar(
            x=0.5 * (edges[1:] + edges[:-1]),
            y=np.asarray(density),
            width=np.diff(edges),
            marker={"color": plots.BLUE, "opacity": 0.6, "line": {"width": 0}},
            name=label,
            hovertemplate="%{x:.3g}: %{y:.3g}<extra></extra>",
        )
    )
    if curve is not None:
        figure.add_trace(plots.trace(curve, np.asarray(curve.x, dtype=float)))
    figure.update_xaxes(title=x_title, zeroline=False)
    figure.update_yaxes(title="density", zeroline=False, rangemode="tozero")
    figure.update_layout(height=320, margin=MARGIN, legend=LEGEND, uirevision="histogram")
    return figure
