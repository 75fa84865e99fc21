"""What `rgdiff study distances` draws: the guidance, the settings of the sampler, their names."""

import hashlib
from dataclasses import dataclass
from typing import Any

from rgdiff_core.denoisers import GuidanceCurve, Interval
from rgdiff_core.denoisers.guidance import FREE, MAX_SCALE, NULL, as_typed
from rgdiff_core.seeds import MAX_SEED
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.statistics import Estimate

__all__ = [
    "ANY",
    "LEAST",
    "REAL",
    "Drawn",
    "GuidanceScale",
    "ComparedImages",
    "lines",
    "way_title",
]

ANY, REAL = "any class", "training images"
LEAST = 40  # images: with fewer a distance has no error
MAX_CELL = 150  # characters of a cell's name


@dataclass(frozen=True)
class GuidanceScale:
    """What samples are led to, and how strongly.

    Attributes:
        scale: s of u + s (c − u), 0 to 50, or one for every scale of the field; 1 is off.
        by_class: each class in turn; else of any class.
    """

    scale: float | GuidanceCurve = 1.0
    by_class: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.scale, GuidanceCurve):
            check_range("guidance", self.scale, 0, MAX_SCALE)

    @property
    def words(self) -> str:
        """The scale as it is typed."""
        return as_typed(self.scale)

    @property
    def typed(self) -> str:
        """All of it as it is typed."""
        if self.by_class:
            return self.words
        return "any" if self.scale == 1 else f"any:{self.words}"


@dataclass(frozen=True)
class Drawn:
    """What is drawn.

    Attributes:
        n: samples of each way, as many real images.
        steps: of the sampler, each in turn.
        guidance: what samples are led to, each in turn.
        seed: of the samples.
        features: the network's name.
        methods: of the sampler, by name; None for the usual one of a process.
        grids: of the sampler's times.
        guides: NULL, FREE or the name of a weaker model.
        intervals: of the log-SNR, in which guidance acts; None for everywhere.
    """

    n: int = 10_000
    steps: tuple[int, ...] = (16,)
    guidance: tuple[GuidanceScale, ...] = (
        GuidanceScale(by_class=False),
        GuidanceScale(1.0),
        GuidanceScale(1.5),
        GuidanceScale(2.0),
    )
    seed: int = 0
    features: str = "inception"
    methods: tuple[str | None, ...] = (None,)
    grids: tuple[str, ...] = ("logsnr",)
    guides: tuple[str, ...] = (NULL,)
    intervals: tuple[Interval | None, ...] = (None,)

    def __post_init__(self) -> None:
        check_whole("n", self.n, LEAST, 50_000)
        check_whole("seed", self.seed, 0, MAX_SEED)
        for steps in self.steps:
            check_whole("steps", steps, 1, 1000)
        for led in self.guidance:
            if not led.by_class and led.scale != 1 and NULL in self.guides:
                raise ValueError(
                    f"guidance = {led.typed} needs a guide other than {NULL}: without a class "
                    "there is nothing that the null label leaves out."
                )


@dataclass(frozen=True)
class ComparedImages:
    """Images that are compared with test images, or these.

    Attributes:
        title: for people.
        split: of real images; "" for samples.
        led: what samples are led to; None for real images.
        guide: NULL, FREE or the name of a model.
        guide_weights: a digest of that model's file; "" for NULL and FREE.
        interval: of the log-SNR in which guidance acts; None for everywhere.
        process: that samples are drawn with, by title.
        steps: of the sampler.
        method: of the sampler.
        grid: of its times.
    """

    title: str
    split: str = ""
    led: GuidanceScale | None = None
    guide: str = NULL
    guide_weights: str = ""
    interval: Interval | None = None
    process: str = ""
    steps: int = 0
    method: str = ""
    grid: str = ""

    @property
    def cell(self) -> str:
        """The name of its cells, short enough for that of a file."""
        name = self.title
        if self.led is not None:
            scale = self.led.scale
            name += f"-{scale!r}" if isinstance(scale, float) else ""
            name += f"-{self.process}-{self.steps}-{self.method}-{self.grid}"
            name += f"-{self.guide_weights[:8]}" if self.guide_weights else ""
        cell = "".join(c if (c.isascii() and c.isalnum()) or c in ".-" else "-" for c in name)
        if len(cell) <= MAX_CELL:
            return cell
        return f"{cell[:MAX_CELL]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    @property
    def about(self) -> dict[str, Any]:
        """What a row of results says of it: of guidance by class at one scale, that scale and what
        leads.
        """
        guidance = {}
        if self.led and self.led.by_class and not isinstance(self.led.scale, GuidanceCurve):
            guidance = {"guidance": self.led.scale, "by": _by(self.guide, self.interval)}
        about = {"way": self.title, "process": self.process, "steps": self.steps}
        return about | guidance | {"method": self.method, "grid": self.grid}


def _by(guide: str, interval: Interval | None) -> str:
    by = {NULL: "the null label", FREE: "the free theory"}.get(guide, guide)
    return by if interval is None else f"{by}, log-SNR {' to '.join(map(as_typed, interval))}"


def way_title(led: GuidanceScale, guide: str, interval: Interval | None) -> str:
    """Return what samples are called, by how they are led."""
    if led.scale == 1:
        return f"guidance {led.words}" if led.by_class else ANY
    led_by = f"guidance {led.words} by {_by(guide, interval)}".replace(" by the null label", "")
    return led_by if led.by_class else f"{ANY}, {led_by}"


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the distances for people."""
    told = []
    for row in rows:
        frechet, kernel = (Estimate(**row[key]) for key in ("frechet", "kernel"))
        named = "" if row["named"] is None else f", named {Estimate(**row['named'])}"
        parts = (row["process"], f"{row['steps']} steps", row["method"], row["grid"])
        how = f", {', '.join(parts)}" if row["process"] else ""
        told.append(f"{row['way']}{how}: Fréchet {frechet}, kernel {kernel}{named}")
    return told
