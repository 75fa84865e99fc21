"""Draws samples for the page and for the browser during a drag: one draw, its states on
the way, and a small store of what was drawn last.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import rgdiff_core as rg
from pages._sampling.models import Source, load
from pages._sampling.parts import Parted, is_short, part
from pages._sampling.setting import MAX_SAMPLES, Request, Setting
from pages._shared.lanes import Interruptible
from pages._shared.pictures import MAX_VALUES
from rgdiff_core.denoisers import Denoiser, free_theory, guided
from rgdiff_core.denoisers.conditional import Conditioned, known_below
from rgdiff_core.sampling import State
from rgdiff_core.seeds import STREAMS, Generators, stream, streams, walk

__all__ = [
    "LOOK",
    "Frame",
    "draw",
    "found",
    "given",
    "kept",
    "lead",
    "levels",
    "model",
    "most",
    "process",
]

MAX_FRAMES = 101
MAX_BYTES = 8 << 20  # of all frames of one draw, on their way to the browser
LOOK = STREAMS - 1  # the number of the stream for what is known of an image
STORED = 256 << 20  # bytes of samples that are kept


@dataclass(frozen=True, eq=False)
class Frame:
    """A state on the way from noise to samples.

    Attributes:
        step: 0 for noise, the number of steps for samples.
        time: t, from 1 down to 0.
        x: fields φ(t), (n, C, H, W).
        denoised: the denoiser's estimate of the clean fields.
    """

    step: int
    time: float
    x: Tensor
    denoised: Tensor


def process(setting: Setting, source: Source | None = None) -> rg.Process:
    """Return the process of a setting, with the statistics of its model's data."""
    denoiser = load(setting).denoiser if source is None else source.denoiser
    return rg.Process(denoiser.basis, setting.side.noise, setting.side.schedule, denoiser.modes)


def given(request: Request, source: Source) -> tuple[Tensor, Tensor] | None:
    """Return the image of a zoom, (1, C, H, W), and how well each component is known, in [0, 1];
    None without a zoom.
    """
    zoom = request.setting.zoom
    if zoom is None:
        return None
    images = source.images.images[: zoom.image + 1]
    return images[-1:], known_below(source.denoiser.basis.scale, zoom.cutoff, zoom.softness)


def lead(setting: Setting, source: Source) -> Denoiser:
    """Return the model of a setting, of its class and guided as it says.

    Raises `ValueError` for a class that the model does not have.
    """
    model, label = source.denoiser, setting.class_label
    labels = None if label < 0 else torch.tensor([label])
    reference = free_theory(model) if setting.by_free_theory else None
    return guided(model, labels, setting.guidance, reference=reference)


def model(request: Request, source: Source) -> Denoiser:
    """Return the model of a request: of the data, or of the data given a part of one image."""
    parts, own = given(request, source), lead(request.setting, source)
    return own if parts is None else Conditioned(own, *parts, stream(request.seed, LOOK))


def noise(request: Request) -> Generators:
    """Return the source of a request's noise."""
    seed, n = request.seed, request.n
    return streams(seed, n) if request.walk is None else walk(seed, n, *request.walk)


def most(shape: tuple[int, ...]) -> int:
    """Return how many fields (C, H, W) are drawn at most during a drag."""
    return max(1, min(MAX_SAMPLES, MAX_VALUES // int(np.prod(shape))))


def kept(steps: int, values: int) -> set[int]:
    """Return the steps whose states travel to the browser: all, or some that are spread evenly."""
    count = max(2, min(steps + 1, MAX_FRAMES, MAX_BYTES // (2 * values)))
    return {round(i * steps / (count - 1)) for i in range(count)}


def draw(
    request: Request,
    show: Callable[[Frame], None] = lambda frame: None,
    look: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return samples (n, C, H, W), on the CPU, and keep them for a while.

    Arguments:
        show: called with every state that is kept.
        look: called whenever the model is asked, and in a long draw before each operation on
            tensors too; it may raise to cancel.
    """
    source = load(request.setting)
    forward, setting = process(request.setting, source), request.setting
    n = request.n
    wanted = kept(setting.steps, n * int(np.prod(forward.basis.shape)))
    before: list[State] = []

    def follow(state: State) -> None:
        # what the denoiser said in a step belongs to the state that the step began with
        if before and before[0].step in wanted and state.denoised is not None:
            show(Frame(before[0].step, before[0].time, before[0].x.cpu(), state.denoised.cpu()))
        before[:] = [state]

    with nullcontext() if is_short(request, source) else Interruptible(look):
        x = rg.sample(
            Parted(model(request, source), part(source, n, setting.networks), look),
            forward,
            n,
            setting.steps,
            setting.sampler,
            callback=follow,
            grid=setting.grid,
            generator=noise(request),
        ).cpu()
    if not x.isfinite().all():
        raise ValueError(
            f"{setting.sampler.title} with {setting.steps} steps left the finite numbers: take "
            "more steps, or another sampler."
        )
    show(Frame(setting.steps, 0.0, x, x))
    _keep(request.to_json() + source.version, x)
    return x


def found(request: Request) -> Tensor | None:
    """Return the samples that were drawn for a request, None where there are none any more."""
    with _lock:
        return _store.get(request.to_json() + load(request.setting).version)


def levels(x: Tensor, low: float, high: float) -> np.ndarray:
    """Return fields as bytes: 0 for `low`, 255 for `high`."""
    return (255 * ((x - low) / (high - low)).clamp(0, 1)).round().byte().numpy()


_store: OrderedDict[str, Tensor] = OrderedDict()
_lock = threading.Lock()


def _keep(key: str, x: Tensor) -> None:
    with _lock:
        _store[key] = x
        _store.move_to_end(key)
        while len(_store) > 1 and sum(each.nbytes for each in _store.values()) > STORED:
            _store.popitem(last=False)
