"""Spectra: how much power the data have at each scale, and the noise colours beside them."""

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from pages._shared import address, plots
from pages._shared.plots import MOMENTUM, Curve, draw
from pages._spectra.controls import SpectraChoice, basis_controls, data_controls, noise_controls
from pages._spectra.views import STYLES, VIEWS, Colors
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.spectra.fits import FreeTheoryFit, PowerLawFit
from rgdiff_core.spectra.power import radial_average

T = TypeVar("T")


def radial(choice: SpectraChoice, colors: Colors) -> None:
    """Draw the data's radial spectrum with its fits, and the colours on the same axes."""
    st.header("How much power at each scale")
    spectrum = choice.spectrum()
    k, noise = spectrum.momentum, {}
    curves = [Curve("Data", k, spectrum.power, plots.GREEN, points=True, error=spectrum.error)]
    laws, no_fit = _tried(choice.fits)
    modes, no_noise = _tried(lambda: choice.modes(choice.fourier))
    for fit, title in zip(laws or (), ("Power law", "Free theory"), strict=False):
        inside = k[k > 0]
        power = fit.power(inside)
        curves.append(Curve(f"{title} fit", inside, power, STYLES[title][0], width=1.2))
    if modes is not None:
        for title, color in colors.items():
            noise[title] = radial_average(color.variance(modes), momentum=choice.momentum)
            curves.append(Curve(f"{title} noise", k, noise[title], *STYLES[title]))
    # Before what stands below it, which would move.
    draw(curves, MOMENTUM, "power per mode", "Radial power spectrum of the data and the noise")
    left, right = st.columns([3, 2], gap="large")
    with right:
        if laws:
            fits(choice, *laws)
        for what, why in (("fit", no_fit), ("noise", no_noise)):
            if why:
                st.info(f"No {what}: {why}", icon=":material/info:")
    with left:
        n, _, height, width = choice.images.shape
        st.caption(f"Measured: {n:,} images of {height}×{width}. {choice.source.source}")
        st.caption(
            "Points: the data's power in shells of |k|, with standard errors over images; at the "
            "left edge k = 0, the mean. Thin lines: fits. The noise of each colour has the data's "
            "total power. Noise that runs parallel to the data dissolves all scales at the "
            "same time; white noise takes the fine scales first."
        )
        columns = {"momentum": k, "scale": spectrum.scale, "power": spectrum.power}
        columns |= {"error": spectrum.error, "modes": spectrum.count} | noise
        st.download_button(
            "Spectrum (CSV)",
            plots.table(columns),
            f"spectrum-{choice.name}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            help="Shells of |k|: the data's power, its error, and the colours' power.",
        )


def _tried(make: Callable[[], T]) -> tuple[T | None, str]:
    """Return what is made, or None and why it cannot be."""
    try:
        return make(), ""
    except ValueError as problem:
        return None, str(problem)


def fits(choice: SpectraChoice, law: PowerLawFit, free: FreeTheoryFit) -> None:
    """Draw the table of the fits."""
    exponent, mass2 = map(plots.bracketed, (law.exponent, free.mass2))
    between = f"{choice.fit_from:g} ≤ \\|k\\| ≤ {choice.fit_to:g}"
    st.markdown(
        f"| Fit, {between} | Parameter | χ²/dof |\n|:--|:--|--:|\n"
        f"| A k⁻ᵖ | p = {exponent} | {plots.short(law.chi2)} |\n"
        f"| A/(k² + m²) | m² = {mass2} | {plots.short(free.chi2)} |"
    )
    st.caption(
        "χ²/dof near 1: the law describes the data within their errors. Far above 1: the fit is "
        "poor, because the spectrum does not have the shape of this law, and the errors of the "
        "law's parameters mean little."
    )


@st.fragment
def components(choice: SpectraChoice, spec: BasisSpec, colors: Colors) -> None:
    """Draw what is in the basis chosen; its own controls leave the figure above alone."""
    st.header("What the noise looks like")
    view = address.menu(
        st,
        "View",
        list(VIEWS),
        default=next(iter(VIEWS)),
        key="view",
        help="All three are in the basis chosen in the sidebar.",
    )
    try:
        VIEWS[view](choice, spec, colors)
    except ValueError as problem:
        st.info(str(problem), icon=":material/info:")


def page() -> None:
    """Draw the page."""
    st.set_page_config(layout="wide")
    st.title("Spectra")
    st.markdown(
        "Where do the data have their power, and which noise is like them? Natural images and "
        "fields near a phase transition hold more power the coarser the scale; noise of a "
        "**colour** with the same spectrum leaves less for the reverse process to undo."
    )
    top = st.container()
    with st.sidebar:
        choice = data_controls(top)
        with st.container(border=True):
            st.markdown("**Noise colours**")
            colors = noise_controls(choice)
        with st.container(border=True):
            st.markdown("**Basis**")
            spec = basis_controls(choice)
    radial(choice, colors)
    components(choice, spec, colors)


page()
