"""The views of the Spectra page that are in the basis chosen: pictures, components, variances."""

from collections.abc import Callable, Mapping

import streamlit as st
import torch

from pages._shared import address, plots
from pages._shared.pictures import pixels
from pages._shared.plots import MOMENTUM, Curve, draw
from pages._spectra.controls import SpectraChoice
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, Matched
from rgdiff_core.spectra.power import basis_functions, draw_noise, profile

__all__ = ["Colors", "STYLES", "VIEWS"]

Colors = Mapping[str, Color]

STYLES = {
    "White": (plots.GREY, "dot"),
    "Power law": (plots.ORANGE, "dash"),
    "Free theory": (plots.BLUE, "dashdot"),
    "Matched": (plots.PURPLE, "solid"),
}
PICTURES, FUNCTIONS = 8, 24


def noise_pictures(choice: SpectraChoice, spec: BasisSpec, colors: Colors) -> None:
    """Draw the data, and samples of each colour in the basis."""
    basis, modes = choice.basis(spec), choice.modes(spec)
    seed = st.number_input(
        "Seed",
        0,
        10**6,
        key="draw",
        bind=address.whole("draw"),
        help="Seed of the noise.",
        width=160,
    )
    rows = {"Data": choice.images[:PICTURES]}
    for title, color in colors.items():
        streams = [torch.Generator().manual_seed(PICTURES * seed + i) for i in range(PICTURES)]
        rows[f"{title} noise"] = draw_noise(basis, color.variance(modes), PICTURES, streams)
    for title, fields in rows.items():
        pictures = pixels(fields, choice.source.low, choice.source.high, choice.colormap)
        st.html(plots.tiles(pictures, [title] * len(fields), title))
    st.caption(
        "Every row colours the same white noise at the same power. White noise has no structure "
        "at any scale. Matched noise has the data's power in every component of the basis; "
        "what it lacks is left to the network: all that is not Gaussian or not independent."
    )


def functions(choice: SpectraChoice, spec: BasisSpec, colors: Colors) -> None:
    """Draw single components as fields, from coarse to fine."""
    del colors
    coarsest, finest = st.slider(
        "From coarse to fine",
        0.0,
        1.0,
        (0.0, 1.0),
        0.02,
        key="range",
        bind="query-params",
        help="Which part of the components is shown, in the logarithm of their rank by scale.",
    )
    fields, scale = basis_functions(choice.basis(spec), FUNCTIONS, coarsest, finest)
    one_channel = not fields[:, 1:].any()
    peak = fields.abs().amax((1, 2, 3), keepdim=True)
    pictures = pixels(fields / peak, -1.0, 1.0, "diverging" if one_channel else "rgb")
    st.html(plots.tiles(pictures, [f"scale {x:.3g}" for x in scale.tolist()]))
    st.caption(
        "The fields that single components stand for, each at its own contrast; scale 0 is the "
        "coarsest, 1 the finest. Red is positive and blue negative where a component lives in "
        "one channel; else the colours are those that it adds to grey."
    )


def variances(choice: SpectraChoice, spec: BasisSpec, colors: Colors) -> None:
    """Draw the components' variance against their momentum: the spectrum in this basis."""
    modes = choice.modes(spec)
    ranked = spec.name == "pca"
    where = modes.scale if ranked else choice.basis(spec).momentum
    data = profile(Matched().variance(modes), where)
    band = {"low": data.low, "high": data.high, "points": True}
    curves = [Curve("Data", data.scale, data.mean, plots.GREEN, **band)]
    for title, color in colors.items():
        noise = profile(color.variance(modes), where)
        curves.append(Curve(f"{title} noise", noise.scale, noise.mean, *STYLES[title]))
    draw(curves, "rank / number of components" if ranked else MOMENTUM, "variance", "Variances")
    st.caption(
        "Points: the mean variance of the components of a scale, in this basis; shaded: from the "
        "weakest to the strongest tenth of them. Where the band is narrow, the scale determines "
        "the variance of a component; where it is wide, matched noise captures structure that "
        "other spectra cannot. Wavelets have one momentum per level, pixels have none; principal "
        "components beyond the number of images carry nothing."
    )


VIEWS: Mapping[str, Callable[[SpectraChoice, BasisSpec, Colors], None]] = {
    "Noise in pictures": noise_pictures,
    "Basis functions": functions,
    "Variance by scale": variances,
}
