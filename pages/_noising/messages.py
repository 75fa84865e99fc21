"""The messages of docs/lab-protocol.md: band images, tables, exact pictures."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
import torch

import rgdiff_core as rg
from pages._noising.data import blend_note, blended, draggable_color, fields, noise
from pages._noising.information import bits_left
from pages._noising.state import NoisingState
from pages._shared import cache
from pages._shared.color_messages import color_tables, curve_header, painted_from, plain
from pages._shared.component import pack
from pages._shared.curve_messages import centred, curve_tables, side_header, side_name
from pages._shared.pictures import colormap_of, diverging_colors
from pages._shared.process_choice import ProcessChoice, process
from rgdiff_core.bases.moments import has_uncorrelated_components
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import White
from rgdiff_core.schedules import (
    LinearBeta,
    SoftConditioning,
)
from rgdiff_core.spectra.bands import (
    Bands,
    band_power,
    data_bands,
    noise_bands,
    split_bands,
    tabulate,
)
from rgdiff_core.spectra.power import information

__all__ = ["bands_message", "layers_messages", "settled_message"]

BLENDS = 17
INFORMATION_RANGE = (-40.0, 40.0)


@dataclass(frozen=True)
class Layers:
    """Band images that the browser keeps under an identity: of the data, or of the noise, of one
    side.
    """

    identity: str
    data: bool
    state: str


def layers_messages(lab: NoisingState) -> dict[str, bytes]:
    """Return the messages with band images, by identity; sides that share images share a
    message.
    """
    every = [each for side in _frozen(lab).sides for each in _stores(lab, side)]
    return {each.identity: _layers(each.identity, each.data, each.state) for each in every}


def _stores(lab: NoisingState, side: ProcessChoice) -> list[Layers]:
    """Say what the data bands of a side, and then its noise bands, depend on: not on what is
    dragged, nor on most menus.
    """
    order = getattr(side.schedule, "order", None)
    by_scale = order in (None, "scale")  # as all that have no order of their own
    schedule = LinearBeta() if by_scale else SoftConditioning(order=order)
    white = ProcessChoice(side.basis, White(normalize=False), schedule)
    states = [NoisingState(lab.data, (white,), lab.images, lab.first)]
    for color in painted_from(side, process(lab.data, side.still)):
        noisy = replace(white, color=color)
        states.append(NoisingState(lab.data, (noisy,), lab.images, lab.first, lab.seed))
    stores = []
    for index, state in enumerate(states):
        text = state.to_json()
        digest = hashlib.sha256(f"{index == 0}{text}".encode()).hexdigest()[:16]
        stores.append(Layers(digest, index == 0, text))
    return stores


@st.cache_resource(max_entries=24, show_spinner=False)  # every basis of a data set: 3 or so each
def _layers(identity: str, data: bool, state: str) -> bytes:
    lab = NoisingState.from_json(state)
    proc = process(lab.data, lab.sides[0])
    bands = split_bands(proc)
    images = data_bands(bands, fields(lab)) if data else noise_bands(bands, proc, noise(lab))
    header = {"kind": "layers", "id": identity}
    return pack(header, {"layers": images.numpy().astype(np.float16)})


@st.cache_resource(max_entries=6, show_spinner=False)
def bands_message(
    lab_json: str, revision: str, opening: bool = False, history: str = "{}"
) -> bytes:
    """Return the bands message of docs/lab-protocol.md for a state, under a revision.

    Arguments:
        opening: whether the pictures move until the first touch.
        history: what can be undone beyond the browser's own changes, as JSON.
    """
    lab = NoisingState.from_json(lab_json)
    header, arrays = _bands(_frozen(lab).to_json())
    sides = [
        told | {"name": side_name(side)}
        for told, side in zip(header["sides"], lab.sides, strict=True)
    ]
    told = {"revision": revision, "state": lab.component(), "sides": sides, "opening": opening}
    return pack(header | told | {"history": json.loads(history)}, arrays)


def _frozen(lab: NoisingState) -> NoisingState:
    """Return the state with all that is dragged at a fixed place: bands and tables do not depend
    on it.
    """
    sides = tuple(_frozen_side(lab.data, side) for side in lab.sides)
    return NoisingState(lab.data, sides, lab.images, lab.first, lab.seed)


def _frozen_side(data: str, side: ProcessChoice) -> ProcessChoice:
    fixed = centred(side)
    return fixed if draggable_color(data, side) else replace(fixed, color=plain(side.color))


@st.cache_resource(max_entries=8, show_spinner=False)
def _bands(lab_json: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    lab = NoisingState.from_json(lab_json)
    every = cache.images(lab.data)
    n, channels, height, width = fields(lab).shape
    arrays = {"information": _information_table(), "colormap": diverging_colors()}
    header = {
        "kind": "bands",
        "images": {
            "n": n,
            "channels": channels,
            "height": height,
            "width": width,
            "low": every.low,
            "high": every.high,
            "colormap": colormap_of(lab.data, channels),
        },
        "information": dict(zip(("low", "high"), INFORMATION_RANGE, strict=True)),
        "sides": [],
    }
    for index, side in enumerate(lab.sides):
        proc = process(lab.data, side.still)
        bands = split_bands(proc)
        for name, tensor in _tables(lab.data, side, proc, bands).items():
            arrays[f"{index}/{name}"] = tensor.numpy().astype(np.float32)
        data, *noisy = _stores(lab, side)
        stores = {"data": data.identity, "noise": [each.identity for each in noisy]}
        fixed = {} if draggable_color(lab.data, side) else {"tint": None}
        uncorrelated = has_uncorrelated_components(bands.basis, rg.data.symmetries_of(lab.data))
        information = {"information": "exact" if uncorrelated else "bound"}
        own = {"curve": curve_header(proc, bands)} | fixed | stores | information
        header["sides"].append(side_header(side, proc, bands) | own)
    return header, arrays


def _tables(
    data: str, side: ProcessChoice, proc: rg.Process, bands: Bands
) -> dict[str, torch.Tensor]:
    tables = curve_tables(side, proc, bands) | color_tables(side, proc, bands)
    return tables | {"data_power": _data_power(data, side, proc, bands)}


def _data_power(data: str, side: ProcessChoice, proc: rg.Process, bands: Bands) -> torch.Tensor:
    if bands.basis is proc.basis:
        return band_power(bands, proc.modes)
    fourier = BasisSpec("fourier", decorrelate=side.basis.decorrelate)
    return band_power(bands, cache.modes(data, fourier.to_json()))


def settled_message(lab: NoisingState, seq: int, revision: str, problem: str = "") -> bytes:
    """Return the settled message of docs/lab-protocol.md: the exact pictures at the lab's time.

    Arguments:
        problem: why what was dragged last is refused.
    """
    x0, eps = fields(lab), noise(lab)
    processes = [process(lab.data, side) for side in lab.sides]
    tensors = {f"{i}/exact": p.perturb(x0, lab.t, eps) for i, p in enumerate(processes)}
    header = {
        "kind": "settled",
        "seq": seq,
        "revision": revision,
        "t": lab.t,
        "sides": len(processes),
        "bits": [
            bits_left(lab.data, side, proc, lab.t)
            for side, proc in zip(lab.sides, processes, strict=True)
        ],
        "blend": None,
        "problem": problem,
    }
    arrays = {}
    if lab.view == "blend":
        note = blend_note(processes)
        if note is None:
            header["blend"] = {"weights": BLENDS}
            tensors["blend/exact"] = blended(lab, lab.blend).perturb(x0, lab.t, eps)
            arrays = _blend_tables(lab)
        else:
            header["blend_note"] = note
    arrays |= {name: tensor.numpy().astype(np.float16) for name, tensor in tensors.items()}
    return pack(header, arrays)


def _blend_tables(lab: NoisingState) -> dict[str, np.ndarray]:
    frozen = [process(lab.data, side) for side in _frozen(lab).sides]
    bands = split_bands(frozen[0])
    between = blended(lab, 0.5)
    schedules = [replace(between.schedule, weight=w / (BLENDS - 1)) for w in range(BLENDS)]
    table = tabulate(between, schedules, bands, ordinates=129)
    return {
        f"blend/{name}": getattr(table, name).numpy().astype(np.float32)
        for name in ("alpha", "sigma")
    }


def _information_table() -> np.ndarray:
    return information(torch.linspace(*INFORMATION_RANGE, 801)).numpy().astype(np.float32)
