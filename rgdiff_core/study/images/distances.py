"""Inception distances of samples of a class-conditional model, by guidance: FID and KID.

Features of real and of drawn images are computed in parts, each a cell, so that the ten thousand
of the literature can be had on a CPU over several sittings. Sample i has its own stream of
random numbers, whatever the parts. The own classifier says which samples it names as the class
that was asked for. Training images in the place of samples show what samples cannot get below.

References:
    GANs Trained by a Two Time-Scale Update Rule (1706.08500); Demystifying MMD GANs (1801.01401).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core import data
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.evaluation.features import (
    extract,
    frechet_distance,
    frechet_error,
    kernel_distance,
    load_features,
)
from rgdiff_core.evaluation.features.network import Classifier, FeatureNetwork
from rgdiff_core.evaluation.images.samples import draw_images
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.process import Process
from rgdiff_core.seeds import streams
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells

__all__ = ["ANY", "REAL", "DistanceStudy", "Drawn", "lines"]

ANY, REAL = "any class", "training images"
PART, BATCH = 500, 100  # images of a cell, and at once
LEAST = 40  # images: with fewer a distance has no error


@dataclass(frozen=True)
class Drawn:
    """What is drawn.

    Attributes:
        n: samples of each way, as many real images.
        steps: of the sampler.
        guidance: the scales, each in [0, 100].
        seed: of the samples.
        features: the network's name.
    """

    n: int = 10_000
    steps: int = 16
    guidance: tuple[float, ...] = (1.0, 1.5, 2.0)
    seed: int = 0
    features: str = "inception"

    def __post_init__(self) -> None:
        check_whole("n", self.n, LEAST, 50_000)
        check_whole("steps", self.steps, 1, 1000)
        for scale in self.guidance:
            check_range("guidance", scale, 0, 100)


@dataclass(frozen=True, eq=False)
class DistanceStudy:
    """The study's cells.

    Attributes:
        cells: where they are kept.
        drawn: what is drawn.
        model: with the classes of the data.
        digest: of the model's file.
        process: that samples are drawn with.
        name: of the data set, of images 3×32×32.
    """

    cells: Cells
    drawn: Drawn
    model: NetworkDenoiser
    digest: str
    process: Process
    name: str = "cifar10"

    @property
    def ways(self) -> list[str]:
        """The ways to draw, by title: without a class, and by class at each scale."""
        by_class = self.drawn.guidance if self.model.num_classes else ()
        return [ANY, *(f"guidance {scale:g}" for scale in by_class)]

    def compute(self) -> None:
        """Compute what is missing, the real images first; raises `OutOfTimeError` where that has
        to wait.
        """
        for title in (None, *self.ways, REAL):
            for first in range(0, self.drawn.n, PART):
                self._part(title, first)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the distances from test images of each way whose samples are all there."""
        real = self._features(None)
        for title in (*self.ways, REAL):
            found = None if real is None else self._features(title)
            if real is None or found is None:
                continue
            frechet = Estimate(frechet_distance(found, real), frechet_error(found, real))
            row = {"way": title, "n": len(found), "frechet": frechet.to_dict()}
            row |= {"kernel": kernel_distance(found, real).to_dict()}
            named = None if title in (ANY, REAL) else self._named(title)
            yield row | {"named": named and named.to_dict()}

    def _part(self, title: str | None, first: int) -> None:
        """Compute the features of images from number `first` on; of test images without a
        title.
        """
        n = min(PART, self.drawn.n - first)
        inputs: dict[str, Any] = {"features": self.drawn.features, "data": self.name, "n": n}
        if title not in (None, REAL):
            about = asdict(self.drawn) | {"guidance": self._scale(title)}
            inputs |= {key: about[key] for key in ("guidance", "steps", "seed")}
            inputs |= {"model": self.digest, "schedule": self.process.schedule.to_json()}
            inputs |= {"color": self.process.color.to_json()}
        cell = _cell(title, first)

        def compute() -> dict[str, Any]:
            if title in (None, REAL):
                images, labels = self._real("test" if title is None else "train", first, n), None
            else:
                images, labels = self._samples(self._scale(title), first, n)
            tensors = {"features": extract(self._network, images, BATCH)}
            if labels is not None and self._classifier is not None:
                found = torch.cat([self._classifier.logits(x) for x in images.split(BATCH)])
                tensors |= {"right": (found.argmax(1) == labels).float()}
            write_tensors(self.cells.path(cell, ".safetensors"), tensors, {})
            return {"n": n}

        self.cells.read_or_compute(cell, inputs, compute)

    def _scale(self, title: str | None) -> float | None:
        return None if title in (None, ANY, REAL) else float(str(title).split()[1])

    def _real(self, split: str, first: int, n: int) -> Tensor:
        images = data.load(self.name, split, limit=first + n).images
        if len(images) < first + n:
            raise ValueError(f"n = {self.drawn.n}, but there are {len(images)} {split} images.")
        return images[first:]

    def _samples(self, scale: float | None, first: int, n: int) -> tuple[Tensor, Tensor | None]:
        labels = None if scale is None else torch.arange(first, first + n) % self.model.num_classes
        parts = []
        for start in range(0, n, BATCH):
            here = min(BATCH, n - start)
            parts.append(
                draw_images(
                    self.model,
                    self.process,
                    here,
                    self.drawn.steps,
                    generator=streams(self.drawn.seed, here, first + start),
                    class_labels=None if labels is None else labels[start : start + here],
                    guidance_scale=1.0 if scale is None else scale,
                )
            )
        return torch.cat(parts).float() / 127.5 - 1, labels

    def _features(self, title: str | None) -> Tensor | None:
        return self._kept(title, "features")

    def _named(self, title: str) -> Estimate | None:
        right = self._kept(title, "right")
        return None if right is None else Estimate.of(right.double())

    def _kept(self, title: str | None, what: str) -> Tensor | None:
        """Return a tensor of all parts, None where one is missing."""
        parts = []
        for first in range(0, self.drawn.n, PART):
            path = self.cells.path(_cell(title, first), ".safetensors")
            if self.cells.kept(_cell(title, first)) is None or not path.is_file():
                return None
            tensors = load_file(path)
            if what not in tensors:
                return None
            parts.append(tensors[what])
        return torch.cat(parts)

    @cached_property
    def _network(self) -> FeatureNetwork:
        return load_features(self.drawn.features)

    @cached_property
    def _classifier(self) -> Classifier | None:
        """Return the classifier, where it knows the model's classes."""
        found = load_features("cifar10")
        fits = isinstance(found, Classifier) and found.class_names == self.model.class_names
        return found if isinstance(found, Classifier) and fits else None


def _cell(title: str | None, first: int) -> str:
    return f"{(title or 'test images').replace(' ', '-')}-{first:05d}"


def lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return the distances for people."""
    told = []
    for row in rows:
        frechet, kernel = (Estimate(**row[key]) for key in ("frechet", "kernel"))
        named = "" if row["named"] is None else f", named {Estimate(**row['named'])}"
        told.append(f"{row['way']}: Fréchet {frechet}, kernel {kernel}{named}")
    return told
