"""The phases of the study of CIFAR-10, what matters most first.

A phase gives its cells one by one, each with its name; what a later one computes may depend on
what an earlier one has found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rgdiff_core.study.images.arms import DEDICATED, ImageArm
from rgdiff_core.study.images.study import ImageStudy

__all__ = ["PHASES", "Task"]

Task = tuple[str, Callable[[], Any]]
FIRST, OTHERS = (*DEDICATED, "cifar10"), ("cifar10-small", "cifar10-pca", "cifar10-haar")


def _bits(study: ImageStudy, names: Sequence[str]) -> Iterator[Task]:
    for arm in study.arms:
        if arm.model in names:
            yield f"bits of {arm.name}", lambda arm=arm: study.bits(arm)


def _headlines(study: ImageStudy, names: Sequence[str]) -> list[ImageArm]:
    return [arm for name in names if name in study.files for arm in study.headline(name)]


def _samples(study: ImageStudy, names: Sequence[str], steps: Sequence[int]) -> Iterator[Task]:
    for n in steps:
        for arm in _headlines(study, names):
            yield f"samples of {arm.name}", lambda arm=arm, n=n: study.samples(arm, n)


def _first_bits(study: ImageStudy) -> Iterator[Task]:
    return _bits(study, FIRST)


def _first_samples(study: ImageStudy) -> Iterator[Task]:
    yield "floor", study.floor
    shown = study.budget.shown
    yield from _samples(study, FIRST, [shown])
    yield from _samples(study, FIRST, [n for n in study.budget.evaluations if n < shown])


def _other_bits(study: ImageStudy) -> Iterator[Task]:
    return _bits(study, OTHERS)


def _other_samples(study: ImageStudy) -> Iterator[Task]:
    return _samples(study, OTHERS, [study.budget.shown])


def _details(study: ImageStudy, names: Sequence[str]) -> Iterator[Task]:
    for arm in _headlines(study, names):
        yield f"more bits of {arm.name}", lambda arm=arm: study.bits(arm, more=True)
    for arm in _headlines(study, names):
        yield f"flow of {arm.name}", lambda arm=arm: study.flow(arm)


def _first_details(study: ImageStudy) -> Iterator[Task]:
    return _details(study, FIRST)


def _scans(study: ImageStudy) -> Iterator[Task]:
    for arm in study.arms:
        if arm.group == "scan":
            yield f"samples of {arm.name}", lambda arm=arm: study.scanned(arm)


def _rest(study: ImageStudy) -> Iterator[Task]:
    yield from _samples(study, (*FIRST, *OTHERS), study.budget.evaluations)
    yield from _details(study, OTHERS)


PHASES: Mapping[str, Callable[[ImageStudy], Iterator[Task]]] = {
    "bits": _first_bits,
    "samples": _first_samples,
    "bits of the other bases": _other_bits,
    "samples of the other bases": _other_samples,
    "details": _first_details,
    "scans": _scans,
    "the rest": _rest,
}
