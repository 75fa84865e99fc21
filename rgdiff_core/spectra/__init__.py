"""Spectra of data and noise, and their division into bands."""

from rgdiff_core.spectra.bands import (
    Bands,
    BandTable,
    band_power,
    data_bands,
    noise_bands,
    separable,
    split_bands,
    tabulate,
)
from rgdiff_core.spectra.fits import (
    FreeTheoryFit,
    PowerLawFit,
    fit_free_theory,
    fit_power_law,
)
from rgdiff_core.spectra.power import (
    Profile,
    Spectrum,
    basis_functions,
    data_log_snr,
    draw_noise,
    information,
    information_left,
    log_distance,
    power_spectrum,
    profile,
    radial_average,
)

__all__ = [
    "Bands",
    "FreeTheoryFit",
    "PowerLawFit",
    "Profile",
    "Spectrum",
    "BandTable",
    "band_power",
    "basis_functions",
    "data_bands",
    "data_log_snr",
    "draw_noise",
    "fit_free_theory",
    "fit_power_law",
    "information",
    "information_left",
    "log_distance",
    "noise_bands",
    "power_spectrum",
    "profile",
    "radial_average",
    "separable",
    "split_bands",
    "tabulate",
]
