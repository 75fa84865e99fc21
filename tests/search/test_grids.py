"""The best grid: against brute force and against the bound itself."""

import itertools
import math

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.sampling.grids import shortest_path
from rgdiff_core.schedules import Cutoff, LinearGamma, SigmoidKernel
from rgdiff_core.search import optimal_times, step_bound
from rgdiff_core.search.grids import step_costs


def cost_of(path, costs):
    return sum(float(costs[a, b]) for a, b in itertools.pairwise(path))


@pytest.mark.parametrize("steps", range(1, 7))
def test_the_path_is_the_cheapest_of_all(steps):
    for _ in range(5):
        costs = torch.randn(7, 7, dtype=torch.float64)
        costs = costs.masked_fill(torch.ones(7, 7).tril() > 0, math.inf)
        found = shortest_path(costs, steps)
        every = [(0, *inner, 6) for inner in itertools.combinations(range(1, 6), steps - 1)]
        assert tuple(found) == min(every, key=lambda path: cost_of(path, costs))


def test_costs_add_up_to_the_bound(toy):
    process = toy.process(LinearGamma(-8.0, 5.0))
    times = torch.linspace(1, 0, 7, dtype=torch.float64)
    costs = step_costs(toy.model, process, toy.images, times)
    for path in ((0, 1, 2, 3, 4, 5, 6), (0, 2, 3, 6)):
        grid = tuple(times[list(path)].tolist())
        bound = step_bound(toy.model, process, toy.images, len(path) - 1, grid=grid, seed=7)
        error = float(bound.std()) / len(bound) ** 0.5
        assert cost_of(path, costs) == pytest.approx(float(bound.mean()), abs=4 * 2**0.5 * error)


def test_the_best_grid_is_better_on_fresh_data(toy):
    process = toy.process(Cutoff(SigmoidKernel(0.3)))
    grid = optimal_times(toy.model, process, toy.images, 6, 60)
    assert grid[0] == 1 and grid[-1] == 0 and list(grid) == sorted(grid, reverse=True)
    uniform, best = (
        step_bound(toy.model, process, toy.fresh, 6, grid=each, draws=4)
        for each in ("uniform", grid)
    )
    gain = best - uniform
    assert float(gain.mean()) < -4 * float(gain.std()) / len(gain) ** 0.5
    samples = rg.sample(toy.model, process, 3, 6, "shell", grid=grid)
    assert samples.isfinite().all()


def test_the_grid_of_all_candidates_is_all_of_them(toy):
    process = toy.process(LinearGamma(-8.0, 5.0))
    grid = optimal_times(toy.model, process, toy.images[:50], 8, 8)
    assert grid == tuple(torch.linspace(1, 0, 9, dtype=torch.float64).tolist())


def test_gaussian_data_cost_nothing(toy):
    gaussian = rg.GaussianDenoiser(toy.model.basis, toy.model.modes)
    times = torch.linspace(1, 0, 5, dtype=torch.float64)
    costs = step_costs(gaussian, toy.process(LinearGamma(-8, 5)), toy.images[:9], times)
    forward = torch.ones(5, 5).triu(1) > 0
    assert (costs[forward] == 0).all() and (costs[~forward] == math.inf).all()


@pytest.mark.parametrize(
    ("steps", "candidates", "says"),
    [
        (9, 8, r"steps = 9 is outside \[1, 8\]"),
        (0, 8, "steps = 0"),
        (1, 5000, "candidates = 5000"),
    ],
)
def test_bad_input_is_one_sentence(toy, steps, candidates, says):
    with pytest.raises(ValueError, match=says):
        optimal_times(toy.model, toy.process(LinearGamma(-8, 5)), toy.images, steps, candidates)
