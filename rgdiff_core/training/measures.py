"""What is measured of a run: means over a stretch of steps, and the gain on held-out data."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rgdiff_core.training.batches import Batches, joined
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.losses import LossTerms, by_scale, denoising_loss
from rgdiff_core.training.state import TrainingData, TrainState, learning_rate

__all__ = ["HeldOutEvaluation", "CurvePoint", "RunningMeans"]

CurvePoint = Mapping[str, Any]

_SUMS = ("loss", "unit", "norm", "gain", "home")


class RunningMeans:
    """Sums between two points of the curves, kept on the device.

    Arguments:
        learner: what learns.
        learned: what it learns from.
    """

    def __init__(self, learner: TrainState, learned: TrainingData) -> None:
        self.learner, self.modes = learner, learned.modes
        self.start = self.begun = learner.step
        self.since = time.monotonic()
        self.loss = self.unit = self.norm = torch.zeros((), device=learned.train.device)
        self.gain = torch.zeros(learned.train.shape[1:], device=learned.train.device)
        self.bad = torch.full((), -1, device=learned.train.device)
        self.home = torch.zeros((), device=learned.train.device)  # steps on the config's own data

    def add(self, terms: LossTerms, norm: Tensor, part: int = 0) -> None:
        """Add a step: its loss, the norm of its gradient, and which of the data sets that are
        learned together it was on, 0 for the config's own, of which alone the gain is a mean.
        """
        loss = terms.loss.detach()
        self.loss = self.loss + loss
        self.unit = self.unit + terms.unit.mean()
        self.norm = self.norm + norm
        if part == 0:
            self.gain += terms.gain.mean(0)
            self.home = self.home + 1
        # a gradient that is not finite spoils the weights one step before the loss shows it
        fine = loss.isfinite() & norm.isfinite()
        here = torch.where(fine, -1, self.learner.step)
        self.bad = torch.where(self.bad < 0, here, self.bad)

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums so far, for a checkpoint: a resumed run goes on with them."""
        found = {name: self.gathered(getattr(self, name)).mean(0) for name in _SUMS}
        return {f"window.{name}": x for name, x in found.items()} | {
            "window.start": torch.tensor(self.start)
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on with the sums of a checkpoint."""
        self.start = int(tensors["window.start"])
        if "window.excess" in tensors:  # of an older checkpoint
            tensors = {**tensors, "window.gain": -tensors["window.excess"]}
        if "window.home" not in tensors:  # of before there were other lattices
            steps = self.learner.step - self.start
            tensors = {**tensors, "window.home": torch.tensor(float(steps))}
        for name in _SUMS:
            setattr(self, name, tensors[f"window.{name}"].to(self.gain.device))

    def first_bad(self) -> int | None:
        """Return the first step at which any process' loss was not finite."""
        never = 1 << 62
        found = self.gathered(torch.where(self.bad < 0, never, self.bad))
        return None if int(found.min()) == never else int(found.min())

    def gathered(self, value: Tensor) -> Tensor:
        """Return the values of all processes, (world, …)."""
        fabric = self.learner.fabric
        if fabric.world_size == 1:
            return value[None]
        found = fabric.all_gather(value)
        if not isinstance(found, Tensor):
            raise TypeError("all_gather of a tensor returned something else.")
        return found

    def row(self) -> CurvePoint:
        """Return the means since the last point."""
        steps = self.learner.step - self.start
        config = self.learner.config
        sums = (self.gathered(getattr(self, name)).mean(0) for name in _SUMS)
        loss, unit, norm, gain, home = sums
        loss, unit, norm, gain = loss / steps, unit / steps, norm / steps, gain / home
        seconds = time.monotonic() - self.since
        return {
            "step": self.learner.step,
            "loss": float(loss),
            "unit": float(unit),
            "gain": float(gain.mean()),
            "by_scale": by_scale(gain[None], self.modes).tolist(),
            "lr": learning_rate(config, self.learner.step - 1),
            "grad_norm": float(norm),
            "images_per_s": (self.learner.step - self.begun) * config.batch / max(1e-9, seconds),
        }


class HeldOutEvaluation:
    """The averaged model on the test split, with the same noise every time.

    Arguments:
        config: of the run.
        learned: what it learns from.
    """

    def __init__(self, config: TrainConfig, learned: TrainingData) -> None:
        self.modes = learned.modes
        batches, images = [], []
        for part in learned.parts(learned.test, learned.test_labels):
            sampler = config.noise.sampler(learned.basis, part.modes, config.objective, 4)
            batch = Batches(part.images, sampler, len(part.images), "none", 5).draw(0)
            batches.append(replace(batch, class_labels=part.labels))
            images.append(part.images)
        whole, self.images = joined(batches), torch.cat(images)
        self.noise, self.levels, self.labels = whole.noise, whole.levels, whole.class_labels
        self.chunk = 256

    @torch.no_grad()
    def evaluate(self, learner: TrainState) -> dict[str, Any]:
        """Return the loss and the gain over the Gaussian with their standard errors over images,
        and the gain by scale.
        """
        parts, losses = [], []
        for start in range(0, len(self.images), self.chunk):
            rows = slice(start, start + self.chunk)
            levels, noise = self.levels.rows(rows), self.noise[rows]
            labels = None if self.labels is None else self.labels[rows]
            terms = denoising_loss(learner.average, self.images[rows], levels, noise, labels)
            parts.append(terms.gain)
            losses.append(terms.weighted.mean((1, 2, 3)))
        gain, loss = torch.cat(parts), torch.cat(losses)
        each = gain.mean((1, 2, 3))
        return {
            "loss": float(loss.mean()),
            "loss_error": float(loss.std() / len(loss) ** 0.5),
            "gain": float(each.mean()),
            "gain_error": float(each.std() / len(each) ** 0.5),
            "by_scale": by_scale(gain, self.modes).tolist(),
        }
