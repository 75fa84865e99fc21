"""The sets that come with the product, built into an empty cache."""

import logging

import numpy as np
import pytest
import torch

from rgdiff_core import data
from rgdiff_core.data import phi4, photographs, store
from rgdiff_core.data.records import BUILT_IN, quiet
from rgdiff_core.data.sets import SETS
from rgdiff_core.lattice import observables, schwinger_dyson
from rgdiff_core.lattice.action import Phi4


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return tmp_path


def test_names_are_reserved():
    assert tuple(SETS) == BUILT_IN


@pytest.mark.parametrize(
    ("name", "theory"), [("phi4-6x6", Phi4(-4, 6.975)), ("phi4-6x6-broken", Phi4(-1, 0.5))]
)
def test_lattice_sets_are_what_they_say(name, theory):
    train, test = data.load(name), data.load(name, "test")
    assert train.images.shape == (20_000, 1, 6, 6)
    assert test.images.shape == (5_000, 1, 6, 6)
    assert train.labels is None
    assert f"m² = {theory.m2:g}, λ = {theory.lam:g}" in train.source
    assert -train.low == train.high == test.high
    assert float((train.images.abs() <= train.high).double().mean()) == pytest.approx(
        0.999, abs=1e-4
    )
    for part in (train, test):
        identity = schwinger_dyson(theory, part.images, n_chains=len(part.images))
        assert abs(identity.value - 1) < 5 * identity.error
    check_chains(test, name == "phi4-6x6-broken")
    # The splits are different runs of one theory.
    assert not np.isin(train.images[:, 0, 0, 0].numpy(), test.images[:, 0, 0, 0].numpy()).all()
    first, second = (observables(x.images, n_chains=len(x.images))["phi2"] for x in (train, test))
    assert abs(first.value - second.value) < 5 * np.hypot(first.error, second.error)


def check_chains(test: data.ImageSet, ordered: bool) -> None:
    """In the broken phase neighbours along a chain are more alike than different chains."""
    assert test.chains is not None and test.chains.shape == (len(test.images),)
    size = torch.bincount(test.chains)
    assert int(size.max()) - int(size.min()) <= 1 and len(size) == 900
    m2 = test.images.mean((1, 2, 3)).square()
    mean = torch.zeros(900).index_add_(0, test.chains, m2) / size
    within = (m2 - mean[test.chains]).square().sum() / (len(m2) - 900)
    assert float(within) < (0.97 if ordered else 1.05) * float(m2.var())
    few = data.load(test.name, "test", limit=10)
    assert few.chains is not None and torch.equal(few.chains, test.chains[:10])


def test_lattice_sets_are_the_same_every_time(cache, monkeypatch):
    first = data.load("phi4-6x6", limit=50).images
    monkeypatch.setenv("RGDIFF_CACHE", str(cache / "elsewhere"))
    torch.testing.assert_close(data.load("phi4-6x6", limit=50).images, first, rtol=0, atol=0)


def test_photographs_are_crops_in_range():
    for split, n in (("train", 3_000), ("test", 500)):
        crops = data.load("photographs", split)
        assert len(crops.images) > n
        assert crops.images.shape[1:] == (3, 32, 32)
        assert -1 <= float(crops.images.min()) < -0.9 < 0.9 < float(crops.images.max()) <= 1
        assert "scikit-image" in crops.source


def test_photographs_have_the_spectrum_of_natural_images():
    crops = data.load("photographs").images.mean(1).double()
    window = torch.hann_window(32, dtype=torch.float64)
    power = (
        torch.fft.fft2((crops - crops.mean()) * window * window[:, None]).abs().square().mean(0)
    )
    k = torch.fft.fftfreq(32, dtype=torch.float64)
    radius = (k[:, None] ** 2 + k**2).sqrt() * 32
    shells = torch.arange(2, 15)
    mean = [power[(radius >= s - 0.5) & (radius < s + 0.5)].mean() for s in shells]
    log_k, log_p = np.log(shells.numpy()), np.log(torch.stack(mean).numpy())
    slope, offset = np.polyfit(log_k, log_p, 1)
    # Natural images: P(k) ~ 1/k^p with p about 2 (Field 1987 finds 1.8 to 2.4 and more).
    assert -3.2 < slope < -1.8, slope
    assert np.abs(log_p - slope * log_k - offset).max() < 0.3


def test_no_photograph_is_in_both_splits():
    names = [name for split in photographs.SPLITS.values() for name in split]
    assert len(names) == len(set(names))
    train, test = (data.load("photographs", s).images.flatten(1) for s in ("train", "test"))
    seen = {row.numpy().tobytes() for row in train}
    assert not [row for row in test if row.numpy().tobytes() in seen]


def test_a_crop_at_every_scale_keeps_the_mean_of_a_flat_photograph():
    flat = np.full((300, 280, 3), (10, 20, 30), dtype=np.uint8)
    crops = photographs.crops(flat)
    assert len(crops) == 12 * 11 + 10 * 10 + 8 * 7 + 2 * 2
    assert (crops == np.array([10, 20, 30])[:, None, None]).all()


def test_a_second_load_reads_the_cache(cache):
    first = data.load("photographs", limit=3)
    seen = []
    again = data.load("photographs", limit=3, progress=lambda *at: seen.append(at))
    assert seen == []
    torch.testing.assert_close(again.images, first.images, rtol=0, atol=0)
    assert again.source == first.source
    assert (cache / "photographs-v1" / "train.json").is_file()


def test_a_damaged_copy_is_said_and_built_anew(cache, caplog):
    first = data.load("photographs", limit=3).images
    path = next((cache / "photographs-v1").glob("train-images-*.npy"))
    path.write_bytes(path.read_bytes()[:1000])
    said = []
    with caplog.at_level(logging.WARNING):
        again = data.load("photographs", limit=3, progress=lambda *at: said.append(at[2]))
    torch.testing.assert_close(again.images, first, rtol=0, atol=0)
    assert "damaged" in said[0]
    assert str(path.name) in caplog.text
    assert len(store.read(cache / "photographs-v1", "train").images) > 1000


def test_a_cache_that_cannot_be_written_is_done_without(cache, monkeypatch, caplog):
    (cache / "file").write_text("")
    monkeypatch.setenv("RGDIFF_CACHE", str(cache / "file"))
    assert data.load("photographs", limit=3).images.shape == (3, 3, 32, 32)
    assert "is not kept" in caplog.text


def test_progress_goes_to_the_end_and_cancels(cache):
    seen = []
    data.load("phi4-6x6", progress=lambda done, total, text: seen.append((done, total, text)))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][0] == seen[-1][1]

    class Stop(Exception):
        pass

    def stop(done, total, text):
        raise Stop

    with pytest.raises(Stop):
        data.load("phi4-6x6-broken", progress=stop)
    assert not (cache / "phi4-6x6-broken-v1").exists()
    # The lock is free again.
    data.load("phi4-6x6-broken", limit=1)


def test_available_lists_what_is_cached():
    data.load("photographs", limit=1)
    listed = {item.name: item for item in data.available()}
    assert tuple(listed) == BUILT_IN
    assert listed["photographs"].cached
    assert not listed["cifar10"].cached
    assert listed["phi4-32x32"].shape == (1, 32, 32)
    assert all(item.title and item.description for item in listed.values())


@pytest.mark.parametrize("theory", ["phi4", "ising"])
def test_lattices_are_listed_from_small_to_large(theory: str):
    sizes = [item.shape[-1] for item in data.available() if item.name.startswith(theory)]
    assert sizes == sorted(sizes) and len(set(sizes)) > 1


def test_the_lattice_picture_set_has_the_promised_shape():
    spec = SETS["phi4-32x32"].build.args[0]
    assert (spec.size, spec.n_train, spec.action) == (32, 1024, Phi4(-4, 4.3))
    assert spec.n_chains * spec.size**2 < 2**16


def test_a_set_may_be_made_with_clusters():
    made = {}
    for cluster in (0, 1):
        spec = phi4.LatticeSet(Phi4(-4, 4.2606), 8, 4000, 40, 40, 100, 4, cluster)
        made[cluster] = phi4.build(spec, quiet)["train"]
    plain, other = (torch.from_numpy(made[each].images) for each in (0, 1))
    assert not torch.equal(plain, other)
    identity = schwinger_dyson(Phi4(-4, 4.2606), other, n_chains=len(other))
    assert abs(identity.value - 1) < 4 * identity.error
    one, two = (observables(x, n_chains=len(x))["abs_magnetization"] for x in (plain, other))
    assert abs(one.deviation(two)) < 6  # chains of a hundred are not independent fields
    spec = SETS["phi4-32x32-critical"].build.args[0]
    assert (spec.cluster, spec.size, spec.action) == (1, 32, Phi4(-4, 4.2606))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "cifar-10"}, "known are cifar10, phi4-6x6"),
        ({"name": "../../etc"}, "not a known data set"),
        ({"name": ""}, "not a known data set"),
        ({"name": "photographs", "split": "valid"}, "split = 'valid'"),
        ({"name": "photographs", "limit": 0}, "limit = 0"),
        ({"name": "photographs", "limit": -1}, "limit = -1"),
        ({"name": "photographs", "limit": 1.5}, "limit = 1.5"),
        ({"name": "photographs", "limit": True}, "limit = True"),
    ],
)
def test_nonsense_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        data.load(**arguments)


def test_build_is_quiet_by_default(capsys):
    photographs.build(quiet)
    assert capsys.readouterr() == ("", "")
