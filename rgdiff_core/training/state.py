"""The state that training changes: model, moving average, optimizer; and one step of it."""

import ctypes
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from rgdiff_core import data
from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.networks import network_dtype
from rgdiff_core.seeds import fold_in
from rgdiff_core.training.batches import Batch, Batches, BatchStream, JoinedBatches
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.graph import GraphedGradients
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.losses import LossTerms, denoising_loss
from rgdiff_core.training.optimizers import optimizers_for
from rgdiff_core.training.sizes import OtherSize, SizedBatches, batch_on, other_sizes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "TrainState",
    "TrainingData",
    "Part",
    "check_classes",
    "tune_malloc",
    "learning_rate",
    "prepare",
    "use_threads",
]

MALLOC_TOP_PAD, MALLOC_MMAP_THRESHOLD, MALLOC_TRIM_THRESHOLD = -2, -3, -1
COOLDOWN = 0.2  # share of the steps over which the learning rate falls to zero at the end
MODES = "modes."  # in the names of a checkpoint's tensors
HELD_OUT = 2048  # images of the test split that a run is evaluated on


@dataclass(frozen=True, eq=False)
class Part:
    """Images (N, C, H, W) of the same modes, and their labels (N,)."""

    images: Tensor
    labels: Tensor | None
    modes: Modes


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a run learns from: images of both splits in device memory, the basis, the modes; of
    data with classes their labels and names too; of data along a line of couplings the modes at
    its points, which the labels number; and the fields of other lattices.
    """

    train: Tensor
    test: Tensor
    basis: Basis
    modes: Modes
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    line: ModesLine | None = None
    others: tuple[OtherSize, ...] = ()

    def parts(self, images: Tensor, labels: Tensor | None) -> list[Part]:
        """Return a split in parts of the same modes, in the order of the points of the line."""
        if self.line is None or labels is None:
            return [Part(images, labels, self.modes)]
        own = [labels == point for point in range(len(self.line.modes))]
        both = zip(own, self.line.modes, strict=True)
        return [Part(images[rows], labels[rows], modes) for rows, modes in both if rows.any()]


def material(
    config: TrainConfig, device: torch.device, kept: Mapping[str, Tensor] | None = None
) -> TrainingData:
    """Load a config's data, and fit basis and modes to them.

    Arguments:
        kept: a checkpoint's tensors, whose mean and variance are used again. Those of before
            symmetries were used have none: there they are fitted without.

    Raises:
        ValueError: For a config that is conditional on what its data do not have.
    """
    train = data.load(config.data, limit=config.limit)
    test = data.load(config.data, "test", limit=HELD_OUT)
    images = train.images.to(device)
    basis = config.basis.build(images).to(device)
    found = TrainingData(
        images, test.images.to(device), basis, _modes(config, basis, images, kept)
    )
    check_classes(config, train, test)
    found = replace(found, others=other_sizes(config, basis, device))
    conditional = config.class_conditional or config.coupling_conditional
    if not conditional or train.labels is None or test.labels is None:
        return found
    found = replace(
        found, train_labels=train.labels.to(device), test_labels=test.labels.to(device)
    )
    if config.coupling_conditional and train.line is not None:
        line = _along(config, train.line, basis, images, train.labels.to(device))
        return replace(found, modes=line.modes[len(line.modes) // 2], line=line)
    return replace(
        found,
        # a split, above all a limited one, may lack the last classes
        class_names=max(train.class_names, test.class_names, key=len),
    )


def _modes(
    config: TrainConfig, basis: Basis, images: Tensor, kept: Mapping[str, Tensor] | None
) -> Modes:
    if kept is not None and f"{MODES}mean" in kept:
        mean, variance = (kept[f"{MODES}{name}"].to(images) for name in ("mean", "variance"))
        return Modes(basis.scale, mean, variance, basis.momentum)
    symmetric = kept is None and config.symmetries == "lattice"
    return Modes.fit(basis, images, symmetries="lattice" if symmetric else "none")


def _along(
    config: TrainConfig, line: CouplingLine, basis: Basis, images: Tensor, labels: Tensor
) -> ModesLine:
    """Fit modes to the images of each point of a line."""
    parts = [images[labels == point] for point in range(len(line.points))]
    for point, part in zip(line.points, parts, strict=True):
        if len(part) < 2:
            raise ValueError(
                f"{len(images)} fields are too few for a line of {len(line.points)} couplings: "
                f"only {len(part)} are at {point}."
            )
    fitted = (Modes.fit(basis, part, symmetries=config.symmetries) for part in parts)
    return ModesLine(line, tuple(fitted))


def check_classes(config: TrainConfig, *splits: ImageSet) -> None:
    """Raise `ValueError` for a config that is conditional on what its data do not have, or whose
    schedule would be learned along a line of couplings.
    """
    if config.coupling_conditional and isinstance(config.noise, LearnedProcess):
        raise ValueError(
            "a schedule is learned for one theory, not along a line of couplings: choose another "
            "noise, or coupling_conditional = false."
        )
    if config.coupling_conditional and any(split.line is None for split in splits):
        raise ValueError(
            f"coupling_conditional = true, but {config.data!r} is no line of couplings: set it to "
            "false, or choose such data, as phi4-6x6-line."
        )
    if config.class_conditional and any(split.labels is None for split in splits):
        raise ValueError(
            f"class_conditional = true, but {config.data!r} has no class labels: set it to false, "
            "or choose data with classes."
        )


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of a step, counted from 0."""
    rise = min(1.0, (step + 1) / (config.warmup + 1))
    if config.decay == "constant":
        return config.lr * rise
    if config.decay == "cooldown":
        left = (config.steps - step) / (COOLDOWN * config.steps)
        return config.lr * rise * min(1.0, left)
    return config.lr * rise * (1 + math.cos(math.pi * step / config.steps)) / 2


class TrainState:
    """Model, moving average and optimizer, and the step that changes them.

    Attributes:
        model: the model that learns.
        average: the same with averaged weights: what is evaluated, sampled and kept.
    """

    def __init__(self, config: TrainConfig, fabric: "Fabric", learned: TrainingData) -> None:
        self.config = config
        line = learned.line
        spec = replace(
            config.model, class_names=learned.class_names, line=None if line is None else line.line
        )
        modes = learned.modes if line is None else line
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fold_in(config.seed, -1))
            self.model = spec.build(learned.basis, modes)
            self.average = spec.build(learned.basis, modes)
        self.network: nn.Module = self.model.network
        dtype = network_dtype(config.precision, spec.network, fabric.device)
        self.model.autocast = self.average.autocast = dtype
        self.average.network.load_state_dict(self.network.state_dict())
        self.average.eval().requires_grad_(False)
        self.parameters: list[Tensor] = list(self.network.parameters())
        self.means: list[Tensor] = list(self.average.network.parameters())
        optimizers = optimizers_for(config, self.parameters)
        if config.compile:
            self.network.compile()
        network, *self.optimizers = fabric.setup(self.network, *optimizers)
        self.model.network = network  # type: ignore[assignment]
        away = (self.model.on(each.basis.shape, each.modes) for each in learned.others)
        self.sized: tuple[NetworkDenoiser, ...] = (self.model, *away)
        self.fabric, self.step = fabric, 0
        self.drops = any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.model.modules())
        # what differs from batch to batch, as which fields run on a coarse grid, is not recorded
        alike = not self.drops and spec.coarse_grids == 0 and not learned.others
        self.graphs = fabric.device.type == "cuda" and fabric.world_size == 1 and alike
        self.graph: GraphedGradients | None = None

    def learn(self, batch: Batch) -> tuple[LossTerms, Tensor]:
        """Take one step; return the loss and the norm of the gradient, without waiting for it."""
        if self.drops:  # dropout knows no generator but the global one
            torch.manual_seed(fold_in(self.config.seed, 6, self.step, self.fabric.global_rank))
        rate = learning_rate(self.config, self.step)
        for group in (g for optimizer in self.optimizers for g in optimizer.param_groups):
            group["lr"] = rate
        if self.graphs and self.graph is None:
            self.graph = GraphedGradients(self._gradients, batch)
        terms = self._gradients(batch) if self.graph is None else self.graph(batch)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._average()
        return terms, norm

    def _gradients(self, batch: Batch) -> LossTerms:
        """Return the loss, and leave its gradients in the parameters."""
        self.network.zero_grad(set_to_none=True)
        model = self.sized[batch.part]
        terms = denoising_loss(model, batch.x0, batch.levels, batch.noise, batch.class_labels)
        self.fabric.backward(terms.loss)
        return terms

    def _average(self) -> None:
        decay = min(self.config.ema, (self.step - 1) / (self.step + 8))
        if self.config.ema_half_life is not None:
            decay = 0.5 ** (1 / max(1.0, self.config.ema_half_life * self.step))
        get_ema_multi_avg_fn(decay)(self.means, self.parameters, None)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that a checkpoint holds."""
        found = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        modes = self.model.modes
        found |= {f"{MODES}mean": modes.mean, f"{MODES}variance": modes.variance}
        found |= {f"average.{k}": v for k, v in self.average.network.state_dict().items()}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                found |= {f"{_name(number)}.{index}.{k}": v for k, v in state.items()}
        # tensors that share memory can't be in one file
        return {name: value.detach().clone() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        """Set the state to that of a checkpoint."""
        self.network.load_state_dict(_under("network.", tensors))
        self.average.network.load_state_dict(_under("average.", tensors))
        for number, optimizer in enumerate(self.optimizers):
            likes = [p for group in optimizer.param_groups for p in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in _under(f"{_name(number)}.", tensors).items():
                index, _, key = name.partition(".")
                like = likes[int(index)]
                if value.shape == like.shape:  # fused optimizers need the weights' memory layout
                    value = torch.empty_like(like).copy_(value)
                state.setdefault(int(index), {})[key] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step = step

    def finished(self) -> NetworkDenoiser:
        """Return the model with averaged weights."""
        return self.average


def _name(number: int) -> str:
    """Return what an optimizer's state is called in a checkpoint."""
    return f"optimizer{number or ''}"


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def prepare(
    config: TrainConfig, fabric: "Fabric", kept: Mapping[str, Tensor] | None = None
) -> tuple[TrainState, BatchStream, TrainingData]:
    """Load the data and build all that a run needs.

    Arguments:
        kept: the tensors of the checkpoint that the run goes on from, None for a new run.

    Raises:
        ValueError: Where the batch can't be shared out evenly, or is smaller than the line of
            couplings.
    """
    if config.batch % fabric.world_size:
        raise ValueError(
            f"batch = {config.batch} can't be shared out evenly to {fabric.world_size} processes."
        )
    learned = material(config, fabric.device, kept)
    learner = TrainState(config, fabric, learned)
    place = fabric.global_rank, fabric.world_size
    parts = learned.parts(learned.train, learned.train_labels)
    if len(parts) == 1:
        own = _batches(config, learned.basis, parts[0], config.batch, *place)
        return learner, _with_others(config, learned, own), learned
    if config.batch < len(parts):
        raise ValueError(
            f"batch = {config.batch} is too small: it needs a field of each of the {len(parts)} "
            "couplings."
        )
    share, rest = divmod(config.batch, len(parts))
    sizes = [share + (i < rest) for i in range(len(parts))]
    both = enumerate(zip(parts, sizes, strict=True))
    joined = tuple(
        _batches(config, learned.basis, part, n, number=i, dropout=0.0) for i, (part, n) in both
    )
    return learner, JoinedBatches(joined, *place), learned


def _with_others(config: TrainConfig, learned: TrainingData, own: Batches) -> BatchStream:
    """Return the batches of the model's own lattice in turn with those of the others."""
    parts = [own]
    for number, each in enumerate(learned.others, 1):
        size = batch_on(config.batch, learned.basis.shape, each.basis.shape, own.world)
        part = Part(each.images, None, each.modes)
        parts.append(_batches(config, each.basis, part, size, own.rank, own.world, number))
    return own if len(parts) == 1 else SizedBatches(tuple(parts), fold_in(config.seed, 7))


def _batches(
    config: TrainConfig,
    basis: Basis,
    part: Part,
    size: int,
    rank: int = 0,
    world: int = 1,
    number: int = 0,
    dropout: float | None = None,
) -> Batches:
    """Return the batches of one part, the number of which makes its seeds its own."""
    own = (number,) if number else ()
    sampler = config.noise.sampler(
        basis, part.modes, config.objective, fold_in(config.seed, 1, *own)
    )
    return Batches(
        part.images,
        sampler,
        size,
        config.symmetries,
        fold_in(config.seed, 2, *own),
        rank,
        world,
        part.labels,
        config.label_dropout if dropout is None else dropout,
    )


def use_threads(config: TrainConfig) -> None:
    """Let a network compute on one thread where that is fastest."""
    if config.model.network.one_thread:
        torch.set_num_threads(1)


def tune_malloc() -> None:
    """Let glibc keep freed memory: fresh pages cost a small network as much as its arithmetic."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MALLOC_MMAP_THRESHOLD, 1 << 30)
        mallopt(MALLOC_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(MALLOC_TOP_PAD, 1 << 26)
