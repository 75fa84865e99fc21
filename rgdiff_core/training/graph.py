"""A loss and its gradients as one CUDA graph, so that a GPU need not wait for the host.

A small network launches thousands of short kernels a step, more than the host can send in the time
that they take. They are recorded once and then replayed on each batch, at the same addresses.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rgdiff_core.process import Marginal
from rgdiff_core.training.batches import Batch
from rgdiff_core.training.losses import LossTerms, NoiseBatch

__all__ = ["GraphedGradients"]

WARM_UPS = 3  # evaluations before the recording, in which libraries choose their algorithms


class GraphedGradients:
    """The loss of a batch, whose gradients are left in the parameters' `.grad`.

    Arguments:
        gradients: sets the gradients to None, computes the loss, and goes backward, without
            waiting for the device; every batch must have the shapes of the first.
        like: a batch.
    """

    def __init__(self, gradients: Callable[[Batch], LossTerms], like: Batch) -> None:
        self.batch = _copy_of(like)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                gradients(self.batch)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        # other threads may take pinned memory meanwhile, which a global recording forbids
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.terms = gradients(self.batch)

    def __call__(self, batch: Batch) -> LossTerms:
        """Return the loss of a batch; the next call overwrites its tensors."""
        for place, value in zip(_tensors(self.batch), _tensors(batch), strict=True):
            place.copy_(value)
        self.graph.replay()
        return self.terms


def _copy_of(batch: Batch) -> Batch:
    levels = batch.levels
    marginal = Marginal(levels.marginal.alpha.clone(), levels.marginal.std.clone())
    labels = None if batch.class_labels is None else batch.class_labels.clone()
    noise = NoiseBatch(marginal, levels.weight.clone())
    return Batch(batch.x0.clone(), batch.noise.clone(), noise, labels)


def _tensors(batch: Batch) -> list[Tensor]:
    marginal, labels = batch.levels.marginal, batch.class_labels
    found = [batch.x0, batch.noise, marginal.alpha, marginal.std, batch.levels.weight]
    return found if labels is None else [*found, labels]
