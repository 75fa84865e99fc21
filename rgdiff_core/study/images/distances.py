"""Inception distances of a model's samples, by guidance, process and steps: FID and KID.

Features of real and of drawn images are computed in parts, each a cell, so that the ten thousand
of the literature can be had on a CPU over several sittings. Sample i has its own stream of
random numbers, whatever the parts. The own classifier says which samples it names as the class
that was asked for. Training images in the place of samples show what samples cannot get below.

References:
    GANs Trained by a Two Time-Scale Update Rule (1706.08500); Demystifying MMD GANs (1801.01401).
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core import data
from rgdiff_core.denoisers import (
    Denoiser,
    GuidanceCurve,
    NetworkDenoiser,
    free_theory,
    guided,
)
from rgdiff_core.denoisers.guidance import FREE, NULL
from rgdiff_core.evaluation.features import (
    extract,
    frechet_distance,
    frechet_error,
    kernel_distance,
    load_features,
)
from rgdiff_core.evaluation.features.network import Classifier, FeatureNetwork
from rgdiff_core.evaluation.images.classes import recognized
from rgdiff_core.evaluation.images.samples import draw_images
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.process import Process
from rgdiff_core.sampling import usual_method
from rgdiff_core.seeds import streams
from rgdiff_core.spec import to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.images.distances_drawn import REAL, ComparedImages, Drawn, way_title

__all__ = ["DistanceStudy"]

PART, BATCH = 500, 100  # images of a cell, and at once
TEST = ComparedImages("test images", "test")


@dataclass(frozen=True, eq=False)
class DistanceStudy:
    """The study's cells.

    Attributes:
        cells: where they are kept.
        drawn: what is drawn.
        model: with the classes of the data.
        digest: of the model's file.
        processes: that samples are drawn with, by title.
        name: of the data set, of images 3×32×32.
        guides: denoisers by name, with digests of their files; NULL and FREE have none.
    """

    cells: Cells
    drawn: Drawn
    model: NetworkDenoiser
    digest: str
    processes: Mapping[str, Process]
    name: str = "cifar10"
    guides: Mapping[str, tuple[Denoiser, str]] = field(default_factory=dict)

    @property
    def ways(self) -> list[ComparedImages]:
        """What is compared: samples of any class, of each class in turn at each scale, with each
        process and number of steps, and training images.
        """
        drawn = dict.fromkeys(
            ComparedImages(
                title=way_title(led, guide, interval),
                led=led,
                guide=NULL if led.scale == 1 else guide,
                guide_weights="" if led.scale == 1 else self._weights_of(guide),
                interval=None if led.scale == 1 else interval,
                process=title,
                steps=steps,
                method=method or usual_method(process),
                grid=grid,
            )
            for (title, process), led, guide, interval, method, grid, steps in itertools.product(
                self.processes.items(),
                self.drawn.guidance,
                self.drawn.guides,
                self.drawn.intervals,
                self.drawn.methods,
                self.drawn.grids,
                self.drawn.steps,
            )
            if self.model.num_classes or not led.by_class
        )
        return [*drawn, ComparedImages(REAL, "train")]

    def check(self) -> None:
        """Raise `ValueError` for guidance that this model cannot be given."""
        label = torch.zeros(1, dtype=torch.int64)
        for way in self.ways:
            if way.led is not None:
                own = label if way.led.by_class else None
                guided(self.model, own, way.led.scale, way.interval, self._guide(way))

    def compute(self) -> None:
        """Compute what is missing, the test images first; raises `OutOfTimeError` where that has
        to wait.
        """
        for way in (TEST, *self.ways):
            for first in range(0, self.drawn.n, PART):
                self._part(way, first)
            if way is not TEST:
                self._compared(way)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the distances from test images of each way that is computed."""
        for way in self.ways:
            cell = self.cells.read(self._row_cell(way), self._row_inputs(way))
            if cell is not None:
                about = way.about | {"n": self.drawn.n, "weights": self.digest if way.led else ""}
                about |= {"guide_weights": way.guide_weights}
                about |= {"seed": self.drawn.seed if way.led else None}
                yield about | cell["result"]

    def _compared(self, way: ComparedImages) -> None:
        """Compute the distances of a way whose parts are there."""

        def compute() -> dict[str, Any]:
            real, found = self._kept(TEST, "features"), self._kept(way, "features")
            assert real is not None and found is not None
            right = self._kept(way, "right")
            frechet = Estimate(frechet_distance(found, real), frechet_error(found, real))
            return {
                "frechet": frechet.to_dict(),
                "kernel": kernel_distance(found, real).to_dict(),
                "named": None if right is None else Estimate.of(right.double()).to_dict(),
            }

        self.cells.read_or_compute(self._row_cell(way), self._row_inputs(way), compute)

    def _row_cell(self, way: ComparedImages) -> str:
        return f"distance-{way.cell}-of-{self.drawn.n}"

    def _row_inputs(self, way: ComparedImages) -> dict[str, Any]:
        parts = range(0, self.drawn.n, PART)
        return {each.title: [self._inputs(each, first) for first in parts] for each in (TEST, way)}

    def _inputs(self, way: ComparedImages, first: int) -> dict[str, Any]:
        """Return what the features of images from number `first` on are computed from."""
        n = min(PART, self.drawn.n - first)
        inputs: dict[str, Any] = {"features": self.drawn.features, "data": self.name, "n": n}
        if way.led is not None:
            process, scale = self.processes[way.process], way.led.scale
            inputs |= {"guidance": to_dict(scale) if isinstance(scale, GuidanceCurve) else scale}
            inputs |= {"by_class": way.led.by_class, "guide": way.guide_weights or way.guide}
            inputs |= {"interval": way.interval}
            inputs |= {"steps": way.steps, "seed": self.drawn.seed}
            inputs |= {"model": self.digest, "schedule": process.schedule.to_json()}
            inputs |= {"color": process.color.to_json(), "method": way.method, "grid": way.grid}
        return inputs

    def _part(self, way: ComparedImages, first: int) -> None:
        """Compute the features of images from number `first` on."""
        inputs, cell = self._inputs(way, first), _cell(way, first)

        def compute() -> dict[str, Any]:
            n, labels = inputs["n"], None
            if way.split:
                images = data.load(self.name, way.split, limit=first + n).images[first:]
            else:
                images, labels = self._samples(way, first, n)
            if len(images) < n:
                raise ValueError(f"n = {self.drawn.n} is more than there are {way.title}.")
            tensors = {"features": extract(self._network, images, BATCH)}
            if labels is not None and self._classifier is not None:
                right = recognized(self._classifier, images, labels, BATCH)
                tensors |= {"right": right.float()}
            write_tensors(self.cells.path(cell, ".safetensors"), tensors, {})
            return {"n": n}

        self.cells.read_or_compute(cell, inputs, compute)

    def _samples(self, way: ComparedImages, first: int, n: int) -> tuple[Tensor, Tensor | None]:
        assert way.led is not None
        labels = torch.arange(first, first + n) % max(1, self.model.num_classes)
        labels = labels if way.led.by_class else None
        parts = []
        for start in range(0, n, BATCH):
            here = min(BATCH, n - start)
            own = None if labels is None else labels[start : start + here]
            parts.append(
                draw_images(
                    guided(self.model, own, way.led.scale, way.interval, self._guide(way)),
                    self.processes[way.process],
                    here,
                    way.steps,
                    way.method,
                    grid=way.grid,
                    generator=streams(self.drawn.seed, here, first + start),
                )
            )
        return torch.cat(parts).float() / 127.5 - 1, labels

    def _weights_of(self, guide: str) -> str:
        """Return a digest of a guide's file, "" for one that has none."""
        return self.guides[guide][1] if guide in self.guides else ""

    def _guide(self, way: ComparedImages) -> Denoiser | None:
        """Return what samples are led away from, None for the model without the class."""
        if way.guide == FREE:
            return free_theory(self.model)
        return None if way.guide == NULL else self.guides[way.guide][0]

    def _kept(self, way: ComparedImages, what: str) -> Tensor | None:
        """Return a tensor of all parts, None where one is missing."""
        parts = []
        for first in range(0, self.drawn.n, PART):
            if self.cells.read(_cell(way, first), self._inputs(way, first)) is None:
                return None
            tensors = load_file(self.cells.path(_cell(way, first), ".safetensors"))
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


def _cell(way: ComparedImages, first: int) -> str:
    return f"{way.cell}-{first:05d}"
