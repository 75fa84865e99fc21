"""Training with class labels: which label is beside which image, from the data to the file."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from laws import fitted

import rgdiff_core as rg
from rgdiff_core.denoisers.files import load_model
from rgdiff_core.networks import UNet
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.batches import Batches
from rgdiff_core.training.checkpoint import load_checkpoint
from rgdiff_core.training.losses import Objective, denoising_loss
from rgdiff_core.training.noise_levels import FixedProcess, fold_in
from rgdiff_core.training.state import learning_rate, material
from rgdiff_core.training.trainer import PREVIEW_STEPS, preview_process

SHAPE = (3, 8, 8)


@pytest.fixture(scope="session")
def shades(wells: Path) -> str:
    """Return the name of a data set with three classes, which differ in brightness."""
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 3, 400)
    labels[:40] = 0  # a limited split has no other class
    images = 0.5 * (labels - 1)[:, None, None, None] + 0.1 * chance.standard_normal((400, *SHAPE))
    np.savez(wells / "shades.npz", images=images.clip(-1, 1).astype(np.float32), labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(wells))
        rg.data.register_folder(wells / "shades.npz")
    return "shades"


@pytest.fixture
def conditional(toy: TrainConfig, shades: str) -> TrainConfig:
    """Return a class-conditional run of a small U-Net."""
    network = UNet(8, (1, 2), 1, (4,), patch=2, group_channels=8)
    return replace(
        toy,
        data=shades,
        class_conditional=True,
        precision="float32",
        model=replace(toy.model, network=network),
        steps=20,
        log_every=5,
        warmup=0,
    )


def brightness(images: torch.Tensor) -> torch.Tensor:
    """Return the class of each image by its brightness."""
    return (images.mean((1, 2, 3)) * 2).round().long() + 1


def test_labels_follow_their_images_and_some_are_dropped():
    basis, modes = fitted((1, 4, 4))
    labels = torch.arange(50) % 3
    images = 0.5 * (labels - 1)[:, None, None, None] + torch.linspace(-0.1, 0.1, 16).view(1, 4, 4)
    sampler = FixedProcess().sampler(basis, modes, Objective(), 0)
    drawn = Batches(images, sampler, 40, "flip", 1, 0, 1, labels, 0.3)
    dropped = 0
    for step in range(50):
        batch = drawn.draw(step)
        given = batch.class_labels
        assert given is not None and given.dtype == torch.int64
        kept = given >= 0
        assert torch.equal(given[kept], brightness(batch.x0)[kept])
        assert (given[~kept] == -1).all()
        dropped += int((~kept).sum())
    assert abs(dropped / 2000 - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5
    for share, count in ((0.0, 0), (1.0, 40)):
        batch = Batches(images, sampler, 40, "flip", 1, 0, 1, labels, share).draw(0)
        assert batch.class_labels is not None and int((batch.class_labels < 0).sum()) == count
    whole = drawn.draw(3).class_labels
    parts = [Batches(images, sampler, 40, "flip", 1, r, 2, labels, 0.3).draw(3) for r in (0, 1)]
    assert whole is not None
    for rank, part in enumerate(parts):
        assert torch.equal(part.class_labels, whole[rank::2])  # type: ignore[arg-type]


def test_the_learning_rate_cools_down_over_the_last_fifth(toy: TrainConfig):
    config = replace(toy, decay="cooldown", steps=100, warmup=9, lr=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10:81] == [1.0] * 71
    assert rates[80:] == pytest.approx([1 - i / 20 for i in range(20)])
    assert learning_rate(replace(config, steps=1, warmup=0), 0) == 1.0


def pause_at(step: int) -> Callable[[Mapping, object], None]:
    def on_point(row: Mapping, now: object) -> None:
        if row["step"] == step and "held_out" not in row:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_point


def test_a_resumed_conditional_unet_equals_an_unbroken_one(
    tmp_path: Path, conditional: TrainConfig
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(conditional, whole, device="cpu")
    paused = train(conditional, broken, device="cpu", on_point=pause_at(10))
    assert (paused.state, paused.step) == ("paused", 10)
    assert train(conditional, broken, resume=True, device="cpu").state == "finished"
    ours, theirs = (load_checkpoint(f / "checkpoint", conditional) for f in (broken, whole))
    assert ours is not None and theirs is not None
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert any("classes" in name for name in ours.tensors)
    for name, value in ours.tensors.items():
        assert torch.equal(value, theirs.tensors[name]), name


def test_what_is_written_knows_its_classes_and_what_is_held_out_its_labels(
    tmp_path: Path, conditional: TrainConfig
):
    train(conditional, tmp_path, device="cpu")
    model = load_model(tmp_path / "checkpoint" / "model.safetensors")
    model.set_precision("float32")  # as it was trained
    test = rg.data.load(conditional.data, "test")
    assert test.labels is not None
    assert model.class_names == ("0", "1", "2")
    assert torch.equal(test.labels, brightness(test.images))
    basis, modes = model.basis, model.modes
    sampler = conditional.noise.sampler(basis, modes, conditional.objective, 4)
    batch = Batches(test.images, sampler, len(test.images), "none", 5).draw(0)
    right, wrong, none = (
        denoising_loss(model, test.images, batch.levels, batch.noise, labels).loss
        for labels in (test.labels, (test.labels + 1) % 3, None)
    )
    lines = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    written = [row["held_out"]["loss"] for row in map(json.loads, lines) if "held_out" in row]
    assert written[-1] == pytest.approx(float(right), rel=1e-5)
    for other in (wrong, none):
        assert abs(float(other) / float(right) - 1) > 2e-4


def test_previews_show_the_classes_in_turn(tmp_path: Path, conditional: TrainConfig):
    train(replace(conditional, previews=1), tmp_path, device="cpu")
    with np.load(tmp_path / "samples" / "step-00000020.npz") as file:
        shown = torch.from_numpy(file["images"])
    model = load_model(tmp_path / "checkpoint" / "model.safetensors").set_precision("float32")
    process = preview_process(conditional, model.basis, model.modes)
    each = [
        rg.sample(
            model,
            process,
            len(shown),
            PREVIEW_STEPS,
            generator=torch.Generator().manual_seed(fold_in(conditional.seed, 3)),
            class_labels=torch.tensor([label]),
        )
        for label in range(3)
    ]
    for i, image in enumerate(shown):
        torch.testing.assert_close(image, each[i % 3][i].to(image), rtol=1e-4, atol=1e-4)
        assert (each[i % 3][i] - each[(i + 1) % 3][i]).abs().max() > 1e-3


def test_a_few_images_do_not_hide_the_classes_of_the_others(conditional: TrainConfig):
    found = material(replace(conditional, limit=2), torch.device("cpu"))
    assert found.train_labels is not None and found.train_labels.tolist() == [0, 0]
    assert found.class_names == ("0", "1", "2")


def test_data_without_labels_are_refused(tmp_path: Path, conditional: TrainConfig):
    with pytest.raises(ValueError, match="'wells' has no class labels: set it to false") as said:
        train(replace(conditional, data="wells"), tmp_path, device="cpu")
    assert "\n" not in str(said.value)
