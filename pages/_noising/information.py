"""The bits that are left of an image, with the data's full covariance where it is small."""

import math

import streamlit as st
import torch

import rgdiff_core as rg
from pages._shared import cache
from pages._shared.process_choice import ProcessChoice
from rgdiff_core.bases.moments import component_covariance
from rgdiff_core.spectra.power import information_left

__all__ = ["bits_left"]

MAX_COMPONENTS = 1024  # above, a determinant takes longer than a person waits


def bits_left(data: str, side: ProcessChoice, proc: rg.Process, t: float) -> float | None:
    """Return the Gaussian information of the clean and the noised image at a time, in bits; None
    where the covariance of so many components takes too long, or of so few images says nothing,
    and where there is no noise yet.
    """
    if math.prod(proc.basis.shape) > MAX_COMPONENTS:
        return None
    try:
        covariance = _covariance(data, side.basis.to_json())
    except ValueError:  # too few images
        return None
    found = float(information_left(proc, torch.tensor(t), covariance=covariance))
    return found if math.isfinite(found) else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _covariance(data: str, basis: str) -> torch.Tensor:
    fitted, every = cache.basis(data, basis), cache.images(data).images
    return component_covariance(fitted, every, rg.data.symmetries_of(data))
