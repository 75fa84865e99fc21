"""The density of a sampler's few steps: its Jacobian, a histogram, its limit, φ⁴."""

import pytest
import torch
from laws import fitted, name_of
from mixture import Mixture, mixture

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.evaluation import quality
from rgdiff_core.lattice import Phi4
from rgdiff_core.likelihood import FoldedError, sampler_density
from rgdiff_core.process import Process
from rgdiff_core.sampling import DDIM, METHODS, reverse
from rgdiff_core.schedules import kernels

pytestmark = pytest.mark.usefixtures("one_thread")

ODE = [name for name, method in METHODS.items() if method.ode]
SCHEDULE = schedules.Cutoff(kernels.SigmoidKernel(0.3), gamma_min=-9.0, gamma_max=9.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", ODE)
@pytest.mark.parametrize("schedule", [SCHEDULE, schedules.EDM()], ids=name_of)
def test_against_finite_differences_of_the_sampler(name, schedule):
    model = mixture()
    process = Process(model.basis, colors.PowerLaw(), schedule, model.modes)
    steps, grid, shape = 4, "angle", model.basis.shape
    found = sampler_density(model, process, 3, steps, name, seeded(), grid=grid)
    x = rg.sample(model, process, 3, steps, name, seeded(), grid=grid)
    torch.testing.assert_close(found.x, x)  # it draws what `sample` draws
    prior, last = process.prior(), process.level(1.0).magnitude
    noise = torch.randn((3, *shape), generator=seeded(), dtype=torch.float64)
    start = (prior.mean + prior.std * noise) / last

    def end(c):
        *_, state = reverse(model, process, c, steps, name, grid=grid)
        return state.components.flatten(1)

    h, columns = 1e-6 * prior.std / last, []
    for k in range(4):
        shift = torch.zeros(4, dtype=torch.float64).index_fill_(0, torch.tensor(k), 1.0)
        shift = shift.reshape(shape) * h
        columns.append((end(start + shift) - end(start - shift)) / (2 * shift.sum()))
    volume = torch.linalg.slogdet(torch.stack(columns, 2))[1]
    normal = torch.distributions.Normal(prior.mean / last, prior.std / last)
    expected = normal.log_prob(start).sum((1, 2, 3)) - volume
    torch.testing.assert_close(found.log_density, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "interaction"])
def test_against_a_histogram(name):
    """In one dimension of two, the other being integrated over by the samples themselves."""
    model = mixture((1, 1, 2), "pixel")
    process = Process(model.basis, colors.White(), SCHEDULE, model.modes)
    n = 20_000
    found = sampler_density(model, process, n, 5, name, seeded(1))
    points, q = found.x.reshape(n, 2), found.log_density.exp()
    # ∫ g dx over a cell is the mean of 1/q over the samples in it: the cell's own area
    low, high = points.quantile(0.3, 0), points.quantile(0.7, 0)
    inside = ((points > low) & (points < high)).all(1)
    weights = inside / q
    area, error = float(weights.mean()), float(weights.std() / n**0.5)
    assert error < 0.03 * area
    assert abs(area - float((high - low).prod())) < 5 * error


def test_gaussian_data_have_a_closed_form():
    """DDIM is linear there: every component is multiplied by its own product of gains."""
    basis, modes = fitted((1, 4, 4))
    process = Process(basis, colors.White(), SCHEDULE, modes)
    gaussian, steps = rg.GaussianDenoiser(basis, modes), 6
    found = sampler_density(gaussian, process, 5, steps, "ddim", seeded())
    gain = torch.ones_like(modes.variance)
    for i in range(steps):
        now, then = (process.vp_marginal(1 - j / steps) for j in (i, i + 1))
        a, n = now.alpha, now.std
        pull = a * modes.variance / (a**2 * modes.variance + n**2)  # ∂D/∂χ
        to_data, to_noise = (then.alpha, then.std) if i + 1 < steps else (1.0, 0.0)
        gain = gain * (to_data * pull + to_noise * (1 - a * pull) / n)
    prior = process.prior()
    normal = torch.distributions.Normal(modes.mean, (gain * prior.std).abs())
    expected = normal.log_prob(basis.analyze(found.x)).sum((1, 2, 3))
    torch.testing.assert_close(found.log_density, expected)
    exact = sampler_density(gaussian, process, 5, 3, "interaction", seeded())
    closed = torch.distributions.Normal(modes.mean, modes.variance.sqrt())
    closed = closed.log_prob(basis.analyze(exact.x)).sum((1, 2, 3))
    torch.testing.assert_close(exact.log_density, closed)


@pytest.mark.parametrize("name", ["heun", "rk4", "dpmpp_2m", "interaction"])
def test_at_many_steps_it_is_the_density_of_the_data(name):
    model = mixture()
    process = Process(model.basis, colors.White(), SCHEDULE, model.modes)
    off = []
    for steps in (8, 64):
        found = sampler_density(model, process, 12, steps, name, seeded(2))
        off.append(float((found.log_density - model.log_density(found.x)).abs().max()))
    assert off[1] < off[0] / 4 and off[1] < 0.1


def test_quality_of_few_steps():
    model = rg.load_pretrained("phi4-6x6")
    process = Process(model.basis, colors.Matched(), SCHEDULE, model.modes)
    action = Phi4(-4.0, 6.975)
    flow = quality(model, process, action, 16, 2, seeded())
    few = quality(model, process, action, 48, 4, seeded(), method="interaction", grid="angle")
    ddim = quality(model, process, action, 48, 4, seeded(), method=DDIM())
    assert (flow.nfe, few.nfe, ddim.nfe) == (8, 4, 4)
    assert few.ess.value > 0.4 > ddim.ess.value
    assert few.reverse_kl.value < ddim.reverse_kl.value


def test_progress_and_bad_input():
    model = mixture()
    process = Process(model.basis, colors.White(), SCHEDULE, model.modes)
    seen = []
    sampler_density(model, process, 150, 1, progress=lambda *at: seen.append(at))
    assert seen[-1] == (150, 150) and len(seen) > 1
    for method in ("shell", "guess", DDIM(0.5)):
        with pytest.raises(ValueError, match=r"is not one of those that draw nothing: .*ddim"):
            sampler_density(model, process, 2, 3, method)
    with pytest.raises(ValueError, match="steps = 0 is outside"):
        sampler_density(model, process, 2, 0)
    basis, modes = fitted((3, 16, 16))
    large = Process(basis, colors.White(), SCHEDULE, modes)
    with pytest.raises(ValueError, match="768 components are more than 256"):
        sampler_density(rg.GaussianDenoiser(basis, modes), large, 2, 3)
    hard = Process(
        model.basis, colors.White(), schedules.Cutoff(kernels.HardKernel()), model.modes
    )
    with pytest.raises(ValueError, match="jumps"):
        sampler_density(model, hard, 2, 3)


def test_a_fold_is_told_by_determinants_of_both_signs():
    """Two narrow wells: in a few steps the map turns round somewhere, in many it can't."""
    basis = rg.bases.PixelBasis((1, 1, 2)).double()
    means = torch.tensor([[[[-1.0, 0.3]]], [[[1.0, -0.3]]]], dtype=torch.float64)
    model = Mixture(basis, means, torch.full_like(means, 0.01))
    process = Process(basis, colors.White(), schedules.LinearGamma(-9.0, 6.0), model.modes)
    few, many = (
        sampler_density(model, process, 400, steps, "interaction", seeded()) for steps in (3, 80)
    )
    assert few.folded and not many.folded


@pytest.mark.parametrize("name", ODE)
def test_gaussian_maps_do_not_fold(name):
    basis, modes = fitted((1, 3, 3), "fourier")
    model = rg.GaussianDenoiser(basis, modes).double()
    process = Process(model.basis, colors.White(), SCHEDULE, model.modes).double()
    assert not sampler_density(model, process, 20, 2, name, seeded()).folded


def test_what_folds_is_not_weighed():
    model, action = rg.load_pretrained("phi4-6x6-broken"), Phi4(-1.0, 0.5)
    process = Process(model.basis, colors.Matched(), schedules.Cosine(), model.modes)
    with pytest.raises(FoldedError, match="steps = 5 are too few for this process"):
        quality(model, process, action, 64, 5, seeded(), method="interaction", grid="logsnr")
