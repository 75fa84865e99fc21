"""Cached calls into the core. Only strings and numbers are arguments; specs travel as JSON."""

import streamlit as st

import rgdiff_core as rg
from rgdiff_core.bases import Basis
from rgdiff_core.choice import BasisSpec
from rgdiff_core.data import ImageSet

FIT_LIMIT = 5000  # images that bases and variances are fitted to


@st.cache_resource(max_entries=12, show_spinner=False)
def images(name: str, limit: int | None = FIT_LIMIT) -> ImageSet:
    """Return the first images of a data set."""
    return rg.data.load(name, limit=limit)


@st.cache_resource(max_entries=16, show_spinner="Fitting the basis …")
def basis(name: str, spec: str) -> Basis:
    """Return the basis that a `BasisSpec`'s JSON names, fitted to a data set."""
    return BasisSpec.from_json(spec).build(images(name).images)


@st.cache_resource(max_entries=16, show_spinner=False)
def modes(name: str, spec: str) -> rg.Modes:
    """Return the data set's mean and variances in that basis."""
    return rg.Modes.fit(basis(name, spec), images(name).images)


def has(name: str) -> bool:
    """Tell whether a data set is on this machine already."""
    return any(info.cached for info in rg.data.available() if info.name == name)
