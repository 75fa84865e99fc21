"""Networks whose features images are compared by, and the one that is trained here.

`Classifier` is a small residual network of the kind that learns CIFAR-10 within a minute of a
GPU: two residual blocks, batch normalization, the mean over the last map as features.

References:
    Deep Residual Learning for Image Recognition (1512.03385);
    the ResNet-9 of DAWNBench, D. Page, How to train your ResNet, 2018.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rgdiff_core.denoisers.files import sha256
from rgdiff_core.files.atomic import write_tensors, write_text
from rgdiff_core.spec import check_whole, load_json

__all__ = ["Classifier", "FeatureNetwork", "load_classifier", "save_classifier"]

FORMAT = "rgdiff-features-1"


class FeatureNetwork(nn.Module, ABC):
    """A map from images (B, 3, 32, 32) in [-1, 1] to features (B, dimension).

    Attributes:
        name: What figures that are measured with it are labelled with.
        dimension: Of the feature space.
    """

    name: str
    dimension: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, dimension) of images (B, 3, 32, 32)."""


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    """x + f(x), f two convolutions of the same width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Classifier(FeatureNetwork):
    r"""A residual classifier of 32×32 images, with 2.4 million parameters at width 64.

    A forward pass takes 0.29·10⁹ multiplications an image at width 64.

    Arguments:
        name: of the feature space.
        width: channels of the first map; the last has four times as many, which is the dimension.
        classes: how many it tells apart.
        class_names: of the classes, () where they are not known.
    """

    def __init__(
        self,
        name: str = "cifar10",
        width: int = 64,
        classes: int = 10,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_whole("width", width, 1, 256)
        check_whole("classes", classes, 2, 1000)
        if class_names and len(class_names) != classes:
            raise ValueError(f"{len(class_names)} class_names were given for {classes} classes.")
        self.name, self.width, self.classes, self.dimension = name, width, classes, 4 * width
        self.class_names = tuple(class_names)
        self.body = nn.Sequential(
            _convolution(3, width),
            _convolution(width, 2 * width),
            nn.MaxPool2d(2),
            _Residual(2 * width),
            _convolution(2 * width, 4 * width),
            nn.MaxPool2d(2),
            _convolution(4 * width, 4 * width),
            nn.MaxPool2d(2),
            _Residual(4 * width),
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the means (B, dimension) of the last map, which the head tells classes from."""
        return F.adaptive_avg_pool2d(self.body(images), 1).flatten(1)

    def logits(self, images: Tensor) -> Tensor:
        """Return the scores (B, classes) of the classes."""
        return self.head(self(images))


def save_classifier(network: Classifier, folder: Path) -> str:
    """Write weights in half precision and `config.json` into a folder; return the SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    path = folder / "model.safetensors"
    write_tensors(path, state)
    config = {
        "format": FORMAT,
        "name": network.name,
        "width": network.width,
        "classes": network.classes,
        "class_names": network.class_names,
        "dimension": network.dimension,
        "sha256": sha256(path),
    }
    write_text(folder / "config.json", json.dumps(config, indent=1) + "\n")
    return config["sha256"]


def load_classifier(folder: Path) -> Classifier:
    """Read a classifier, on the CPU, in evaluation mode and float32.

    Raises a one-line `ValueError` where a file is missing or damaged, or where the weights
    are not those that the config describes.
    """
    path, described = folder / "model.safetensors", folder / "config.json"
    for file in (described, path):
        if not file.is_file():
            raise ValueError(f"there is no {file}; `rgdiff features train` makes it.")
    config = load_json(described.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(f"{described} does not describe a network of features.")
    if sha256(path) != config.get("sha256"):
        raise ValueError(f"{path} is damaged: its SHA-256 is not that of config.json.")
    try:
        names = _strings(config.get("class_names", []), described)
        network = Classifier(config["name"], config["width"], config["classes"], names)
        network.load_state_dict(load_file(path))
    except KeyError as error:
        raise ValueError(f"{described} does not say what {error} is.") from None
    except (RuntimeError, SafetensorError):
        raise ValueError(f"the weights in {path} are not those of its config.") from None
    bad = [key for key, value in network.state_dict().items() if not value.isfinite().all()]
    if bad:
        raise ValueError(f"{bad[0]} in {path} is not finite.")
    return network.eval().requires_grad_(False).to(torch.float32)


def _strings(names: Any, described: Path) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names in {described} are not a list of texts.")
    return tuple(names)
