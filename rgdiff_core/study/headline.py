"""How every method compares with standard diffusion, on every data set, in one list.

Nothing is measured here: see `lattice.verdict`, whose tests decide, and `images.verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rgdiff_core.study.images import verdict as images
from rgdiff_core.study.lattice import verdict as lattice
from rgdiff_core.study.lattice.verdict import Difference

__all__ = ["Effect", "effects"]

OURS = frozenset({lattice.OURS, images.OURS})

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Effect:
    """A method's distance from the data less that of standard diffusion.

    Attributes:
        method: kind of noise and of schedule, the same on every data set, as "white-scalar".
        title: of the method.
        trained: what the network was trained on: a theory, or a process or several of images.
        difference: in nats for φ⁴, with Holm's correction; in bits per dimension for images.
        baseline: the number of standard diffusion, in the same unit.
        claimed: whether the claim is about this arm.
    """

    method: str
    title: str
    trained: str
    difference: Difference
    baseline: float
    claimed: bool = False

    @property
    def percent(self) -> tuple[float, float]:
        """The difference and its standard error, in per cent of the baseline."""
        scale = 100 / self.baseline
        return scale * self.difference.value, scale * (self.difference.error or 0.0)


def effects(found: Found) -> tuple[Effect, ...]:
    """Return how the methods of a study compare with its standard diffusion.

    Arguments:
        found: What `rgdiff study` wrote. Of images the arms that are sampled count.

    Returns:
        One effect per arm beside the baseline, empty where that was not measured.
    """
    is_lattice = "theory" in found
    name = "kl" if is_lattice else "bits"
    arms = {arm["name"]: arm for arm in found["arms"] if is_lattice or arm["headline"]}
    baseline = arms.get(found["baseline"], {}).get("metrics", {}).get(name)
    if baseline is None:
        return ()
    offs = lattice.from_baseline(found) if is_lattice else images.from_baseline(found, name)
    return tuple(
        Effect(
            _method(arm),
            arm["title"],
            found["theory"]["title"] if is_lattice else arm["model_title"],
            offs[arm["name"]],
            baseline["value"],
            arm["name"] in OURS,
        )
        for arm in arms.values()
        if arm["name"] in offs
    )


def _method(arm: Found) -> str:
    if arm["name"] == images.OURS:
        return lattice.OURS
    return arm.get("group", arm["name"])
