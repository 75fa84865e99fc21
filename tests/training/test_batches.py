"""Batches: functions of seed and step, shared out by rows; symmetries that leave the action."""

import math

import pytest
import torch
from laws import fitted
from scipy.stats import chi2

from rgdiff_core.lattice import Phi4
from rgdiff_core.training.batches import Batches, transform
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess, Universal

SHAPE = (1, 6, 6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(rank: int = 0, world: int = 1, seed: int = 3, symmetries: str = "lattice") -> Batches:
    basis, modes = fitted(SHAPE)
    sampler = Universal(4).sampler(basis, modes, Objective(), seed)
    images = torch.randn(100, *SHAPE, generator=generator(9))
    return Batches(images, sampler, 12, symmetries, seed, rank, world)


def flat(batch) -> list[torch.Tensor]:
    levels = batch.levels
    return [batch.x0, batch.noise, levels.marginal.alpha, levels.marginal.std, levels.weight]


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_out_what_one_would_draw(world):
    for step in (0, 7):
        whole = flat(batches().draw(step))
        shares = [flat(batches(rank, world).draw(step)) for rank in range(world)]
        for one, parts in zip(whole, zip(*shares, strict=True), strict=True):
            together = torch.stack(parts, 1).flatten(0, 1)  # row r + world · i is row i of rank r
            assert torch.equal(one, together)


def test_a_batch_depends_on_seed_and_step_alone():
    walked = batches()
    for step in range(6):
        last = flat(walked.draw(step))
    torch.randn(7)
    for one, other in zip(last, flat(batches().draw(5)), strict=True):
        assert torch.equal(one, other)
    for other in (batches().draw(4), batches(seed=4).draw(5)):
        assert all(not torch.equal(a, b) for a, b in zip(last, flat(other), strict=True))


def test_images_are_drawn_alike_and_noise_is_white():
    drawn = batches(symmetries="none")
    counts = torch.zeros(100)
    noise = []
    known = drawn.images.flatten(1)
    for step in range(300):
        batch = drawn.draw(step)
        same = (batch.x0.flatten(1)[:, None] == known).all(2)
        assert (same.sum(1) == 1).all()
        counts += same.sum(0)
        noise.append(batch.noise)
    expected = 300 * 12 / 100
    assert float(((counts - expected) ** 2 / expected).sum()) < chi2.isf(1e-6, 99)
    x = torch.cat(noise).flatten(1).double()
    assert float((x.T @ x / len(x) - torch.eye(36)).abs().max()) < 6 * math.sqrt(2 / len(x))


def group(height: int, width: int, symmetries: str) -> dict[tuple[int, ...], int]:
    """Return how often each signed permutation of sites comes up, found by what it does."""
    n = 40_000 if symmetries == "lattice" else 2000
    sites = torch.arange(1.0, 1 + height * width).reshape(1, 1, height, width)
    moved = transform(sites.expand(n, -1, -1, -1), symmetries, generator())
    rows, counts = torch.unique(moved.flatten(1).long(), dim=0, return_counts=True)
    return dict(zip(map(tuple, rows.tolist()), counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("height", "width", "symmetries", "size"),
    [
        (3, 3, "lattice", 9 * 8 * 2),  # translations, the square's symmetries, the sign
        (4, 4, "lattice", 16 * 8 * 2),
        (3, 4, "lattice", 12 * 4 * 2),  # a rectangle has no rotation by 90°
        (3, 4, "flip", 2),
        (3, 4, "none", 1),
    ],
)
def test_symmetries_are_signed_permutations_all_equally_often(height, width, symmetries, size):
    found = group(height, width, symmetries)
    sites = set(range(1, 1 + height * width))
    for row in found:
        assert {abs(v) for v in row} == sites
        assert len({v > 0 for v in row}) == 1
    assert len(found) == size
    expected = sum(found.values()) / size
    statistic = sum((count - expected) ** 2 / expected for count in found.values())
    assert size == 1 or statistic < chi2.isf(1e-6, size - 1)


def test_the_action_does_not_see_them_and_fields_do():
    x = torch.randn(200, 1, 6, 6, generator=generator(1), dtype=torch.float64)
    moved = transform(x, "lattice", generator(2))
    action = Phi4(m2=-4.0, lam=6.975)
    torch.testing.assert_close(action(moved), action(x))
    assert (moved - x).flatten(1).norm(dim=1).gt(1).sum() > 190
    assert len({tuple(row) for row in (moved / x).flatten(1).sign().tolist()}) > 50


def test_a_flip_turns_whole_images_left_to_right():
    x = torch.randn(64, 3, 4, 6, generator=generator(1))
    moved = transform(x, "flip", generator(2))
    same = (moved == x).flatten(1).all(1)
    turned = (moved == x.flip(-1)).flatten(1).all(1)
    assert (same ^ turned).all() and 15 < int(same.sum()) < 49


def test_symmetries_keep_channels_and_samples_apart():
    x = torch.arange(8.0)[:, None, None, None] * 100 + torch.arange(3.0)[:, None, None]
    x = x.expand(8, 3, 4, 4).contiguous() + 1
    moved = transform(x, "lattice", generator(3))
    assert torch.equal(moved.abs(), x)


def test_one_process_is_shared_out_too():
    basis, modes = fitted(SHAPE)
    images = torch.randn(10, *SHAPE)
    parts = []
    for rank in range(2):
        sampler = FixedProcess().sampler(basis, modes, Objective(), 1)
        parts.append(Batches(images, sampler, 8, "none", 1, rank, 2).draw(0))
    assert parts[0].levels.weight.shape[0] == parts[1].levels.weight.shape[0] == 4
    assert not torch.equal(parts[0].noise, parts[1].noise)
