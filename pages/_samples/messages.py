"""The messages of docs/samples-protocol.md: what the page's component receives, and frames."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import streamlit as st
import torch

import rgdiff_core as rg
from pages._samples.distribution import axis, distribution
from pages._samples.state import SamplesState
from pages._samples.stored import stored_fields
from pages._sampling.draw import Frame, levels, most, process
from pages._sampling.models import Source, load
from pages._sampling.setting import GUIDES, MAX_GUIDANCE, MAX_STEPS, Request, Setting
from pages._sampling.turns import followed
from pages._shared.color_messages import curve_header, spectrum_tables
from pages._shared.component import pack
from pages._shared.curve_messages import centred, curve_tables, side_header, side_name
from pages._shared.menus import GRID_HELP
from pages._shared.pictures import colormap_of, diverging_colors, pixels
from pages._shared.process_choice import MAX_POINTS, ProcessChoice
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.sampling import GRIDS, METHODS
from rgdiff_core.spectra.bands import Bands, band_power, split_bands

__all__ = ["samples_message", "coloured", "drawn_message", "frames_message", "span"]


FIXED_COLOR = (
    "The noise spectrum can't be dragged: this model was trained with one noise colour only."
)


@lru_cache(maxsize=32)
def _span(data: str, known: bool) -> tuple[float, float] | None:
    if not known:
        return None
    first = rg.data.load(data, limit=1)
    return first.low, first.high


def span(source: Source) -> tuple[float, float]:
    """Return the values that are painted darkest and brightest: those of the data, or ±3 standard
    deviations where there are none on this machine.
    """
    found = _span(source.data, source.has_data)
    if found is not None:
        return found
    if source.denoiser.basis.shape[0] == 3:
        return -1.0, 1.0
    variance = source.denoiser.modes.variance
    bound = 3.0 if variance is None else 3 * float(variance.mean().sqrt())
    return -bound, bound


def coloured(x: torch.Tensor, source: Source) -> np.ndarray:
    """Return fields (n, C, H, W) as pictures, uint8 (n, H, W, 3)."""
    return pixels(x, *span(source), colormap_of(source.data, x.shape[1]))


@st.cache_resource(max_entries=8, show_spinner=False)
def samples_message(
    bench_json: str, revision: str, live: bool, opening: bool = False, history: str = "{}"
) -> bytes:
    """Return the bench message for a state, under a revision.

    Arguments:
        live: whether the server draws during a drag.
        opening: whether noise is seen to become samples, until the first touch.
        history: what can be undone beyond the browser's own changes, as JSON.
    """
    bench = SamplesState.from_json(bench_json)
    header, arrays = _curve(_frozen(bench.setting).to_json(), load(bench.setting).version)
    source = load(bench.setting)
    side = bench.setting.side
    name = {"name": side_name(side)}
    told = {
        "revision": revision,
        "sides": [each | name for each in header["sides"]],
        "live": live,
        "opening": opening,
        "history": json.loads(history),
        "quick": source.quick,
        "page_state": json.loads(replace(bench, pins=()).to_json()),
        "state": bench.component(),
        "continuous": bench.setting.side.schedule.continuous,
        "images_in_set": _count(source) if bench.setting.zoom else 0,
        "magnetization": axis(source),
        "classes": list(source.denoiser.class_names),
        "guides": GUIDES,
        "guidance_points_max": MAX_POINTS,
        "guidance_max": MAX_GUIDANCE if isinstance(source.denoiser, NetworkDenoiser) else 1,
    }
    return pack(header | told, arrays | _stored(bench.setting.model, source))


def _stored(model: str, source: Source) -> dict[str, np.ndarray]:
    """Return stored samples, where a draw is not soon done and there are such of the shape."""
    fields = None if source.quick else stored_fields(model)
    if fields is None or fields.shape[1:] != source.denoiser.basis.shape:
        return {}
    return {"stored": levels(fields[: most(source.denoiser.basis.shape)], *span(source))}


def _count(source: Source) -> int:
    return len(source.images.images) if source.has_data else 0


def _frozen(setting: Setting) -> Setting:
    """Return a setting with all that is dragged at a fixed place."""
    return Setting(setting.model, centred(setting.side), couplings=setting.couplings)


@st.cache_resource(max_entries=8, show_spinner=False)
def _curve(setting_json: str, version: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    del version
    setting = Setting.from_json(setting_json)
    source = load(setting)
    side = setting.side
    proc = deepcopy(process(replace(setting, side=side.still), source)).cpu()  # not the model's
    bands = split_bands(proc)
    channels, height, width = proc.basis.shape
    tables = curve_tables(side, proc, bands) | _spectra(side, proc, bands)
    arrays = {f"0/{name}": x.numpy().astype(np.float32) for name, x in tables.items()}
    arrays["colormap"] = diverging_colors()
    header = {
        "kind": "samples",
        "images": {
            "n": most(proc.basis.shape),
            "channels": channels,
            "height": height,
            "width": width,
            "low": 0,
            "high": 255,
            "colormap": colormap_of(source.data, channels),
        },
        "sides": [side_header(side, proc, bands) | _dragged(source, proc, bands)],
        "color_note": "" if source.noise is None else FIXED_COLOR,
        "steps_max": MAX_STEPS,
        "methods": [
            {
                "name": name,
                "title": method.title,
                "help": method.help,
                "at_jumps": "" if method.ode else method.at_jumps,
                "ode": method.ode,
                "evaluations": method.evaluations,
            }
            for name, method in METHODS.items()
        ],
        "grids": [{"name": name, **GRID_HELP[name]} for name in GRIDS],
    }
    return header, arrays


def _spectra(side: ProcessChoice, proc: rg.Process, bands: Bands) -> dict[str, torch.Tensor]:
    """Return the tables of the spectrum's plot, none where bands are not those of the basis."""
    if bands.basis is not proc.basis or proc.modes.variance is None:
        return {}
    return spectrum_tables(side, proc, bands) | {"data_power": band_power(bands, proc.modes)}


def _dragged(source: Source, proc: rg.Process, bands: Bands) -> dict[str, Any]:
    """Return what is dragged of the colour: nothing where the model knows one colour only, whose
    number then only finds its row of the tables.
    """
    if source.noise is None:
        return {"curve": curve_header(proc, bands)}
    return {"curve": None, "fixed": True}


def frames_message(
    frames: Sequence[Frame], source: Source, setting: Setting, header: dict[str, Any]
) -> bytes:
    """Return some frames of a draw of a setting as bytes for the browser."""
    limits = span(source)
    histograms, pending = distribution(frames, source, setting)
    told = {
        "kind": "frames",
        "reference_pending": pending,
        "of": [frame.step for frame in frames],
        "times": [frame.time for frame in frames],
    }
    fields = {
        name: levels(torch.stack([getattr(frame, name) for frame in frames]), *limits)
        for name in ("x", "denoised")
        if frames
    }
    return pack(header | told, fields | histograms)


def drawn_message(request: Request, seq: int, revision: str) -> bytes:
    """Draw the samples of a request here, for a browser that cannot follow a drag, and return
    all frames.
    """
    return _drawn_message(request.to_json(), seq, revision, load(request.setting).version)


@st.cache_resource(max_entries=4, show_spinner="Drawing …")
def _drawn_message(request_json: str, seq: int, revision: str, version: str) -> bytes:
    del version
    request = Request.from_json(request_json)
    source = load(request.setting)
    frames = followed(replace(request, n=min(request.n, most(source.denoiser.basis.shape))))
    header = {
        "seq": seq,
        "revision": revision,
        "steps": request.setting.steps,
        "done": True,
        "whole": True,
    }
    return frames_message(frames, source, request.setting, header)
