"""Ensembles in the making, stopped where it is least convenient."""

import random

import numpy as np
import pytest
import torch

from rgdiff_core.data import ensemble_runs, ensembles
from rgdiff_core.lattice import Omelyan
from rgdiff_core.lattice.ensembles import EnsembleSpec

SMALL = EnsembleSpec(-4, 6.975, 4, n_samples=60, n_chains=20, thermalization=30, thinning=2)
TOTAL = 36


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("RGDIFF_CACHE", str(tmp_path))
    return tmp_path


def without_a_stop(monkeypatch, folder):
    with monkeypatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(folder / "elsewhere"))
        return ensembles.generate(SMALL)


def same(one, other) -> bool:
    return torch.equal(one.configurations, other.configurations) and torch.equal(
        one.history.action, other.history.action
    )


@pytest.mark.parametrize("stop", [1, 12, 33])
def test_a_key_pressed_within_a_trajectory_changes_nothing(stop, cache, monkeypatch):
    """Its momenta have been drawn by then; the next run has to draw the same ones."""
    integrate, calls = Omelyan.integrate, []

    def interrupted(*arguments, **numbers):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return integrate(*arguments, **numbers)

    with monkeypatch.context() as patch:
        patch.setattr(Omelyan, "integrate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensembles.generate(SMALL)
    done = []
    found = ensembles.generate(SMALL, progress=lambda at, total: done.append(at))
    assert done == list(range(stop, TOTAL + 1))
    assert same(found, without_a_stop(monkeypatch, cache))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_state_is_noticed_whatever_the_damage(seed, cache, monkeypatch):
    def stop(done: int, total: int) -> None:
        if done == 33:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensembles.generate(SMALL, progress=stop)
    chance = random.Random(seed)
    for path in sorted((cache / "ensembles" / SMALL.id).glob("*.npz"))[seed % 2 :: 2]:
        content = bytearray(path.read_bytes())
        for _ in range(40):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    assert same(ensembles.generate(SMALL), without_a_stop(monkeypatch, cache))


@pytest.mark.parametrize("lost", ["seconds", "generator"])
def test_a_state_that_does_not_fit_leaves_nothing_of_itself(lost, cache, monkeypatch):
    def stop(done: int, total: int) -> None:
        if done == 33:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensembles.generate(SMALL, progress=stop)
    path = cache / "ensembles" / SMALL.id / "state.npz"
    state = ensemble_runs._read(path)
    state = {k: v for k, v in state.items() if k != "seconds"} if lost == "seconds" else state
    if lost == "generator":
        state["generator"] = np.zeros(7, np.uint8)
    np.savez(path, **state)
    done = []
    found = ensembles.generate(SMALL, progress=lambda at, total: done.append(at))
    assert done[0] == 1
    assert same(found, without_a_stop(monkeypatch, cache))
