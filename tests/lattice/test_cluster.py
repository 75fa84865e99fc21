"""Wolff's update: its bonds, its exactness, and what it is for."""

import itertools
import math
from itertools import islice

import pytest
import torch
from torch import Tensor

from rgdiff_core.lattice import HMC, Phi4, trajectories, wolff
from rgdiff_core.lattice.cluster import PACKED, bond_probability, clusters
from rgdiff_core.lattice.thermalization import autocorrelation_time

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_signs(sites: int) -> Tensor:
    return torch.tensor(list(itertools.product([1.0, -1.0], repeat=sites)), dtype=torch.float64)


def index_of(signs: Tensor) -> Tensor:
    """Number of a configuration of signs (..., n) in the order of `all_signs`."""
    powers = 2 ** torch.arange(signs.shape[-1] - 1, -1, -1)
    return ((signs < 0).long() * powers).sum(-1)


@pytest.mark.parametrize("size", [2, 3])
def test_signs_follow_the_weight_of_the_action(size):
    # Amplitudes stay; from the exact distribution of the signs an update has to lead back to it.
    # On 2×2 this fails if the two links of a pair are taken for one.
    n = 40_000
    theory = Phi4(-4, 4.2606)
    amplitude = 0.2 + 0.4 * torch.rand((size, size), generator=seeded(1), dtype=torch.float64)
    signs = all_signs(size**2)
    fields = signs.view(-1, size, size) * amplitude
    weight = torch.softmax(-theory(fields), 0)
    start = torch.multinomial(weight, n, replacement=True, generator=seeded(2))
    phi, generator = fields[start], seeded(3)
    for _ in range(3):
        phi = wolff(phi, generator)
    torch.testing.assert_close(phi.abs(), amplitude.expand_as(phi))
    end = index_of(phi.flatten(1).sign())
    assert float((end != start).double().mean()) > 0.9

    # χ² of the counts, configurations that are hardly expected lumped together.
    expected, found = n * weight, torch.bincount(end, minlength=len(weight)).double()
    common = expected > 20
    rest = torch.stack([expected[~common].sum(), found[~common].sum()])
    chi2 = float(((found - expected) ** 2 / expected)[common].sum())
    chi2 += float((rest[1] - rest[0]) ** 2 / rest[0].clamp(min=1))
    freedom = int(common.sum())
    assert chi2 < freedom + 4 * math.sqrt(2 * freedom)


def test_detailed_balance_of_single_flips():
    # Rates between all pairs of 2×2 sign configurations, weighted: a symmetric matrix.
    n = 40_000
    theory = Phi4(-4, 4.2606)
    amplitude = torch.tensor([[0.5, 0.3], [0.7, 0.4]], dtype=torch.float64)
    fields = all_signs(4).view(-1, 2, 2) * amplitude
    weight = torch.softmax(-theory(fields), 0)
    generator = seeded(4)
    rows = []
    for field in fields:
        end = index_of(wolff(field.expand(n, 2, 2), generator).flatten(1).sign())
        rows.append(torch.bincount(end, minlength=16).double() / n)
    flow = weight[:, None] * torch.stack(rows)
    error = weight[:, None] * torch.stack([row * (1 - row) / n for row in rows]).sqrt()
    combined = torch.sqrt(error**2 + error.T**2)
    moved = combined > 0
    assert int(moved.sum()) > 100
    assert float(((flow - flow.T).abs() / combined)[moved].max()) < 4.5


@pytest.mark.parametrize(("chains", "size"), [(16, 2), (16, 5), (37, 8), (24, 24)])
def test_many_lattices_have_the_clusters_of_one(chains, size):
    # Near the percolation threshold, where clusters wind about the lattice.
    assert chains >= PACKED
    bonds = torch.rand((2, chains, size, size), generator=seeded(8)).numpy() < 0.52
    sites = torch.randint(size**2, (chains,), generator=seeded(9)).numpy()
    found = clusters(bonds, sites)
    for i in range(chains):
        alone = clusters(bonds[:, i : i + 1], sites[i : i + 1])
        assert (found[i] == alone[0]).all()
        assert found[i].flat[sites[i]]


def test_bonds_join_equal_signs_only():
    phi = torch.tensor([[[0.5, -0.5, 1.0], [0.5, 0.5, 1.0], [-0.1, 0.2, 0.0]]]).double()
    right, down = bond_probability(phi)
    expected = [
        [0, 0, 1 - math.exp(-2)],
        [1 - math.exp(-1), 1 - math.exp(-2), 1 - math.exp(-2)],
        [0, 0, 0],
    ]
    torch.testing.assert_close(right[0], torch.tensor(expected).double())
    assert float(down[0, 0, 0]) == pytest.approx(1 - math.exp(-1))
    assert float(down[0, 1, 0]) == 0


def test_a_cluster_of_all_sites_turns_the_field():
    phi = torch.full((3, 5, 5), 10.0)
    torch.testing.assert_close(wolff(phi, seeded(5)), -phi)


def test_signs_without_bonds_turn_one_by_one():
    checkerboard = (-1.0) ** (torch.arange(6)[:, None] + torch.arange(6))
    phi = checkerboard.expand(50, 6, 6)
    turned = wolff(phi, seeded(6)) != phi
    assert turned.sum((-2, -1)).tolist() == [1] * 50
    assert len(set(turned.flatten(1).double().argmax(1).tolist())) > 15


def test_clusters_are_quick_near_the_critical_point():
    theory, size, chains = Phi4(-4, 4.2606), 16, 40

    def tau(cluster: int) -> float:
        run = trajectories(theory, size, chains, seeded(7), settings=HMC(cluster=cluster))
        moves = islice((move for move in run if not move.thermalizing), 300)
        return autocorrelation_time(torch.stack([m.magnetization.abs() for m in moves])).value

    assert tau(1) < 0.4 * tau(0)
