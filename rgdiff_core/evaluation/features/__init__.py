"""Distances between sets of images in the space of a network's features.

Two networks are offered: a classifier of CIFAR-10 that is trained by one command and comes with
the product, and the Inception network of the literature, an optional extra. Distances in
different spaces do not compare, so a figure is stated with the name of its network.
"""

from rgdiff_core.evaluation.features.distances import (
    frechet_distance,
    frechet_error,
    kernel_distance,
)
from rgdiff_core.evaluation.features.extraction import extract, load_features
from rgdiff_core.evaluation.features.network import (
    Classifier,
    FeatureNetwork,
    load_classifier,
    save_classifier,
)

__all__ = [
    "Classifier",
    "FeatureNetwork",
    "extract",
    "frechet_distance",
    "frechet_error",
    "kernel_distance",
    "load_classifier",
    "load_features",
    "save_classifier",
]
