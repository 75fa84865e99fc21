"""What the server sends to the lab: bands and tables once, the exact picture when the hand rests."""

from dataclasses import replace
from functools import cache as cache_in_memory
from typing import Any, TypeVar

import numpy as np
import plotly.colors
import streamlit as st
import torch

import rgdiff_core as rg
from rgdiff_core.bands import (
    Bands,
    band_power,
    data_bands,
    noise_bands,
    separable,
    split_bands,
    tabulate,
)
from rgdiff_core.choice import BasisSpec
from rgdiff_core.colors import BlendedColor
from rgdiff_core.process import white_noise
from rgdiff_core.schedules import (
    BlendedSchedule,
    CosinePath,
    Cutoff,
    CutoffPath,
    ExponentialPath,
    LinearPath,
    LogarithmicPath,
)
from rgdiff_core.spec import Spec
from rgdiff_core.spectra import information

from pages._shared import cache
from pages._shared.knobs import Knob, color_knob
from pages._shared.lab import pack
from pages._shared.labstate import MAX_POINTS, Lab, Side
from pages._shared.menus import describe

__all__ = [
    "bands_message",
    "blend_note",
    "blended",
    "colormap_of",
    "diverging_colors",
    "draggable_color",
    "fields",
    "fitting",
    "free_theory_samples",
    "noise",
    "process",
    "settled_message",
]

S = TypeVar("S", bound=Spec)

MAX_VALUES = 64 * 3 * 32 * 32  # of all images together: bounds what travels to the browser
NAMED_PATHS = {
    "linear": LinearPath(),
    "cosine": CosinePath(),
    "exponential": ExponentialPath(),
    "logarithmic": LogarithmicPath(),
}
BLENDS = 17
SEED_STRIDE = 1_000_003  # so that no two seeds share an image's noise
INFORMATION_RANGE = (-40.0, 40.0)


def process(data: str, side: Side) -> rg.Process:
    """Return the process of one side, with the data's statistics."""
    spec = side.basis.to_json()
    return rg.Process(
        cache.basis(data, spec), side.color, side.schedule, cache.modes(data, spec)
    )


def fitting(lab: Lab) -> Lab:
    """Return the state with all wavelet levels where the images do not allow as many as asked."""
    for index, side in enumerate(lab.sides):
        try:
            process(lab.data, side)
        except ValueError:
            lab = lab.with_side(index, replace(side, basis=replace(side.basis, levels=None)))
    return lab


@st.cache_resource(max_entries=8, show_spinner="Sampling the free theory …")
def free_theory_samples(lab_json: str, method: str, steps: int) -> torch.Tensor:
    """Return samples, as many as images are shown, of side A's process with the exact Gaussian denoiser."""
    lab = Lab.from_json(lab_json)
    forward = process(lab.data, lab.sides[0])
    gaussian = rg.GaussianDenoiser(forward.basis, forward.modes)
    n = len(fields(lab))
    streams = [torch.Generator().manual_seed(SEED_STRIDE * lab.seed + i) for i in range(n)]
    return rg.sample(gaussian, forward, n, steps, method, streams)


def fields(lab: Lab) -> torch.Tensor:
    """Return the images shown, (n, C, H, W); fewer than asked where they are large or the set ends."""
    every = cache.images(lab.data).images
    most = max(1, MAX_VALUES // every[0].numel())
    first = min(lab.first, len(every) - 1)
    return every[first : first + min(lab.images, most)]


def noise(lab: Lab) -> torch.Tensor:
    """Return the white noise of the seed, in field space, one stream per image."""
    x0 = fields(lab)
    start = SEED_STRIDE * lab.seed + lab.first
    streams = [torch.Generator().manual_seed(start + i) for i in range(len(x0))]
    return white_noise(x0.shape, x0, streams)


@st.cache_resource(max_entries=6, show_spinner=False)
def bands_message(lab_json: str, stamp: str) -> bytes:
    """Return the bands message of docs/lab-protocol.md for a state, under a stamp."""
    lab = Lab.from_json(lab_json)
    header, arrays = _bands(_frozen(lab).to_json())
    return pack(header | {"stamp": stamp, "state": lab.component()}, arrays)


def _frozen(lab: Lab) -> Lab:
    """Return the state with all that is dragged at a fixed place: bands and tables do not depend on it."""
    sides = tuple(_middle(side) for side in lab.sides)
    return Lab(lab.data, sides, lab.images, lab.first, lab.seed)


def _middle(side: Side) -> Side:
    schedule, color = side.schedule, side.color
    if isinstance(schedule, Cutoff):
        schedule = replace(schedule, path=LinearPath())
    shape, tint = side.knobs()
    return Side(
        side.basis,
        color if tint is None else _centred(tint, color),
        schedule if shape is None else _centred(shape, schedule),
    )


def _centred(knob: Knob, spec: S) -> S:
    inside = knob.low <= knob.value(spec) <= knob.high
    return knob.turn(spec, knob.grid()[knob.steps // 2]) if inside else spec


@st.cache_resource(max_entries=4, show_spinner=False)
def _bands(lab_json: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    lab = Lab.from_json(lab_json)
    every, x0, eps = cache.images(lab.data), fields(lab), noise(lab)
    n, channels, height, width = x0.shape
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
    processes = [process(lab.data, side) for side in lab.sides]
    for index, (side, proc) in enumerate(zip(lab.sides, processes, strict=True)):
        bands = _split(processes, index)
        tables = _tables(lab.data, side, proc, bands)
        tables |= {"data": data_bands(bands, x0), "noise": noise_bands(bands, proc, eps)}
        for name, tensor in tables.items():
            dtype = np.float16 if name in ("data", "noise") else np.float32
            arrays[f"{index}/{name}"] = tensor.numpy().astype(dtype)
        header["sides"].append(_side_header(side, proc, bands))
    return header, arrays


def _split(processes: list[rg.Process], index: int) -> Bands:
    """Cut a side into bands; sides of the same basis and labels share them, so that they can be blended."""
    others = [p for p in processes if p is not processes[index]]
    if others and blend_note(processes) is None:
        return split_bands(*processes)
    return split_bands(processes[index])


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
    return None


def _side_header(side: Side, proc: rg.Process, bands: Bands) -> dict[str, Any]:
    shape, tint = side.knobs()
    if not separable(proc):
        tint = None
    return {
        "title": describe(side.basis, side.color, side.schedule),
        "axis": {"label": _axis(side, proc, bands), "discrete": bands.discrete},
        "nodes": bands.nodes.tolist(),
        "counts": bands.counts.tolist(),
        "path": isinstance(side.schedule, Cutoff),
        "points_max": MAX_POINTS,
        "shape": None if shape is None else _knob_header(shape, side.schedule),
        "tint": None if tint is None else _knob_header(tint, side.color),
        "presets": {
            name: list(zip(*_lists(CutoffPath.sampled(path, 6)), strict=True))
            for name, path in NAMED_PATHS.items()
        },
        "note": "",
    }


def _lists(path: CutoffPath) -> tuple[list[float], list[float]]:
    return [round(t, 4) for t in path.times], [round(y, 4) for y in path.values]


def _knob_header(knob: Knob, spec: Spec) -> dict[str, Any]:
    grid = knob.grid(knob.value(spec))
    return {
        "name": knob.field,
        "label": knob.label,
        "help": knob.help,
        "grid": grid,
        "log": knob.log,
    }


def _axis(side: Side, proc: rg.Process, bands: Bands) -> str:
    order = getattr(side.schedule, "order", "scale")
    if order in ("column", "row"):
        return f"{order} (first to last)"
    if order == "variance":
        return "weak components →"
    if bands.basis is not proc.basis:
        return "|k| / k_max"
    names = {"wavelet": "wavelet level", "pca": "rank / number of components"}
    return names.get(side.basis.name, "|k| / k_max")


def _tables(data: str, side: Side, proc: rg.Process, bands: Bands) -> dict[str, torch.Tensor]:
    shape, tint = side.knobs()
    turned = [side.schedule]
    if shape is not None:
        turned = [shape.turn(side.schedule, v) for v in shape.grid(shape.value(side.schedule))]
    table = tabulate(proc, turned, bands)
    tables = {"alpha": table.alpha, "sigma": table.sigma, "gamma": table.gamma}
    if table.front is not None:
        tables["front"] = table.front
    if not separable(proc):
        tables["tint"] = torch.ones(1, len(bands.nodes))
        tables["noise_power"] = _noise_power(proc, bands)[None]
    else:
        colors = [side.color]
        if tint is not None:
            colors = [tint.turn(side.color, v) for v in tint.grid(tint.value(side.color))]
        power = torch.stack([bands.at_nodes(c.variance(proc.modes)) for c in colors])
        tables |= {"tint": power.sqrt(), "noise_power": power}
    return tables | {"data_power": _data_power(data, side, proc, bands)}


def _noise_power(proc: rg.Process, bands: Bands) -> torch.Tensor:
    if bands.basis is proc.basis:
        return bands.mean(proc.noise_variance)
    return proc.noise_variance.mean().expand(len(bands.nodes))


def _data_power(data: str, side: Side, proc: rg.Process, bands: Bands) -> torch.Tensor:
    if bands.basis is proc.basis:
        return band_power(bands, proc.modes)
    fourier = BasisSpec("fourier", decorrelate=side.basis.decorrelate)
    return band_power(bands, cache.modes(data, fourier.to_json()))


def settled_message(lab: Lab, seq: int, stamp: str) -> bytes:
    """Return the settled message of docs/lab-protocol.md: the exact pictures at the lab's time."""
    x0, eps = fields(lab), noise(lab)
    processes = [process(lab.data, side) for side in lab.sides]
    tensors = {f"{i}/exact": p.perturb(x0, lab.t, eps) for i, p in enumerate(processes)}
    header = {
        "kind": "settled",
        "seq": seq,
        "stamp": stamp,
        "t": lab.t,
        "sides": len(processes),
        "blend": None,
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


def blended(lab: Lab, weight: float) -> rg.Process:
    """Return the process between A and B: linear in the log-SNR and in the amplitude of the noise."""
    first, second = (process(lab.data, side) for side in lab.sides)
    return rg.Process(
        first.basis,
        BlendedColor(first.color, second.color, weight),
        BlendedSchedule(first.schedule, second.schedule, weight),
        first.modes,
    )


def _blend_tables(lab: Lab) -> dict[str, np.ndarray]:
    frozen = [process(lab.data, side) for side in _frozen(lab).sides]
    bands = _split(frozen, 0)
    between = blended(lab, 0.5)
    schedules = [replace(between.schedule, weight=w / (BLENDS - 1)) for w in range(BLENDS)]
    table = tabulate(between, schedules, bands, ordinates=129)
    return {
        f"blend/{name}": getattr(table, name).numpy().astype(np.float32)
        for name in ("alpha", "sigma")
    }


def _information_table() -> np.ndarray:
    return information(torch.linspace(*INFORMATION_RANGE, 801)).numpy().astype(np.float32)


def colormap_of(data: str, channels: int) -> str:
    """Return how fields are coloured: "rgb", "gray", or "diverging" for lattice fields of either sign."""
    if channels == 3:
        return "rgb"
    return "diverging" if data.startswith("phi4") else "gray"


def draggable_color(data: str, side: Side) -> bool:
    """Tell whether the lab can drag the colour's number: S must depend on the schedule's label only."""
    return color_knob(side.color) is not None and separable(process(data, side))


@cache_in_memory
def diverging_colors() -> np.ndarray:
    """Return a colour-blind-safe diverging map, uint8 (256, 3), white in the middle."""
    shades = np.linspace(0, 1, 256).tolist()
    colors = plotly.colors.sample_colorscale("RdBu_r", shades, colortype="tuple")
    return np.round(255 * np.array(colors)).astype(np.uint8)
