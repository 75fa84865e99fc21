"""A data set that is small and far from Gaussian, and a run on it that takes a second."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess

WELL = 0.5  # every site is ± this, and a little noise


@pytest.fixture(scope="session")
def wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache with one data set in it, "wells": two wells for each of 4×4 sites."""
    home = tmp_path_factory.mktemp("wells")
    chance = np.random.default_rng(0)
    signs = chance.choice((-1.0, 1.0), (1000, 1, 4, 4))
    images = WELL * signs + 0.1 * chance.standard_normal((1000, 1, 4, 4))
    np.savez(home / "wells.npz", images=images.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_CACHE", str(home))
        rg.data.register_folder(home / "wells.npz")
    return home


@pytest.fixture(autouse=True)
def cache(wells: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the test see that cache and compute on one thread, as small runs do."""
    monkeypatch.setenv("RGDIFF_CACHE", str(wells))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def toy() -> TrainConfig:
    """Return a run of 40 steps."""
    return TrainConfig(
        data="wells",
        noise=FixedProcess(rg.colors.Matched(), rg.schedules.LinearGamma(-8, 6)),
        model=ModelSpec(LatticeNet(8, 1)),
        steps=40,
        batch=16,
        lr=1e-2,
        warmup=10,
        ema=0.9,
        log_every=5,
        evaluations=2,
        previews=1,
    )


@pytest.fixture
def learning(toy: TrainConfig) -> TrainConfig:
    """Return a run that is long enough to learn the wells."""
    return replace(toy, steps=200, batch=64, log_every=20)


@pytest.fixture
def one_thread() -> dict[str, str]:
    """Return the environment of a process with one thread."""
    return os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
