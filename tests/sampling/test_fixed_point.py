"""A spectrum that samples reproduce: of a model whose answer is known, and of φ⁴ on 16×16."""

from pathlib import Path

import pytest
import torch
from gaussians import generator

import rgdiff_core as rg
from rgdiff_core import Denoiser, GaussianDenoiser, Modes, Process
from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.base import Shape
from rgdiff_core.colors import Matched
from rgdiff_core.lattice import Phi4
from rgdiff_core.lattice.sizes import measured
from rgdiff_core.sampling.fixed_point import _still, fixed_point
from rgdiff_core.sampling.growth import standard_process
from rgdiff_core.schedules import LinearGamma

SHAPE = (1, 8, 8)
SLOPE = 0.6
MODEL = Path(__file__).parents[2] / "results/models/phi4-critical/phi4-critical-sizes.safetensors"


def modes(factor: float = 1.0) -> Modes:
    """Return modes of a free field, its long waves louder by a factor."""
    basis = FourierBasis(SHAPE, "lattice")
    variance = 1 / (2 * (basis.momentum**2 + 0.5))
    variance = torch.where(basis.scale < 0.4, factor * variance, variance)
    return Modes(basis.scale, torch.zeros(SHAPE), variance, basis.momentum)


class Pulled(GaussianDenoiser):
    """A model that draws Σ^s Σ*^{1−s} where it is given Σ: f has slope s, and Σ* stands still."""

    def on(self, shape: Shape, modes: Modes) -> GaussianDenoiser:
        own = self.modes.variance
        assert own is not None and modes.variance is not None
        drawn = modes.variance**SLOPE * own ** (1 - SLOPE)
        return GaussianDenoiser(self.basis, Modes(modes.scale, modes.mean, drawn, modes.momentum))


def process(model: Denoiser) -> Process:
    return Process(model.basis, Matched(), LinearGamma(-12, 8), model.modes)


def test_the_fixed_point_is_found_within_its_error_and_so_is_the_slope():
    model = Pulled(FourierBasis(SHAPE, "lattice"), modes())
    start = modes(8.0)
    found = fixed_point(model, start, process, 4000, 4, generator(), rounds=20)
    assert found.converged and 4 <= found.rounds <= 20
    assert abs(found.slope - SLOPE) < 0.1
    exact, own = modes().variance, found.found.modes.variance
    assert exact is not None and own is not None
    deviation = (own / exact).log() / found.found.error
    assert deviation.abs().max() < 4.5
    assert deviation.square().mean() < 3
    # noise is carried on: the error is above that of independent fields
    assert found.found.error[0, 0, 0] > 1.5 * (2 / 4000) ** 0.5


@pytest.mark.parametrize("louder", [1.0, 1.1])
def test_on_a_large_lattice_noise_is_told_from_a_change(louder):
    """8,192 orbits of 8 components each, as at L = 256, in two rounds of 16 groups."""
    for seed in range(8):
        rounds = torch.randn(2, 16, 8192, generator=generator(seed))
        before, after = (x.std(0) / 4 for x in rounds)
        change = louder * (rounds[1].mean(0) - rounds[0].mean(0))
        assert _still(change.repeat(8), before.repeat(8), after.repeat(8)) == (louder == 1)


def test_a_model_that_gives_back_what_it_is_given_says_how_little_it_knows():
    free = GaussianDenoiser(FourierBasis(SHAPE, "lattice"), modes())
    found = fixed_point(free, modes(2.0), process, 1000, 4, generator())
    assert found.slope > 0.5
    assert float(found.found.error[0, 0, 0]) > 2 * (2 / 1000) ** 0.5


@pytest.mark.parametrize(
    ("n", "rounds", "match"), [(63, 8, "n = 63"), (100, 1, "rounds = 1"), (100, 101, "rounds")]
)
def test_numbers_out_of_range_are_refused(n, rounds, match):
    free = GaussianDenoiser(FourierBasis(SHAPE, "lattice"), modes())
    with pytest.raises(ValueError, match=match):
        fixed_point(free, modes(), process, n, rounds=rounds)


def test_without_variances_there_is_nothing_to_start_from():
    free = GaussianDenoiser(FourierBasis(SHAPE, "lattice"), modes())
    with pytest.raises(ValueError, match="variance"):
        fixed_point(free, Modes.of(free.basis), process)


def test_phi4_on_16_sites_agrees_with_a_run_within_the_error_of_the_fixed_point(one_thread):
    """χ = 38.06 ± 0.28, from 7,500 fields; the start is that of a short run, 30 % too loud."""
    start = measured(Phi4(-4.0, 4.2606), 16, 256, generator(1)).modes
    assert start.variance is not None
    loud = Modes(start.scale, start.mean, 1.3 * start.variance, start.momentum)
    model = rg.load_model(MODEL)
    found = fixed_point(model, loud, standard_process, 256, 8, generator(), rounds=6)
    own = found.found.modes.variance
    assert own is not None
    error = float(found.found.error[0, 0, 0])
    assert error < 0.6
    assert abs(float((own[0, 0, 0] / 38.06).log())) < 3 * (error**2 + (0.28 / 38.06) ** 2) ** 0.5
    assert float((own.mean() / start.variance.mean()).log().abs()) < 0.1
