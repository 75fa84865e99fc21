"""φ⁴ on two sites: its density, posterior and flow, against quadrature and closed forms."""

import math

import pytest
import torch
from scipy.integrate import dblquad

import rgdiff_core as rg
from rgdiff_core.denoisers import TwoSites
from rgdiff_core.process import Marginal

pytestmark = pytest.mark.usefixtures("one_thread")

THEORY = TwoSites(-3.0, 1.5)
PROCESS = rg.Process(
    THEORY.basis,
    rg.colors.Matched(),
    rg.schedules.Cutoff(rg.schedules.SigmoidKernel(0.3), gamma_max=6.0),
    THEORY.modes,
)
TIMES = (0.0, 0.05, 0.4, 0.8, 1.0)  # both rules, and one mode by each


def grid(reach: float, n: int) -> tuple[torch.Tensor, float]:
    axis = torch.linspace(-reach, reach, n, dtype=torch.float64)
    pairs = torch.cartesian_prod(axis, axis)
    return pairs[:, None, None], float(axis[1] - axis[0]) ** 2


def test_the_normalization_is_that_of_the_sites():
    def weight(second: float, first: float) -> float:
        action = 2 * (first - second) ** 2 - 3 * (first**2 + second**2)
        return math.exp(-action - 1.5 * (first**4 + second**4))

    whole = dblquad(weight, -4, 4, -4, 4, epsabs=1e-9)[0]
    assert math.log(whole) == pytest.approx(THEORY.log_z, abs=1e-8)


@pytest.mark.parametrize("t", TIMES)
def test_the_noised_density_is_normalized(t: float):
    c, area = grid(4.0 if t < 0.5 else 6.0, 33)
    density = THEORY.log_density(c, PROCESS.marginal(t)).exp()
    assert float(density.sum() * area) == pytest.approx(1, abs=2e-4)


def test_a_batch_of_several_times_is_each_alone():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(len(TIMES), 1, 1, 2, generator=generator, dtype=torch.float64)
    whole = PROCESS.marginal(torch.tensor(TIMES, dtype=torch.float64))
    together, density = THEORY.posterior(x, whole), THEORY.log_density(x, whole)
    for i, t in enumerate(TIMES):
        alone = THEORY.posterior(x[i : i + 1], PROCESS.marginal(t))
        torch.testing.assert_close(together.mean[i : i + 1], alone.mean)
        torch.testing.assert_close(together.variance[i : i + 1], alone.variance)
        one = THEORY.log_density(x[i : i + 1], PROCESS.marginal(t))
        torch.testing.assert_close(density[i : i + 1], one)


def test_wells_narrower_than_the_spacing_are_refused():
    with pytest.raises(ValueError, match="101 points do not resolve"):
        TwoSites(-20.0, 0.01)


@pytest.mark.parametrize("t", TIMES)
def test_the_score_is_the_slope_of_the_density(t: float):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 1, 1, 2, generator=generator, dtype=torch.float64)
    marginal = PROCESS.marginal(t)
    found = THEORY.component_score(x, marginal)
    step = 1e-4
    for k in (0, 1):
        move = torch.zeros(1, 1, 2, dtype=torch.float64)
        move[..., k] = step
        rise = THEORY.log_density(x + move, marginal) - THEORY.log_density(x - move, marginal)
        torch.testing.assert_close(found[:, 0, 0, k], rise / (2 * step), rtol=1e-4, atol=2e-3)


def test_at_the_end_the_density_is_the_noise():
    marginal = Marginal(torch.full((1, 1, 2), 1e-6), PROCESS.noise_variance.sqrt())
    c = grid(2.0, 9)[0]
    wanted = torch.distributions.Normal(0, marginal.std).log_prob(c).sum((1, 2, 3))
    torch.testing.assert_close(THEORY.log_density(c, marginal), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("t", TIMES)
def test_without_interaction_the_modes_are_gaussians_of_their_own(t: float):
    free = TwoSites(0.7, 0.0)
    variance = 0.5 / (torch.tensor([[[0.0, 4.0]]]).double() + 0.7)
    torch.testing.assert_close(free.modes.variance, variance, rtol=1e-9, atol=0)
    marginal, c = PROCESS.marginal(t), grid(1.5, 7)[0]
    gaussian = rg.GaussianDenoiser(free.basis, free.modes).posterior(c, marginal)
    exact = free.posterior(c, marginal)
    torch.testing.assert_close(exact.mean, gaussian.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(
        exact.variance, gaussian.variance.expand_as(exact.variance), rtol=1e-5, atol=1e-9
    )


def test_the_flow_carries_noise_to_the_two_wells():
    n = 200
    x = rg.sample(THEORY, PROCESS, n, steps=24, method="heun", seed=1)
    second = x.double().square().mean((0, 1, 2))
    wanted = float(THEORY.modes_variance.sum() / 2)
    spread = x.double().square().std(0).flatten() / math.sqrt(n)
    assert ((second - wanted).abs() / spread < 4).all()  # ⟨φ²⟩ of both sites, standard errors
    assert float((x.mean((1, 2, 3)).abs() > 0.4).double().mean()) > 0.8


@pytest.mark.parametrize(
    ("m2", "lam", "points", "word"),
    [(-21, 1, 101, "m2"), (1, 21, 101, "lam"), (0, 0, 101, "above 0"), (1, 1, 12, "points")],
)
def test_theories_out_of_range_are_one_sentence(m2: float, lam: float, points: int, word: str):
    with pytest.raises(ValueError, match=word):
        TwoSites(m2, lam, points)
