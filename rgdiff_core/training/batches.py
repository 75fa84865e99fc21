"""Batches: a function of the seed and the step alone, whatever the number of processes.

With N processes, each draws the whole batch and takes every N-th row, so that together they see
what one would have seen, and a run can be resumed at any step.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rgdiff_core.denoisers import NULL_LABEL, Denoiser
from rgdiff_core.seeds import fold_in
from rgdiff_core.training.losses import NoiseBatch
from rgdiff_core.training.noise_levels import FixedProcess, NoiseSampler, steps_at_once

__all__ = ["Batch", "BatchStream", "Batches", "JoinedBatches", "joined", "transform"]

NOISE = "noise."  # in the names of a checkpoint's tensors


@dataclass(frozen=True, eq=False)
class Batch:
    """A process' share of a batch.

    Attributes:
        x0: fields, (B, C, H, W).
        noise: white noise, (B, C, H, W).
        levels: noise levels of the fields.
        class_labels: (B,), -1 where a label was dropped, None where there are no classes; along a
            line of couplings the labels number its points.
        part: of the data sets trained on in turn, which they are from; 0 for the model's own.
    """

    x0: Tensor
    noise: Tensor
    levels: NoiseBatch
    class_labels: Tensor | None = None
    part: int = 0


Fields = tuple[Tensor, Tensor, Tensor | None]


class BatchStream(abc.ABC):
    """Batches by step. What noise they take may be learned along the way; mostly it is not."""

    @abc.abstractmethod
    def draw(self, step: int) -> Batch:
        """Return this process' rows of the batch of a step."""

    def adapt(self, model: Denoiser, step: int) -> None:
        """Learn from a model before a step."""
        return None

    def learned(self) -> FixedProcess | None:
        """Return the process that was learned so far, None where nothing is."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learned, for a checkpoint."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint's tensors."""
        return None


@dataclass(frozen=True, eq=False)
class Batches(BatchStream):
    """Batches of a data set that lies in device memory.

    Arguments:
        images: (N, C, H, W).
        sampler: of noise levels.
        size: images in a batch, over all processes.
        symmetries: "none", "flip" or "lattice".
        seed: of everything random.
        rank: the number of this process.
        world: how many processes there are.
        class_labels: (N,) of the images, None for training without classes.
        label_dropout: probability that a label is replaced by the null label.
    """

    images: Tensor
    sampler: NoiseSampler
    size: int
    symmetries: str
    seed: int
    rank: int = 0
    world: int = 1
    class_labels: Tensor | None = None
    label_dropout: float = 0.0
    _kept: dict[int, Fields] = field(default_factory=dict, init=False)

    def draw(self, step: int) -> Batch:
        steps = steps_at_once(self.size * self.images[0].numel())
        number, place = divmod(step, steps)
        if number not in self._kept:
            self._kept.clear()
            self._kept[number] = self._fields(number, steps * self.size)
        x0, noise, labels = self._kept[number]
        rows = slice(place * self.size + self.rank, (place + 1) * self.size, self.world)
        levels = self.sampler.draw(step, self.size)
        if self.world > 1:
            levels = levels.rows(slice(self.rank, None, self.world))
        return Batch(x0[rows], noise[rows], levels, None if labels is None else labels[rows])

    def adapt(self, model: Denoiser, step: int) -> None:
        self.sampler.adapt(model, self.images, step)

    def learned(self) -> FixedProcess | None:
        return self.sampler.learned()

    def tensors(self) -> dict[str, Tensor]:
        return {f"{NOISE}{name}": value for name, value in self.sampler.tensors().items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        found = {k.removeprefix(NOISE): v for k, v in tensors.items() if k.startswith(NOISE)}
        if found:
            self.sampler.restore(found)

    def _fields(self, number: int, n: int) -> Fields:
        """Return n fields, moved by their symmetries, white noise, and class labels."""
        device = self.images.device
        generator = torch.Generator(device).manual_seed(fold_in(self.seed, number))
        chosen = torch.randint(len(self.images), (n,), generator=generator, device=device)
        x0 = transform(self.images[chosen], self.symmetries, generator)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        if self.class_labels is None:
            return x0, noise, None
        kept = torch.rand(n, generator=generator, device=device) >= self.label_dropout
        return x0, noise, torch.where(kept, self.class_labels[chosen], NULL_LABEL)


def joined(parts: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one."""
    labels = [part.class_labels for part in parts if part.class_labels is not None]
    return Batch(
        torch.cat([part.x0 for part in parts]),
        torch.cat([part.noise for part in parts]),
        NoiseBatch.joined([part.levels for part in parts]),
        torch.cat(labels) if labels else None,
    )


@dataclass(frozen=True, eq=False)
class JoinedBatches(BatchStream):
    """Batches of several data sets, as even a share of each as there can be.

    Each set has its own noise levels, so that colours and schedules that know of the data are
    those of the set.

    Arguments:
        parts: of one process each, whose sizes add up to that of the batch.
        rank: the number of this process.
        world: how many processes there are.
    """

    parts: tuple[Batches, ...]
    rank: int = 0
    world: int = 1

    def draw(self, step: int) -> Batch:
        whole = joined([part.draw(step) for part in self.parts])
        rows = slice(self.rank, None, self.world)
        labels = None if whole.class_labels is None else whole.class_labels[rows]
        return Batch(whole.x0[rows], whole.noise[rows], whole.levels.rows(rows), labels)


def transform(x: Tensor, symmetries: str, generator: torch.Generator) -> Tensor:
    """Move each of the fields (B, C, H, W) by a random symmetry.

    Arguments:
        symmetries: "none"; "flip" for left and right; "lattice" for translations, reflections,
            rotations by 90° where the lattice is square, and the sign.
    """
    if symmetries == "none":
        return x
    n, _, height, width = x.shape

    def random(high: int) -> Tensor:
        return torch.randint(high, (n, 1, 1), generator=generator, device=x.device)

    rows = torch.arange(height, device=x.device)[:, None].expand(n, height, width)
    columns = torch.arange(width, device=x.device).expand(n, height, width)
    if symmetries == "flip":
        columns = torch.where(random(2) == 1, width - 1 - columns, columns)
    else:
        x = x * (2 * random(2) - 1)[:, None]
        if height == width:
            swapped = random(2) == 1
            rows, columns = (
                torch.where(swapped, columns, rows),
                torch.where(swapped, rows, columns),
            )
        rows = (rows * (2 * random(2) - 1) + random(height)) % height
        columns = (columns * (2 * random(2) - 1) + random(width)) % width
    place = (rows * width + columns).flatten(1)[:, None].expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, place).reshape(x.shape)
