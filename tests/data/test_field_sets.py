"""Data sets of the Ising model and of Gaussian random fields: made, kept, listed, deleted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rgdiff_core import data
from rgdiff_core.cli.main import main
from rgdiff_core.data import GaussianSet, IsingSet, store
from rgdiff_core.data.sets import SETS
from rgdiff_core.data.spectrum_tables import read_table
from rgdiff_core.lattice import GaussianField, Ising, PowerSpectrum, TableSpectrum
from rgdiff_core.lattice.gamma import means
from rgdiff_core.lattice.ising import CRITICAL_BETA, energy_density

SPECS = (
    IsingSet(Ising(0.4, 4), 300, 100, 100),
    GaussianSet(GaussianField(PowerSpectrum(2.0, 0.5), 4), 300, 100),
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path


def report(capsys, *words) -> dict:
    assert main([str(word) for word in ("data", *words, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("size", [16, 32])
def test_critical_sets_are_listed_everywhere(size):
    name = f"ising-{size}x{size}-critical"
    info = {each.name: each for each in data.available()}[name]
    assert info.shape == (1, size, size) and not info.cached
    assert "uniform noise" in info.description
    spec = data.field_set_of(name)
    assert isinstance(spec, IsingSet) and spec.model == Ising(CRITICAL_BETA, size)
    assert data.is_lattice(name) and data.symmetries_of(name) == "lattice"
    assert data.action_of(name) is None and data.line_of(name) is None
    assert SETS[name].build == spec.build


def test_an_ising_set_has_the_exact_energy_and_both_signs():
    spec = IsingSet(Ising(0.4, 8), 1000, 200, 50)
    for split, record in spec.build().items():
        n = len(record.images)
        assert record.images.dtype == np.float32 and record.chains is not None
        order = np.argsort(record.chains, kind="stable")
        spins = torch.from_numpy(record.images).sign()
        (energy,) = means(energy_density(spins)[order][:, None], n)
        assert abs(energy.value - spec.model.energy_density) < 5 * energy.error, split
        assert (record.low, record.high) == (-1.5, 1.5)
        assert float(np.abs(np.abs(record.images) - 1).max()) <= 0.5


@pytest.mark.parametrize("spec", SPECS, ids=["ising", "gaussian"])
def test_a_set_is_made_once_kept_and_deleted(spec, cache):
    seen = []
    name = data.generate(spec, lambda *at: seen.append(at))
    assert name == spec.name and seen[-1][0] == seen[-1][1]
    assert [at[0] for at in seen] == sorted(at[0] for at in seen)
    seen.clear()
    assert data.generate(spec, lambda *at: seen.append(at)) == name and not seen
    info = {each.name: each for each in data.available()}[name]
    assert (info.title, info.shape, info.cached) == (spec.title, (1, 4, 4), True)
    train, test = data.load(name), data.load(name, "test")
    assert (len(train.images), len(test.images)) == (300, 100)
    assert torch.equal(train.images, torch.from_numpy(spec.build()["train"].images))
    assert not torch.equal(train.images[:100], test.images)
    assert data.symmetries_of(name) == "lattice" and data.field_set_of(name) == spec
    assert [each.name for each in data.brought()] == [name]
    data.delete(name)
    assert name not in {each.name for each in data.available()}
    with pytest.raises(ValueError, match="not a known data set"):
        data.load(name)
    with pytest.raises(ValueError, match="there is no set"):
        data.delete(name)


def test_a_stop_leaves_nothing_behind(cache):
    class Stop(Exception):
        pass

    def stop(done: int, total: int, text: str) -> None:
        if done > 0:
            raise Stop

    for spec in SPECS:
        with pytest.raises(Stop):
            data.generate(spec, stop)
    assert not list((cache / "cache").glob("fields/*"))
    data.generate(SPECS[0])


def test_a_damaged_set_is_generated_again(cache, caplog):
    name = data.generate(SPECS[1])
    first = data.load(name).images
    path = next((cache / "cache" / "fields").glob("*/train-images-*.npy"))
    path.write_bytes(path.read_bytes()[:200])
    assert torch.equal(data.load(name).images, first)
    assert "generated again" in caplog.text


def test_there_is_room_or_a_sentence(cache, monkeypatch):
    monkeypatch.setenv("RGDIFF_QUOTA_MB", "1")
    with pytest.raises(ValueError, match="at most 1 MiB are allowed"):
        data.generate(GaussianSet(GaussianField(size=32), 1000, 100))
    with pytest.raises(ValueError, match="of an ensemble or of generated fields"):
        from rgdiff_core.data.own import slug

        slug(SPECS[0].name)


def test_commands_make_sets(cache, capsys):
    words = ("--size", 4, "--n", 200, "--test", 50)
    told = report(capsys, "ising", *words, "--temperature", 2.5, "--chains", 50)
    assert told["spec"]["model"]["beta"] == pytest.approx(0.4)
    assert told["exact"]["energy_density"] == pytest.approx(Ising(0.4, 4).energy_density)
    told = report(capsys, "gaussian", *words, "--m2", 0.5)
    assert told["exact"]["variance"] == pytest.approx(
        float(GaussianField(data.field_set_of(told["name"]).field.spectrum, 4, None).power.mean())
    )
    (cache / "p.csv").write_text("k, power\n0, 4\n1, 2\n# fine\n3;1\n")
    told = report(capsys, "gaussian", *words, "--table", cache / "p.csv")
    assert data.field_set_of(told["name"]).field.spectrum == TableSpectrum((0, 1, 3), (4, 2, 1))
    assert len(data.load(told["name"], "test").images) == 50
    assert main(["data", "delete", told["name"]]) == 0
    assert "is deleted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2\n3 four\n", "line 2: '3 four' is not a pair of numbers"),
        ("k power\nl power\n", "line 2: 'l power' is not a pair of numbers"),
        ("1 2 3\n4 5 6\n", "line 2: '4 5 6' is not a pair of numbers"),
        ("1 2\n0.5 1\n", "momenta must increase, but 1 is followed by 0.5"),
        ("", "a table needs 2 to 512 points, got 0 momenta"),
        ("1 2\n" * 600, "holds 600 points; at most 512"),
        ("1 2\n3 inf\n", "the power at k = 3 = inf must be a finite number"),
    ],
)
def test_bad_tables_are_one_sentence(cache, text, says):
    path = cache / "p.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=says) as error:
        read_table(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_tables_are_one_sentence(cache):
    for content, says in (
        (b"\xff\xfe1", "not a text in UTF-8"),
        (b"1 2\n" * 70_000, "larger than"),
    ):
        (cache / "p").write_bytes(content)
        with pytest.raises(ValueError, match=says):
            read_table(cache / "p")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_table(Path(cache / "absent"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ising", "--beta", "-1"), "beta = -1.0 is outside [0, 20]"),
        (("ising", "--temperature", "0"), "temperature = 0.0 is outside"),
        (("ising", "--size", "5"), "size = 5 is odd"),
        (("ising", "--size", "256", "--n", "8000"), "at most 67108864 are allowed"),
        (("gaussian", "--exponent", "20"), "exponent = 20.0 is outside [-4, 8]"),
        (("gaussian", "--m2", "1", "--cutoff", "1"), "--cutoff belongs to a power law"),
        (("gaussian", "--n", "0"), "n_train = 0 is outside"),
    ],
)
def test_nonsense_is_one_line(words, says, capsys):
    assert main(["data", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert says in captured.err


def test_what_is_made_in_a_folder_that_cannot_be_written_is_said(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("RGDIFF_CACHE", str(cache / "file"))
    with pytest.raises(data.DataUnavailable, match="cannot be written"):
        data.generate(SPECS[1])
    assert store.cache_folder() == cache / "file"
