"""Whether samples are of the class asked for, on a labelled mixture whose overlap is known."""

import math

import pytest
import torch
from mixture import LabelledMixture
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.colors import White
from rgdiff_core.data import ImageSet
from rgdiff_core.evaluation.features.network import Classifier
from rgdiff_core.evaluation.images.classes import class_agreement, named
from rgdiff_core.evaluation.images.report import _labels
from rgdiff_core.schedules import LinearGamma

SHAPE = (3, 4, 4)
DISTANCE, DEVIATION = 0.6, 0.25  # of the two means in the first component, in grey values / 127.5


class Halves(Classifier):
    """The best classifier of the mixture: the sign of its first component."""

    def __init__(self) -> None:
        super().__init__(width=1, classes=2)

    def logits(self, images: Tensor) -> Tensor:
        first = images[:, 0, 0, 0]
        return torch.stack((-first, first), 1)


@pytest.fixture(scope="module")
def model() -> LabelledMixture:
    means, variances = torch.zeros(2, *SHAPE), torch.full((2, *SHAPE), 0.01)
    means[0, 0, 0, 0], means[1, 0, 0, 0] = -DISTANCE / 2, DISTANCE / 2
    variances[:, 0, 0, 0] = DEVIATION**2
    return LabelledMixture(rg.bases.PixelBasis(SHAPE), means, variances)


def test_the_share_is_what_the_overlap_allows_and_guidance_raises_it(model):
    process = rg.Process(model.basis, White(), LinearGamma(-12.0, 12.0), model.modes)
    off, on = class_agreement(model, process, Halves(), (1.0, 3.0), n=2000, steps=32)
    expected = (1 + math.erf(DISTANCE / 2 / DEVIATION / math.sqrt(2))) / 2
    assert (off.n, off.guidance, on.guidance) == (2000, 1.0, 3.0)
    assert abs(off.share.value - expected) < 4 * off.share.error + 0.005
    assert off.share.error == pytest.approx((expected * (1 - expected) / 2000) ** 0.5, rel=0.1)
    assert on.share.value > off.share.value + 4 * (on.share.error + off.share.error)


def test_images_with_labels_are_counted(model):
    images = torch.zeros(4, *SHAPE)
    images[:, 0, 0, 0] = torch.tensor([-1.0, 1.0, 1.0, -1.0])
    assert named(Halves(), images, torch.tensor([0, 1, 0, 0]), batch_size=3).value == 0.75


def test_other_classes_are_refused(model):
    process = rg.Process(model.basis, White(), LinearGamma(), model.modes)
    with pytest.raises(ValueError, match="the model has 2 classes, the classifier 10"):
        class_agreement(model, process, Classifier(width=1))
    other = Classifier(width=1, classes=2, class_names=("low", "higher"))
    message = "class 1 of the model is 'high', that of the classifier 'higher'"
    with pytest.raises(ValueError, match=message):
        class_agreement(model, process, other)


def test_labels_are_those_of_the_model_only_where_the_names_of_the_classes_are(model):
    images, labels = torch.zeros(3, *SHAPE), torch.tensor([0, 1, 1])

    def found(*names: str) -> Tensor | None:
        return _labels(model, ImageSet(images, labels, "drawn", "own", -1, 1, names), 2)

    own = found("low", "high")
    assert own is not None and own.tolist() == [0, 1]
    for names in (("high", "low"), ("cat", "dog"), ("low", "high", "higher"), ()):
        assert found(*names) is None
