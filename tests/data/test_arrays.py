"""Arrays of images as people store them: which is taken, which labels, and what is said."""

import io
import zipfile

import numpy as np
import pytest

from rgdiff_core.data import ChooseArray, arrays
from rgdiff_core.files.untrusted import Refused

CHANCE = np.random.default_rng(0)
GREY = CHANCE.integers(0, 256, (12, 8, 8), dtype=np.uint8)
OTHER = CHANCE.integers(0, 256, (5, 8, 8), dtype=np.uint8)
CLASSES = np.arange(12) % 3


def npz(*unnamed: np.ndarray, **named: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    np.savez(file, *unnamed, **named)
    return file


def read(file: io.BytesIO, name: str = "a.npz", **options) -> arrays.Arrays:
    return arrays.read(name, file, **options)


FILES = {
    "MedMNIST": npz(
        train_images=GREY,
        train_labels=CLASSES[:, None],
        val_images=OTHER,
        val_labels=np.zeros((5, 1), int),
        test_images=OTHER,
        test_labels=np.zeros((5, 1), int),
    ),
    "Keras": npz(x_test=OTHER, y_test=np.zeros(5, int), x_train=GREY, y_train=CLASSES),
    "unnamed": npz(GREY, CLASSES),
    "unnamed, bytes": npz(GREY, CLASSES.astype(np.uint8)),
    "upper case": npz(X=GREY, Y=CLASSES.astype(np.float64)),
    "data and targets": npz(data=GREY, targets=CLASSES),
    "of any name": npz(pictures=GREY, what=CLASSES, weights=CHANCE.normal(size=12)),
    "images and labels": npz(images=GREY, labels=CLASSES, other=GREY),
    "two kinds of labels": npz(imgs=GREY, coarse=CLASSES * 0, img_labels=CLASSES, y=CLASSES),
    "test labels of one length": npz(train_images=GREY, test_labels=CLASSES * 0, kind=CLASSES),
}


@pytest.mark.parametrize("kind", FILES)
def test_images_and_their_labels_are_found_by_name(kind):
    found = read(FILES[kind])
    np.testing.assert_array_equal(found.images, GREY[:, None])
    np.testing.assert_array_equal(found.labels, CLASSES)
    assert found.labels.dtype == np.int64
    assert found.notes[0].startswith("Images from ")


def test_what_is_left_out_is_said():
    assert read(FILES["MedMNIST"]).notes == (
        "Images from train_images, labels from train_labels; left out: val_images, val_labels, "
        "test_images, test_labels.",
    )


@pytest.mark.parametrize(
    "labels", [CLASSES[:5], CLASSES - 1, CLASSES / 2, np.full(12, np.nan), np.eye(12, dtype=int)]
)
def test_what_are_no_labels_are_none(labels):
    found = read(npz(x=GREY, y=labels))
    assert found.labels is None
    assert found.notes == ("Images from x, without labels; left out: y.",)


def test_an_array_is_chosen_among_several():
    file = npz(before=GREY, after=GREY[::-1], mask=np.zeros((12, 8, 9)))
    with pytest.raises(ChooseArray, match=r"before \(12, 8, 8\) uint8, after") as caught:
        read(file)
    assert caught.value.arrays == ("before", "after")
    np.testing.assert_array_equal(read(file, chosen="after").images[:, 0], GREY[::-1])
    with pytest.raises(Refused, match=r"no array called 'nothing'; it holds before"):
        read(file, chosen="nothing")
    with pytest.raises(Refused, match=r"images of 8×9; they must be square"):
        read(file, chosen="mask")


def test_npy():
    file = io.BytesIO()
    np.save(file, GREY)
    found = read(file, "stack.npy")
    np.testing.assert_array_equal(found.images, GREY[:, None])
    assert found.labels is None
    with pytest.raises(Refused, match=r"stack.npy holds one array, which has no name"):
        read(file, "stack.npy", chosen="x")


@pytest.mark.parametrize("layout", ["C", "F"])
def test_channels_are_moved_to_the_front(layout):
    images = CHANCE.integers(0, 256, (600, 8, 8, 3), dtype=np.uint8)
    found = read(npz(np.asarray(images, order=layout)))
    np.testing.assert_array_equal(found.images, images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_rounding_beyond_the_range_is_tolerated(dtype, low):
    field = np.linspace(low - 1e-4, 1.0005, 4 * 64).reshape(4, 8, 8).astype(dtype)
    found = read(npz(field))
    wanted = np.clip(field.astype(np.float64) if low else 2 * field.astype(np.float64) - 1, -1, 1)
    np.testing.assert_allclose(found.images[:, 0], wanted, atol=1e-6)
    assert f"Floats from {low:g} (black) to 1 (white)." in found.notes
    with pytest.raises(Refused, match=r"values from .* to 1\.0\d+; floats are in \[0, 1\] or in"):
        read(npz((field * 1.01).astype(dtype)))


@pytest.mark.parametrize("dtype", ["f2", "f8"])
def test_floats_count_with_the_copy_that_they_need(monkeypatch, dtype):
    monkeypatch.setenv("RGDIFF_MAX_UPLOAD_MB", "1")
    assert len(read(npz(np.zeros((3000, 8, 8), np.float32))).images) == 3000
    with pytest.raises(Refused, match=r"shape \(3000, 8, 8\); at most 100000 images and 1 MiB"):
        read(npz(np.zeros((3000, 8, 8), dtype)))


def test_two_members_of_one_name_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, images in (
            ("images.npy", GREY[:2]),
            ("images", np.zeros((20_000, 64, 64), "u1")),
        ):
            content = io.BytesIO()
            np.save(content, images)
            opened.writestr(name, content.getvalue())
    with pytest.raises(Refused, match="two arrays called 'images'"):
        read(file)
