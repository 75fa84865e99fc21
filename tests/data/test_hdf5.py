"""HDF5 files that point elsewhere, lie or crash: nothing but what is plainly in them is read."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from rgdiff_core.data import hdf5
from rgdiff_core.data.ensemble_files import open_file

FIELDS = np.random.default_rng(0).normal(size=(20, 4, 4))
SHAPE = FIELDS.shape


def external(file: h5py.File, inner: Path, name: str = "images") -> None:
    file.create_dataset(name, SHAPE, "f8", external=[(str(inner), 0, FIELDS.nbytes)])


def virtual(file: h5py.File, inner: Path) -> None:
    layout = h5py.VirtualLayout(SHAPE, "f8")
    layout[:] = h5py.VirtualSource(str(inner), "images", SHAPE)
    file.create_virtual_dataset("images", layout)


def growing_virtual(file: h5py.File, inner: Path) -> None:
    """Such a one asks its sources for its shape."""
    every = h5s.UNLIMITED
    layout = h5py.VirtualLayout(SHAPE, "f8", maxshape=(None, 4, 4))
    source = h5py.VirtualSource(str(inner), "images", SHAPE, maxshape=(None, 4, 4))
    layout[:every, :, :] = source[:every, :, :]
    file.create_virtual_dataset("images", layout)


def plugin(file: h5py.File, inner: Path) -> None:
    made = h5p.create(h5p.DATASET_CREATE)
    made.set_chunk((5, 4, 4))
    made.set_filter(32001, h5z.FLAG_OPTIONAL, ())
    h5d.create(file.id, b"images", h5t.NATIVE_DOUBLE, h5s.create_simple(SHAPE), made)


def committed(file: h5py.File, inner: Path) -> None:
    file["type"] = np.dtype("f8")
    file.create_dataset("images", data=FIELDS, dtype=file["type"])


def region(file: h5py.File, inner: Path) -> None:
    file["other"] = FIELDS
    file["images"] = np.array([file["other"].regionref[:9]], h5py.regionref_dtype)


def referring_number(file: h5py.File, inner: Path) -> None:
    file["images"] = FIELDS
    file.attrs["m2"] = file["images"].ref


def soft(file: h5py.File, inner: Path) -> None:
    file.update({"other": FIELDS, "images": h5py.SoftLink("/other")})


def huge_chunks(file: h5py.File, inner: Path) -> None:
    file.create_dataset("images", (10**6, 64, 64), "f8", chunks=(10**5, 64, 64), compression=9)


def many(file: h5py.File, inner: Path) -> None:
    for i in range(1001):
        file.create_group(f"{i}")


ATTACKS: dict[str, tuple[Callable[[h5py.File, Path], object], str]] = {
    "external storage": (external, "pointing at other files"),
    "external storage in a group": (lambda f, at: external(f, at, "a/b/c"), "'a/b/c' by pointing"),
    "external storage beside": (
        lambda f, at: (f.update(images=FIELDS), external(f, at, "other")),
        "'other' by pointing at other files",
    ),
    "external link": (
        lambda f, at: f.update(images=h5py.ExternalLink(str(at), "images")),
        "a link 'images' to another place",
    ),
    "external link in a group": (
        lambda f, at: f.update({"images": FIELDS, "g/z": h5py.ExternalLink(str(at), "images")}),
        "a link 'g/z' to another place",
    ),
    "soft link": (soft, "a link 'images' to another place"),
    "virtual": (virtual, "pointing at other files"),
    "growing virtual": (growing_virtual, "pointing at other files"),
    "plugin": (plugin, "filter 32001"),
    "committed type": (committed, "by reference|neither a group nor a data set"),
    "region": (region, "by reference"),
    "number by reference": (referring_number, "m2 in it is not a single number"),
    "huge chunks": (huge_chunks, "chunks of more than 32 MiB"),
    "many objects": (many, "more than 1000 objects"),
    "compound": (
        lambda f, at: f.update(images=np.zeros(9, [("a", float)])),
        "none of its arrays",
    ),
    "nothing": (lambda f, at: f.update(images=h5py.Empty("f8")), "none of its arrays"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_plainly_in_a_file_is_refused(attack, tmp_path):
    make, says = ATTACKS[attack]
    inner, path = tmp_path / "inner.h5", tmp_path / "a.h5"
    with h5py.File(inner, "w") as file:
        file["images"] = FIELDS
    with h5py.File(path, "w") as file:
        file.attrs.update(m2=1.0, lam=1.0)
        make(file, inner)
    # Whoever opens it now waits for ever.
    inner.unlink()
    os.mkfifo(inner)
    with pytest.raises(ValueError, match=rf"a\.h5 cannot be read as an ensemble \(.*({says})"):
        open_file(path)


def test_plain_files_are_read_whatever_their_storage(tmp_path):
    for kind in ("earliest", "latest"):
        path = tmp_path / f"{kind}.h5"
        with h5py.File(path, "w", libver=kind, userblock_size=512) as file:
            file.create_dataset("a", data=FIELDS, chunks=(3, 4, 4), shuffle=True, compression=4)
            file.create_dataset("b", data=FIELDS.astype(">f4"), fletcher32=True)
            file.create_dataset("g/c", data=FIELDS, chunks=(20, 1, 4), compression="lzf")
            file["g/d"] = FIELDS
            file["g"].attrs["units"] = "lattice"
            # A circle, and a second name.
            file["g/up"], file["g/twice"] = file["/"], file["a"]
        found = hdf5.survey(path)
        assert set(found.shapes) == {"a", "b", "g/c", "g/d"}
        for name, header in found.shapes.items():
            assert np.array_equal(hdf5.read(path, name, *header), FIELDS.astype(header[1]))


def test_the_nearest_number_counts(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["run/fields"] = FIELDS
        file["run/lam"] = [2.0]
        file.attrs.update(m2=1.0, lam=1.0, steps=[1, 2])
        file["run/fields"].attrs["m2"] = np.float32(3)
    numbers = hdf5.survey(path).numbers_of("run/fields")
    assert numbers == {"m2": 3.0, "lam": 2.0, "steps": None}


def test_what_unpacks_to_more_than_it_says_ends(tmp_path, monkeypatch):
    """A chunk of 4 MiB that holds 320: HDF5 unpacks it whole."""
    path = tmp_path / "a.h5"
    shape = (512, 32, 32)
    with h5py.File(path, "w") as file:
        file.attrs.update(m2=1.0, lam=1.0)
        data = file.create_dataset("images", shape, "f8", chunks=shape, compression="gzip")
        data.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(320 << 20), 1))
    assert path.stat().st_size < 2**23
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read as an ensemble"):
        open_file(path)
    monkeypatch.setenv("RGDIFF_MAX_UPLOAD_MB", "1")
    with pytest.raises(ValueError, match=r"unpacks to 4 MiB; at most 1 MiB"):
        open_file(path)


def test_a_file_that_is_cut_short_or_none_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["images"] = FIELDS
    whole = path.read_bytes()
    for count in (0, 8, 600, len(whole) - 9):
        path.write_bytes(whole[:count])
        with pytest.raises(ValueError, match=r"a\.h5 cannot be read as an ensemble \(.*\)\.$"):
            open_file(path)
