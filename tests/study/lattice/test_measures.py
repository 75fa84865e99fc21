"""What the study measures, against closed forms, quadrature, and NumPy."""

import math

import numpy as np
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.lattice import FreeField
from rgdiff_core.networks import LatticeNet
from rgdiff_core.process import Marginal, Process
from rgdiff_core.schedules import Cutoff, LinearGamma, SoftConditioning
from rgdiff_core.schedules.kernels import SigmoidKernel
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.lattice.distance import BANDS, EDGES, bound, distance, ends, reference, tail
from rgdiff_core.study.lattice.measures import METHODS, plain_numbers
from rgdiff_core.study.lattice.posterior import posterior_means

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = "phi4-6x6"


def test_what_samplers_draw_is_compared_with_the_truth():
    """Of a free field, of which many steps draw what they should: χ = 1/(2m²)."""
    field = FreeField(0.5, 4)
    basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice")
    variance = 1 / (2 * (basis.momentum**2 + 0.5))
    modes = rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    model = ModelSpec(LatticeNet(4, 1)).build(basis, modes)
    process = Process(basis, White(), LinearGamma(-9.0, 6.0), modes)
    rows = plain_numbers(model, process, field.action, Estimate(2.0, 0.0), 64, (2000, 16), 0)
    assert [row["method"] for row in rows] == list(METHODS)
    for row in rows:  # half of what was said to be true
        error = row["susceptibility_percent_error"]
        if row["method"] != "ancestral":  # which needs more steps
            assert error == pytest.approx(50 * (2 / 2000) ** 0.5, rel=0.15)
            assert abs(row["susceptibility_percent"] + 50) < 4 * error
            assert row["susceptibility_sigma"] < -20
    assert rows[0]["ess"]["value"] > 0.9


PROCESSES = (
    (White(), LinearGamma(-9.0, 6.0)),
    (Matched(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0)),
)


@pytest.fixture(scope="module")
def broken():
    """Return a model of the broken phase, held-out fields, and the action."""
    name = "phi4-6x6-broken"
    x = rg.data.load(name, "test").images
    return rg.load_pretrained(name), x, rg.data.action_of(name)


@pytest.mark.parametrize(("color", "schedule"), PROCESSES)
def test_the_bound_is_that_of_many_small_steps(broken, color, schedule):
    """Against the shell sampler's bound, which is computed step by step."""
    model, x, _ = broken
    process, x = Process(model.basis, color, schedule, model.modes), x[:120]
    mine = bound(model, process, x, 64, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        steps = -rg.elbo(model, process, x, 256, generator, grid="angle").double()
    less = mine.nll - steps
    assert abs(float(less.mean())) < 4 * float(less.std()) / len(x) ** 0.5


@pytest.mark.parametrize(("color", "schedule"), PROCESSES)
def test_the_denoisers_error_is_the_bounds_distance_from_the_entropy(broken, color, schedule):
    """For the free theory, which is one and a half nats away in the broken phase."""
    model, x, action = broken
    process = Process(model.basis, color, schedule, model.modes)
    free = rg.GaussianDenoiser(model.basis, model.modes)
    known = reference(process, model.modes, action, x[:400], 40, 3)
    each, table = distance(free, known)
    assert float(table.sum()) == pytest.approx(float(each.mean()), rel=1e-6)
    above = -free.log_density(x, 0.0, process).double() - action(x.double())
    log_z, log_z_error = 9.876, 0.008
    expected = float(above.mean()) - log_z
    error = math.hypot(*(float(v.std()) / len(v) ** 0.5 for v in (each, above)), log_z_error)
    assert abs(float(each.mean()) - expected) < 4 * error
    _check_places(table, known, process, model.modes, free)
    # the model knows most of it
    learnt, _ = distance(model, known)
    assert float(learnt.mean()) < 0.1 * expected


def test_the_error_of_wrong_variances_is_the_divergence_of_gaussians():
    """Of a free field and a Gaussian denoiser: ½ Σ_k (r − 1 − log r), r the ratio of variances."""
    field = FreeField(0.5, 4)
    basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice")
    variance = 1 / (2 * (basis.momentum**2 + 0.5))
    true, wrong = (
        rg.Modes(basis.scale, torch.zeros_like(variance), scaled, basis.momentum)
        for scaled in (variance, 1.6 * variance)
    )
    x = field.sample(2000, torch.Generator().manual_seed(0)).float()
    process = Process(basis, White(), LinearGamma(-12.0, 9.0), true)
    known = reference(process, true, field.action, x, 8, 0)
    found = Estimate.of(distance(rg.GaussianDenoiser(basis, wrong), known)[0])
    exact = 8 * (1 / 1.6 - 1 + math.log(1.6))
    assert abs(found.value - exact) < 4 * found.error < 0.1 * exact


def test_the_whole_distance_does_not_depend_on_where_a_schedule_ends(broken):
    """For the free theory: what a short schedule does not pass lies beyond its ends."""
    model, x, action = broken
    free = rg.GaussianDenoiser(model.basis, model.modes)
    found = {}
    for low, high in ((-12.0, 9.0), (-1.5, 9.0), (-12.0, 1.0)):
        process = Process(model.basis, White(), LinearGamma(low, high), model.modes)
        known = reference(process, model.modes, action, x[:1500], 30, 0)
        inside, _ = distance(free, known)
        beyond, table = ends(process, model.modes, action, x[:1500], 30, 0)
        assert float(table.sum()) == pytest.approx(float(beyond.mean()), rel=1e-6, abs=1e-9)
        found[low, high] = Estimate.of(inside), Estimate.of(beyond)
    (wide, little), *short = found.values()
    assert little.value < 0.01
    for narrow, much in short:
        error = math.hypot(wide.error, little.error, narrow.error, much.error)
        assert 4 * error < much.value  # without it the two would differ
        assert abs(wide.value + little.value - narrow.value - much.value) < 4 * error


def test_nothing_lies_beyond_the_ends_of_a_free_theory():
    field = FreeField(0.5, 4)
    basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice")
    variance = 1 / (2 * (basis.momentum**2 + 0.5))
    modes = rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    x = field.sample(500, torch.Generator().manual_seed(0)).float()
    process = Process(basis, White(), LinearGamma(-3.0, 0.0), modes)
    found = Estimate.of(ends(process, modes, field.action, x, 20, 0)[0])
    assert abs(found.value) < 1e-8  # exact but for rounding: D* by the control variate


def test_the_tail_is_the_integral_beyond_the_floor():
    """One site, by quadrature over φ and over the noised value, at log-SNRs from 9 to 20."""
    action, basis = rg.lattice.Phi4(-1.0, 0.5), rg.bases.PixelBasis((1, 1, 1))
    phi = np.linspace(-4, 4, 8001)
    weight = np.exp(-(action.m2 * phi**2 + action.lam * phi**4))
    weight /= weight.sum()
    phi2 = float(weight @ phi**2)
    modes = rg.Modes(basis.scale, torch.zeros(1, 1, 1), torch.full((1, 1, 1), phi2))
    levels, terms = np.linspace(9, 20, 45), []
    for level in levels:
        width = np.sqrt(phi2 * np.exp(-level))  # of y = φ + width ε
        y = np.linspace(-3, 3, 801)
        near = y[:, None] + width * np.linspace(-8, 8, 321)
        density = np.interp(near, phi, weight) * np.exp(-((near - y[:, None]) ** 2) / 2 / width**2)
        mean = (near * density).sum(1) / density.sum(1)
        free = phi2 / (phi2 + width**2) * y
        chance = density.sum(1) / density.sum()
        terms.append(chance @ (mean - free) ** 2 * (1 / width**2 + 1 / phi2))
    fall = 1 / (1 + np.exp(-levels))  # of log V with the level
    expected = np.trapezoid(np.array(terms) * fall, levels) / 2
    found = float(tail(basis, modes, action, phi2).sum())
    assert found == pytest.approx(expected, rel=0.01)
    assert found > 1e-4


def _check_places(table, known, process, modes, model):
    """Compare a table with a histogram by NumPy."""
    t = {name: value.double().numpy() for name, value in known.tensors.items()}
    with torch.no_grad():
        marginal = Marginal(known.tensors["alpha"], known.tensors["std"])
        mean = model.posterior(known.tensors["c"], marginal).mean.double().numpy()
    terms = t["weight"] * (mean - t["first"]) * (mean - t["second"])
    snr = np.log(modes.variance.double().numpy() * t["alpha"] ** 2 / t["std"] ** 2)
    scale = np.broadcast_to(process.basis.scale.numpy(), snr.shape)
    expected, *_ = np.histogram2d(
        scale.ravel(),
        snr.ravel(),
        [np.linspace(0, 1, BANDS + 1), [-np.inf, *EDGES, np.inf]],
        weights=terms.ravel(),
    )
    np.testing.assert_allclose(table.numpy(), expected / len(terms), atol=1e-4)


def test_posterior_means_are_those_of_two_sites():
    """Against quadrature: on 2×2 sites, at all of which there is one noise."""
    action = rg.lattice.Phi4(-1.0, 0.5)
    basis = rg.bases.FourierBasis((1, 2, 2), momentum="lattice")
    generator = torch.Generator().manual_seed(0)
    x = rg.lattice.hmc(action, 2, 4000, generator=generator).configurations
    modes = rg.Modes.fit(basis, x)
    alpha, std, n = 0.8, 0.7, 40
    chosen = x[:: len(x) // n][:n]
    c = basis.analyze(alpha * chosen) + std * torch.randn(chosen.shape, generator=generator)
    marginal = Marginal(torch.full(c.shape, alpha), torch.full(c.shape, std))
    found = posterior_means(action, basis, modes, chosen, c, marginal, 600, generator)
    grid = torch.linspace(-3.2, 3.2, 23, dtype=torch.float64)
    sites = torch.cartesian_prod(grid, grid, grid, grid).reshape(-1, 1, 2, 2)
    noised = basis.synthesize(c).double()
    misfit = ((noised[:, None] - alpha * sites) ** 2).sum((2, 3, 4)) / (2 * std**2)
    exact = torch.einsum("ng,gchw->nchw", torch.softmax(-action(sites) - misfit, 1), sites)
    for part in (found.first, found.second):
        less = basis.synthesize(part.float()).double() - exact
        assert float(less.abs().max()) < 0.2
        less = less.mean((1, 2, 3))  # sites of one field err together
        assert abs(float(less.mean())) < 4 * float(less.std()) / n**0.5
    # errors of the two are independent, so that their product is nought on average
    first, second = (
        basis.synthesize(p.float()).double() - exact for p in (found.first, found.second)
    )
    product = (first * second).sum((1, 2, 3))
    assert abs(float(product.mean())) < 4 * float(product.std()) / n**0.5
    assert float((first**2).mean()) < 1e-3


def test_the_bound_of_a_free_model_is_its_gaussian():
    x = rg.data.load(DATA, limit=200).images
    basis = rg.bases.FourierBasis((1, 6, 6), momentum="lattice")
    modes = rg.Modes.fit(basis, x)
    model = ModelSpec(LatticeNet(4, 1)).build(basis, modes)  # F = 0 before it learns
    process = Process(basis, White(), LinearGamma(), modes)
    found = bound(model, process, x, 4, 1)
    c = basis.analyze(x).flatten(1).double()
    mean, variance = model.free_mean.double(), model.free_variance.double()
    normal = torch.distributions.Normal(mean.flatten(), variance.flatten().sqrt())
    torch.testing.assert_close(found.nll, -normal.log_prob(c).sum(1), rtol=1e-4, atol=1e-4)


def test_matched_noise_can_be_white_noise_by_another_name():
    """n_k = σ_kS_k/α_k is all that a denoiser depends on, and colour and schedule share it."""
    basis = rg.bases.FourierBasis((1, 6, 6), momentum="lattice")
    modes = rg.Modes.fit(basis, rg.data.load(DATA, limit=500).images)
    t = torch.linspace(0.1, 0.9, 5)
    white = Process(basis, White(), LinearGamma(-9.0, 6.0), modes).vp_marginal(t)
    soft = SoftConditioning(-9.0, 6.0, 1.0, "variance")
    matched = Process(basis, Matched(), soft, modes).vp_marginal(t)
    first, second = (torch.log(m.std / m.alpha) for m in (white, matched))
    spread = (second - second.mean((1, 2, 3), keepdim=True)).abs().max()
    assert float(spread) < 1e-4
    assert float((first - first.mean((1, 2, 3), keepdim=True)).abs().max()) < 1e-4
