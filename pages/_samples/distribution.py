"""What the histogram of the magnetization shows: samples on their way, and what they should be."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pages._sampling.draw import Frame, process
from pages._sampling.models import Source
from pages._sampling.setting import Setting
from pages._shared import cache
from rgdiff_core.evaluation import (
    magnetization_histogram,
    magnetization_limit,
    noised_magnetization,
)

__all__ = ["BINS", "axis", "distribution"]

BINS = 25  # odd, so that one is between the wells
KEPT = 16

_lock = threading.Lock()
_pool = ThreadPoolExecutor(1, "references")
_generated: OrderedDict[tuple[str, tuple[float, float]], Future[Tensor]] = OrderedDict()


def axis(source: Source) -> dict[str, Any] | None:
    """Return the limit of the axis, the same for all couplings of a model, and the number of bins;
    None where fields are not those of a lattice, or the data set is not on this machine.
    """
    if source.action is None or not source.has_data:
        return None
    return {"limit": _limit(source.data), "bins": BINS}


@lru_cache(maxsize=16)
def _limit(data: str) -> float:
    return magnetization_limit(cache.images(data).images)


def distribution(
    frames: Sequence[Frame], source: Source, setting: Setting
) -> tuple[dict[str, np.ndarray], bool]:
    """Return the histograms of some frames for their message, and whether their reference is
    still being generated.

    Returns:
        Arrays by name: `distribution` float32 (K, 2, bins), the density of the samples and its
        error; `reference` float32 (K, bins), the density that the data have at the same times,
        not with a zoom, whose samples are of one image.
    """
    told = axis(source)
    if told is None or not frames:
        return {}, False
    limit, bins = told["limit"], told["bins"]
    found = [magnetization_histogram(frame.x, limit, bins) for frame in frames]
    samples = torch.stack([torch.stack((each.density, each.error)) for each in found])
    arrays = {"distribution": samples.float().numpy()}
    if setting.zoom is not None:
        return arrays, False
    fields = _fields(source)
    if fields is None:
        return arrays, True
    if not len(fields):
        return arrays, False
    times = [frame.time for frame in frames]
    forward = process(setting, source)
    wanted = noised_magnetization(forward, fields, times, limit, bins, action=source.action)
    return arrays | {"reference": wanted.density.float().numpy()}, False


def _fields(source: Source) -> Tensor | None:
    """Return fields of the theory; None while those of a model along a line of couplings, which
    take seconds, are generated in the background; without any where they cannot be.
    """
    couplings = source.denoiser.couplings
    if couplings is None:
        return source.images.images
    key = (source.data, couplings)
    with _lock:
        if key not in _generated:
            _generated[key] = _pool.submit(lambda: source.images.images)
            while len(_generated) > KEPT:
                _generated.popitem(last=False)[1].cancel()
        future = _generated[key]
        if future.done() and (future.cancelled() or future.exception() is not None):
            del _generated[key]  # another draw tries once more
            return torch.empty(0)
    return future.result() if future.done() else None
