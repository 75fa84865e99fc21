"""A tiny model with classes, in a file, and labelled images that it is of."""

import json
from pathlib import Path

import numpy as np
import torch

import rgdiff_core as rg
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.networks import LatticeNet

__all__ = ["NAMES", "SIDE", "install_model", "make_images", "make_model"]

NAMES = ("cat", "dog", "ship")
SIDE = 4


def make_images(path: Path, n: int = 240) -> None:
    """Write grey images with labels, as a .npz file."""
    chance = np.random.default_rng(0)
    labels = np.arange(n) % len(NAMES)
    images = 0.3 * chance.standard_normal((n, SIDE, SIDE)) + (labels[:, None, None] - 1) / 2
    np.savez(path, images=images.clip(-1, 1).astype(np.float32), labels=labels)


def make_model(
    images: torch.Tensor, names: tuple[str, ...] = NAMES, momentum: str = "lattice"
) -> NetworkDenoiser:
    """Return a model whose network says something at random, another thing for each class."""
    basis = rg.bases.FourierBasis((1, SIDE, SIDE), momentum=momentum)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        spec = ModelSpec(LatticeNet(8, 1), class_names=names)
        model = spec.build(basis, rg.Modes.fit(basis, images))
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


def install_model(folder: Path) -> None:
    """Make a folder of pretrained models: those that come with the product, and one of the images
    of the data set "kinds".
    """
    home, shipped = folder / "kinds", pretrained_folder()
    home.mkdir(parents=True)
    file = home / "model.safetensors"
    rg.save_model(make_model(rg.data.load("kinds").images), file, {"data": "kinds"})
    listed = json.loads((shipped / "index.json").read_text(encoding="utf-8"))
    for entry in listed:
        (folder / entry["name"]).symlink_to(shipped / entry["name"])
    listed.append(
        {"name": "kinds", "title": "Three kinds", "data": "kinds", "sha256": sha256(file)}
    )
    (folder / "index.json").write_text(json.dumps(listed))
