"""What is drawn on the Samples page: a model, a process, a sampler."""

from dataclasses import dataclass

from pages._shared.process_choice import ProcessChoice
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched
from rgdiff_core.denoisers import GuidanceCurve
from rgdiff_core.denoisers.guidance import FREE, NULL
from rgdiff_core.sampling import DDIM, GRIDS, METHODS, Method
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.seeds import check_walk
from rgdiff_core.spec import Spec, check_range, check_whole

__all__ = [
    "GUIDES",
    "MAX_GUIDANCE",
    "MAX_PINS",
    "MAX_SAMPLES",
    "MAX_STEPS",
    "MEASURED",
    "Request",
    "Setting",
    "Zoom",
]


MAX_SAMPLES, MAX_STEPS, MAX_PINS, MAX_GUIDANCE = 64, 200, 4, 6.0


GUIDED = 3.0  # the guidance that a class begins with: at 4 matched noise gives gaudy colours


MAX_CLASSES = 10_000


GUIDES = {NULL: "null label", FREE: "free theory"}  # what guidance leads away from


MEASURED = (64, 256, 1024, 4096)  # samples that observables are measured on


FIRST = "pretrained/phi4-6x6"


MODEL_NAME = 200  # characters


@dataclass(frozen=True)
class Zoom(Spec):
    """An image whose coarse scales are kept, while the rest is generated.

    Arguments:
        image: its number in the data set.
        cutoff: the scale up to which it is kept, in [0, 1].
        softness: over how many scales the weight falls, in [0.01, 1].
    """

    image: int = 0
    cutoff: float = 0.3
    softness: float = 0.05

    def __post_init__(self) -> None:
        check_whole("image", self.image, 0, 1_000_000)
        check_range("cutoff", self.cutoff, 0, 1)
        check_range("softness", self.softness, 0.01, 1)


@dataclass(frozen=True)
class Setting(Spec):
    """How samples are made: what is pinned and compared.

    Arguments:
        model: "pretrained/NAME", "run/ID", or "free/DATA" for the free theory of a data set.
        side: basis, colour and schedule; only the free theory's basis is free.
        method: one of the samplers' names, and DDIM's η.
        grid: the time grid, by name.
        zoom: generate the fine scales of an image only.
        class_label: the number of the class that is drawn, −1 for any.
        guidance: s of u + s (model − u), 1 is off: a number from 1 on, or a value from 0 on for
            every scale of the field.
        guide: u: "null" for the model without the class, or "free" for the free theory, which
            is also taken for any class.
        couplings: (m², λ) of a model along a line of them; None for the middle of the line.
    """

    model: str = FIRST
    side: ProcessChoice = ProcessChoice(
        BasisSpec(momentum="lattice"), Matched(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0)
    )
    method: str = "interaction"
    eta: float = 0.0
    steps: int = 20
    grid: str = "uniform"
    zoom: Zoom | None = None
    class_label: int = -1
    guidance: GuidanceCurve | float = 1.0
    guide: str = NULL
    couplings: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if len(self.model) > MODEL_NAME:
            raise ValueError(f"a model's name has at most {MODEL_NAME} characters.")
        for name, menu in (("method", METHODS), ("grid", GRIDS), ("guide", GUIDES)):
            if getattr(self, name) not in menu:
                known = ", ".join(menu)
                raise ValueError(f"{name} = {getattr(self, name)[:40]!r} is not one of {known}.")
        check_range("eta", self.eta, 0, 1)
        check_whole("steps", self.steps, 1, MAX_STEPS)
        check_whole("class_label", self.class_label, -1, MAX_CLASSES - 1)
        if isinstance(self.guidance, GuidanceCurve):
            check_range("guidance", max(self.guidance.values), 0, MAX_GUIDANCE)
        else:
            check_range("guidance", self.guidance, 1, MAX_GUIDANCE)

    @property
    def networks(self) -> int:
        """Return how many networks are evaluated where the denoiser is: two by the null label."""
        return 1 if self.guidance == 1 or self.by_free_theory else 2

    @property
    def by_free_theory(self) -> bool:
        """Return whether the free theory is the guide: always, for any class."""
        return self.guide == FREE or self.class_label < 0

    @property
    def sampler(self) -> Method:
        """Return the sampler."""
        return DDIM(self.eta) if self.method == "ddim" else METHODS[self.method]


@dataclass(frozen=True)
class Request(Spec):
    """What is drawn: a setting, the number of samples and their seed.

    Arguments:
        walk: the numbers of two samples of the seed; n samples on the way from the noise of one
            to that of the other are drawn, in place of the first n.
    """

    setting: Setting
    n: int = MAX_SAMPLES
    seed: int = 0
    walk: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1, MEASURED[-1])
        check_whole("seed", self.seed, 0, 2**31 - 1)
        for number in self.walk or ():
            check_whole("the number of a sample in walk", number, 0, MAX_SAMPLES - 1)
        if self.walk is not None:
            check_walk(*self.walk)
