"""Cached calls into the core. Only strings and numbers are arguments; specs travel as JSON."""

import os
from dataclasses import replace

import streamlit as st
import torch

import rgdiff_core as rg
from rgdiff_core.bases import Basis
from rgdiff_core.bases.fitted import fitted_basis
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.data import ImageSet
from rgdiff_core.spectra.power import Spectrum, power_spectrum

FIT_LIMIT = 5000  # images that bases and variances are fitted to

# Visitors share the processor: many threads for one small tensor only get in each other's way.
torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))


@st.cache_resource(max_entries=12, show_spinner=False)
def images(name: str, limit: int | None = FIT_LIMIT) -> ImageSet:
    """Return the first images of a data set."""
    return rg.data.load(name, limit=limit)


@st.cache_resource(max_entries=12, show_spinner="Generating fields …", show_time=True)
def fields(name: str, m2: float, lam: float) -> ImageSet:
    """Return the first fields of a data set along a line of couplings, at some of them."""
    found = rg.data.load_at(name, "train", m2, lam)
    return replace(found, images=found.images[:FIT_LIMIT])


def basis(name: str, spec: str, limit: int = FIT_LIMIT) -> Basis:
    """Return the basis that a `BasisSpec`'s JSON names, fitted to a data set's first images."""
    return _basis(name, spec, limit)


def modes(name: str, spec: str, limit: int = FIT_LIMIT) -> rg.Modes:
    """Return the mean and variances of a data set's first images in that basis."""
    return _modes(name, spec, limit)


# Defaults are no part of Streamlit's keys, so what is cached has none.
@st.cache_resource(max_entries=16, show_spinner="Fitting the basis, once …", show_time=True)
def _basis(name: str, spec: str, limit: int) -> Basis:
    return fitted_basis(BasisSpec.from_json(spec), images(name).images[:limit])


@st.cache_resource(max_entries=16, show_spinner="Measuring the variances …", show_time=True)
def _modes(name: str, spec: str, limit: int) -> rg.Modes:
    fitted = _basis(name, spec, limit)
    symmetries = rg.data.symmetries_of(name)
    return rg.Modes.fit(fitted, images(name).images[:limit], symmetries=symmetries)


@st.cache_resource(max_entries=16, show_spinner="Measuring the spectrum …", show_time=True)
def spectrum(name: str, momentum: str, limit: int) -> Spectrum:
    """Return the radial power spectrum of a data set's first images."""
    return power_spectrum(images(name).images[:limit], momentum=momentum)


def has(name: str) -> bool:
    """Tell whether a data set is on this machine already."""
    return shape(name) is not None


def shape(name: str) -> tuple[int, int, int] | None:
    """Return the shape (C, H, W) of a data set's images, None if it isn't on this machine."""
    found = (info.shape for info in rg.data.available() if info.name == name and info.cached)
    return next(found, None)
