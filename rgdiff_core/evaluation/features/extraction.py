"""Networks of features by name, and the features of images."""

import torch
from torch import Tensor

from rgdiff_core.data.records import Progress, quiet
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.evaluation.features import inception
from rgdiff_core.evaluation.features.network import FeatureNetwork, load_classifier
from rgdiff_core.spec import check_whole

__all__ = ["NAMES", "extract", "load_features"]

NAMES = ("cifar10", "inception")


def load_features(name: str, device: torch.device | str = "cpu") -> FeatureNetwork:
    """Load a network of features, offline, after its file has been checked.

    Arguments:
        name: "cifar10", which comes with the product, or "inception", an optional extra.

    Raises `ValueError` for an unknown name, and for a file that is missing or damaged.
    """
    if name == "cifar10":
        return load_classifier(pretrained_folder() / "features-cifar10").to(device)
    if name == "inception":
        return inception.load_inception(device)
    raise ValueError(f"{name!r} is not a feature space; known are {', '.join(NAMES)}.")


@torch.inference_mode()
def extract(
    network: FeatureNetwork, images: Tensor, batch: int = 500, progress: Progress | None = None
) -> Tensor:
    """Return the features (N, d) of images (N, 3, 32, 32) in [-1, 1], on the network's device.

    Arguments:
        batch: images at a time; Inception takes about 6 MB for each.
        progress: called with (images done, N, text).

    Raises `ValueError` for images of another shape.
    """
    if images.ndim != 4 or images.shape[1:] != (3, 32, 32):
        raise ValueError(f"images of shape {tuple(images.shape)} must be (N, 3, 32, 32).")
    check_whole("batch", batch, 1, 1 << 20)
    place = next(network.parameters())
    report, parts = progress or quiet, []
    for part in images.split(batch):
        parts.append(network(part.to(place)).float())
        done = sum(map(len, parts))
        report(done, len(images), f"Features of {done:,} images in {network.name}")
    return torch.cat(parts) if parts else images.new_zeros(0, network.dimension)
