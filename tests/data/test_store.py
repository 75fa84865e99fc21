"""The cache: round trips, what an interruption leaves, and damage."""

import json
import os

import numpy as np
import pytest

from rgdiff_core.data import store
from rgdiff_core.data.records import Record


def record(n: int = 700, seed: int = 0) -> Record:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    return Record(images, np.arange(n), f"noise {seed}", -2.0, 2.5)


def only(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


@pytest.mark.parametrize("limit", [None, 1, 341, 342, 700, 10_000])
def test_round_trip(tmp_path, limit):
    written = record()
    store.write(tmp_path, "train", written)
    read = store.read(tmp_path, "train", limit)
    assert np.array_equal(read.images, written.images[:limit])
    assert np.array_equal(read.labels, written.labels[:limit])
    assert (read.source, read.low, read.high) == ("noise 0", -2.0, 2.5)


def test_floats_and_no_labels(tmp_path):
    images = np.random.default_rng(1).normal(size=(5, 1, 6, 6)).astype(np.float32)
    store.write(tmp_path, "test", Record(images, None, "fields"))
    read = store.read(tmp_path, "test")
    assert read.labels is None
    assert read.images.dtype == np.float32
    assert np.array_equal(read.images, images)


def test_a_split_that_was_never_written(tmp_path):
    assert not store.exists(tmp_path, "train")
    with pytest.raises(FileNotFoundError):
        store.read(tmp_path, "train")


def test_a_newer_split_replaces_the_files_of_the_old_one(tmp_path):
    store.write(tmp_path, "train", record(seed=0))
    store.write(tmp_path, "train", record(seed=1))
    assert store.read(tmp_path, "train").source == "noise 1"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_interrupted_write_leaves_the_old_split(tmp_path, monkeypatch, call):
    old = record(seed=0)
    store.write(tmp_path, "train", old)
    before = sorted(path.name for path in tmp_path.iterdir())
    replace, calls = os.replace, []

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == call:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write(tmp_path, "train", record(seed=1))
    monkeypatch.undo()

    assert np.array_equal(store.read(tmp_path, "train").images, old.images)
    assert set(before) <= {path.name for path in tmp_path.iterdir()}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_flipped_bit_is_found_where_it_is_read(tmp_path):
    store.write(tmp_path, "train", record())
    path = only(tmp_path, "train-images-*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(store.read(tmp_path, "train", 300).images) == 300
    with pytest.raises(store.CorruptCache, match="checksum"):
        store.read(tmp_path, "train")


def damage_truncate(folder):
    path = only(folder, "train-images-*.npy")
    path.write_bytes(path.read_bytes()[:-5000])


def damage_header(folder):
    path = only(folder, "train-images-*.npy")
    path.write_bytes(b"not numpy" + path.read_bytes()[9:])


def damage_remove(folder):
    only(folder, "train-images-*.npy").unlink()


def damage_empty(folder):
    only(folder, "train-labels-*.npy").write_bytes(b"")


def damage_manifest(folder):
    (folder / "train.json").write_text("{")


def damage_manifest_kind(folder):
    (folder / "train.json").write_text("[1, 2]")


def damage_version(folder):
    manifest = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps(manifest | {"version": 0}))


DAMAGES = [
    damage_truncate,
    damage_header,
    damage_remove,
    damage_empty,
    damage_manifest,
    damage_manifest_kind,
    damage_version,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(tmp_path, damage):
    store.write(tmp_path, "train", record())
    damage(tmp_path)
    with pytest.raises(store.CorruptCache, match=r"train"):
        store.read(tmp_path, "train", 10)


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "here"))
    assert store.cache_folder() == tmp_path / "here"
    monkeypatch.delenv("RGDIFF_CACHE")
    assert store.cache_folder().name == "rgdiff"
