"""The work of a draw, how fast it is done here, and a model that is evaluated on some fields at a
time.
"""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pages._sampling.models import Source
from pages._sampling.setting import Request, Setting
from rgdiff_core.denoisers import DelegatingDenoiser, Denoiser, NetworkDenoiser, Posterior
from rgdiff_core.process import Marginal

__all__ = ["Parted", "affordable", "is_short", "measured", "part", "seconds"]

# Work is counted in parameters times values of all fields; a core does some 2^37 a second.
CALL = 1 << 28  # what a call costs whatever it computes
PART = 1 << 37  # most work of one call on the processor
DRAW = 1 << 38  # most work of a short draw
SPEED = float(1 << 37)  # work a second where no draws were measured yet
FEW, STEPS = 16, 8  # samples and steps that a draw keeps while the other can still be reduced
LEAST = 4  # steps; samples of fewer, guided, are dark or bright blobs of no class

_speeds: WeakKeyDictionary[Source, float] = WeakKeyDictionary()
_lock = threading.Lock()


def _each(source: Source) -> int:
    """Return the work of asking a model for one field; merged pixels count once."""
    model = source.denoiser
    merged = getattr(model.spec.network, "patch", 1) if isinstance(model, NetworkDenoiser) else 1
    parameters = sum(p.numel() for p in model.parameters())
    return parameters * math.prod(model.basis.shape) // merged**2


def is_short(request: Request, source: Source) -> bool:
    """Tell whether a draw takes a second or so."""
    return _work(request, source) <= DRAW


def _calls(setting: Setting) -> int:
    """Return how often a network is evaluated in one step."""
    return setting.sampler.evaluations * setting.networks


def _work(request: Request, source: Source) -> int:
    """Return the work of a draw."""
    setting = request.setting
    return setting.steps * _calls(setting) * (CALL + request.n * _each(source))


def measured(request: Request, source: Source, spent: float) -> None:
    """Note how many seconds a draw has taken, without the time in which its model was loaded."""
    speed = _work(request, source) / max(spent, 1e-6)
    with _lock:
        before = _speeds.get(source)
        _speeds[source] = speed if before is None else math.sqrt(before * speed)


def _speed(source: Source) -> float:
    """Return the work a second of a model, measured on its own draws; before the first, a large
    model is taken to be as slow as the slowest large one that was measured on its device.
    """
    with _lock:
        alike = [speed for each, speed in _speeds.items() if _kind(each) == _kind(source)]
        return _speeds.get(source, SPEED if source.quick else min(alike, default=SPEED))


def _kind(source: Source) -> tuple[bool, str]:
    """Return what models of comparable speed share."""
    return source.quick, str(source.denoiser.modes.scale.device)


def seconds(request: Request, source: Source) -> float:
    """Return about how long a draw takes, by the speed of the model's last ones."""
    return _work(request, source) / _speed(source)


def affordable(request: Request, source: Source, within: float) -> Request:
    """Return a draw of as many samples and steps as are done within some seconds, by the speed of
    the model's last draws or, before the first, of others; of one sample in four steps at least,
    however long these take.

    Samples are reduced to 16 first, then steps to 8, then samples to one, then steps to four.
    """
    each, calls = _each(source), _calls(request.setting)
    work = within * _speed(source)
    n, steps = request.n, request.setting.steps
    for fewest, least in ((FEW, STEPS), (1, LEAST)):
        fitting = int((work / (steps * calls) - CALL) // max(1, each))
        n = max(min(n, fewest), min(n, fitting))
        fitting = int(work // (calls * (CALL + n * each)))
        steps = max(min(steps, least), min(steps, fitting))
    return replace(request, n=n, setting=replace(request.setting, steps=steps))


def part(source: Source, n: int, networks: int = 1) -> int:
    """Return for how many of n fields a model is asked at a time, so that a call is soon done.

    Arguments:
        networks: that are asked in one call.
    """
    if source.denoiser.modes_mean.device.type != "cpu":
        return n
    return max(1, min(n, PART // max(1, networks * _each(source))))


class Parted(DelegatingDenoiser):
    """A model that is asked for some fields at a time.

    Arguments:
        model: the model.
        size: how many fields it is asked for at most.
        look: called before it is asked; it may raise to cancel.
    """

    def __init__(self, model: Denoiser, size: int, look: Callable[[], None]) -> None:
        super().__init__(model)
        self.size = size
        self.look = look

    def _parts(self, c: Tensor) -> Iterator[Tensor]:
        for each in c.split(self.size):
            self.look()
            yield each

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return the model's posterior."""
        found = [self.model.posterior(each, marginal) for each in self._parts(c)]
        return Posterior(torch.cat([each.mean for each in found]), found[0].variance)

    def interaction(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return the model's interaction."""
        return torch.cat([self.model.interaction(each, marginal) for each in self._parts(c)])
