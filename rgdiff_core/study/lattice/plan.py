"""The tasks of a study, in order of importance, each with those that have to be done before.

A task is a call of one method of `Study`. It computes one cell, or, where it only prepares, noised
fields that several cells share.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rgdiff_core.study.lattice.arms import (
    ABLATION,
    ARMS,
    LRS,
    REVERSED,
    SCHEDULE_SCAN,
    THEORIES,
    Arm,
)
from rgdiff_core.study.lattice.budget import LatticeBudget
from rgdiff_core.study.lattice.study import FINALISTS, TRIAL_SEEDS

__all__ = ["ORDER", "StudyTask", "plan"]

CRITICAL, BROKEN, SYMMETRIC, LARGE = THEORIES
ORDER: tuple[tuple[str, str], ...] = (  # theory and phase: what matters most comes first
    *((theory, phase) for theory in THEORIES for phase in ("truth", "runs")),
    (CRITICAL, "ablation"),
    (CRITICAL, "flows"),
    (CRITICAL, "samplers"),
    (CRITICAL, "schedule_scan"),
    (BROKEN, "flows"),
    (BROKEN, "samplers"),
    (BROKEN, "ablation"),
    (SYMMETRIC, "flows"),
    (SYMMETRIC, "samplers"),
    (LARGE, "flows"),
    (LARGE, "samplers"),
    (BROKEN, "schedule_scan"),
    (SYMMETRIC, "ablation"),
    (SYMMETRIC, "schedule_scan"),
    (LARGE, "ablation"),
    (LARGE, "schedule_scan"),
)


@dataclass(frozen=True)
class StudyTask:
    """A call of a method of `Study`.

    Attributes:
        theory: the data set.
        phase: of `ORDER`.
        name: no two tasks of a theory share one.
        method: that is called.
        arguments: of the call.
        needs: names of tasks of this theory that have to be done before.
        prepares: whether it computes no cell: where nothing is left that needs it, it is left out.
    """

    theory: str
    phase: str
    name: str
    method: str
    arguments: tuple[Any, ...] = ()
    needs: tuple[str, ...] = ()
    prepares: bool = False


def plan(theories: list[str], budget: LatticeBudget) -> list[StudyTask]:
    """Return the tasks of these theories; none comes before one that it needs."""
    return [
        StudyTask(theory, phase, *parts)
        for theory, phase in ORDER
        if theory in theories
        for parts in PHASES[phase](theory, budget)
    ]


Parts = tuple[Any, ...]  # of a task, beyond theory and phase


def _truth(theory: str, budget: LatticeBudget) -> Iterator[Parts]:
    del theory, budget
    yield ("truth", "reference_values_cell")


def _runs(theory: str, budget: LatticeBudget) -> Iterator[Parts]:
    del theory
    seen: set[str] = set()
    for arm in ARMS.values():
        for index, choice in enumerate(arm.choices):
            noised = f"noised-{arm.color.to_json()}-{choice.schedule.to_json()}"
            if noised not in seen:  # two arms may share a process
                seen.add(noised)
                yield (noised, "validation_reference", (arm, index), (), True)
            yield (f"search-{arm.name}-{index}", "candidate", (arm, index, LRS[0]), (noised,))
    for arm in ARMS.values():
        needs = tuple(f"search-{arm.name}-{index}" for index in range(len(arm.choices)))
        for lr in LRS[1:]:
            yield (f"rate-{arm.name}-{lr:g}", "tuned", (arm, lr), needs)
    for arm in ARMS.values():
        needs = tuple(f"rate-{arm.name}-{lr:g}" for lr in LRS[1:])
        for place in range(FINALISTS):
            for seed in TRIAL_SEEDS:
                yield (f"trial-{arm.name}-{place}-{seed}", "longer", (arm, place, seed), needs)
    for arm in ARMS.values():
        needs = tuple(
            f"trial-{arm.name}-{place}-{seed}"
            for place in range(FINALISTS)
            for seed in TRIAL_SEEDS
        )
        yield (f"test-{arm.name}", "run_reference", (arm,), needs, True)
    for seed in range(budget.seeds):
        for arm in ARMS.values():
            yield (_run(arm, seed), "run", (arm, seed), (f"test-{arm.name}", "truth"))


def _run(arm: Arm, seed: int) -> str:
    return f"run-{arm.name}-{seed}"


def _flows(theory: str, budget: LatticeBudget) -> Iterator[Parts]:
    del theory
    for seed in range(budget.seeds):
        for arm in ARMS.values():
            yield (f"flow-{arm.name}-{seed}", "flow", (arm, seed), (_run(arm, seed),))


def _samplers(theory: str, budget: LatticeBudget) -> Iterator[Parts]:
    del theory
    for seed in range(budget.seeds):
        for steps in budget.evaluations:
            for arm in ARMS.values():
                name = f"samplers-{arm.name}-{seed}-{steps}"
                yield (name, "samplers", (arm, seed, steps), (_run(arm, seed),))


def _ablation(theory: str, budget: LatticeBudget) -> Iterator[Parts]:
    if theory not in budget.ablation:
        return
    seen: set[str] = set()
    for seed in range(budget.ablation_seeds):
        for arm in dict.fromkeys((*ABLATION, *REVERSED[:-1])):
            noised = f"ablation-{arm.color.to_json()}-{arm.choices[0].schedule.to_json()}"
            if noised not in seen:
                seen.add(noised)
                yield (noised, "ablation_reference", (arm,), (), True)
            yield (f"ablation-{arm.name}-{seed}", "ablation_step", (arm, seed), (noised,))


def _schedule_scan(theory: str, budget: LatticeBudget) -> Iterator[Parts]:
    if theory not in budget.schedule_scan:
        return
    for index in range(min(budget.schedules, len(SCHEDULE_SCAN))):
        for color in ("white", "matched"):
            yield (f"schedule_scan-{color}-{index}", "place", (color, index))


PHASES: dict[str, Callable[[str, LatticeBudget], Iterator[Parts]]] = {
    "truth": _truth,
    "runs": _runs,
    "flows": _flows,
    "samplers": _samplers,
    "ablation": _ablation,
    "schedule_scan": _schedule_scan,
}
