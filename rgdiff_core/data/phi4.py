"""φ⁴ configurations as data sets: those that come with the product, made on the spot by hybrid
Monte Carlo, and stored ensembles.
"""

from dataclasses import dataclass

import numpy as np
import torch

from rgdiff_core.data.records import Progress, Record
from rgdiff_core.lattice import HMC, Phi4, hmc
from rgdiff_core.lattice.ensembles import Ensemble, EnsembleSpec, ImportedSpec
from rgdiff_core.lattice.gamma import chain_lengths
from rgdiff_core.lattice.line import CouplingLine

__all__ = [
    "LatticeLine",
    "LatticeSet",
    "build",
    "build_line",
    "describe",
    "split",
    "training_share",
]

TEST_SHARE = 10  # every tenth chain is for the test split


@dataclass(frozen=True)
class LatticeSet:
    """How a set of lattice configurations is made.

    Attributes:
        action: The theory.
        size: Linear size L of the lattice.
        n_train: Configurations of the training split.
        n_test: Configurations of the test split, a separate run.
        n_chains: Independent chains of a run.
        thermalization: In trajectories, as in `rgdiff_core.lattice.hmc`.
        thinning: In trajectories, likewise.
        cluster: Wolff updates after each trajectory, which large critical lattices need.
    """

    action: Phi4
    size: int
    n_train: int
    n_test: int
    n_chains: int
    thermalization: int
    thinning: int
    cluster: int = 0


@dataclass(frozen=True)
class LatticeLine:
    """How a set of configurations at several couplings on a line is made.

    Attributes:
        line: The couplings.
        size: Linear size L of the lattice.
        n_train: As in `LatticeSet`, at each of the couplings.
        n_test: As in `LatticeSet`, at each of the couplings.
        n_chains: As in `LatticeSet`, at each of the couplings.
        thermalization: As in `LatticeSet`, at each of the couplings.
        thinning: As in `LatticeSet`, at each of the couplings.
    """

    line: CouplingLine
    size: int
    n_train: int
    n_test: int
    n_chains: int
    thermalization: int
    thinning: int

    def at(self, m2: float, lam: float) -> LatticeSet:
        """Return the set at one point of the line."""
        numbers = (self.size, self.n_train, self.n_test)
        runs = (self.n_chains, self.thermalization, self.thinning)
        return LatticeSet(Phi4(m2, lam), *numbers, *runs)


def build_line(spec: LatticeLine, progress: Progress) -> dict[str, Record]:
    """Generate both splits at every point of a line; the labels number the points.

    Configurations of all points are shuffled together; `low` and `high` are those of the widest
    range.
    """
    parts, points = [], spec.line.points
    for i, point in enumerate(points):

        def report(done: int, total: int, text: str, i: int = i) -> None:
            progress(round(1000 * (i + done / total)), 1000 * len(points), text)

        parts.append(build(spec.at(*point), report, i))
    bound = max(part["train"].high for part in parts)
    found = {}
    for stage, name in enumerate(("train", "test")):
        images = np.concatenate([part[name].images for part in parts])
        labels = np.repeat(np.arange(len(parts)), [len(part[name].images) for part in parts])
        order = np.random.default_rng(stage).permutation(len(images))
        source = (
            f"φ⁴ configurations on a periodic {spec.size}×{spec.size} lattice at "
            f"{len(points)} couplings, {spec.line.title}, generated on this machine by hybrid "
            f"Monte Carlo ({name} chains)."
        )
        found[name] = Record(images[order], labels[order], source, -bound, bound)
    return found


def build(spec: LatticeSet, progress: Progress, number: int = 0) -> dict[str, Record]:
    """Generate both splits, the same on every run of one machine, others for each number.

    The order of configurations is shuffled, so that the first few come from different chains.
    `low` and `high` are ± the 99.9 % quantile of |φ| over the training split.
    """
    counts = {"train": spec.n_train, "test": spec.n_test}
    fields, acceptance, chains = {}, {}, {}
    for stage, (split, count) in enumerate(counts.items()):
        text = f"Generating {count} φ⁴ configurations {spec.size}×{spec.size} ({split})"

        def report(done: int, total: int, stage: int = stage, text: str = text) -> None:
            progress(round(1000 * (stage + done / total)), 1000 * len(counts), text)

        generator = torch.Generator().manual_seed(1904_12072 + 2 * number + stage)
        run = hmc(
            spec.action,
            spec.size,
            count,
            min(spec.n_chains, count),
            generator,
            thermalization=spec.thermalization,
            thinning=spec.thinning,
            settings=HMC(cluster=spec.cluster),
            progress=report,
        )
        order = torch.randperm(count, generator=generator)
        fields[split] = run.configurations[order].numpy()
        chains[split] = _chain_numbers(count, run.n_chains)[order.numpy()]
        acceptance[split] = run.acceptance
    bound = float(np.quantile(np.abs(fields["train"]), 0.999))
    return {
        split: Record(
            images, None, _source(spec, split, acceptance[split]), -bound, bound, chains[split]
        )
        for split, images in fields.items()
    }


def _chain_numbers(count: int, n_chains: int) -> np.ndarray:
    """Return the chain of every configuration, (count,), chain after chain."""
    return np.repeat(np.arange(n_chains), chain_lengths(count, n_chains))


def training_share(n_samples: int, n_chains: int) -> int:
    """Return how many of n configurations, those of one chain side by side, are the training
    split: all but a tenth of the chains, or but the last tenth of a single one.
    """
    if n_chains > 1:
        return sum(chain_lengths(n_samples, n_chains)[: -max(1, n_chains // TEST_SHARE)])
    return n_samples - max(1, n_samples // TEST_SHARE)


def split(ensemble: Ensemble, name: str, limit: int | None) -> Record:
    """Return the training or test split of an ensemble: nine tenths of its chains, or one.

    At least one chain is the test split; of a single chain it is the last tenth. Configurations
    are shuffled, so that the first few come from different chains, in the same way every time.

    Raises:
        ValueError: For a single configuration.
    """
    spec = ensemble.spec
    if spec.n_samples < 2:
        raise ValueError("an ensemble of one configuration has no training and test split.")
    train = training_share(spec.n_samples, spec.n_chains)
    if spec.n_chains > 1:
        test_chains = max(1, spec.n_chains // TEST_SHARE)
        how = f"{spec.n_chains - test_chains if name == 'train' else test_chains} chains"
    else:
        how = f"the {'first' if name == 'train' else 'last'} part of one chain"
    # As the built-in sets: the range is that of the training split, whichever is asked for.
    bound = float(np.quantile(ensemble.configurations[:train].abs().numpy(), 0.999))
    part = ensemble.configurations[:train] if name == "train" else ensemble.configurations[train:]
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))[:limit]
    images = part[order].to(torch.float32).numpy()
    numbers = _chain_numbers(spec.n_samples, spec.n_chains)
    numbers = (numbers[:train] if name == "train" else numbers[train:])[order.numpy()]
    return Record(images, None, f"{describe(spec)} Here: {how}.", -bound, bound, numbers)


def describe(spec: EnsembleSpec | ImportedSpec) -> str:
    """Say in one sentence where an ensemble comes from."""
    where = f"from {spec.source}" if isinstance(spec, ImportedSpec) else "by hybrid Monte Carlo"
    return (
        f"{spec.n_samples} configurations on a periodic {spec.size}×{spec.size} lattice at m² = "
        f"{spec.m2:g}, λ = {spec.lam:g}, {spec.n_chains} chains, {where}."
    )


def _source(spec: LatticeSet, split: str, acceptance: float) -> str:
    action = spec.action
    return (
        f"φ⁴ configurations on a periodic {spec.size}×{spec.size} lattice at m² = {action.m2:g}, "
        f"λ = {action.lam:g}, generated on this machine by hybrid Monte Carlo "
        f"({split} chains, acceptance {acceptance:.2f})."
    )
