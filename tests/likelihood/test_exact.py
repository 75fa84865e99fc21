"""Densities that are known exactly: a mixture of Gaussians, and how the flow is integrated."""

import pytest
import torch
from laws import BASES, COLORS, SCHEDULES, fields, fitted, name_of
from mixture import mixture

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.likelihood import flow_density, sample_with_density
from rgdiff_core.likelihood.jacobians import divergence_of, unit_directions
from rgdiff_core.networks import LatticeNet, UNet
from rgdiff_core.process import Process
from rgdiff_core.schedules import kernels

pytestmark = pytest.mark.usefixtures("one_thread")

PER_DIMENSION = 1e-3

SHARP = schedules.Cutoff(kernels.SigmoidKernel(0.03), gamma_min=-12.0, gamma_max=14.0)
FAMILIES = [
    schedules.LinearGamma(-13.3, 14.0),
    schedules.Cosine(),
    schedules.VE(),
    schedules.EDM(),
    schedules.FlowMatching(),
    schedules.SoftConditioning(-12.0, 12.0, 0.3),
    schedules.Sequential("column", 0.0, -12.0, 14.0),
    schedules.Cutoff(kernels.LitimKernel(), gamma_max=14.0),
    schedules.BlurringDiffusion(),
    schedules.Carosso(),
    SHARP,
]


@pytest.mark.parametrize("schedule", FAMILIES, ids=name_of)
def test_a_mixture_has_its_exact_density(schedule):
    model = mixture()
    process = Process(model.basis, colors.PowerLaw(), schedule, model.modes)
    x = model.draw(8)
    exact = model.log_density(x, process)
    gaussian = rg.GaussianDenoiser(model.basis, model.modes).log_density(x, 0.0, process)
    assert (exact - gaussian).abs().max() > 1
    found = rg.log_likelihood(model, process, x, tolerance=1e-5)
    torch.testing.assert_close(found, exact, rtol=0, atol=4 * PER_DIMENSION)


@pytest.mark.parametrize(
    ("basis", "color"),
    [
        ("pixel", colors.FreeTheory()),
        ("haar", colors.Matched()),
        ("fourier lattice", colors.White()),
        ("fourier lattice", colors.Matched()),
    ],
)
def test_in_any_basis_and_colour(basis, color):
    model = mixture((1, 2, 2), basis, 3)
    process = Process(model.basis, color, schedules.LinearGamma(-12, 14), model.modes)
    x = model.draw(8)
    found = rg.log_likelihood(model, process, x, steps=60)
    exact = model.log_density(x, process)
    torch.testing.assert_close(found, exact, rtol=0, atol=4 * PER_DIMENSION)


@pytest.mark.parametrize("name", BASES)
def test_gaussian_data_by_every_way(name):
    """All ways give the closed form, in every basis and colour, for processes with r ≠ 1 too."""
    shape = (2, 4, 8)
    basis, modes = fitted(shape, name)
    gaussian, x = rg.GaussianDenoiser(basis, modes), fields(shape, 3)
    families = (schedules.EDM(), schedules.FlowMatching(), schedules.InverseHeat())
    for color, schedule in zip(COLORS[:6], 2 * families, strict=True):
        process = Process(basis, color, schedule, modes)
        exact = gaussian.log_density(x, 0.0, process)
        torch.testing.assert_close(rg.log_likelihood(gaussian, process, x, 1), exact)
    for ways in ({"divergence": "hutchinson", "probes": 2}, {"tolerance": 1e-3}):
        found = rg.log_likelihood(gaussian, process, x, 2, **ways)
        torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("schedule", [s for s in SCHEDULES if s.continuous][::6], ids=name_of)
def test_the_adaptive_method_takes_long_steps_for_gaussian_data(schedule):
    basis, modes = fitted((1, 8, 8))
    process = Process(basis, colors.White(), schedule, modes)
    x = fields((1, 8, 8), 2)
    gaussian = rg.GaussianDenoiser(basis, modes)
    found = flow_density(gaussian, process, x, tolerance=1e-4)
    exact = gaussian.log_density(x, 0.0, process)
    torch.testing.assert_close(found.log_density, exact, rtol=1e-9, atol=1e-8)
    assert found.evaluations < 130


def test_tighter_tolerances_cost_more_and_err_less():
    model = mixture()
    process = Process(model.basis, colors.White(), SHARP, model.modes)
    x = model.draw(8)
    exact = model.log_density(x, process)
    errors, costs = [], []
    for tolerance in (1e-3, 1e-4, 1e-6):
        found = flow_density(model, process, x, tolerance=tolerance)
        errors.append(float((found.log_density - exact).abs().max()))
        costs.append(found.evaluations)
    assert costs[0] < costs[1] < costs[2] < 600
    assert errors[2] < 1e-4 < errors[1] / 10 and errors[1] < 4 * PER_DIMENSION
    fixed = flow_density(model, process, x, steps=costs[1] // 4)
    assert fixed.evaluations <= costs[1]
    assert 2 * errors[1] < float((fixed.log_density - exact).abs().max())


def test_samples_of_the_adaptive_flow_carry_their_density():
    model = mixture()
    process = Process(model.basis, colors.White(), SHARP, model.modes)
    drawn = sample_with_density(
        model, process, 200, tolerance=1e-5, generator=torch.Generator().manual_seed(3)
    )
    exact = model.log_density(drawn.x, process)
    torch.testing.assert_close(drawn.log_density, exact, rtol=0, atol=4 * PER_DIMENSION)
    # and the samples are the mixture's: mean log density is minus its entropy, within 5 errors
    other = model.log_density(model.draw(20_000))
    error = float(exact.std() / 200**0.5)
    assert abs(float(exact.mean() - other.mean())) < 5 * error


def test_probes_reduce_the_variance():
    model = mixture()
    process = Process(model.basis, colors.White(), schedules.Cosine(), model.modes)
    x = model.draw(1).expand(400, *model.basis.shape)
    exact = rg.log_likelihood(model, process, x[:1], 12)
    spreads = []
    for probes in (1, 4):
        generator = torch.Generator().manual_seed(probes)
        found = rg.log_likelihood(model, process, x, 12, "hutchinson", generator, probes=probes)
        spreads.append(float(found.std()))
        assert abs(float(found.mean() - exact)) < 5 * spreads[-1] / 20
    assert spreads[0] / spreads[1] == pytest.approx(2, rel=0.2)  # its error is 5 %


def test_the_batch_does_not_matter():
    """Backward passes go in chunks whose length depends on it."""
    model = mixture((1, 4, 4))
    process = Process(model.basis, colors.White(), schedules.Cosine(), model.modes)
    x = model.draw(70)
    whole = rg.log_likelihood(model, process, x, 2)
    single = torch.cat([rg.log_likelihood(model, process, row[None], 2) for row in x[::23]])
    torch.testing.assert_close(whole[::23], single)


def test_a_network_in_single_precision():
    basis, modes = fitted((1, 4, 4))
    model = rg.ModelSpec(LatticeNet(8, 1)).build(basis, modes).double()
    torch.nn.init.normal_(model.network.last.weight, std=0.3)
    process = Process(basis, colors.White(), SHARP, modes)
    x = fields((1, 4, 4), 2)
    exact = rg.log_likelihood(model, process, x, tolerance=1e-5)
    assert (rg.log_likelihood(model, process, x, 1) - exact).abs().max() > 16 * PER_DIMENSION
    found = rg.log_likelihood(model.float(), process.float(), x.float(), tolerance=1e-5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=16 * PER_DIMENSION)


def test_a_unet_is_pulled_back_in_batches():
    basis, modes = fitted((1, 4, 4))
    model = rg.ModelSpec(UNet(8, (1, 1), 1, (4, 2))).build(basis, modes).double()
    for weight in model.network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    c = fields((1, 4, 4), 2).requires_grad_()
    v = model.interaction(c, Process(basis, colors.White(), SHARP, modes).vp_marginal(0.4))
    found = divergence_of(v, c, unit_directions(c))
    rows = [torch.autograd.grad(v.flatten(1)[:, k].sum(), c, retain_graph=True) for k in range(16)]
    expected = sum(row[0].flatten(1)[:, k] for k, row in enumerate(rows))
    torch.testing.assert_close(found, expected)


def test_progress_and_bad_input():
    model = mixture()
    process = Process(model.basis, colors.White(), schedules.Cosine(), model.modes)
    x, seen = model.draw(2), []
    rg.log_likelihood(model, process, x, tolerance=1e-3, progress=lambda *at: seen.append(at))
    assert seen == sorted(seen) and seen[-1] == (1000, 1000)
    seen.clear()
    rg.log_likelihood(model, process, x, 3, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(ValueError, match=r"tolerance = 1\.0 is outside"):
        rg.log_likelihood(model, process, x, tolerance=1.0)
    with pytest.raises(ValueError, match="probes = 0 is outside"):
        rg.log_likelihood(model, process, x, 3, "hutchinson", probes=0)
    with pytest.raises(ValueError, match="4800 components"):
        big, modes = fitted((3, 40, 40), "pixel")
        process = Process(big, colors.White(), schedules.Cosine(), modes)
        rg.log_likelihood(rg.GaussianDenoiser(big, modes), process, fields((3, 40, 40), 2))
