"""Likelihood: the free theory exactly, another Gaussian by the ODE, order 4, unbiased traces."""

import pytest
import torch
from laws import SCHEDULES, fields, fitted, name_of
from scipy.stats import multivariate_normal

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.denoisers import Denoiser, Posterior, gaussian_posterior
from rgdiff_core.likelihood import sample_with_density
from rgdiff_core.networks import LatticeNet
from rgdiff_core.process import Process

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (1, 4, 4)


class Wider(Denoiser):
    """The exact denoiser of a Gaussian that is not the one of its modes."""

    def posterior(self, c, marginal):
        return gaussian_posterior(c, marginal, self.modes_mean + 0.2, 1.7 * self.modes_variance)

    def log_density(self, x, process):
        """Return its log density at t = 0, written out."""
        first = process.vp_marginal(0.0)
        total = first.alpha**2 * 1.7 * self.modes_variance + first.std**2
        c = self.basis.analyze(x)
        distribution = torch.distributions.Normal(
            first.alpha * (self.modes_mean + 0.2), total.sqrt()
        )
        return distribution.log_prob(c).sum((1, 2, 3))


CONTINUOUS = [s for s in SCHEDULES if s.continuous]
# Those of order by 64 labels do not fit 16 components.
FITTING = [s for s in CONTINUOUS if not (isinstance(getattr(s, "order", ""), tuple))]


@pytest.mark.parametrize("schedule", FITTING, ids=name_of)
def test_the_free_theory_is_exact_in_one_step(schedule):
    basis, modes = fitted(SHAPE)
    gaussian = rg.GaussianDenoiser(basis, modes)
    process = Process(basis, colors.PowerLaw(), schedule, modes)
    x = fields(SHAPE, 3)
    found = rg.log_likelihood(gaussian, process, x, steps=1)
    expected = gaussian.log_density(x, 0.0, process)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "schedule", [schedules.LinearGamma(-6, 22), schedules.Cutoff(gamma_max=22.0)]
)
@pytest.mark.parametrize("color", [colors.White(), colors.Matched()])
def test_another_gaussian_is_found_by_the_flow(color, schedule):
    basis, modes = fitted(SHAPE)
    model, process = Wider(basis, modes), Process(basis, color, schedule, modes)
    x = fields(SHAPE, 3)
    found = rg.log_likelihood(model, process, x, steps=60)
    # its prior at t = 1 is not quite the process': e^{-22} of signal is left
    torch.testing.assert_close(found, model.log_density(x, process), rtol=0, atol=2e-3)


def test_the_integrator_is_of_order_four():
    basis, modes = fitted(SHAPE)
    process = Process(basis, colors.White(), schedules.LinearGamma(-4, 4), modes)
    model, x = Wider(basis, modes), fields(SHAPE, 1)
    exact = rg.log_likelihood(model, process, x, steps=160)
    errors = [
        float((rg.log_likelihood(model, process, x, steps=n) - exact).abs().max())
        for n in (5, 10, 20)
    ]
    assert 10 < errors[0] / errors[1] < 25
    assert 10 < errors[1] / errors[2] < 25


class Correlated(Denoiser):
    """The exact denoiser of a Gaussian whose components are correlated: its flow mixes them."""

    def __init__(self, basis, modes, covariance):
        super().__init__(basis, modes)
        self.covariance = covariance  # of the flattened components, (D, D)

    def total(self, marginal):
        """Return the covariance of the noised components, dense."""
        a, n = marginal.alpha.flatten(), marginal.std.expand(self.basis.shape).flatten() ** 2
        return a[:, None] * self.covariance * a + torch.diag(n)

    def posterior(self, c, marginal):
        a = marginal.alpha.flatten()
        flat = (c - marginal.alpha * self.modes_mean).flatten(1)
        gain = self.covariance * a @ torch.linalg.inv(self.total(marginal))
        mean = self.modes_mean + (flat @ gain.T).reshape(c.shape)
        left = (self.covariance - gain * a @ self.covariance).diagonal()
        return Posterior(mean, left.reshape(c.shape[1:]))


@pytest.mark.parametrize("color", [colors.White(), colors.PowerLaw()])
def test_correlated_components_against_scipy(color):
    shape = (1, 3, 3)
    basis, modes = fitted(shape, "cosine")
    root = modes.variance.flatten().sqrt()
    mix = torch.eye(9) + 0.25 * torch.randn(9, 9, generator=torch.Generator().manual_seed(3))
    covariance = root[:, None] * (mix @ mix.T).double() * root
    model = Correlated(basis, modes, covariance)
    process = Process(basis, color, schedules.LinearGamma(-6, 14), modes)
    x = fields(shape, 4, seed=5)
    first = process.vp_marginal(0.0)
    c = (basis.analyze(x) - first.alpha * modes.mean).flatten(1)
    exact = multivariate_normal(cov=model.total(first).numpy()).logpdf(c.numpy())
    found = rg.log_likelihood(model, process, x, steps=100)
    torch.testing.assert_close(found, torch.from_numpy(exact), rtol=0, atol=1e-3)
    free = rg.GaussianDenoiser(basis, modes).log_density(x, 0.0, process)
    assert (found - free).abs().max() > 1  # the correlations matter
    generator = torch.Generator().manual_seed(1)
    copies = x[:1].expand(300, *shape)
    rough = rg.log_likelihood(model, process, copies, 100, "hutchinson", generator)
    error = float(rough.std() / 300**0.5)
    assert error > 1e-3
    assert abs(float(rough.mean()) - exact[0]) < 5 * error + 1e-3


def test_samples_carry_their_density():
    basis, modes = fitted(SHAPE)
    process = Process(basis, colors.White(), schedules.Cutoff(), modes)
    model = Wider(basis, modes)
    drawn = sample_with_density(model, process, 5, 60, generator=torch.Generator().manual_seed(1))
    again = rg.log_likelihood(model, process, drawn.x, steps=60)
    torch.testing.assert_close(drawn.log_density, again, rtol=0, atol=1e-4)


def test_hutchinson_is_unbiased():
    basis, modes = fitted(SHAPE)
    process = Process(basis, colors.White(), schedules.Cutoff(), modes)
    torch.manual_seed(0)
    model = rg.ModelSpec(LatticeNet(4, 1)).build(basis, modes).double()
    torch.nn.init.normal_(model.network.last.weight, std=0.05)
    model.requires_grad_(False)
    x = fields(SHAPE, 1)
    exact = rg.log_likelihood(model, process, x, steps=2)
    many = rg.log_likelihood(
        model, process, x.expand(400, *SHAPE), 2, "hutchinson", torch.Generator().manual_seed(2)
    )
    error = float(many.std() / 20)
    assert error > 0
    assert abs(float(many.mean() - exact)) < 4 * error


def test_bad_input_is_named():
    basis, modes = fitted(SHAPE)
    gaussian = rg.GaussianDenoiser(basis, modes)
    hard = Process(basis, colors.White(), schedules.Cutoff(schedules.HardKernel()), modes)
    smooth = Process(basis, colors.White(), schedules.Cutoff(), modes)
    other = Process(rg.bases.CosineBasis(SHAPE).double(), colors.White(), schedules.Cutoff())
    x = fields(SHAPE, 2)
    with pytest.raises(ValueError, match="does not jump"):
        rg.log_likelihood(gaussian, hard, x)
    with pytest.raises(ValueError, match=r"steps = 0 is outside \[1, 10000\]"):
        rg.log_likelihood(gaussian, smooth, x, steps=0)
    with pytest.raises(ValueError, match="divergence = 'guess' is not one of exact, hutchinson"):
        rg.log_likelihood(gaussian, smooth, x, divergence="guess")
    with pytest.raises(ValueError, match="basis"):
        rg.log_likelihood(gaussian, other, x)
