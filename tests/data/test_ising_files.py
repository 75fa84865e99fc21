"""Spins of other programs as a data set."""

import json

import h5py
import numpy as np
import pytest
import torch

from rgdiff_core import data
from rgdiff_core.cli.main import main
from rgdiff_core.data.ising_files import bring_spins, holds_spins
from rgdiff_core.lattice import Ising

MODEL = Ising(0.4, 6)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def spins() -> np.ndarray:
    generator = torch.Generator().manual_seed(1)
    return MODEL.sample(400, 40, generator, thermalization=30).numpy()


def sorted_rows(x: np.ndarray) -> list[bytes]:
    return sorted(np.ascontiguousarray(each, np.int8).tobytes() for each in x)


def test_spins_of_any_type_are_the_same_set(cache, spins):
    files = {
        "a.npy": spins.astype(np.int64),
        "b.npy": (spins > 0).astype(np.uint8),
        "c.npy": spins > 0,
        "d.npy": spins[:, None].astype(np.float32),
    }
    for name, array in files.items():
        np.save(cache / name, array)
    found = {name: bring_spins(cache / name, 0.4, 40) for name in files}
    assert {each.spec.digest for each in found.values()} == {found["a.npy"].spec.digest}
    for each in found.values():
        assert each.warning is None and each.energy is not None
    name = found["a.npy"].spec.name
    train, test = data.load(name), data.load(name, "test")
    assert (len(train.images), len(test.images)) == (360, 40)
    signs = torch.cat([train.images.sign(), test.images.sign()])[:, 0].numpy()
    assert sorted_rows(signs) == sorted_rows(spins)
    assert float(((train.images - train.images.sign()).abs()).max()) <= 0.5
    assert data.symmetries_of(name) == "lattice"


def test_what_a_file_says_is_used_and_checked(cache, spins, capsys):
    np.savez(cache / "a.npz", spins=spins.reshape(40, 10, 6, 6), T=2.5, other=np.zeros(3))
    with h5py.File(cache / "a.h5", "w") as file:
        file["run/spins"] = spins
        file["run"].attrs.update({"beta": 0.4, "n_chains": 40})
    for name in ("a.npz", "a.h5"):
        assert main(["data", "import", str(cache / name), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["spec"]["model"]["beta"] == pytest.approx(0.4)
        assert (told["spec"]["n_chains"], told["warning"]) == (40, None)
        assert abs(told["energy"]["value"] - told["exact_energy"]) < 4 * told["energy"]["error"]
    assert main(["data", "import", str(cache / "a.npz"), "--temperature", "2.2"]) == 0
    assert "Warning: the spins do not belong to β = 0.454545" in capsys.readouterr().out


def test_fields_are_not_taken_for_spins(cache):
    np.save(cache / "a.npy", np.random.default_rng(0).normal(size=(20, 4, 4)))
    assert not holds_spins(cache / "a.npy") and not holds_spins(cache / "absent.npy")
    with pytest.raises(ValueError, match=r"it holds the value .*; spins are −1 and 1, or 0 and 1"):
        bring_spins(cache / "a.npy", 0.4)
    np.save(cache / "b.npy", np.full((20, 4, 4), 3))
    with pytest.raises(ValueError, match="it holds the value 3"):
        bring_spins(cache / "b.npy", 0.4)


@pytest.mark.parametrize(
    ("shape", "words", "says"),
    [
        ((20, 4, 4), (), "it does not say its temperature; give beta"),
        ((20, 5, 5), ("--beta", "0.4"), "size = 5 is odd"),
        ((20, 4, 6), ("--beta", "0.4"), "(20, 4, 6)"),
        (
            (20, 4, 4),
            ("--beta", "0.4", "--m2", "1", "--lam", "1"),
            "--beta is of the Ising model, --m2 of φ⁴",
        ),
        ((20, 4, 4), ("--temperature", "-1"), "temperature = -1.0 is outside"),
        ((20, 4, 4), ("--m2", "-4", "--lam", "5"), "spins of the Ising model need beta"),
    ],
)
def test_nonsense_is_one_line(shape, words, says, cache, capsys):
    np.save(cache / "a.npy", np.ones(shape, np.int8))
    assert main(["data", "import", str(cache / "a.npy"), *words]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and says in captured.err
