"""How much the study of CIFAR-10 may cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rgdiff_core.spec import Spec

__all__ = ["BUDGETS", "ImageBudget"]


@dataclass(frozen=True)
class ImageBudget(Spec):
    """What is measured on how much.

    Attributes:
        images: of the test split, for the bits of every arm.
        levels_per_image: noise levels for each of them.
        more_images: the same for the arms that are sampled.
        flow_images: for the bits of the probability flow.
        flow_steps: of its integration.
        samples: drawn for the arms of a headline.
        evaluations: numbers of steps at each of which these are drawn.
        search_samples: for the choice among METHODS; 0 for none, and its first.
        search_steps: of the samplers in that choice.
        scan_samples: of the arms of a scan, by the first of METHODS.
        scan_steps: of the sampler there.
        reference: test images that samples are compared with.
        shown: steps of the samples whose pictures are kept.
        batch_size: images at once.
    """

    former_names: ClassVar[Mapping[str, str]] = {
        "draws": "levels_per_image",
        "rows": "batch_size",
    }

    images: int = 2048
    levels_per_image: int = 8
    more_images: int = 4096
    flow_images: int = 128
    flow_steps: int = 16
    samples: int = 1024
    evaluations: tuple[int, ...] = (10, 25, 50, 100)
    search_samples: int = 512
    search_steps: int = 25
    scan_samples: int = 1024
    scan_steps: int = 50
    reference: int = 10_000
    shown: int = 50
    batch_size: int = 512


BUDGETS: Mapping[str, ImageBudget] = {
    "full": ImageBudget(),
    "cpu": ImageBudget(  # about an hour of one core for the samples
        more_images=2048,
        flow_images=32,
        flow_steps=8,
        samples=64,
        evaluations=(10, 25, 50),
        search_samples=0,
        scan_samples=64,
    ),
    "tiny": ImageBudget(
        images=16,
        levels_per_image=2,
        more_images=32,
        flow_images=4,
        flow_steps=1,
        samples=40,
        evaluations=(2, 4),
        search_samples=20,
        search_steps=2,
        scan_samples=20,
        scan_steps=2,
        reference=200,
        shown=4,
        batch_size=64,
    ),
}
