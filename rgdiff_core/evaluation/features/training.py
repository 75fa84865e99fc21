"""Train the classifier whose features images are compared by: seconds on a GPU.

Stochastic gradient descent with Nesterov momentum under one cycle of the learning rate, label
smoothing, random crops of the mirrored-at-the-edges image and random flips. All images stay on
the device, where the crops are gathered. On CUDA the passes run in bfloat16 and channels-last.

References:
    Super-Convergence (1708.07120); Rethinking the Inception Architecture (1512.00567), §7.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from rgdiff_core.evaluation.features.network import Classifier
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = ["Augmented", "Recipe", "Trained", "accuracy", "train_classifier"]

PADDING = 4
CHUNK = 10_000  # images that are padded at a time: CUDA takes no more than 65,535
WARM, TIMED = 10, 30  # steps that the time of a step is measured with
Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe(Spec):
    """How the classifier is trained.

    Attributes:
        steps: At most.
        batch: Images in each.
        seconds: On a device of unknown speed: so few steps that they take no longer; 0: all.
        lr: The peak of the cycle.
        seed: Of initial weights, order and augmentation.
    """

    steps: int = 2500
    batch: int = 512
    seconds: float = 0.0
    lr: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    smoothing: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("steps", self.steps, 1, 1_000_000)
        check_whole("batch", self.batch, 2, 65_536)
        check_range("seconds", self.seconds, 0, 1e6)
        check_range("lr", self.lr, 0, 100, low_open=True)
        check_range("momentum", self.momentum, 0, 1)
        check_range("weight_decay", self.weight_decay, 0, 1)
        check_range("smoothing", self.smoothing, 0, 0.99)
        check_whole("seed", self.seed, 0, 2**63 - 1)


@dataclass(frozen=True)
class Trained:
    """What the training took.

    Attributes:
        steps: That were made; `Recipe.steps` or what the seconds allowed.
        seconds: They took, the measurement of a step not counted.
        loss: Mean of the last tenth of the steps, in nats.
    """

    steps: int
    seconds: float
    loss: float


class Augmented:
    """Random crops and flips of images (N, 3, H, W), drawn on their device."""

    def __init__(self, images: Tensor, seed: int) -> None:
        parts = (F.pad(x, (PADDING,) * 4, mode="reflect") for x in images.split(CHUNK))
        self.padded = torch.cat(list(parts))
        self.size = images.shape[-2:]
        self.generator = torch.Generator(images.device).manual_seed(seed)

    def __call__(self, index: Tensor) -> Tensor:
        """Return the images (B, 3, H, W) of these numbers (B,), cropped and flipped at random."""
        n, (height, width) = len(index), self.size
        row = self._draw(n, 2 * PADDING + 1) + self._range(height)
        column = self._range(width).expand(n, -1)
        column = torch.where(self._draw(n, 2) == 1, column.flip(1), column)
        column = self._draw(n, 2 * PADDING + 1) + column
        channel = self._range(3)[None, :, None, None]
        return self.padded[
            index[:, None, None, None], channel, row[:, None, :, None], column[:, None, None, :]
        ]

    def batch(self, size: int) -> Tensor:
        """Return the numbers (size,) of random images."""
        return self._draw(size, len(self.padded))[:, 0]

    def _draw(self, n: int, below: int) -> Tensor:
        device = self.padded.device
        return torch.randint(below, (n, 1), generator=self.generator, device=device)

    def _range(self, n: int) -> Tensor:
        return torch.arange(n, device=self.padded.device)


def train_classifier(
    network: Classifier, images: Tensor, labels: Tensor, recipe: Recipe, say: Say
) -> Trained:
    """Train a network in place, on the device of the images, and leave it in evaluation mode.

    Arguments:
        images: (N, 3, 32, 32), in [-1, 1].
        labels: (N,).
        say: called about every twentieth of the steps with a line that ends in the time left.

    Raises `ValueError` where images and labels don't fit, or the loss is not finite.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"{len(images)} images and {len(labels)} labels don't fit.")
    network.to(images.device).train()
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        trainer = _Trainer(network, images, labels, recipe, half=images.is_cuda)
        steps = _affordable(trainer, recipe) if recipe.seconds else recipe.steps
        return trainer.run(steps, say)


class _Trainer:
    """One network, its data, and the loop over steps."""

    def __init__(
        self, network: Classifier, images: Tensor, labels: Tensor, recipe: Recipe, *, half: bool
    ) -> None:
        self.labels, self.recipe, self.half = labels, recipe, half
        self.memory = torch.channels_last if half else torch.contiguous_format
        self.network = network.to(memory_format=self.memory)  # pyright: ignore[reportCallIssue]
        self.source = Augmented(images.bfloat16() if half else images, recipe.seed)
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)

    def optimizer(self) -> torch.optim.SGD:
        recipe = self.recipe
        return torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )

    def step(self, optimizer: torch.optim.SGD, index: Tensor) -> Tensor:
        """Make one step on the images of these numbers; return the loss ()."""
        x = self.source(index).contiguous(memory_format=self.memory)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.half):
            loss = self.loss(self.network.logits(x).float(), self.labels[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def batches(self) -> "_Epochs":
        return _Epochs(len(self.labels), min(self.recipe.batch, len(self.labels)), self.source)

    def run(self, steps: int, say: Say) -> Trained:
        optimizer = self.optimizer()
        cycle = OneCycleLR(
            optimizer,
            self.recipe.lr,
            total_steps=steps + 1,
            pct_start=0.2,
            anneal_strategy="linear",
            cycle_momentum=False,
        )
        batches, every = self.batches(), max(1, steps // 20)
        losses: list[Tensor] = []
        start = time.perf_counter()
        for step in range(1, steps + 1):
            losses.append(self.step(optimizer, batches.next()))
            cycle.step()
            if step % every == 0 or step == steps:
                loss = float(losses[-1])
                if not math.isfinite(loss):
                    raise ValueError(f"the loss is {loss} at step {step}: lower the peak rate.")
                spent = time.perf_counter() - start
                left = spent / step * (steps - step)
                say(f"step {step:,} of {steps:,}: loss {loss:.3f}, {left:.0f} s left")
        self.network.eval()
        seconds = time.perf_counter() - start
        last = torch.stack(losses[-max(1, steps // 10) :])
        return Trained(steps, seconds, float(last.mean()))


class _Epochs:
    """Numbers of images, batch by batch, in an order that is drawn again for every epoch."""

    def __init__(self, count: int, batch: int, source: Augmented) -> None:
        self.count, self.batch, self.source = count, batch, source
        self.rest = torch.empty(0, dtype=torch.long, device=source.padded.device)

    def next(self) -> Tensor:
        if len(self.rest) < self.batch:
            device, generator = self.source.padded.device, self.source.generator
            self.rest = torch.randperm(self.count, generator=generator, device=device)
        taken, self.rest = self.rest[: self.batch], self.rest[self.batch :]
        return taken


def _affordable(trainer: _Trainer, recipe: Recipe) -> int:
    """Return how many steps fit into the recipe's seconds, from some that are undone again."""
    network = trainer.network
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer, batches = trainer.optimizer(), trainer.batches()
    for group in optimizer.param_groups:
        group["lr"] = 1e-4

    def spend(steps: int) -> float:
        """Return the seconds of so many steps; reading the loss waits for the device."""
        start = time.perf_counter()
        for _ in range(steps - 1):
            trainer.step(optimizer, batches.next())
        float(trainer.step(optimizer, batches.next()))
        return time.perf_counter() - start

    spend(WARM)
    each = spend(TIMED) / TIMED
    network.load_state_dict(kept)
    return max(1, min(recipe.steps, int(recipe.seconds / each)))


@torch.inference_mode()
def accuracy(network: Classifier, images: Tensor, labels: Tensor, batch: int = 1000) -> float:
    """Return the share of images (N, 3, 32, 32) whose class (N,) is predicted correctly."""
    right = [
        (network.logits(x.to(labels.device)).argmax(1) == y).sum()
        for x, y in zip(images.split(batch), labels.split(batch), strict=True)
    ]
    return float(torch.stack(right).sum()) / len(labels)
