"""Distances of features against closed forms and other libraries; the network that is trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor

from rgdiff_core import list_pretrained
from rgdiff_core.cli.main import main
from rgdiff_core.data import store
from rgdiff_core.data.records import Record
from rgdiff_core.data.sets import SETS
from rgdiff_core.evaluation.features import (
    Classifier,
    extract,
    frechet_distance,
    frechet_error,
    kernel_distance,
    load_classifier,
    load_features,
    save_classifier,
)
from rgdiff_core.evaluation.features.inception import enlarge
from rgdiff_core.evaluation.features.training import (
    Augmented,
    Recipe,
    accuracy,
    train_classifier,
)
from rgdiff_core.statistics import random_groups

pytestmark = pytest.mark.usefixtures("one_thread")


def gaussian(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return shift + scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def standardized(x: Tensor) -> Tensor:
    """Give samples exactly mean zero and unit covariance."""
    x = x - x.mean(0)
    covariance = x.T @ x / (len(x) - 1)
    return x @ torch.linalg.inv(torch.linalg.cholesky(covariance)).T


def test_frechet_distance_of_gaussians_has_its_closed_form():
    x, y = (standardized(gaussian(400, 7, seed)) for seed in (1, 2))
    turn = torch.linalg.qr(gaussian(7, 7, 3)).Q
    root_a, root_b = (torch.linspace(*ends, 7).double() for ends in ((0.1, 3), (2, 0.5)))
    a, b = x * root_a @ turn, y * root_b @ turn + 0.3  # covariances that commute
    expected = 7 * 0.3**2 + (root_a - root_b).square().sum()
    torch.testing.assert_close(frechet_distance(a, b), float(expected), rtol=1e-10, atol=0)


@pytest.mark.parametrize("n", [300, 20], ids=["more samples than dimensions", "fewer"])
def test_frechet_distance_agrees_with_the_root_of_the_product(n: int):
    a, b = gaussian(n, 40, 1) @ gaussian(40, 40, 5), gaussian(n + 5, 40, 2, 0.2, 1.5)
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1] + 1e-10 * np.eye(40))
    shift = (a.mean(0) - b.mean(0)).square().sum()
    expected = float(shift) + float(np.trace(sum(covariances) - 2 * root).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-6 * float(a.square().mean()))


def test_the_error_of_the_frechet_distance_is_its_spread():
    pairs = [(gaussian(300, 4, 2 * i), gaussian(400, 4, 2 * i + 1, 0.5)) for i in range(60)]
    spread = np.std([frechet_distance(a, b) for a, b in pairs], ddof=1)
    variance = np.mean([frechet_error(a, b) ** 2 for a, b in pairs])
    # The spread of 60 is known to 9 %, the mean of their errors to a third of that.
    assert variance**0.5 == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize("error", [frechet_error, lambda a, b: kernel_distance(a, b).error])
def test_classes_in_turn_have_no_larger_errors_than_classes_in_any_order(error):
    """Ten classes far apart: a group that is a class would make the error many times larger."""
    offsets = 5 * gaussian(10, 4, 3)
    a, b = (gaussian(2000, 4, seed) + offsets.repeat(200, 1) for seed in (1, 2))
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(5))
    assert error(a, b) == pytest.approx(error(a[order], b[order]), rel=1.0)
    assert sorted(torch.bincount(random_groups(43, 4)).tolist()) == [10, 11, 11, 11]


def test_kernel_distance_agrees_with_scikit_learn():
    a, b = gaussian(50, 6, 1), gaussian(41, 6, 2, 0.3)
    kernels = [
        polynomial_kernel(x.numpy(), y.numpy(), degree=3, gamma=1 / 6, coef0=1)
        for x, y in ((a, a), (b, b), (a, b))
    ]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2]]
    found = kernel_distance(a, b, groups=4)
    assert found.value == pytest.approx(sum(within) - 2 * kernels[2].mean(), rel=1e-10)
    again = [
        kernel_distance(a[random_groups(50, 4) != i], b[random_groups(41, 4) != i], groups=2).value
        for i in range(4)
    ]
    assert found.error == pytest.approx(np.std(again) * 3**0.5, rel=1e-8)


def test_kernel_distance_is_unbiased_and_its_error_fits():
    found = [kernel_distance(gaussian(200, 5, i), gaussian(150, 5, 1000 + i)) for i in range(60)]
    values = np.array([each.value for each in found])
    spread = values.std(ddof=1)
    assert abs(values.mean()) < 3 * spread / 60**0.5
    errors = np.mean([each.error**2 for each in found]) ** 0.5
    assert 0.8 * spread < errors < 2 * spread  # too large, if anything: the degenerate case


def test_kernel_distance_of_gaussians_has_its_closed_form():
    # In one dimension E(xy + 1)³ = 1 + 3 E(x²)E(y²) for a centred pair, more for a shifted one.
    shift = 0.4
    moments = np.array([1, shift, 1 + shift**2, shift**3 + 3 * shift])
    expected = float((np.array([1, 3, 3, 1]) * (moments - [1, 0, 1, 0]) ** 2).sum())
    found = kernel_distance(gaussian(1500, 1, 1), gaussian(1500, 1, 2, shift))
    assert abs(found.value - expected) < 3 * found.error < expected


def test_bad_features_are_one_sentence():
    a = gaussian(10, 3, 1)
    with pytest.raises(ValueError, match=r"\(10, 3\) and \(10, 2\) don't fit"):
        frechet_distance(a, a[:, :2])
    with pytest.raises(ValueError, match="not finite"):
        kernel_distance(a, a / 0, groups=2)
    with pytest.raises(ValueError, match=r"groups = 6 is outside \[2, 5\]"):
        kernel_distance(a, a, groups=6)
    with pytest.raises(ValueError, match=r"samples = 1 is outside"):
        frechet_distance(a[:1], a)


def test_enlarging_is_tensorflows_bilinear_resize():
    # TensorFlow 1 puts pixel i at i·H/side; torch's grid runs over pixel centres, hence the shift.
    x = torch.rand(2, 3, 8, 8)
    theta = torch.eye(2, 3)
    theta[:, 2] += 1 / 8 - 1 / 31
    grid = F.affine_grid(theta.expand(2, -1, -1), [2, 3, 31, 31], align_corners=False)
    expected = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(enlarge(x, 31), expected, rtol=0, atol=1e-5)


def coloured(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return noisy images of two classes, one redder and one bluer."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=generator)
    tint = torch.tensor([0.3, 0.0, -0.3])[None, :, None, None]
    images = 0.3 * torch.randn(n, 3, 32, 32, generator=generator)
    return (images + (2 * labels - 1)[:, None, None, None] * tint).clamp(-1, 1), labels


def test_augmented_images_are_crops_of_the_mirrored_image():
    images, _ = coloured(3, 1)
    drawn = Augmented(images, seed=0)(torch.tensor([0, 1, 2] * 4))
    padded = F.pad(images, (4,) * 4, mode="reflect")
    for number, image in enumerate(drawn):
        windows = padded[number % 3].unfold(1, 32, 1).unfold(2, 32, 1).flatten(1, 2)
        both = torch.cat([windows, windows.flip(3)], 1)
        assert (both == image[:, None]).all(3).all(2).all(0).any()


@pytest.mark.parametrize("seconds", [0.0, 0.5], ids=["all steps", "what the time allows"])
def test_a_classifier_learns_what_tells_classes_apart(seconds: float, device: torch.device):
    (images, labels), (unseen, truth) = coloured(64, 1), coloured(64, 2)
    network, said = Classifier("tints", width=4, classes=2), []
    recipe = Recipe(steps=20, batch=32, lr=0.05, seconds=seconds)
    trained = train_classifier(network, images.to(device), labels.to(device), recipe, said.append)
    assert 1 <= trained.steps <= 20
    assert said[-1].endswith("0 s left")
    if not seconds:
        assert trained.loss < 0.5 < np.log(2)
        assert accuracy(network, unseen, truth.to(device)) > 0.9


def test_a_classifier_is_the_same_from_its_file_and_damage_is_seen(tmp_path: Path):
    names = ("red", "green", "blue")
    network = Classifier("tints", width=2, classes=3, class_names=names).eval()
    save_classifier(network, tmp_path)
    read = load_classifier(tmp_path)
    assert read.class_names == names
    images, _ = coloured(10, 1)
    features = extract(read, images, batch=4)
    assert features.shape == (10, read.dimension) == (10, 8)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, network(images).detach(), rtol=0, atol=0.01)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged: its SHA-256"):
        load_classifier(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="rgdiff features train"):
        load_classifier(tmp_path)
    with pytest.raises(ValueError, match=r"shape \(10, 1, 32, 32\) must be"):
        extract(read, images[:, :1])
    with pytest.raises(ValueError, match="3 class_names were given for 2 classes"):
        Classifier("tints", width=2, classes=2, class_names=names)


def test_the_command_trains_and_writes_a_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):  # in the place of CIFAR-10, which is a download
        images, labels = coloured(64, len(split))
        pixels = (127.5 * (images + 1)).round().to(torch.uint8)
        record = Record(pixels.numpy(), labels.numpy(), "Drawn.")
        store.write(tmp_path / "cache" / f"cifar10-v{SETS['cifar10'].version}", split, record)
    words = "features train --steps 20 --batch 32 --width 4 --lr 0.05 --device cpu --json --out"
    assert main([*words.split(), str(tmp_path / "net")]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["steps"] == 20
    assert card["accuracy"] > 0.9
    assert card == json.loads((tmp_path / "net" / "card.json").read_text("utf-8"))
    assert "not the Inception FID" in (tmp_path / "net" / "card.md").read_text("utf-8")
    monkeypatch.setenv("RGDIFF_PRETRAINED", str(tmp_path))
    (tmp_path / "net").rename(tmp_path / "features-cifar10")
    assert load_features("cifar10").dimension == 16
    assert list_pretrained() == []
    assert main(["features", "check", "--n", "64", "--device", "cpu", "--json"]) == 0
    floor = json.loads(capsys.readouterr().out)
    assert floor["n"] == 64
    assert abs(floor["kernel"]["value"]) < 4 * floor["kernel"]["error"]
    assert main([*words.split(), "x", "--steps", "0"]) == 1
    assert "steps = 0 is outside" in capsys.readouterr().err


def test_a_network_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(ValueError, match="'resnet' is not a feature space"):
        load_features("resnet")
    other = tmp_path / "other.pt"
    monkeypatch.setenv("RGDIFF_INCEPTION", str(other))
    with pytest.raises(ValueError, match="there is no file"):
        load_features("inception")
    other.write_bytes(b"x")
    with pytest.raises(ValueError, match="is not the Inception network"):
        load_features("inception")
