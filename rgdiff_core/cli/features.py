"""`rgdiff features`: train the network of features, check one on real images, pack Inception."""

import argparse
import json
import platform
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rgdiff_core import data
from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.options import device_option
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.devices import device_of
from rgdiff_core.evaluation.features.distances import (
    frechet_distance,
    frechet_error,
    kernel_distance,
)
from rgdiff_core.evaluation.features.extraction import NAMES, extract, load_features
from rgdiff_core.evaluation.features.inception import pack
from rgdiff_core.evaluation.features.network import (
    Classifier,
    load_classifier,
    save_classifier,
)
from rgdiff_core.evaluation.features.training import Recipe, Trained, accuracy, train_classifier
from rgdiff_core.files.atomic import write_text
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import bar, duration

__all__ = ["COMMANDS"]

Words = tuple[object, list[str]]


def _train_options(parser: argparse.ArgumentParser) -> None:
    recipe, width = Recipe(), 64
    out = pretrained_folder() / "features-cifar10"
    parser.add_argument("--out", type=Path, default=out, help="folder; default: pretrained/")
    parser.add_argument("--steps", type=int, default=recipe.steps, help="default %(default)s")
    parser.add_argument("--batch", type=int, default=recipe.batch, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=recipe.seed, help="default %(default)s")
    parser.add_argument("--lr", type=float, default=recipe.lr, help="peak; default %(default)s")
    parser.add_argument("--width", type=int, default=width, help="channels; default %(default)s")
    parser.add_argument(
        "--seconds",
        type=float,
        default=recipe.seconds,
        help="fewer steps where they would take longer than this; default: all steps",
    )
    device_option(parser)
    parser.add_argument(
        "--limit", type=int, default=None, help="use only the first N images of each split"
    )
    parser.add_argument(
        "--data", default="cifar10", help="data set of labelled images 3×32×32; default cifar10"
    )


def _train(chosen: argparse.Namespace) -> Words:
    recipe = Recipe(
        steps=chosen.steps,
        batch=chosen.batch,
        seconds=chosen.seconds,
        lr=chosen.lr,
        seed=chosen.seed,
    )
    device = device_of(chosen.device)
    if chosen.limit is not None:
        check_whole("limit", chosen.limit, 2, 1_000_000)
    chosen.out.mkdir(parents=True, exist_ok=True)
    train, test = (
        data.load(chosen.data, split, limit=chosen.limit, progress=bar)
        for split in ("train", "test")
    )
    (images, labels), (test_images, test_labels) = (_labelled(each) for each in (train, test))
    torch.manual_seed(recipe.seed)
    classes = int(max(labels.max(), test_labels.max())) + 1
    classes = max(2, classes)
    named = max(train.class_names, test.class_names, key=len)
    names = named if len(named) == classes else ()
    network = Classifier(chosen.data, chosen.width, classes, names)
    trained = train_classifier(network, images.to(device), labels.to(device), recipe, _say)
    save_classifier(network, chosen.out)
    measured = load_classifier(chosen.out).to(device)  # in half precision, as it is used
    share = accuracy(measured, test_images, test_labels.to(device))
    command = f"rgdiff features train --steps {recipe.steps} --batch {recipe.batch}"
    command += f" --lr {recipe.lr:g} --width {chosen.width} --seed {recipe.seed}"
    command += f" --seconds {recipe.seconds:g}" if recipe.seconds else ""
    command += f" --limit {chosen.limit}" if chosen.limit else ""
    command += f" --data {shlex.quote(chosen.data)}" if chosen.data != "cifar10" else ""
    card = {
        "name": chosen.out.name,
        "data": chosen.data,
        "source": train.source,
        "train_images": len(images),
        "test_images": len(test_images),
        "accuracy": share,
        "accuracy_error": (share * (1 - share) / len(test_images)) ** 0.5,
        "dimension": measured.dimension,
        "parameters": sum(p.numel() for p in measured.parameters()),
        "command": command,
        "recipe": {k: v for k, v in asdict(recipe).items() if k != "kind"},
        "device": _machine(device),
        "torch": torch.__version__,
    } | asdict(trained)
    write_text(chosen.out / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    write_text(chosen.out / "card.md", _markdown(card, trained))
    line = f"{chosen.out}: {100 * share:.2f} % of {len(test_images):,} test images are right"
    return card, [f"{line}; {trained.steps:,} steps in {duration(trained.seconds)}."]


def _labelled(images: data.ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    if images.labels is None or images.images.shape[1:] != (3, 32, 32):
        raise ValueError(
            f"{images.name!r} holds images {tuple(images.images.shape[1:])}"
            f"{'' if images.labels is not None else ' without labels'}; labelled images of "
            "(3, 32, 32) are needed."
        )
    return images.images, images.labels


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu (threads: {torch.get_num_threads()}), {platform.machine()}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _markdown(card: dict[str, Any], trained: Trained) -> str:
    share, error = 100 * card["accuracy"], 100 * card["accuracy_error"]
    recipe = card["recipe"]
    return f"""# {card["name"]}: a feature space for images

A residual classifier of 32×32 images. The mean over its last map, {card["dimension"]} numbers,
is the space in which `rgdiff_core.evaluation.features` measures Fréchet and kernel distances.

**Distances in this space are not the Inception FID or KID.** They compare only with distances in
the same space, by the same file (its SHA-256 is in `config.json`), and at the same number of
images. The network has seen the training images and their labels; what does not help to tell the
classes apart, it may not see.

- **Data**: `{card["data"]}`, {card["train_images"]:,} images to train on. {card["source"]}
- **Test accuracy**: {share:.2f} ± {error:.2f} % of {card["test_images"]:,} images, with the
  weights in half precision, as they are in the file.
- **Budget**: {card["parameters"]:,} parameters, {trained.steps:,} steps of {recipe["batch"]}
  images, {duration(trained.seconds)} on {card["device"]}, torch {card["torch"]}.
- **Command**: `{card["command"]}`

All numbers are in `card.json`.
"""


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--features", default="cifar10", choices=NAMES, help="the network")
    parser.add_argument("--n", type=int, default=2000, help="images of each; default %(default)s")
    parser.add_argument("--batch", type=int, default=100, help="default %(default)s")
    device_option(parser)
    parser.add_argument("--data", default="cifar10", help="data set; default %(default)s")


def _check(chosen: argparse.Namespace) -> Words:
    """Measure the distances between training and test images, which samples can't get below."""
    check_whole("n", chosen.n, 40, 1_000_000)
    check_whole("batch", chosen.batch, 1, 65_536)
    network = load_features(chosen.features, device_of(chosen.device))
    train, test = (
        data.load(chosen.data, split, limit=chosen.n, progress=bar).images
        for split in ("train", "test")
    )
    n = min(len(train), len(test))
    start = time.perf_counter()
    a, b = (extract(network, x[:n], chosen.batch, bar) for x in (train, test))
    seconds = time.perf_counter() - start
    frechet = Estimate(frechet_distance(a, b), frechet_error(a, b))
    kernel = kernel_distance(a, b)
    value = {
        "features": network.name,
        "data": chosen.data,
        "n": n,
        "frechet": frechet.to_dict(),
        "kernel": kernel.to_dict(),
        "extraction_s": seconds,
    }
    text = f"{n:,} training against {n:,} test images of {chosen.data}, {network.name}: "
    return value, [f"{text}Fréchet {frechet}, kernel {kernel}; {seconds:.1f} s for the features."]


def _pack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT.pt", help="the copy; a .json goes with it")


def _pack(chosen: argparse.Namespace) -> Words:
    note = pack(chosen.out)
    size = chosen.out.stat().st_size
    value = {"file": str(chosen.out), "note": str(note), "bytes": size}
    return value, [f"{chosen.out}: {size / 2**20:.1f} MiB; {note.name} goes with it."]


COMMANDS: Entries = {
    "train": Entry(_train_options, _train),
    "check": Entry(_check_options, _check),
    "pack-inception": Entry(_pack_options, _pack),
}
