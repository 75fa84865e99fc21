"""What the Samples page gives away: a picture, numbers, and the Python lines behind them."""

import io
import math
from dataclasses import replace

import numpy as np
import torch

from pages._samples.messages import coloured
from pages._samples.state import SamplesState
from pages._sampling.draw import LOOK, most
from pages._sampling.models import load
from pages._sampling.setting import Request, Setting
from pages._sampling.turns import drawn, followed
from pages._shared.cache import FIT_LIMIT
from pages._shared.pictures import png, sheet
from pages._shared.python_source import basis_lines, spec_source, symmetries_source
from rgdiff_core.denoisers import GuidanceCurve

__all__ = ["numbers", "picture", "python_lines", "shown"]


def shown(bench: SamplesState) -> Request:
    """Return the request whose samples are on the screen."""
    return replace(bench.request, n=min(bench.n, most(load(bench.setting).denoiser.basis.shape)))


def picture(bench: SamplesState) -> bytes:
    """Return the samples as a PNG file."""
    x = drawn(shown(bench))
    columns = math.ceil(math.sqrt(len(x)))
    tiles = coloured(x, load(bench.setting))
    return png(sheet(tiles, columns, max(1, 1024 // (columns * x.shape[-1]))))


def numbers(bench: SamplesState) -> bytes:
    """Return samples (n, C, H, W), the states on the way (K, n, C, H, W) with their times, and
    the settings as JSON, as a .npz file.
    """
    request = shown(bench)
    frames = followed(request)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        samples=frames[-1].x.numpy(),
        times=np.array([frame.time for frame in frames]),
        fields=torch.stack([frame.x for frame in frames]).numpy(),
        denoised=torch.stack([frame.denoised for frame in frames]).numpy(),
        settings=np.array(request.to_json()),
    )
    return file.getvalue()


def python_lines(bench: SamplesState) -> str:
    """Return the Python lines that draw the samples again."""
    request, setting = shown(bench), bench.setting
    lines = f"""import torch
import rgdiff_core as rg
from rgdiff_core import sampling
{_model_lines(request)}
process = rg.Process(
    model.basis,
    {spec_source(setting.side.noise)},
    {spec_source(setting.side.schedule)},
    model.modes,
)
samples = rg.sample(
    model,
    process,
    {request.n},
    steps={setting.steps},
    method=sampling.{setting.sampler!r},
    grid={setting.grid!r},
    {_noise_line(request)},
)
"""
    return lines


def _noise_line(request: Request) -> str:
    if request.walk is None:
        return f"seed={request.seed}"
    first, last = request.walk
    return f"generator=rg.seeds.walk({request.seed}, {request.n}, {first}, {last})"


def _model_lines(request: Request) -> str:
    setting = request.setting
    kind, _, name = setting.model.partition("/")
    if kind == "free":
        lines = f"""from rgdiff_core.bases.spec import BasisSpec

data = rg.data.load({name!r}, limit={FIT_LIMIT}).images
basis = {basis_lines(setting.side.basis)}.build(data)
model = rg.GaussianDenoiser.fit(basis, data{symmetries_source(name)})
"""
    else:
        lines = f"""from rgdiff_core.training.models import open_model

model = open_model({name!r}).denoiser{_at(setting)}
"""
    lines += _lead_lines(setting)
    zoom = setting.zoom
    if zoom is None:
        return lines
    data = load(setting).data
    return (
        lines
        + f"""from rgdiff_core.denoisers.conditional import Conditioned, known_below
from rgdiff_core.seeds import stream

image = {_image_line(data, setting, zoom.image)}
known = known_below(model.basis.scale, {zoom.cutoff!r}, {zoom.softness!r})
model = Conditioned(model, image, known, stream({request.seed}, {LOOK}))
"""
    )


def _at(setting: Setting) -> str:
    """Return what puts a model at the couplings of a setting, "" where it has none."""
    return "" if setting.couplings is None else ".at({!r}, {!r})".format(*setting.couplings)


def _image_line(data: str, setting: Setting, image: int) -> str:
    """Return the line that loads the image of a zoom."""
    couplings = load(setting).denoiser.couplings
    if couplings is None:
        return f"rg.data.load({data!r}, limit={image + 1}).images[-1:]"
    at = ", ".join(map(repr, couplings))
    return f"rg.data.load_at({data!r}, 'train', {at}).images[{image} : {image + 1}]"


def _lead_lines(setting: Setting) -> str:
    """Return the lines of class and guidance, none where there is neither."""
    scale, label = setting.guidance, setting.class_label
    if label < 0 and scale == 1:
        return ""
    by_free = setting.by_free_theory and scale != 1
    names = ["GuidanceCurve"] * isinstance(scale, GuidanceCurve) + ["free_theory"] * by_free
    labels = f"torch.tensor([{label}])" if label >= 0 else None
    reference = ", reference=free_theory(model)" if by_free else ""
    return f"""from rgdiff_core.denoisers import {", ".join((*names, "guided"))}

model = guided(model, {labels}, {scale!r}{reference})
"""
