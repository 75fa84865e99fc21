"""Observables of an ensemble on the Lattice page: a table with errors, correlator, histogram."""

import math
from dataclasses import dataclass

import streamlit as st
import torch

from pages._lattice import ensembles, figures, stored
from pages._lattice.ensembles import EnsembleMeasurement
from pages._lattice.state import Theory
from pages._shared import address, plots
from pages._shared.observables import TITLES
from pages._shared.plots import Curve
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.evaluation import magnetization, magnetization_histogram
from rgdiff_core.lattice import Ensemble, FreeField
from rgdiff_core.statistics import Estimate

__all__ = ["draw"]

BINS = 41


@dataclass(frozen=True)
class TableRow:
    """A line of the table.

    Attributes:
        title: What is measured.
        found: The measurement.
        exact: What it is exactly, where that is known.
    """

    title: str
    found: Estimate
    exact: float | None = None

    @property
    def off(self) -> float | None:
        """How many standard errors it is off, None where nothing is known."""
        if self.exact is None or not math.isfinite(self.found.error):
            return None
        return self.found.deviation(Estimate(self.exact, 0.0))


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw what is measured of the chosen ensemble."""
    del theory, listed
    ensemble = ensembles.opened(info)
    if ensemble is None or info is None:
        return
    ensembles.heading(info)
    try:
        measured = ensembles.measured(info.id)
    except ValueError as error:
        st.error(
            f"Results hidden because errors cannot be estimated: {error}", icon=":material/error:"
        )
        return
    free = FreeField(info.spec.m2, info.spec.size) if info.spec.lam == 0 else None
    left, right = st.columns([1, 1], gap="large")
    with left:
        _table(info, ensemble, _rows(measured, free))
    with right:
        _correlator(measured, free)
        _histogram(ensemble, free)
    stored.links(info)


def _rows(measured: EnsembleMeasurement, free: FreeField | None) -> list[TableRow]:
    exact = free.observables() if free else {}
    found = measured.observables
    rows = [TableRow(title, found[name], exact.get(name)) for name, title in TITLES.items()]
    rows.append(
        TableRow("mₚ, pole mass", measured.correlator.mass, free.pole_mass if free else None)
    )
    density = free.action_density if free else None
    rows.append(TableRow("⟨S⟩/V", measured.action_density, density))
    rows.append(TableRow("Schwinger–Dyson", measured.identity, 1.0))
    return rows


def _table(info: EnsembleInfo, ensemble: Ensemble, rows: list[TableRow]) -> None:
    compared = sum(row.exact is not None for row in rows) > 1
    head, rule = "| | measured | τ |", "|:--|--:|--:|"
    lines = [head + " exact | deviation (σ) |", rule + "--:|--:|"] if compared else [head, rule]
    for row in rows:
        tau = f"{row.found.tau_int.value:.1f}" if row.found.tau_int else "–"
        mark = " ⚠" if row.found.warning else ""
        title = row.title.replace("|", "\\|")
        line = f"| {title} | {plots.bracketed(row.found)}{mark} | {tau} |"
        if compared:
            exact = "" if row.exact is None else f"{row.exact:.5g}"
            off = "" if row.off is None else f"{row.off:+.1f}"
            line += f" {exact} | {off} |"
        lines.append(line)
    st.markdown("\n".join(lines))
    for text in dict.fromkeys(row.found.warning for row in rows if row.found.warning):
        titles = ", ".join(row.title for row in rows if row.found.warning == text)
        st.warning(f"{titles}: {text}.", icon=":material/warning:")
    if ensemble.warning:
        st.warning(f"This ensemble: {ensemble.warning}", icon=":material/warning:")
    st.caption(
        f"{info.spec.n_samples:,} configurations of {info.spec.n_chains:,} chains. Errors are "
        "one standard error, in units of the last digit, by the Γ-method, which allows for "
        "autocorrelation; τ is the integrated autocorrelation time in configurations, ½ where "
        "they are independent. "
        "The Schwinger–Dyson identity −8E + 2(4 + m²)⟨φ²⟩ + 4λ⟨φ⁴⟩ = 1 holds for every "
        f"coupling: here it deviates by {rows[-1].off or 0:+.1f} standard errors."
    )
    st.download_button(
        "Table (CSV)",
        plots.table(
            {
                "observable": [row.title for row in rows],
                "value": [row.found.value for row in rows],
                "error": [row.found.error for row in rows],
                "tau_int": [r.found.tau_int.value if r.found.tau_int else "" for r in rows],
                "exact": ["" if row.exact is None else row.exact for row in rows],
                "warning": [row.found.warning or "" for row in rows],
            }
        ),
        f"observables-{info.id}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help="Every line of the table with all digits.",
    )


def _estimates(label: str, found: tuple[Estimate, ...], first: int) -> Curve | None:
    kept = [(t, e) for t, e in enumerate(found, first) if math.isfinite(e.value)]
    if not kept:
        return None
    x, y = [t for t, _ in kept], [e.value for _, e in kept]
    return Curve(label, x, y, plots.BLUE, points=True, error=[e.error for _, e in kept])


def _correlator(measured: EnsembleMeasurement, free: FreeField | None) -> None:
    found = measured.correlator
    view = address.menu(
        st,
        "Correlator",
        ["C(t)", "effective mass"],
        default="C(t)",
        key="correlator",
        help="C(t) = Σ_y G(y, t), at zero spatial momentum; and the mass that its fall shows, "
        "arcosh[(C(t−1) + C(t+1))/2C(t)].",
    )
    mass = view == "effective mass"
    values = found.effective_mass if mass else found.values
    curve = _estimates("measured", values, int(mass))
    if curve is None:
        st.info("Noise leaves no value here: sample more configurations.")
        return
    curves = [curve]
    if free is not None:
        t = torch.linspace(int(mass), len(found.values) - 1, 101, dtype=torch.float64)
        y = torch.full_like(t, free.pole_mass) if mass else free.correlator(t)
        curves.append(Curve("free theory, exact", t, y, plots.ORANGE))
    shown = {found.mass.value: "m_p"} if mass and math.isfinite(found.mass.value) else None
    figure = figures.points(
        curves,
        "t, in lattice units",
        "m(t)" if mass else "C(t)",
        levels=shown,
        log_y=not mass and all(each.value > 0 for each in values),
        height=290,
        revision=view,
    )
    st.plotly_chart(figure, key="lattice-correlator", config=plots.BAR, alt=view)


def _histogram(ensemble: Ensemble, free: FreeField | None) -> None:
    m = magnetization(ensemble.configurations)
    bound = 1.05 * float(m.abs().max())  # symmetric, so that both wells are treated alike
    found = magnetization_histogram(ensemble.configurations, bound, BINS)
    curve = None
    if free is not None:
        x = torch.linspace(-bound, bound, 201, dtype=torch.float64)
        curve = Curve("free theory, exact", x, free.magnetization_density(x), plots.ORANGE)
    figure = figures.histogram(
        found.edges, found.density, curve, "M, mean of the field", "measured"
    )
    st.plotly_chart(figure, key="lattice-histogram", config=plots.BAR, alt="Histogram of M")
    above = float((m > 0).double().mean())
    st.caption(
        "On an infinite lattice there is one peak where the symmetry is unbroken and two where it "
        "is broken; on a finite one there are two wherever ξ is comparable with L. "
        f"{above:.0%} of the configurations have M > 0, which is ½ by symmetry."
    )
