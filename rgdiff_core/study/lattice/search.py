"""How an arm's search chooses: by the distance from the theory on validation fields.

All schedules are tried at one learning rate, the best of them at the others, and the finalists for
longer, each with several seeds: one seed may choose a rate at which others collapse.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from rgdiff_core.study.lattice.arms import LRS

__all__ = ["FINALISTS", "SEARCH_SEED", "TRIAL_SEEDS", "finalists", "mean_score", "score"]

Cell = dict[str, Any]
SEARCH_SEED = 1000
TRIAL_SEEDS = (SEARCH_SEED, SEARCH_SEED + 1)  # of the finalists
FINALISTS = 4


def finalists(schedules: Sequence[Cell], trials: Sequence[Cell]) -> list[tuple[int, float]]:
    """Return the schedules, by number, and learning rates that are tried for longer: the best
    three at the best rate, and the best at the next lower rate, for what wins a short trial may
    collapse in a long one.

    Arguments:
        schedules: cells of all schedules at the first rate.
        trials: of these and of the best schedule at the other rates.
    """
    ranked = [cell["result"]["choice"] for cell in sorted(schedules, key=score)]
    lr = min(trials, key=score)["result"]["lr"]
    lower = max((rate for rate in LRS if rate < lr), default=min(LRS) / 2)
    return [(choice, lr) for choice in ranked[: FINALISTS - 1]] + [(ranked[0], lower)]


def score(cell: Cell) -> float:
    """Return the distance in nats, infinite where it is no number."""
    kl = cell["result"]["kl"]
    return kl["value"] if kl and math.isfinite(kl["value"]) else math.inf


def mean_score(cells: Sequence[Cell]) -> float:
    """Return the mean over a finalist's seeds."""
    return statistics.fmean(map(score, cells))
