"""Training on lattices of several sizes, one of them a step.

The first is the model's own lattice, whose unit, modes and held-out fields are those of the run;
the others lend their fields. In each round of as many steps as there are sizes every size has its
turn once, in an order drawn from the seed and the number of the round, so that a run can be
resumed at any step. A batch has about as many sites on every lattice, and so costs the same.
A network that is given the data's variance by octave tells couplings apart by it: it may learn
them together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgdiff_core import data
from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.seeds import fold_in
from rgdiff_core.training.batches import Batch, Batches, BatchStream
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.learned_schedule import LearnedProcess

__all__ = ["OtherSize", "SizedBatches", "batch_on", "check_other_sizes", "other_sizes"]


@dataclass(frozen=True, eq=False)
class OtherSize:
    """Fields (N, C, H, W) on another lattice than the model's own, or of another theory; their
    basis and modes.
    """

    images: Tensor
    basis: Basis
    modes: Modes


def other_sizes(config: TrainConfig, basis: Basis, device: torch.device) -> tuple[OtherSize, ...]:
    """Load the fields of the other lattices of a config.

    Arguments:
        basis: of the model's own lattice.

    Raises:
        ValueError: For data of another theory where the network cannot tell, of a size of a
            theory that is there already, or that is no lattice, and for what cannot be trained on
            several sizes.
    """
    return tuple(_loaded(config, basis, device))


def _loaded(config: TrainConfig, basis: Basis, device: torch.device) -> Iterator[OtherSize]:
    check_other_sizes(config)
    known = {(basis.shape, data.action_of(config.data)): config.data}
    symmetries = "lattice" if config.symmetries == "lattice" else "none"
    for name in config.other_sizes:
        images = data.load(name, limit=config.limit).images.to(device)
        channels, height, width = images.shape[1:]
        shape = (channels, height, width)
        key = (shape, data.action_of(name))
        if key in known:
            raise ValueError(
                f"{name!r} of other_sizes has {height}×{width} sites, as {known[key]!r} has: "
                "every size of a theory may be there once."
            )
        known[key] = name
        own = basis.on(shape)
        yield OtherSize(images, own, Modes.fit(own, images, symmetries=symmetries))


def check_other_sizes(config: TrainConfig) -> None:
    """Raise `ValueError` for what cannot be trained on lattices of several sizes."""
    if not config.other_sizes:
        return
    for name in (config.data, *config.other_sizes):
        if data.action_of(name) is None:
            raise ValueError(
                f"other_sizes = {', '.join(config.other_sizes)}: {name!r} holds no fields of one "
                "lattice theory, and only those go together."
            )
        told = config.model.conditioning == "octave_levels"
        if not told and data.action_of(name) != data.action_of(config.data):
            raise ValueError(
                f"{name!r} of other_sizes is of another theory than {config.data!r}, and only a "
                'network that is given the variance of the data (conditioning = "octave_levels") '
                "could tell them apart."
            )
    if isinstance(config.noise, LearnedProcess):
        raise ValueError(
            "a schedule is learned on one lattice: choose another noise, or leave other_sizes "
            "empty."
        )


def batch_on(size: int, home: tuple[int, int, int], away: tuple[int, int, int], world: int) -> int:
    """Return how many fields of another lattice have as many sites as a batch at home, at least
    one for each process, and as many for each.

    Arguments:
        size: of the batch at home.
        home: (C, H, W).
        away: (C, H, W).
        world: how many processes there are.
    """
    share = size * home[1] * home[2] / (away[1] * away[2])
    return world * max(1, round(share / world))


@dataclass(frozen=True, eq=False)
class SizedBatches(BatchStream):
    """Batches of several lattices in turn.

    Arguments:
        parts: of one lattice each.
        seed: of their order.
    """

    parts: tuple[Batches, ...]
    seed: int

    def draw(self, step: int) -> Batch:
        turn, place = divmod(step, len(self.parts))
        generator = torch.Generator().manual_seed(fold_in(self.seed, turn))
        order = torch.randperm(len(self.parts), generator=generator)
        part = int(order[place])
        return replace(self.parts[part].draw(turn), part=part)
