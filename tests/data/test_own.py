"""Sets that people bring: names, labels, what is passed over, replacement, deletion, the quota."""

import io
import json
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rgdiff_core import data
from rgdiff_core.cli.main import main
from rgdiff_core.data import own, quota
from rgdiff_core.lattice import HMC, EnsembleSpec

CHANCE = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def draw(folder, count: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = CHANCE.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")


@pytest.fixture
def three_bad(tmp_path):
    folder = tmp_path / "three-bad"
    draw(folder, 12)
    whole = (folder / "03.png").read_bytes()
    (folder / "03.png").write_bytes(whole[: len(whole) // 2])
    (folder / "07.png").write_bytes(b"")
    (folder / "09.png").write_bytes(b"<html>404</html>")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def store(name: str, images: np.ndarray) -> data.ImageSet:
    file = io.BytesIO()
    np.savez(file, images=images)
    return data.register_upload(name, {"a.npz": file.getvalue()})


def test_names_with_dots_do_not_collide(tmp_path):
    for name in ("v1.2", "v1.3"):
        draw(tmp_path / name)
    kept = [data.keep_folder(tmp_path / name) for name in ("v1.2", "v1.3")]
    assert [each.name for each in kept] == ["v1-2", "v1-3"]
    assert not any(each.replaced for each in kept)
    assert own.names() == ["v1-2", "v1-3"]


def test_letters_that_names_cannot_have_still_tell_them_apart():
    words = ["猫", "犬", "кот 1", "пёс 1", "a" * 60, "a" * 61, "a-b", "Ünïcode"]
    slugs = [own.slug(word) for word in words]
    assert len(set(slugs)) == len(words)
    assert slugs[-2:] == ["a-b", "unicode"]
    assert all(len(each) <= 48 for each in slugs)


def test_a_replaced_set_is_said_to_be(tmp_path, caplog):
    draw(tmp_path / "a b")
    draw(tmp_path / "A.B", 3)
    assert not data.keep_folder(tmp_path / "a b").replaced
    with caplog.at_level(logging.WARNING):
        data.register_folder(tmp_path / "A.B")
    assert "'a-b' was replaced" in caplog.text
    assert len(data.load("a-b").images) == 3
    assert [path.name for path in (tmp_path / "cache" / "own").iterdir()] == ["a-b"]


def test_a_set_that_cannot_be_written_leaves_the_old_one(cache, monkeypatch):
    old = store("x", CHANCE.random((40, 4, 4)))
    replace = os.replace

    def full(source, target):
        if "train" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        store("x", CHANCE.random((40, 4, 4)))
    monkeypatch.undo()
    monkeypatch.setenv("RGDIFF_CACHE", str(cache))
    np.testing.assert_array_equal(data.load("x").images, old.images)
    assert len(data.load("x", "test").images) == 4
    assert [path.name for path in (cache / "own").iterdir()] == ["x"]


def test_both_splits_are_every_image_with_its_label(tmp_path):
    images = CHANCE.integers(0, 256, (1000, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=np.arange(1000))
    train, test = data.register_folder(tmp_path / "set.npz"), data.load("set", "test")
    everything = images.astype(np.float32)[:, None] / 127.5 - 1
    assert test.labels.tolist() == list(range(9, 1000, 10))
    for part in (train, test):
        np.testing.assert_allclose(part.images, everything[part.labels], atol=1e-6)
    assert len(train.images) == 900


def test_class_folders_are_labels(tmp_path):
    for label in ("dog", "cat"):
        draw(tmp_path / "pets" / "some" / label)
    kept = data.keep_folder(tmp_path / "pets")
    assert kept.images == 8 and "Labels are the folders cat, dog." in kept.notes
    assert data.load("pets").labels.tolist() == [0] * 4 + [1] * 4
    files = [("0.png", (tmp_path / "pets/some/dog/00.png").read_bytes())] * 3
    assert data.register_upload("same", files).labels is None
    assert len(data.load("same").images) == 3


def test_bad_files_are_listed_together_and_passed_over_on_request(three_bad):
    with pytest.raises(data.BadFiles, match="3 of 12 files are refused") as caught:
        data.register_folder(three_bad)
    names = tuple(f"three-bad/{i:02d}.png" for i in (3, 7, 9))
    assert (caught.value.bad, caught.value.good) == (names, 9)
    assert all(name in str(caught.value) for name in names)
    assert own.names() == []
    good = data.register_folder(three_bad, skip_bad=True)
    assert len(good.images) == 9
    assert f"they cannot be read: {', '.join(names)}." in good.source
    assert "no pictures: three-bad/notes.txt." in good.source


def test_of_many_bad_files_the_first_are_named(tmp_path):
    draw(tmp_path / "a", 1)
    for i in range(40):
        (tmp_path / "a" / f"bad{i:02d}.png").write_bytes(b"")
    with pytest.raises(data.BadFiles, match=r"40 of 41 .* and 35 more") as caught:
        data.register_folder(tmp_path / "a")
    assert len(caught.value.bad) == 40
    assert len(str(caught.value)) < 700


def test_a_bad_file_in_colour_leaves_the_others_grey(tmp_path):
    folder = tmp_path / "mixed"
    draw(folder, 1)
    frames = [Image.fromarray(CHANCE.integers(0, 256, (64, 64, 3), dtype=np.uint8))] * 2
    frames[0].save(folder / "a.tif", save_all=True, append_images=frames[1:])
    (folder / "a.tif").write_bytes((folder / "a.tif").read_bytes()[:-4000])
    (folder / "00.png").unlink()
    Image.fromarray(np.full((8, 8), 51, np.uint8)).save(folder / "b.png")
    assert data.register_folder(folder, skip_bad=True).images.shape == (1, 1, 32, 32)


@pytest.mark.parametrize("low", [0, -1])
def test_pixels_of_all_kinds_share_one_scale(tmp_path, low):
    folder = tmp_path / "kinds"
    folder.mkdir()
    field = np.linspace(low, 1, 64).reshape(8, 8).astype(np.float32)
    Image.fromarray(field).save(folder / "a.tif")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(folder / "b.tif")
    Image.fromarray(np.full((8, 8), 51, np.uint8)).save(folder / "c.png")
    Image.fromarray(np.full((8, 8), 51 * 257, np.uint16)).save(folder / "d.png")
    found = data.register_folder(folder, size=8)
    np.testing.assert_allclose(found.images[0, 0], field if low else 2 * field - 1, atol=1e-6)
    middle = [float(image.mean()) for image in found.images[1:]]
    assert middle == pytest.approx([0.5 if low else 0.0, 51 / 127.5 - 1, 51 / 127.5 - 1])
    assert f"Floats from {low} (black) to 1 (white)." in found.source
    assert "Pixels of 16 bits from 0 (black) to 65535 (white)." in found.source


def test_too_many_frames_are_refused_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_MAX_UPLOAD_MB", "1")
    frames = [Image.fromarray(np.full((256, 256), i, np.uint8)) for i in range(40)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="17 images of 256×256 are too many; at most") as caught:
        data.register_folder(tmp_path / "a.tif", size=256, skip_bad=True)
    assert "RGDIFF_MAX_UPLOAD_MB" in str(caught.value)


def test_deletion(cache):
    store("x", CHANCE.random((4, 4, 4)))
    for name in ("y", "..", "../own", "x/../x", ".x"):
        with pytest.raises(ValueError, match="is not one of your own data sets"):
            data.delete(name)
    with pytest.raises(ValueError, match="'cifar10' comes with rgdiff"):
        data.delete("cifar10")
    data.delete("x")
    assert list((cache / "own").iterdir()) == []
    with pytest.raises(ValueError, match="'x' is not a known data set"):
        data.load("x")


def test_an_ensemble_is_deleted_by_its_name():
    spec = EnsembleSpec(-4, 6, 4, 8, 2, 20, 1, hmc=HMC(), seed=0)
    data.ensembles.generate(spec)
    data.delete(f"lattice-{spec.id}")
    assert data.ensembles.stored() == []


def test_a_quota_for_all_that_is_brought_names_the_oldest(cache, tmp_path, monkeypatch):
    monkeypatch.setenv(quota.VARIABLE, "1")
    images = np.zeros((100, 64, 64), np.uint8)  # 0.4 MB
    for day, name in enumerate(("first", "second")):
        store(name, images)
        for path in (cache / "own" / name).iterdir():
            os.utime(path, (86_400 * (day + 365),) * 2)
    with pytest.raises(ValueError, match=r"takes 0\.8 MiB of 1 MiB \(RGDIFF_QUOTA_MB\)") as caught:
        store("third", images)
    assert "the oldest is first (0.4 MiB, of 1971-01-0" in str(caught.value)
    store("second", images[:90])
    data.delete("first")
    store("third", images)
    file = tmp_path / "fields.npz"
    np.savez(file, images=CHANCE.normal(size=(5000, 4, 4)), m2=1.0, lam=1.0)
    with pytest.raises(ValueError, match=r"no room for another 0\.7 MiB"):
        data.ensembles.bring(file)


def test_generated_ensembles_count_in_the_quota(monkeypatch):
    spec = EnsembleSpec(-4, 6, 4, 5000, 250, 20, 1, hmc=HMC(), seed=0)
    first = data.ensembles.generate(spec)
    assert first.configurations.nbytes == spec.bytes
    monkeypatch.setenv(quota.VARIABLE, "1")
    assert data.ensembles.generate(spec).spec == spec  # it is there already
    other = replace(spec, n_samples=12_000, seed=1)
    with pytest.raises(
        ValueError, match=r"no room for another 0\.8 MiB.*oldest is lattice-"
    ) as got:
        data.ensembles.generate(other)
    assert spec.id in str(got.value) and data.ensembles.unfinished() == []
    with pytest.raises(ValueError, match=r"no room for another 0\.\d MiB"):
        store("x", np.zeros((225, 64, 64), np.uint8))
    data.delete(f"lattice-{spec.id}")
    assert data.ensembles.generate(replace(spec, n_samples=100, n_chains=20)).spec.n_samples == 100


def test_the_commands(three_bad, tmp_path, capsys):
    np.savez(tmp_path / "two.npz", u=np.zeros((3, 4, 4)), v=np.ones((3, 4, 4)))
    for words, status, says in (
        ([three_bad], 1, "--skip-bad goes on with the other 9."),
        ([three_bad, "--skip-bad"], 0, "three-bad: 9 images."),
        ([three_bad, "--skip-bad"], 0, "An older set called three-bad was replaced."),
        ([tmp_path / "two.npz"], 1, "say which of them are the images. --array u takes"),
        ([tmp_path / "two.npz", "--array", "v", "--name", "Ones"], 0, "ones: 3 images."),
        ([tmp_path / "two.npz", "--array", "w"], 1, "holds no array called 'w'"),
    ):
        assert main(["data", "add", *map(str, words)]) == status
        assert says in "".join(capsys.readouterr())
    assert main(["data", "delete", "ones", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": "ones"}
    assert main(["data", "delete", "ones"]) == 1
    assert "'ones' is not one of your own" in capsys.readouterr().err
