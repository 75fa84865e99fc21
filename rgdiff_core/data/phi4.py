"""φ⁴ configurations, made on the spot by hybrid Monte Carlo."""

from dataclasses import dataclass

import numpy as np
import torch

from rgdiff_core.data.records import Progress, Record
from rgdiff_core.lattice import Phi4, hmc

__all__ = ["LatticeSet", "build"]


@dataclass(frozen=True)
class LatticeSet:
    """How a set of lattice configurations is made.

    Attributes:
        action: The theory.
        size: Linear size L of the lattice.
        n_train, n_test: Configurations in each split; the splits are separate runs.
        n_chains: Independent chains of a run.
        thermalization, thinning: In trajectories, as in `rgdiff_core.lattice.hmc`.
    """

    action: Phi4
    size: int
    n_train: int
    n_test: int
    n_chains: int
    thermalization: int
    thinning: int


def build(spec: LatticeSet, progress: Progress) -> dict[str, Record]:
    """Generate both splits, the same on every run of one machine.

    The order of configurations is shuffled, so that the first few come from different chains.
    `low` and `high` are ± the 99.9 % quantile of |φ| over the training split.
    """
    counts = {"train": spec.n_train, "test": spec.n_test}
    fields, acceptance = {}, {}
    for stage, (split, count) in enumerate(counts.items()):
        text = f"Generating {count} φ⁴ configurations {spec.size}×{spec.size} ({split})"

        def report(done: int, total: int, stage: int = stage, text: str = text) -> None:
            progress(round(1000 * (stage + done / total)), 1000 * len(counts), text)

        generator = torch.Generator().manual_seed(1904_12072 + stage)
        run = hmc(
            spec.action,
            spec.size,
            count,
            min(spec.n_chains, count),
            generator,
            thermalization=spec.thermalization,
            thinning=spec.thinning,
            progress=report,
        )
        order = torch.randperm(count, generator=generator)
        fields[split] = run.configurations[order].numpy()
        acceptance[split] = run.acceptance
    bound = float(np.quantile(np.abs(fields["train"]), 0.999))
    return {
        split: Record(images, None, _source(spec, split, acceptance[split]), -bound, bound)
        for split, images in fields.items()
    }


def _source(spec: LatticeSet, split: str, acceptance: float) -> str:
    action = spec.action
    return (
        f"φ⁴ configurations on a periodic {spec.size}×{spec.size} lattice at m² = {action.m2:g}, "
        f"λ = {action.lam:g}, generated on this machine by hybrid Monte Carlo "
        f"({split} chains, acceptance {acceptance:.2f})."
    )
