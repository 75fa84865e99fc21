"""What the Noising page shows, computed from its state: processes, images, noise, exact
pictures.
"""

from dataclasses import replace

import streamlit as st
import torch

import rgdiff_core as rg
from pages._noising.state import NoisingState
from pages._shared import cache
from pages._shared.curve_messages import centred
from pages._shared.drag_parameters import STRENGTH, color_parameter
from pages._shared.pictures import MAX_VALUES
from pages._shared.process_choice import ProcessChoice, process
from rgdiff_core.colors import BlendedColor, MovingColor
from rgdiff_core.process import white_noise
from rgdiff_core.schedules import BlendedSchedule
from rgdiff_core.seeds import streams
from rgdiff_core.spectra.bands import separable

__all__ = [
    "blend_note",
    "blended",
    "draggable_color",
    "fields",
    "fitting",
    "free_theory_samples",
    "noise",
]


def fitting(lab: NoisingState) -> NoisingState:
    """Return the state with all wavelet levels where the images do not allow as many as asked."""
    for index, side in enumerate(lab.sides):
        try:
            process(lab.data, side)
        except ValueError:
            lab = lab.with_side(index, replace(side, basis=replace(side.basis, levels=None)))
    return lab


def free_theory_samples(lab: NoisingState, method: str, steps: int) -> torch.Tensor:
    """Return samples, as many as images are shown, of side A's process with the exact Gaussian
    denoiser.
    """
    same = NoisingState(lab.data, lab.sides[:1], lab.images, lab.first, lab.seed)
    return _free_theory_samples(same.to_json(), method, steps)


@st.cache_resource(max_entries=8, show_spinner="Sampling the free theory …")
def _free_theory_samples(lab_json: str, method: str, steps: int) -> torch.Tensor:
    lab = NoisingState.from_json(lab_json)
    forward = process(lab.data, lab.sides[0])
    gaussian = rg.GaussianDenoiser(forward.basis, forward.modes)
    n = len(fields(lab))
    return rg.sample(gaussian, forward, n, steps, method, seed=lab.seed)


def fields(lab: NoisingState) -> torch.Tensor:
    """Return the images shown, (n, C, H, W); fewer than asked where they are large or the set
    ends.
    """
    every = cache.images(lab.data).images
    most = max(1, MAX_VALUES // every[0].numel())
    first = min(lab.first, len(every) - 1)
    return every[first : first + min(lab.images, most)]


def noise(lab: NoisingState) -> torch.Tensor:
    """Return the white noise of the seed, in field space, one stream per image."""
    x0 = fields(lab)
    return white_noise(x0.shape, x0, streams(lab.seed, len(x0), lab.first))


def blend_note(processes: list[rg.Process]) -> str | None:
    """Return a sentence that says why two processes can't be blended, or None where they can."""
    if len(processes) < 2:
        return "Blending needs two processes to compare."
    first, second = processes
    if first.basis is not second.basis:
        return "A and B can be blended only in the same basis: choose it for both."
    labels = [p.schedule.label(p.modes) for p in processes]
    if labels[0].shape != labels[1].shape or not torch.equal(*labels):
        return "A and B order the components differently, so there is nothing between them."
    if any(isinstance(p.color, MovingColor) for p in processes):
        return "A and B can be blended only where their colours do not change with time."
    return None


def blended(lab: NoisingState, weight: float) -> rg.Process:
    """Return the process between A and B: linear in the log-SNR and in the amplitude of the
    noise.
    """
    first, second = (process(lab.data, side) for side in lab.sides)
    return rg.Process(
        first.basis,
        BlendedColor(first.color, second.color, weight),
        BlendedSchedule(first.schedule, second.schedule, weight),
        first.modes,
    )


def draggable_color(data: str, side: ProcessChoice) -> bool:
    """Tell whether the lab can drag the colour's number: from white to matched noise it can; else
    S must depend on the schedule's label only.
    """
    parameter = color_parameter(side.color)
    if parameter is None or parameter is STRENGTH:
        return parameter is not None
    return side.start is not None or separable(process(data, centred(side.still)))
