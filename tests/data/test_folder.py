"""The user's own images: what is accepted, what is refused and in which words."""

import io
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from rgdiff_core import data


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "My Pictures"
    folder.mkdir()
    return folder


def encoded(array, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(file, form, **options)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def colour(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_folder_becomes_a_set_that_stays(pictures):
    for i in range(4):
        (pictures / f"{i}.png").write_bytes(encoded(colour(32, 32, i)))
    (pictures / "notes.txt").write_text("not a picture")
    (pictures / ".hidden.png").write_text("not a picture")
    registered = data.register_folder(pictures)
    assert registered.name == "my-pictures"
    assert registered.images.shape == (4, 3, 32, 32)
    expected = torch.from_numpy(colour(32, 32, 2)).permute(2, 0, 1).float() / 127.5 - 1
    torch.testing.assert_close(registered.images[2], expected)

    for path in pictures.iterdir():
        path.unlink()
    loaded = data.load("my-pictures")
    torch.testing.assert_close(loaded.images, registered.images, rtol=0, atol=0)
    assert loaded.source == registered.source
    assert (loaded.low, loaded.high) == (-1.0, 1.0)
    last = data.available()[-1]
    assert (last.name, last.shape, last.cached) == ("my-pictures", (3, 32, 32), True)
    with pytest.raises(ValueError, match="no test split"):
        data.load("my-pictures", "test")


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "JPEG", "WEBP"])
def test_forms(pictures, form):
    flat = np.full((40, 60, 3), (200, 100, 50), dtype=np.uint8)
    (pictures / f"a.{form.lower()}").write_bytes(encoded(flat, form))
    image = data.register_folder(pictures, size=8).images[0]
    assert image.shape == (3, 8, 8)
    expected = torch.tensor([200.0, 100.0, 50.0]) / 127.5 - 1
    torch.testing.assert_close(image.mean((1, 2)), expected, rtol=0, atol=0.04)


def test_other_shapes_are_cropped_to_the_central_square(pictures):
    # A white square between black margins: only the square is left.
    wide = np.zeros((32, 96), dtype=np.uint8)
    wide[:, 32:64] = 255
    (pictures / "wide.png").write_bytes(encoded(wide))
    (pictures / "tall.png").write_bytes(encoded(wide.T))
    images = data.register_folder(pictures, size=16).images
    assert images.shape == (2, 1, 16, 16)
    assert float(images.min()) == 1.0


def test_grey_only_when_all_are_grey():
    grey, full = encoded(np.full((8, 8), 51)), encoded(colour(8, 8))
    assert data.register_upload("g", {"a.png": grey}, 8).images.shape == (1, 1, 8, 8)
    mixed = data.register_upload("m", {"a.png": grey, "b.png": full}, 8).images
    assert mixed.shape == (2, 3, 8, 8)
    torch.testing.assert_close(mixed[0], torch.full((3, 8, 8), 51 / 127.5 - 1))


def test_a_single_picture_comes_with_overlapping_parts_of_it():
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    kept = data.keep_upload("one", {"a.png": encoded(image)}, 32, parts=True)
    found = data.load("one").images
    assert kept.images == len(found) == 17 and "overlapping parts" in kept.notes[-1]
    alone = data.register_upload("alone", {"a.png": encoded(image)}, 32).images
    assert torch.equal(found[:1], alone)
    for part, (top, left) in zip(found[1:], product((0, 5, 10, 16), repeat=2), strict=True):
        wanted = image[top : top + 32, left : left + 32].transpose(2, 0, 1) / 127.5 - 1
        assert np.abs(part.numpy() - wanted).max() < 1e-6
    several = {"a.png": encoded(image), "b.png": encoded(image[::-1])}
    assert data.keep_upload("two", several, 32, parts=True).images == 2
    skipped = {"a.png": encoded(image)[:-200], "b.png": encoded(image), "c.txt": b"text"}
    kept = data.keep_upload("skip", skipped, 32, parts=True, skip_bad=True)
    assert kept.images == 17 and torch.equal(data.load("skip").images, found)


def test_transparent_pixels_are_white():
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    assert float(data.register_upload("t", {"a.png": encoded(clear)}, 8).images.min()) == 1.0


def test_sixteen_bits_keep_their_brightness():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 200 * 256, dtype=np.uint16)).save(file, "PNG")
    image = data.register_upload("d", {"a.png": file.getvalue()}, 8).images
    torch.testing.assert_close(image, torch.full((1, 1, 8, 8), 200 / 127.5 - 1))


def test_pictures_are_turned_upright():
    half = np.zeros((8, 8), dtype=np.uint8)
    half[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    image = data.register_upload("u", {"a.png": encoded(half, exif=exif)}, 8).images[0, 0]
    assert float(image[:4].max()) == -1.0
    assert float(image[4:].min()) == 1.0


@pytest.mark.parametrize("layout", ["nhw", "nhwc", "nchw"])
def test_arrays_in_three_layouts(tmp_path, layout):
    images = np.random.default_rng(0).integers(0, 256, (25, 3, 12, 12), dtype=np.uint8)
    stored = {"nhw": images[:, 0], "nhwc": images.transpose(0, 2, 3, 1), "nchw": images}[layout]
    expected = images[:, :1] if layout == "nhw" else images
    np.savez(tmp_path / "set.npz", images=stored, other=np.zeros(3))
    train = data.register_folder(tmp_path / "set.npz")
    test = data.load("set", "test")
    assert (len(train.images), len(test.images)) == (23, 2)
    everything = torch.from_numpy(expected).float() / 127.5 - 1
    torch.testing.assert_close(test.images, everything[9::10])
    torch.testing.assert_close(train.images[:9], everything[:9])


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_floats(low):
    array = np.linspace(low, 1, 4 * 64).reshape(4, 8, 8)
    images = data.register_upload("f", {"a.npz": npz(x=array)}).images
    expected = torch.from_numpy(array if low < 0 else 2 * array - 1).float()[:, None]
    torch.testing.assert_close(images, expected)


def test_a_smaller_set_of_the_same_name_leaves_no_old_test_split():
    data.register_upload("own", {"a.npz": npz(x=np.zeros((30, 8, 8), np.uint8))})
    data.register_upload("own", {"a.npz": npz(x=np.zeros((3, 8, 8), np.uint8))})
    assert len(data.load("own").images) == 3
    with pytest.raises(ValueError, match="no test split"):
        data.load("own", "test")


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a\\b", "..", "Ünïcode x" * 40])
def test_names_never_leave_the_cache(cache, name):
    content = {"a.png": encoded(colour(8, 8))}
    if name == "..":
        with pytest.raises(ValueError, match="has no letter or digit"):
            data.register_upload(name, content, 8)
        return
    registered = data.register_upload(name, content, 8)
    assert set(registered.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert [path.name for path in cache.iterdir()] == ["own"]
    assert [path.name for path in (cache / "own").iterdir()] == [registered.name]


def test_names_of_the_product_are_taken():
    with pytest.raises(ValueError, match="'cifar10' belongs to a set"):
        data.register_upload("CIFAR10", {"a.png": encoded(colour(8, 8))})


def test_a_damaged_copy_asks_for_the_images_again(cache):
    data.register_upload("own", {"a.png": encoded(colour(8, 8))}, 8)
    next((cache / "own" / "own").glob("train-images-*.npy")).write_bytes(b"")
    with pytest.raises(data.DataUnavailable, match="'own' in the cache is damaged; register it"):
        data.load("own")
    assert "Damaged" in data.available()[-1].description


GOOD = encoded(colour(8, 8))
NAN = np.full((2, 8, 8), np.nan)
BAD_UPLOADS = [
    ({}, None, "no image file"),
    ({"a.txt": b"hello"}, None, "no image file"),
    ({"good.png": GOOD, "bad.png": b"nonsense"}, None, "bad.png cannot be read as an image"),
    ({"cut.png": GOOD[:60]}, None, "cut.png cannot be read as an image"),
    ({"empty.jpg": b""}, None, "empty.jpg cannot be read as an image"),
    ({"a.png": GOOD}, 7, "size = 7 is not an even whole number from 4 to 256"),
    ({"a.png": GOOD}, 2, "size = 2 "),
    ({"a.png": GOOD}, 512, "size = 512 "),
    ({"a.npz": b"nonsense"}, None, "a.npz cannot be read"),
    ({"a.npz": npz(x=NAN)[:200]}, None, "a.npz cannot be read"),
    ({"a.npz": b"", "b.png": GOOD}, None, "a .npz file comes alone"),
    ({"a.npz": npz(x=NAN)}, None, "not a finite number"),
    ({"a.npz": npz(u=np.zeros((2, 8, 8)), v=np.zeros((2, 8, 8)))}, None, "say which of them are"),
    ({"a.npz": npz(u=np.zeros((2, 9)), v=np.zeros(2))}, None, r"holds u \(2, 9\) float64, v"),
    ({"a.npz": npz(x=np.zeros((2, 8, 10)))}, None, "images of 8×10; they must be square"),
    ({"a.npz": npz(x=np.zeros((2, 9, 9)))}, None, "size = 9 "),
    ({"a.npz": npz(x=np.zeros((2, 8, 8)))}, 16, "arrays of 8×8; size = 16 differs"),
    ({"a.npz": npz(x=np.zeros((8, 8)))}, None, r"shape \(8, 8\)"),
    ({"a.npz": npz(x=np.zeros((0, 8, 8)))}, None, r"shape \(0, 1, 8, 8\)"),
    ({"a.npz": npz(x=np.zeros((2, 2, 8, 8)))}, None, r"shape \(2, 2, 8, 8\)"),
    ({"a.npz": npz(x=np.full((2, 8, 8), 300.0))}, None, "values from 300 to 300"),
    ({"a.npz": npz(x=np.zeros((2, 8, 8), int))}, None, "dtype int64"),
    ({"a.npz": npz(x=np.zeros((2, 8, 8), bool))}, None, "dtype bool"),
    ({"a.npz": npz(x=np.array([{}, {}]))}, None, "Python objects"),
    ({"a.npz": npz(x=np.zeros((100_001, 1, 1), np.uint8))}, None, "at most 100000 images"),
]


@pytest.mark.parametrize(("files", "size", "says"), BAD_UPLOADS)
def test_bad_uploads_are_refused_in_one_sentence(cache, files, size, says):
    with pytest.raises(ValueError, match=says) as caught:
        data.register_upload("own", files, size)
    assert "\n" not in str(caught.value)
    assert not cache.exists()


def test_a_picture_with_too_many_pixels():
    file = io.BytesIO()
    Image.new("1", (9_000, 8_000)).save(file, "PNG")
    with pytest.raises(ValueError, match=r"big.png has 9000×8000 pixels; at most 33554432"):
        data.register_upload("own", {"big.png": file.getvalue()})


def test_places_without_images(tmp_path, pictures):
    with pytest.raises(ValueError, match=r"My Pictures holds no image file"):
        data.register_folder(pictures)
    with pytest.raises(ValueError, match=r"nowhere does not exist"):
        data.register_folder(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"neither a folder nor a \.npz"):
        data.register_folder(tmp_path / "a.txt")


def test_an_array_too_large_is_refused_before_it_is_unpacked(tmp_path):
    # A small file that would unpack to 6 GiB.
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (99_999, 256, 256)}
    )
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as file:
        file.writestr("x.npy", header.getvalue())
    with pytest.raises(ValueError, match=r"shape \(99999, 256, 256\); at most"):
        data.register_folder(tmp_path / "bomb.npz")
