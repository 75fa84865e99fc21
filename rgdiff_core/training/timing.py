"""How long a run will take, from a few real steps."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from rgdiff_core.networks import parameter_count
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

__all__ = ["Timing", "measure"]

WARM, TIMED, MAX_SECONDS = 2, 5, 20.0


@dataclass(frozen=True)
class Timing:
    """What a few steps of a run have shown.

    Attributes:
        step_s: Typical seconds of a step.
        total_s: Of all steps of the run, evaluations and samples not counted.
        parameters: Of the network.
        device: Where it was measured.
    """

    step_s: float
    total_s: float
    parameters: int
    device: str


def measure(
    config: TrainConfig,
    device: str = "auto",
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Timing:
    """Take a few steps of a config, throw them away, and return how long they took.

    Arguments:
        progress: called with (steps completed, total); it may raise to cancel.

    Raises `ValueError` where the config does not fit its data, as `train` does.
    """
    fabric = fabric_for(device)
    learner, batches, _ = prepare(replace(config, compile=False), fabric)
    seconds: list[float] = []
    begun = time.perf_counter()
    for step in range(WARM + TIMED):
        start = time.perf_counter()
        batches.adapt(learner.average, step)
        learner.learn(batches.draw(step))
        if fabric.device.type == "cuda":
            torch.cuda.synchronize(fabric.device)
        seconds.append(time.perf_counter() - start)
        if progress is not None:
            progress(step + 1, WARM + TIMED)
        if time.perf_counter() - begun > MAX_SECONDS:
            break
    # a schedule that is learned takes its time at some of the steps only
    average = statistics.median if batches.learned() is None else statistics.fmean
    step_s = average(seconds[WARM:] or seconds[-1:])
    parameters = parameter_count(learner.network)
    return Timing(step_s, step_s * config.steps, parameters, fabric.device.type)
