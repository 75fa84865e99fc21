"""Samples against the data: spectra and observables as ratios, and the distribution of M."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from torch import Tensor

from pages._shared import plots
from pages._shared.observables import COMPARED, TITLES
from pages._shared.plots import MOMENTUM, Curve
from rgdiff_core.evaluation import (
    Histogram,
    magnetization_histogram,
    magnetization_limit,
)
from rgdiff_core.spectra.power import Spectrum, power_spectrum
from rgdiff_core.statistics import Estimate

__all__ = ["Samples", "distribution", "quotient", "ratios", "spectra"]

BINS = 25
CLEAR = 3.0  # standard errors from which a value of the data is something to divide by


@dataclass(frozen=True, eq=False)
class Samples:
    """Fields that are compared with the data.

    Attributes:
        name: The entry in the legend.
        x: Fields (n, C, H, W).
        color: One of `plots`.
    """

    name: str
    x: Tensor
    color: str


def spectra(groups: Sequence[Samples], data: Spectrum | None) -> None:
    """Draw power spectra and, below, their ratios to that of the data with errors of both."""
    found = [power_spectrum(each.x) for each in groups]
    curves = [_curve(each, spectrum) for each, spectrum in zip(groups, found, strict=True)]
    alt = "Power spectrum of samples and data"
    if data is None:
        figure = plots.log_log(curves, MOMENTUM, "power per mode")
    else:
        label = Curve("Data", data.momentum, data.power, plots.GREEN, width=3)
        figure = plots.log_log([label, *curves], MOMENTUM, "power per mode")
        quotients = [
            quotient(each.name, each.color, s, data) for each, s in zip(groups, found, strict=True)
        ]
        plots.add_ratios(figure, quotients, "ratio to data")
        alt += ", and their ratio"
    st.plotly_chart(figure, key=alt, config=plots.BAR, alt=alt)


def _curve(group: Samples, spectrum: Spectrum) -> Curve:
    k, power, error = spectrum.momentum, spectrum.power, spectrum.error
    return Curve(group.name, k, power, group.color, points=True, error=error)


def quotient(label: str, color: str, spectrum: Spectrum, data: Spectrum) -> Curve:
    """Return a spectrum divided by another with the same shells, with errors of both."""
    quotients = [
        Estimate(*one).ratio(Estimate(*other))
        for one, other in zip(_estimates(spectrum), _estimates(data), strict=True)
    ]
    values, errors = ([getattr(q, name) for q in quotients] for name in ("value", "error"))
    return Curve(label, data.momentum, values, color, points=True, error=errors)


def _estimates(spectrum: Spectrum) -> list[tuple[float, float]]:
    return list(zip(spectrum.power.tolist(), spectrum.error.tolist(), strict=True))


def ratios(
    data: Mapping[str, Estimate],
    measured: Mapping[str, Mapping[str, Estimate]],
    colors: Mapping[str, str],
) -> None:
    """Draw the observables of samples, divided by those of the data, with errors of both.

    Arguments:
        data: Observables by name; those that are not clearly different from zero are left out.
        measured: The same of each group of samples.
        colors: Of each group.
    """
    clear = [n for n in COMPARED if abs(data[n].value) > CLEAR * data[n].error]
    rows = {
        TITLES[name]: {
            group: values[name].ratio(data[name])
            for group, values in measured.items()
            if values[name].value
        }
        for name in clear
    }
    figure = plots.forest(rows, colors)
    st.plotly_chart(
        figure, key="ratios", config=plots.BAR, alt="Observables, divided by the data's"
    )


def distribution(groups: Sequence[Samples], fields: Tensor, key: str = "distribution") -> None:
    """Draw how often samples have each magnetization, with that of fields of the data behind.

    Arguments:
        fields: Of the data, (n, 1, L, L).
        key: Of the figure on its page.
    """
    limit = magnetization_limit(fields)
    data = magnetization_histogram(fields, limit, BINS)
    behind = Curve("Data", data.centers, data.density, plots.GREEN)
    curves = [_density(each, magnetization_histogram(each.x, limit, BINS)) for each in groups]
    figure = plots.histogram(behind, curves, "magnetization M of a field")
    alt = "Distribution of the magnetization of samples and data"
    st.plotly_chart(figure, key=key, config=plots.BAR, alt=alt)


def _density(group: Samples, found: Histogram) -> Curve:
    density, error = found.density, found.error
    return Curve(group.name, found.centers, density, group.color, points=True, error=error)
