"""Files of arrays and models, damaged at random: each is read, or refused in one sentence.

RGDIFF_FUZZ says how many of each kind are tried: by hand, thousands.
"""

import os
import random
import re
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from patience import PATIENCE

import rgdiff_core as rg
from rgdiff_core.data.ensemble_files import open_file
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.lattice import Phi4
from rgdiff_core.networks import LatticeNet

COUNT = int(os.environ.get("RGDIFF_FUZZ", "12"))
ACTION = Phi4(1.0, 1.0)
FIELDS = np.random.default_rng(0).normal(size=(20, 4, 4))
NUMBERS = {"m2": 1.0, "lam": 1.0, "n_chains": 4}
WORDS = (b"\xff" * 8, b"\0" * 8, (2**40).to_bytes(8, "little"), (1000).to_bytes(4, "little"))
MIB = 2**20


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Return the content with bits, bytes, numbers and stretches changed, moved or missing."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 8, 32))):
        at = chance.randrange(len(data))
        match chance.randrange(10):
            case 0 | 1 | 2 | 3:
                data[at] ^= 1 << chance.randrange(8)
            case 4:
                data[at] = chance.choice((0, 1, 127, 128, 255))
            case 5:
                word = chance.choice(WORDS)
                data[at : at + len(word)] = word
            case 6:
                start, length = chance.randrange(len(data)), chance.randrange(1, 64)
                data[at : at + length] = data[start : start + length]
            case 7 | 8:
                digits = [match.start() for match in re.finditer(rb"[0-9]", bytes(data))]
                data[chance.choice(digits or [at])] = chance.choice(b"0123456789-.e[]")
            case 9:
                del data[at if chance.random() < 0.5 else max(at, len(data) - 40) :]
        data = data or bytearray(b"\x89HDF")
    return bytes(data)


def npy(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", FIELDS)
    np.save(folder / "b.npy", np.asfortranarray(FIELDS.reshape(4, 5, 4, 4).astype(">f4")))
    return [folder / "a.npy", folder / "b.npy"]


def npz(folder: Path) -> list[Path]:
    np.savez(folder / "a.npz", configurations=FIELDS, **NUMBERS)
    np.savez_compressed(folder / "b.npz", phi=FIELDS, mass2=1.0, **{"lambda": [1.0]})
    return [folder / "a.npz", folder / "b.npz"]


def hdf5(folder: Path) -> list[Path]:
    made = []
    for version in ("earliest", "latest"):
        for name, how in (("fletcher32", True), ("compression", "gzip"), ("compression", "lzf")):
            made.append(folder / f"{version}-{how}.h5")
            with h5py.File(made[-1], "w", libver=version) as file:
                file.create_dataset("cfgs", data=FIELDS, chunks=(7, 4, 4), **{name: how})
                file["run/other"], file["run/lam"] = FIELDS.astype("f4"), 1.0
                file.attrs.update(NUMBERS, note="a text")
    return made


def model(folder: Path) -> list[Path]:
    made = []
    for shape in ((1, 4, 4), (2, 4, 4)):
        images = torch.randn(40, *shape, generator=torch.Generator().manual_seed(0))
        basis = rg.bases.PCABasis.fit(images) if shape[0] == 1 else rg.bases.FourierBasis(shape)
        network = ModelSpec(LatticeNet(4, 1)).build(basis.float(), rg.Modes.fit(basis, images))
        made.append(folder / f"{shape[0]}.safetensors")
        rg.save_model(network, made[-1])
    return made


KINDS: dict[str, tuple[Callable[[Path], list[Path]], Callable[[Path], object]]] = {
    "npy": (npy, lambda path: open_file(path, ACTION)),
    "npz": (npz, open_file),
    "hdf5": (hdf5, open_file),
    "model": (model, rg.load_model),
}


def peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.timeout(PATIENCE if COUNT < 100 else 0)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused_in_one_sentence(kind, tmp_path):
    make, read = KINDS[kind]
    count = COUNT // 2 if kind == "hdf5" else COUNT  # each takes a process
    wholes = make(tmp_path)
    for whole in wholes if COUNT >= 100 else wholes[::5]:
        read(whole)
    chance = random.Random(zlib.crc32(kind.encode()))
    contents = [whole.read_bytes() for whole in wholes]
    start, refused, longest, most = peak(), 0, 0.0, 0
    for _ in range(count):
        content = damaged(chance.choice(contents), chance)
        path = tmp_path / f"damaged{wholes[0].suffix}"
        path.write_bytes(content)
        begun, before = time.monotonic(), peak()
        try:
            read(path)
        except ValueError as error:
            refused += 1
            assert re.fullmatch(r"[^\n]{1,700}\.", str(error)), error
        longest = max(longest, time.monotonic() - begun)
        most = max(most, peak() - before)
    assert refused > 0
    assert peak() - start < 300 * MIB
    print(f"{kind}: {count} files, {refused} refused, {longest:.1f} s, {most // MIB} MiB at most")
