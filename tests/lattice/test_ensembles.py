"""Ensembles on disk: the same after any interruption, and damage is said."""

import logging
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
import torch
from filelock import FileLock
from patience import PATIENCE

from rgdiff_core.data import DataUnavailable, ensemble_runs, ensembles
from rgdiff_core.lattice import observables
from rgdiff_core.lattice.ensembles import EnsembleSpec

SMALL = EnsembleSpec(-4, 6.975, 4, n_samples=110, n_chains=20, thermalization=30, thinning=2)


class Stop(Exception):
    pass


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return tmp_path


def same(one, other) -> bool:
    """Whether two generated ensembles agree in every bit but for the time that they took."""
    return (
        one.spec == other.spec
        and torch.equal(one.configurations, other.configurations)
        and one.configurations.dtype == other.configurations.dtype
        and torch.equal(one.history.magnetization, other.history.magnetization)
        and torch.equal(one.history.action, other.history.action)
        and one.history.thermalization == other.history.thermalization
        and (one.acceptance, one.exp_delta_h, one.step_size)
        == (other.acceptance, other.exp_delta_h, other.step_size)
    )


def generated_elsewhere(monkeypatch, folder, spec=SMALL):
    """The ensemble without any stop, in a cache of its own."""
    with monkeypatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(folder / "elsewhere"))
        return ensembles.generate(spec)


def test_an_ensemble_is_named_by_its_numbers():
    assert replace(SMALL, m2=-4.0) == SMALL and replace(SMALL, m2=-4.0).id == SMALL.id
    assert EnsembleSpec.from_json(SMALL.to_json()).id == SMALL.id
    others = [{"seed": 1}, {"lam": 6.9}, {"double": True}, {"hmc": replace(SMALL.hmc, cluster=1)}]
    assert len({SMALL.id, *(replace(SMALL, **other).id for other in others)}) == 5
    assert "4×4" in SMALL.title and "m² = −4" in SMALL.title


def test_an_ensemble_is_what_it_says():
    spec = EnsembleSpec(-4, 6.975, 4, n_samples=8000, n_chains=80, thinning=2, double=True)
    ensemble = ensembles.generate(spec)
    assert ensemble.configurations.shape == (8000, 1, 4, 4)
    assert ensemble.configurations.dtype == torch.float64
    assert ensemble.warning is None
    assert abs(ensemble.exp_delta_h.deviation(ensemble.exp_delta_h.of(torch.ones(9)))) < 4
    assert ensemble.history.action.shape[1] == 80
    assert len(ensemble.history.measured.action) == 200
    # By quadrature: exact values of the 4×4 lattice.
    found = observables(ensemble.configurations, n_chains=80)
    for name, exact in {"susceptibility": 0.934973, "phi2": 0.1673918}.items():
        assert abs(found[name].value - exact) < 4 * found[name].error
    # The kept configurations are those of the history, chain by chain.
    kept = ensemble.history.measured.magnetization[1::2].T.reshape(-1)
    torch.testing.assert_close(ensemble.configurations.mean((1, 2, 3)), kept)


def test_chains_of_unequal_length_keep_their_order():
    ensemble = ensembles.generate(SMALL)  # 110 in 20 chains: ten of 6 and ten of 5
    m = ensemble.history.measured.magnetization[1::2].float()
    expected = torch.cat([m[:6, :10].T.reshape(-1), m[:5, 10:].T.reshape(-1)])
    torch.testing.assert_close(ensemble.configurations.mean((1, 2, 3)), expected)


def test_a_second_time_it_is_read():
    calls, histories = [], []
    first = ensembles.generate(
        SMALL, progress=lambda *at: calls.append(at), watch=lambda h: histories.append(h)
    )
    assert calls == [(i + 1, 42) for i in range(42)]
    last = histories[-1]
    assert len(last.action) == 42
    assert last.acceptance == first.acceptance and last.step_size == first.step_size
    assert last.exp_delta_h == first.exp_delta_h
    assert same(ensembles.generate(SMALL, progress=lambda *at: calls.append(at)), first)
    assert same(ensembles.read(SMALL.id), first)
    assert len(calls) == 42


@pytest.mark.parametrize("seconds", [0.0, 1e9])
@pytest.mark.parametrize("stops", [(1, 10), (29, 30, 31), (35, 36, 41)])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(seconds, stops, cache, monkeypatch):
    """Saved after every trajectory, or only as the run is stopped."""
    monkeypatch.setattr(ensemble_runs, "PIECE_SECONDS", seconds)
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done in stops and seen.count(done) == 1:
            raise Stop

    for _ in stops:
        with pytest.raises(Stop):
            ensembles.generate(SMALL, progress=stop)
        assert ensembles.unfinished() == [SMALL]
        assert ensembles.stored() == []
    ensemble = ensembles.generate(SMALL, progress=stop)
    assert seen == list(range(1, 43))
    assert ensembles.unfinished() == []
    assert same(ensemble, generated_elsewhere(monkeypatch, cache))
    left = {path.name for path in (cache / "ensembles" / SMALL.id).iterdir()}
    assert left == {"ensemble.npz", "about.json"}


def test_a_default_thermalization_that_was_stopped_starts_anew(cache, monkeypatch):
    """It ends by what it has seen, which is not kept; once it has ended the run goes on."""
    spec = replace(SMALL, thermalization=None)
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 50 or done == total - 3:
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            ensembles.generate(spec, progress=stop)
    ensemble = ensembles.generate(spec, progress=stop)
    total = seen[-1]
    assert seen == [*range(1, 51), *range(1, total + 1)]
    assert same(ensemble, generated_elsewhere(monkeypatch, cache, spec))


LONG = replace(SMALL, n_samples=20 * 1200, thinning=1)
PROGRAM = """
import sys, torch
from rgdiff_core.data import ensemble_runs, ensembles
from rgdiff_core.lattice.ensembles import EnsembleSpec
torch.set_num_threads(1)
ensemble_runs.PIECE_SECONDS = 0.1
ensembles.generate(EnsembleSpec.from_json(sys.argv[1]))
"""


def test_a_run_that_was_killed_goes_on(cache, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, LONG.to_json()])
    state = cache / "ensembles" / LONG.id / "state.npz"
    deadline = time.monotonic() + PATIENCE
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = []
    ensemble = ensembles.generate(LONG, progress=lambda at, total: done.append(at))
    assert 1 < done[0] < done[-1] == 1230
    assert same(ensemble, generated_elsewhere(monkeypatch, cache, LONG))


def test_two_at_once_make_it_once(cache):
    found = []

    def run(seen: list[int]) -> None:
        found.append(ensembles.generate(LONG, progress=lambda at, total: seen.append(at)))

    both = [], []
    threads = [threading.Thread(target=run, args=(seen,)) for seen in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(*found)
    # One goes through every trajectory; the other reports now and then what the first has saved.
    every = list(range(1, 1231))
    assert sorted(seen == every for seen in both) == [False, True]


def test_damage_is_said_and_repaired(cache, caplog):
    first = ensembles.generate(SMALL)
    path = cache / "ensembles" / SMALL.id / "ensemble.npz"
    sound = path.read_bytes()
    at = sound.index(b"images.npy") + 3000
    for damaged in (sound[:at] + b"\x00\x01" + sound[at + 2 :], sound[:5000], b""):
        path.write_bytes(damaged)
        with pytest.raises(DataUnavailable, match=r"ensemble\.npz cannot be read.*Delete it"):
            ensembles.read(SMALL.id)
        with caplog.at_level(logging.WARNING):
            assert same(ensembles.generate(SMALL), first)
        assert "generated again" in caplog.text
        assert same(ensembles.read(SMALL.id), first)


@pytest.mark.parametrize("name", ["state.npz", "piece-00000.npz"])
def test_a_damaged_state_starts_anew(name, cache, monkeypatch, caplog):
    def stop(done: int, total: int) -> None:
        if done == 35:
            raise Stop

    with pytest.raises(Stop):
        ensembles.generate(SMALL, progress=stop)
    path = cache / "ensembles" / SMALL.id / name
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    done = []
    with caplog.at_level(logging.WARNING):
        ensemble = ensembles.generate(SMALL, progress=lambda at, total: done.append(at))
    assert "starts again" in caplog.text and done[0] == 1
    assert same(ensemble, generated_elsewhere(monkeypatch, cache))


def test_a_disk_that_is_full_is_said(cache):
    spec = replace(SMALL, size=32, n_samples=200)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataUnavailable, match=rf"{spec.id} cannot be written: File too large"):
            ensembles.generate(spec)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ensembles.unfinished() == [spec]
    assert len(ensembles.generate(spec).configurations) == 200


def test_a_folder_that_cannot_be_written_is_said(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("RGDIFF_CACHE", str(cache / "file"))
    with pytest.raises(DataUnavailable, match="cannot be written"):
        ensembles.generate(SMALL)
    assert ensembles.stored() == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lam": -1.0}, "lam = -1.0"),
        ({"size": 1}, "size = 1"),
        ({"n_samples": 0}, "n_samples = 0"),
        ({"n_samples": 10**6, "size": 32}, "sites; at most"),
        ({"n_chains": 111}, "n_chains = 111"),
        ({"thermalization": 19}, "thermalization = 19"),
        ({"thinning": 0}, "thinning = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"n_samples": 10**6, "n_chains": 2, "thinning": 100}, "trajectories of 2 chains"),
    ],
)
def test_specs_out_of_range_are_refused(change, says):
    with pytest.raises(ValueError, match=says):
        replace(SMALL, **change)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_configurations_have_no_identity(n):
    ensemble = ensembles.generate(replace(SMALL, n_samples=n, n_chains=1))
    assert len(ensemble.configurations) == n
    assert (ensemble.identity, ensemble.exp_delta_h.value > 0) == (None, True)


def test_deleting(cache):
    ensembles.generate(SMALL)
    lock = FileLock(cache / "ensembles" / f"{SMALL.id}.lock")
    with lock, pytest.raises(ValueError, match="being generated"):
        ensembles.delete(SMALL.id)
    assert [item.id for item in ensembles.stored()] == [SMALL.id]
    ensembles.delete(SMALL.id)
    assert ensembles.stored() == []
    for id in (SMALL.id, "../../etc", ""):
        with pytest.raises(ValueError, match=r"no ensemble|hexadecimal"):
            ensembles.delete(id)
        with pytest.raises(ValueError, match=r"no ensemble|hexadecimal"):
            ensembles.read(id)
