"""The Spectra page's controls, and what they stand for: all of it is in the address bar."""

from dataclasses import dataclass
from typing import Any

import streamlit as st
from torch import Tensor

import rgdiff_core as rg
from pages._shared import address, cache, datasets
from pages._shared.menus import BASES
from pages._shared.pictures import colormap_of
from rgdiff_core.bases import Basis, orthogonal_wavelets
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color
from rgdiff_core.data import ImageSet
from rgdiff_core.spectra.fits import FreeTheoryFit, PowerLawFit, fit_free_theory, fit_power_law

__all__ = ["SpectraChoice", "basis_controls", "data_controls", "noise_controls"]

LINK = "data"  # Streamlit binds the widgets to the address; the data set has its own menu
COUNTS = (1, 10, 100, 1000, 5000)
EXPONENTS = (-2.0, 6.0)
MASSES = (0.0, 100.0)


@dataclass(frozen=True)
class SpectraChoice:
    """The data set, how many of its images are measured, their momentum, and the fits' range."""

    name: str
    count: int
    momentum: str
    fit_from: float
    fit_to: float

    @property
    def source(self) -> ImageSet:
        """Return the data set."""
        return cache.images(self.name)

    @property
    def images(self) -> Tensor:
        """Return the images that are measured, (n, C, H, W)."""
        return self.source.images[: self.count]

    @property
    def fourier(self) -> BasisSpec:
        """Return the Fourier basis of the radial spectrum."""
        return BasisSpec("fourier", self.momentum)

    @property
    def colormap(self) -> str:
        """Return how the fields are coloured, see `colormap_of`."""
        return colormap_of(self.name, self.source.images.shape[1])

    def spectrum(self) -> rg.spectra.Spectrum:
        """Return the radial power spectrum."""
        return cache.spectrum(self.name, self.momentum, self.count)

    def fits(self) -> tuple[PowerLawFit, FreeTheoryFit]:
        """Return the fits; raises `ValueError` where there are too few shells or images."""
        shells = self.spectrum().between(self.fit_from, self.fit_to)
        return fit_power_law(shells), fit_free_theory(shells)

    def basis(self, spec: BasisSpec) -> Basis:
        """Return a basis; raises `ValueError` where these images can't have it."""
        return cache.basis(self.name, spec.to_json(), self.count)

    def modes(self, spec: BasisSpec) -> rg.Modes:
        """Return mean and variances in a basis; raises `ValueError` as `basis`."""
        return cache.modes(self.name, spec.to_json(), self.count)


def data_controls(top: Any) -> SpectraChoice:
    """Draw what is measured; in the box at the top, what is wrong with the address."""
    known = {info.name: info.title for info in rg.data.available()}
    usual = datasets.first()
    linked = address.told(top, LINK, list(known), known.get(usual, usual))
    name = datasets.choose(usual if linked is None else linked)
    if name != linked:
        st.query_params[LINK] = name
    count = st.select_slider(
        "Images",
        COUNTS,
        1000,
        key="measured",
        bind="query-params",
        help="How many are measured. Fewer images, larger errors.",
    )
    momentum = address.menu(
        st,
        "Momentum",
        ["auto", "continuum", "lattice"],
        default="auto",
        key="momentum",
        help="|k|, or the lattice's 2 sin(k/2), in which the free theory is exact. Auto: "
        "the lattice's for lattice fields, |k| for pictures.",
    )
    if momentum == "auto":
        channels = cache.images(name).images.shape[1]
        lattice = colormap_of(name, channels) == "diverging"
        momentum = "lattice" if lattice else "continuum"
    fit_from = st.slider(
        "Fit from |k|",
        0.0,
        3.0,
        0.0,
        0.1,
        key="fit_from",
        bind="query-params",
        help="In radians per pixel. A law of fine scales need not hold for the coarsest.",
    )
    fit_to = st.slider(
        "Fit up to |k|",
        0.5,
        4.5,
        3.1,
        0.1,
        key="fit",
        bind="query-params",
        help="In radians per pixel. Beyond π only the corners of momentum space are left.",
    )
    return SpectraChoice(name, count, momentum, fit_from, fit_to)


def basis_controls(choice: SpectraChoice) -> BasisSpec:
    """Draw the choice of a basis, but for its momentum."""
    titles = {title: name for name, title in BASES.items()}
    title = st.selectbox(
        "Basis",
        list(titles),
        index=list(titles).index("Fourier modes"),
        key="basis",
        bind="query-params",
        help="The components for the pictures and the variance by scale below.",
    )
    name, wavelet, levels = titles[title], "haar", None
    if name == "wavelet":
        left, right = st.columns([3, 2])
        wavelet = left.selectbox(
            "Wavelet",
            orthogonal_wavelets(),
            index=orthogonal_wavelets().index(wavelet),
            key="wavelet",
            bind="query-params",
            help="Every orthogonal wavelet that PyWavelets has.",
        )
        levels = right.selectbox(
            "Levels",
            ["all", *range(1, 9)],
            key="levels",
            bind="query-params",
            help="How often the picture is halved.",
        )
    decorrelate = choice.images.shape[1] > 1 and st.checkbox(
        "Decorrelate the colour channels",
        True,
        key="decorrelate",
        bind="query-params",
        help="Rotate red, green and blue to their principal axes first.",
    )
    depth = levels if isinstance(levels, int) else None
    return BasisSpec(name, choice.momentum, wavelet, depth, bool(decorrelate))


def noise_controls(choice: SpectraChoice) -> dict[str, Color]:
    """Draw the colours' parameters, and return the colours by their titles."""
    left, right = st.columns(2)
    exponent = left.number_input(
        "Exponent p",
        *EXPONENTS,
        2.0,
        0.1,
        key="p",
        bind="query-params",
        help="Power-law noise, S² ∝ (k² + k₀²)^(−p/2): 0 is white, below 0 blue.",
    )
    cutoff = right.number_input(
        "Infrared k₀",
        0.0,
        10.0,
        0.0,
        0.05,
        key="k0",
        bind="query-params",
        help="Power-law noise is flat below k₀, in radians per pixel.",
    )
    mass2 = st.number_input(
        "Mass m²",
        *MASSES,
        0.1,
        0.05,
        format="%.4g",
        key="m2",
        bind="query-params",
        help="Free-theory noise, S² ∝ 1/(k² + m²): white beyond the length 1/m.",
    )
    st.button(
        "Use p and m² from the fits",
        on_click=_take_fit,
        args=(choice,),
        width="stretch",
        help="Set p and m² to the values that fit the data.",
    )
    return {
        "White": rg.colors.White(),
        "Power law": rg.colors.PowerLaw(exponent, cutoff),
        "Free theory": rg.colors.FreeTheory(mass2),
        "Matched": rg.colors.Matched(),
    }


def _take_fit(choice: SpectraChoice) -> None:
    try:
        law, free = choice.fits()
    except ValueError:
        return  # the page says beside the fits why there are none
    st.session_state["p"] = min(max(law.exponent.rounded(), EXPONENTS[0]), EXPONENTS[1])
    st.session_state["m2"] = min(max(free.mass2.rounded(), MASSES[0]), MASSES[1])
