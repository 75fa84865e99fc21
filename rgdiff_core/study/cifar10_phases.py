"""The phases of the study of CIFAR-10, what matters most first."""

from collections.abc import Callable, Mapping

from rgdiff_core.study.cifar10 import ImageStudy
from rgdiff_core.study.cifar10_arms import DEDICATED, MODELS

__all__ = ["PHASES"]


def _bits_of(study: ImageStudy, names: list[str]) -> None:
    for arm in study.arms:
        if arm.model in names:
            study.bits(arm)


def _sample_of(study: ImageStudy, names: list[str]) -> None:
    for steps in sorted(study.budget.evaluations, key=lambda n: n != study.budget.shown):
        for name in names:
            if name in study.files:
                for arm in study.headline(name):
                    study.samples(arm, steps)


def _first_bits(study: ImageStudy) -> None:
    _bits_of(study, [*DEDICATED, "cifar10"])


def _first_samples(study: ImageStudy) -> None:
    study.floor()
    _sample_of(study, [*DEDICATED, "cifar10"])


def _other_bits(study: ImageStudy) -> None:
    _bits_of(study, ["cifar10-pca", "cifar10-haar"])


def _more_bits(study: ImageStudy) -> None:
    for name in MODELS:
        if name in study.files:
            for arm in study.headline(name):
                study.bits(arm, more=True)


def _other_samples(study: ImageStudy) -> None:
    _sample_of(study, ["cifar10-pca", "cifar10-haar"])


def _flows(study: ImageStudy) -> None:
    for name in MODELS:
        if name in study.files:
            for arm in study.headline(name):
                study.flow(arm)


def _scan_samples(study: ImageStudy) -> None:
    for arm in study.arms:
        if arm.group == "scan":
            study.samples(arm, study.budget.scan_steps)


PHASES: Mapping[str, Callable[[ImageStudy], None]] = {
    "bits": _first_bits,
    "samples": _first_samples,
    "other bits": _other_bits,
    "bits on more images": _more_bits,
    "other samples": _other_samples,
    "flows": _flows,
    "samples of scans": _scan_samples,
}
