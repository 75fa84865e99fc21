"""The Ising model against all that is known of it exactly."""

import itertools
import math
from functools import cache

import pytest
import torch
from torch import Tensor

from rgdiff_core.lattice.gamma import means
from rgdiff_core.lattice.ising import (
    CRITICAL_BETA,
    Ising,
    energy_density,
    field_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

BETAS = (0.2, CRITICAL_BETA, 0.6)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def all_energies(size: int) -> Tensor:
    """E of all 2^V configurations."""
    states = torch.tensor(list(itertools.product([1.0, -1.0], repeat=size**2)))
    return size**2 * energy_density(states.view(-1, size, size))


@pytest.mark.parametrize("beta", [1e-3, *BETAS, 20.0])
@pytest.mark.parametrize("size", [2, 4])
def test_the_partition_function_is_the_sum_over_all_spins(size, beta):
    model, energies = Ising(beta, size), all_energies(size)
    weights = torch.softmax(-beta * energies, 0)
    assert model.log_z == pytest.approx(float(torch.logsumexp(-beta * energies, 0)), abs=1e-10)
    assert model.energy_density * size**2 == pytest.approx(float(weights @ energies), abs=1e-8)
    entropy = float(torch.special.entr(weights).sum())
    assert model.entropy == pytest.approx(entropy, abs=1e-8)


def test_large_lattices_have_onsagers_energy():
    for beta in (0.3, 0.55):
        model = Ising(beta, 128)
        assert model.energy_density == pytest.approx(model.infinite_energy_density, abs=1e-10)
    assert Ising(CRITICAL_BETA).infinite_energy_density == pytest.approx(-math.sqrt(2), abs=1e-7)
    # At the critical point it is approached as 1/L, from below.
    steps = [-math.sqrt(2) - Ising(CRITICAL_BETA, size).energy_density for size in (64, 128, 256)]
    assert steps[0] / steps[1] == pytest.approx(2, rel=1e-3)
    assert steps[1] / steps[2] == pytest.approx(2, rel=1e-3)


def test_without_coupling_spins_are_free():
    model = Ising(0.0, 6)
    assert (model.log_z, model.energy_density) == (36 * math.log(2), 0.0)
    assert (model.infinite_energy_density, model.infinite_magnetization) == (0.0, 0.0)


@pytest.mark.parametrize("size", [2, 4, 6])
def test_hardly_any_coupling_is_the_first_order(size: int):
    cold, hot = (Ising(beta, size) for beta in (1.001e-6, 0.999e-6))  # both sides of the rule
    assert hot.energy_density / hot.beta == pytest.approx(
        cold.energy_density / cold.beta, rel=1e-3
    )
    assert Ising(1e-200, size).entropy == pytest.approx(size**2 * math.log(2))


@pytest.mark.parametrize(("beta", "size"), [(0.6, 2), (0.2, 4), (CRITICAL_BETA, 4)])
def test_independent_chains_have_the_exact_distribution_of_energies(beta, size):
    n = 4000
    spins = Ising(beta, size).sample(n, n, seeded(1), thermalization=25, thinning=1)
    levels, place = torch.unique(all_energies(size).round(), return_inverse=True)
    chance = torch.zeros(len(levels), dtype=torch.float64).index_add_(
        0, place, torch.softmax(-beta * all_energies(size), 0)
    )
    found = torch.searchsorted(levels, (size**2 * energy_density(spins)).round())
    counts = torch.bincount(found, minlength=len(levels)).double()
    common = n * chance > 10
    expected = torch.cat([n * chance[common], (n * chance[~common].sum()[None]).clamp(min=1)])
    counts = torch.cat([counts[common], counts[~common].sum()[None]])
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert chi2 < len(counts) + 4 * math.sqrt(2 * len(counts))
    up = float((spins.float().mean((-2, -1)) > 0).double().mean())
    down = float((spins.float().mean((-2, -1)) < 0).double().mean())
    assert abs(up - down) < 4 / math.sqrt(n)


@pytest.mark.parametrize(("beta", "size"), [(0.4, 8), (CRITICAL_BETA, 8), (0.6, 12)])
def test_chains_have_kaufmans_energy_and_yangs_magnetization(beta, size):
    model, chains = Ising(beta, size), 64
    spins = model.sample(2560, chains, seeded(2), thermalization=60)
    magnetization = spins.float().mean((-2, -1)).abs().double()
    energy, order = means(torch.stack([energy_density(spins), magnetization], 1), chains)
    assert energy.error < 0.02
    assert abs(energy.value - model.energy_density) < 4 * energy.error
    # Kept so far apart that they are nearly independent.
    assert energy.tau_int is not None and energy.tau_int.value < 1.5
    if beta == 0.6:
        assert abs(order.value - model.infinite_magnetization) < 4 * order.error < 0.01


def test_spins_survive_their_noise():
    spins = Ising(0.5, 8).sample(300, 300, seeded(3), thermalization=1, thinning=1)
    field = field_of(spins, seeded(4))
    assert field.shape == (300, 1, 8, 8) and field.dtype == torch.float32
    torch.testing.assert_close(field.sign()[:, 0], spins.float())
    noise = (field[:, 0] - spins).double()
    assert float(noise.abs().max()) <= 0.5
    n = noise.numel()
    assert abs(float(noise.mean())) < 4 / math.sqrt(12 * n)
    assert float(noise.var()) == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / n))


def test_runs_report_are_repeated_and_stopped():
    model, seen = Ising(0.4, 4), []
    run = model.sample(11, 4, seeded(5), progress=lambda *at: seen.append(at))
    assert seen[-1] == (58 + 15, 58 + 15) and run.shape == (11, 4, 4)
    assert torch.equal(run, model.sample(11, 4, seeded(5)))

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        model.sample(11, 4, progress=stop)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ising(-0.1), r"beta = -0.1 is outside \[0, 20\]"),
        (lambda: Ising(math.nan), "beta = nan must be a finite number"),
        (lambda: Ising(0.4, 7), "size = 7 is odd; an even one from 2 to 256"),
        (lambda: Ising(0.4, 512), r"size = 512 is outside \[2, 256\]"),
        (lambda: Ising(0.4, 256).sample(5000, 5), r"n_samples = 5000 is outside \[1, 4096\]"),
        (lambda: Ising(0.4).sample(5, 6), r"n_chains = 6 is outside \[1, 5\]"),
        (lambda: Ising(0.4).sample(5, 5, thinning=0), "thinning = 0"),
    ],
)
def test_nonsense_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
