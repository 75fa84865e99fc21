"""A model of an arm, trained in this process, looked at on the way."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core import data
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

__all__ = ["Fields", "NotFiniteError", "Point", "fields", "trained"]


class NotFiniteError(ValueError):
    """The loss of a training run did not stay finite."""


@dataclass(frozen=True, eq=False)
class Fields:
    """What models are judged on, (N, 1, L, L) each: neither is trained on.

    Attributes:
        chains: (N,) of the test fields, None where they are not known.
    """

    validation: Tensor
    test: Tensor
    chains: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Point:
    """A model after some steps.

    Attributes:
        step: steps done.
        model: with averaged weights; it changes as training goes on.
        loss: mean training loss since the last point, in the arm's own weighting.
    """

    step: int
    model: NetworkDenoiser
    loss: float


def fields(name: str, train: int) -> Fields:
    """Return the configurations beyond the first `train` of the training split, and the test
    split.
    """
    test = data.load(name, "test")
    return Fields(data.load(name).images[train:], test.images, test.chains)


def trained(config: TrainConfig, checkpoints: int = 1) -> Iterator[Point]:
    """Train and give the model after each of so many equal parts of the run.

    Raises `NotFiniteError` where the loss is no longer finite.
    """
    learner, batches, _ = prepare(config, fabric_for("cpu"))
    stops = {round(config.steps * (i + 1) / checkpoints) for i in range(checkpoints)}
    loss, since = torch.zeros(()), 0
    for step in range(config.steps):
        terms, _ = learner.learn(batches.draw(step))
        loss += terms.loss.detach()
        if step + 1 in stops:
            mean = float(loss) / (step + 1 - since)
            if not torch.isfinite(loss):
                raise NotFiniteError(f"the loss is not finite at step {step + 1}.")
            yield Point(step + 1, learner.finished(), mean)
            loss, since = torch.zeros(()), step + 1
