"""How much work a draw is, and a model that is asked for some fields at a time."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pages._samples.state import Request
from pages._shared.sampling.models import Source
from rgdiff_core.denoisers import Denoiser, Posterior
from rgdiff_core.process import Marginal, Prior, Process

__all__ = ["Parted", "is_short", "part"]

# Work is counted in parameters times values of all fields; a core does some 2^37 a second.
CALL = 1 << 28  # what a call costs whatever it computes
PART = 1 << 37  # most work of one call on the processor
DRAW = 1 << 38  # most work of a short draw


def _each(source: Source) -> int:
    """Return the work of asking a model for one field."""
    parameters = sum(p.numel() for p in source.denoiser.parameters())
    return parameters * math.prod(source.denoiser.basis.shape)


def is_short(request: Request, source: Source) -> bool:
    """Tell whether a draw takes a second or so."""
    setting = request.setting
    calls = setting.steps * setting.sampler.evaluations * setting.networks
    return calls * (CALL + request.n * _each(source)) <= DRAW


def part(source: Source, n: int, networks: int = 1) -> int:
    """Return for how many of n fields a model is asked at a time, so that a call is soon done.

    Arguments:
        networks: that are asked in one call.
    """
    if source.denoiser.modes_mean.device.type != "cpu":
        return n
    return max(1, min(n, PART // max(1, networks * _each(source))))


class Parted(Denoiser):
    """A model that is asked for some fields at a time.

    Arguments:
        model: the model.
        size: how many fields it is asked for at most.
        look: called before it is asked; it may raise to cancel.
    """

    def __init__(self, model: Denoiser, size: int, look: Callable[[], None]) -> None:
        super().__init__(model.basis, model.modes)
        self.model = model
        self.size = size
        self.look = look

    @property
    def free_mean(self) -> Tensor:
        """Return the mean of the model's free theory."""
        return self.model.free_mean

    @property
    def free_variance(self) -> Tensor:
        """Return the variances of the model's free theory."""
        return self.model.free_variance

    def prior(self, process: Process) -> Prior:
        """Return where the model's samples start."""
        return self.model.prior(process)

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
