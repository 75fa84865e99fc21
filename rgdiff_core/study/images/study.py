"""The study of CIFAR-10: pretrained models and their processes, in cells that can be resumed.

Every cell names its model by the SHA-256 of its file. Bits per dimension are measured on the same
test images with the same noise in every arm, so that arms compare in pairs; for each universal
model the best process of each kind, by bits, is sampled.
"""

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core import data
from rgdiff_core.data import store
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.files import load_model, read_metadata, sha256
from rgdiff_core.evaluation.features import FeatureNetwork, extract, load_features
from rgdiff_core.evaluation.images.bound import ImageBound, flow_bits, image_bound
from rgdiff_core.evaluation.images.samples import (
    Features,
    ImageReference,
    SampleQuality,
    compare_images,
    draw_images,
    image_reference,
    spectrum_ratio,
)
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.process import Process
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import load_json, to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.images.arms import (
    BASELINE,
    DEDICATED,
    GROUPS,
    MODELS,
    UNIVERSAL,
    ImageArm,
    scan_arms,
    universal_arms,
)
from rgdiff_core.study.images.budget import ImageBudget
from rgdiff_core.training.config import config_from_dict
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = ["METHODS", "PICTURES", "ImageStudy", "numbers", "pair"]

Cell = dict[str, Any]
METHODS = (("dpmpp_2m", "logsnr"), ("dpmpp_2m", "angle"), ("shell", "angle"))  # with their grids
PICTURES = 64  # samples that are shown


@lru_cache(maxsize=8)
def _opened(path: Path, digest: str, device: str) -> NetworkDenoiser:
    """Return a model on a device; its network computes in the precision it was trained in."""
    del digest  # a file that has changed is read again
    model = load_model(path).to(device)
    config = load_json(read_metadata(path).get("config", "{}"))
    fast = device.startswith("cuda") or config.get("precision") == "bfloat16"
    model.set_precision("bfloat16" if fast else "float32")
    if device.startswith("cuda"):
        model.network.compile()
    return model


@lru_cache(maxsize=4)
def _network(name: str, device: str) -> FeatureNetwork:
    return load_features(name, device)


@dataclass(frozen=True, eq=False)
class ImageStudy:
    """The study of some models.

    Arguments:
        files: of the models that there are, by name.
        budget: of all of it.
        cells: where results are kept.
        device: "cpu" or "cuda".
        data: the data set.
        features: names of the feature spaces.
    """

    files: Mapping[str, Path]
    budget: ImageBudget
    cells: Cells
    device: str = "cpu"
    data: str = "cifar10"
    features: tuple[str, ...] = ("cifar10",)

    @property
    def machine(self) -> str:
        """What cells are computed on, in words."""
        if self.device.startswith("cuda"):
            return f"{torch.cuda.get_device_name()}, network in bfloat16"
        return f"{platform.machine()}, threads: {torch.get_num_threads()}"

    @cached_property
    def test(self) -> Tensor:
        """The test split, on the CPU."""
        return data.load(self.data, "test").images

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each model's file."""
        return {name: sha256(path) for name, path in self.files.items()}

    def model(self, name: str) -> NetworkDenoiser:
        """Return a model on the device."""
        return _opened(self.files[name], self.digests[name], self.device)

    def config(self, name: str) -> dict[str, Any]:
        """Return a model's training config as JSON has it, empty where its file does not say."""
        return load_json(read_metadata(self.files[name]).get("config", "{}"))

    # -- the arms --------------------------------------------------------------------------------

    @cached_property
    def arms(self) -> tuple[ImageArm, ...]:
        """All arms of the models that there are, the dedicated ones first."""
        own = [self._own(name) for name in DEDICATED if name in self.files]
        known = [name for name in UNIVERSAL if name in self.files]
        several = [arm for name in known for arm in universal_arms(name) + scan_arms(name)]
        return (*own, *several)

    def _own(self, name: str) -> ImageArm:
        noise = config_from_dict(self.config(name)).noise
        if not isinstance(noise, FixedProcess):
            raise ValueError(f"{self.files[name]} was not trained on one process.")
        return ImageArm(name, MODELS[name], name, "own", noise.color, noise.schedule)

    def process(self, arm: ImageArm) -> Process:
        """Return an arm's process, on the device."""
        model = self.model(arm.model)
        return Process(model.basis, arm.color, arm.schedule, model.modes)

    def baseline(self, arm: ImageArm) -> ImageArm | None:
        """Return the arm of standard diffusion where another may be compared with it: where their
        models have one network and saw as many images.
        """
        base = next((each for each in self.arms if each.name == BASELINE), None)
        if base is None or base.name == arm.name:
            return None
        one, other = (self._cost(each.model) for each in (base, arm))
        return base if one == other else None

    def _cost(self, name: str) -> list[Any]:
        config = self.config(name)
        return [config["model"]["network"], config["steps"], config["batch"]]

    def headline(self, name: str) -> list[ImageArm]:
        """Return a model's arms that are sampled: of each kind of process the best by bits of
        images that nothing else is measured on.
        """
        mine = [arm for arm in self.arms if arm.model == name]
        if name in DEDICATED:
            return mine
        kinds = [[arm for arm in mine if arm.group == group] for group in (*GROUPS, "other")]
        return [min(kind, key=self._score) for kind in kinds if kind]

    def _score(self, arm: ImageArm) -> float:
        value = self.choice(arm)["result"]["bits"]["value"]
        return math.inf if value is None else value

    # -- cells -----------------------------------------------------------------------------------

    def _cell(
        self, kind: str, arm: ImageArm, inputs: dict[str, Any], compute: Callable[[], Cell]
    ) -> Cell:
        described = {"model": self.digests[arm.model], "arm": to_dict(arm), "data": self.data}
        return self.cells.read_or_compute(
            f"{arm.cell}.{kind}", described | inputs, lambda: compute() | {"machine": self.machine}
        )

    def _bound(self, arm: ImageArm, images: Tensor) -> ImageBound:
        model, process, b = self.model(arm.model), self.process(arm), self.budget
        return image_bound(model, process, images, b.levels_per_image, batch_size=b.batch_size)

    def bits(self, arm: ImageArm, *, more: bool = False) -> Cell:
        """Return the cell of the bound on bits per dimension, of more images where asked."""
        b, kind = self.budget, self._bits(more)
        n = b.more_images if more else b.images

        def compute() -> Cell:
            found = self._bound(arm, self.test[:n])
            values = {"bits": found.bits, "free": found.free}
            write_tensors(self.cells.path(f"{arm.cell}.{kind}", ".safetensors"), values)
            return {
                "arm": arm.name,
                "n": len(found.bits),
                "bits": pair(found.estimate),
                "free_bits": pair(Estimate.of(found.free)),
                "gain": _table(found.gain),
                "left": _table(found.left),
            }

        return self._cell(
            kind, arm, {"images": n, "draws": b.levels_per_image, "rows": b.batch_size}, compute
        )

    def choice(self, arm: ImageArm) -> Cell:
        """Return the cell of the bound on bits per dimension of the test split's last images, by
        which processes are chosen: their first ones are what is reported.
        """
        b = self.budget
        n = min(b.images, len(self.test) - max(b.images, b.more_images))
        if n < 2:
            raise ValueError(f"{len(self.test)} test images leave none to choose processes by.")

        def compute() -> Cell:
            found = self._bound(arm, self.test[-n:])
            return {"arm": arm.name, "n": n, "bits": pair(found.estimate)}

        inputs = {"images": n, "draws": b.levels_per_image, "rows": b.batch_size, "last": True}
        return self._cell("choice", arm, inputs, compute)

    def values(self, arm: ImageArm, *, more: bool = False) -> Tensor:
        """Return the bits of each image, (N,), of a cell that is there."""
        return load_file(self.cells.path(f"{arm.cell}.{self._bits(more)}", ".safetensors"))["bits"]

    def _bits(self, more: bool) -> str:
        """Return the kind of cell: there is one where more images would be no more."""
        return "bits-more" if more and self.budget.more_images > self.budget.images else "bits"

    def flow(self, arm: ImageArm) -> Cell:
        """Return the cell of the probability flow's bits per dimension."""
        b = self.budget

        def compute() -> Cell:
            model, kept = self.model(arm.model), self.model(arm.model).autocast
            model.autocast = None  # its divergence asks for more digits
            try:
                with torch.compiler.set_stance("force_eager"):  # compiling would take longer
                    found = flow_bits(
                        model,
                        self.process(arm),
                        self.test[: b.flow_images],
                        b.flow_steps,
                        batch_size=min(b.batch_size, 256),
                    )
            finally:
                model.autocast = kept
            return {"arm": arm.name, "n": len(found), "flow_bits": pair(Estimate.of(found))}

        return self._cell("flow", arm, {"images": b.flow_images, "steps": b.flow_steps}, compute)

    @cached_property
    def networks(self) -> dict[str, Features]:
        """What makes features, by name; those that can't be loaded are left out."""
        found: dict[str, Features] = {}
        for name in self.features:
            try:
                network = _network(name, self.device)
            except (ValueError, OSError) as error:
                self.cells.say(f"features {name!r} are left out: {error}")
                continue
            found[name] = lambda x, network=network: extract(network, x, 500)
        return found

    @cached_property
    def reference(self) -> ImageReference:
        """What samples are compared with."""
        images = self.test[: self.budget.reference].to(self.device)
        return image_reference(images, self.networks)

    def floor(self) -> Cell:
        """Return the cell of real training images in the place of samples."""
        n, count = self.budget.samples, self.budget.reference
        inputs = {"data": self.data, "n": n, "reference": count, "features": list(self.networks)}

        def compute() -> Cell:
            x = data.load(self.data).images
            chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:n]
            grey = ((x[chosen] + 1) * 127.5).round().to(torch.uint8)
            self._keep("floor", grey)
            return numbers(compare_images(grey, self.reference), self.reference)

        return self.cells.read_or_compute("floor", inputs, compute)

    def search(self, arm: ImageArm) -> list[Cell]:
        """Return the cells of the choice among METHODS, alike in every arm, for few steps; none
        where the budget has no samples for it.
        """
        b = self.budget
        if not b.search_samples:
            return []
        return [
            self._samples(arm, b.search_steps, i, b.search_samples, "search")
            for i in range(len(METHODS))
        ]

    def method(self, arm: ImageArm) -> int:
        """Return the number of the method with the least Fréchet distance, of the spectrum's error
        where there are no features; 0 without a search.
        """
        cells = self.search(arm)
        return min(
            range(len(cells)), key=lambda i: _error(cells[i]["result"]["metrics"]), default=0
        )

    def samples(self, arm: ImageArm, steps: int) -> Cell:
        """Return the cell of samples at a number of steps, by the method that the search chose."""
        return self._samples(arm, steps, self.method(arm), self.budget.samples, "samples")

    def scanned(self, arm: ImageArm) -> Cell:
        """Return the cell of samples of a scan's arm, by the first of METHODS."""
        b = self.budget
        return self._samples(arm, b.scan_steps, 0, b.scan_samples, "scan")

    def _samples(self, arm: ImageArm, steps: int, method: int, n: int, kind: str) -> Cell:
        name, grid = METHODS[method]
        b = self.budget
        inputs = {
            "n": n,
            "steps": steps,
            "method": name,
            "grid": grid,
            "reference": b.reference,
            "features": list(self.networks),
            "rows": b.batch_size,
        }
        label = f"{kind}-{steps}" if kind == "samples" else f"{kind}-{name}-{grid}"

        def compute() -> Cell:
            generator = torch.Generator(self.device).manual_seed(fold_in(0, 7))
            grey = draw_images(
                self.model(arm.model),
                self.process(arm),
                n,
                steps,
                name,
                generator,
                grid=grid,
                batch_size=b.batch_size,
            )
            if kind == "samples":
                self._keep(f"{arm.cell}.{label}", grey)
            judged = compare_images(grey, self.reference, thorough=kind != "search")
            found = numbers(judged, self.reference)
            return {"arm": arm.name, "nfe": steps, "method": name, "grid": grid} | found

        return self._cell(label, arm, inputs, compute)

    def _keep(self, name: str, grey: Tensor) -> None:
        path, images = self.cells.path(name, ".npz"), grey.numpy()
        store.replace(path, lambda file: np.savez_compressed(file, images=images))

    def shown(self, name: str) -> Tensor:
        """Return the first samples of a cell that is there, uint8."""
        with np.load(self.cells.path(name, ".npz")) as found:
            return torch.from_numpy(found["images"][:PICTURES])


def pair(estimate: Estimate) -> dict[str, float | None]:
    """Return value and error for JSON, None where they are no numbers."""
    value, error = estimate.value, estimate.error
    return {
        "value": value if math.isfinite(value) else None,
        "error": error if math.isfinite(error) else None,
    }


def numbers(quality: SampleQuality, known: ImageReference) -> Cell:
    """Return a quality for JSON: metrics, colours, and the spectrum against the data's."""
    metrics = {
        "spectrum_error": pair(quality.spectrum_error),
        "sharpness": pair(quality.sharpness),
        "color_error": pair(quality.color_error),
    }
    metrics |= {f"frechet_{name}": pair(value) for name, value in quality.frechet.items()}
    metrics |= {f"kernel_{name}": pair(value) for name, value in quality.kernel.items()}
    colors = {"mean": list(quality.rgb_mean), "covariance": [*map(list, quality.rgb_covariance)]}
    scale, ratio, error = spectrum_ratio(quality.spectrum, known.spectrum)
    spectrum = {"scale": scale, "relative": ratio, "error": error}
    return {"n": quality.n, "metrics": metrics, "rgb": colors, "spectrum": spectrum}


def _error(metrics: Cell) -> float:
    """Return what the method is chosen by: the first Fréchet distance, else the spectrum."""
    names = [name for name in metrics if name.startswith("frechet_")] or ["spectrum_error"]
    value = metrics[names[0]]["value"]
    return math.inf if value is None else value


def _table(values: Tensor) -> list[list[float | None]]:
    return [[x if math.isfinite(x) else None for x in row] for row in values.tolist()]
