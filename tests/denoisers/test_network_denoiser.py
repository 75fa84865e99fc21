"""Learned denoisers: the free theory at the start, EDM as a special case, finite scores."""

import math

import pytest
import torch
from laws import BASES, COLORS, SCHEDULES, assert_moments, dense, fields, fitted, name_of

import rgdiff_core as rg
from rgdiff_core import colors, schedules
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import STATE_POINTS, LatticeNet, OctaveNet, UNet
from rgdiff_core.networks.octaves import seen_from_octave
from rgdiff_core.process import Marginal, Process

SHAPE = (1, 8, 8)
NET = LatticeNet(8, 1)


def learned(spec: ModelSpec, shape=SHAPE, *, zero: bool = False) -> rg.NetworkDenoiser:
    """Return a model of made-up fields, its network with weights of all kinds unless zero."""
    basis, modes = fitted(shape)
    model = spec.build(basis, modes).double()
    if not zero:
        for parameter in model.network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.requires_grad_(False)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_without_learning_it_is_the_free_theory(schedule):
    model = learned(ModelSpec(NET), zero=True)
    gaussian = rg.GaussianDenoiser(model.basis, model.modes)
    x = fields(SHAPE, 5)
    for color in COLORS[:6]:
        process = Process(model.basis, color, schedule, model.modes)
        for t in (0.0, 0.3, 0.8, 1.0):
            marginal = process.vp_marginal(t)
            one, other = model.posterior(x, marginal), gaussian.posterior(x, marginal)
            torch.testing.assert_close(one.mean, other.mean)
            torch.testing.assert_close(one.variance, other.variance)
            torch.testing.assert_close(
                model.component_score(x, marginal), gaussian.component_score(x, marginal)
            )


@pytest.mark.parametrize("name", BASES)
def test_in_every_basis_and_colour_it_starts_from_the_free_theory(name):
    basis, modes = fitted((2, 4, 8), name)
    model = ModelSpec(NET, "variance", "whitened", "time").build(basis, modes).double()
    gaussian = rg.GaussianDenoiser(basis, modes)
    x = fields((2, 4, 8), 3, seed=4)
    for color in COLORS:
        process = Process(basis, color, schedules.Cutoff(), modes)
        for t in (0.1, 0.7):
            torch.testing.assert_close(
                model.denoise(x, t, process), gaussian.denoise(x, t, process)
            )
            torch.testing.assert_close(model.score(x, t, process), gaussian.score(x, t, process))
            beyond = model.interaction(x, process.vp_marginal(t))
            assert beyond.shape == x.shape and not beyond.any()


@pytest.mark.parametrize("c_out", ["std", "variance", "isotropic"])
def test_what_the_network_says_enters_where_the_docstring_says(c_out):
    """D − m = c_out U†F with a network that always says the same."""
    model, said = learned(ModelSpec(NET, c_out)), fields(SHAPE, 4, seed=8)
    model.network.forward = lambda x, state: said  # type: ignore[method-assign]
    process = Process(model.basis, colors.White(), schedules.Cutoff(), model.modes)
    a, n = process.vp_marginal(0.5).alpha, process.vp_marginal(0.5).std ** 2
    c, S = fields(SHAPE, 4), model.modes_variance
    V = 1 / (1 / S + a**2 / n)  # the precisions of data and noise add
    m = V * (model.modes_mean / S + a * c / n)
    white = 1 / (1 / S.mean() + a**2 / n)
    out = {"std": V.sqrt(), "variance": V / S.mean().sqrt(), "isotropic": white.sqrt()}[c_out]
    found = model.posterior(c, process.vp_marginal(0.5))
    torch.testing.assert_close(found.variance, V)
    torch.testing.assert_close(found.mean, m + out * model.basis.analyze(said))


@pytest.mark.parametrize("network_input", ["posterior_mean", "isotropic", "whitened"])
def test_what_the_network_is_shown(network_input):
    """All as the docstring of the spec says, from the precisions of data and noise."""
    model, seen = learned(ModelSpec(NET, network_input=network_input)), []
    model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    process = Process(model.basis, colors.White(), schedules.Cutoff(), model.modes)
    a, n = process.vp_marginal(0.5).alpha, process.vp_marginal(0.5).std ** 2
    c, S = fields(SHAPE, 4), model.modes_variance
    model.posterior(c, process.vp_marginal(0.5))
    mean, d = model.modes_mean, S.mean().sqrt()
    shown = {
        "posterior_mean": (mean / S + a * c / n) / (1 / S + a**2 / n) / d,
        "isotropic": (mean / d**2 + a * c / n) / (1 / d**2 + a**2 / n) / d,
        "whitened": c / (a**2 * S + n).sqrt(),
    }
    torch.testing.assert_close(seen[0], model.basis.synthesize(shown[network_input]))


@pytest.mark.parametrize("reference", ["spectrum", "isotropic"])
@pytest.mark.parametrize("c_out", ["std", "variance", "isotropic"])
@pytest.mark.parametrize("network_input", ["posterior_mean", "isotropic", "whitened"])
@pytest.mark.parametrize("conditioning", ["noise_levels", "octave_levels", "time"])
def test_the_score_is_that_of_the_posterior_mean(conditioning, network_input, c_out, reference):
    model = learned(ModelSpec(NET, c_out, network_input, conditioning, reference))
    process = Process(model.basis, colors.PowerLaw(), schedules.Cutoff(), model.modes)
    x = fields(SHAPE, 4)
    for t in (0.2, 0.6, 1.0):
        marginal = process.vp_marginal(t)
        mean = model.posterior(x, marginal).mean
        score = model.component_score(x, marginal)
        expected = (marginal.alpha * mean - x) / marginal.std**2
        torch.testing.assert_close(
            score, expected, rtol=1e-6, atol=1e-6 * float(score.abs().max())
        )
        gaussian = rg.GaussianDenoiser(model.basis, model.modes)
        free = gaussian.posterior(x, marginal)
        beyond = (mean - free.mean) / free.variance.sqrt()
        torch.testing.assert_close(model.interaction(x, marginal), beyond)


def test_the_score_is_finite_without_noise():
    model = learned(ModelSpec(NET)).float()
    level = torch.full(SHAPE, 1.0)
    score = model.component_score(fields(SHAPE, 4).float(), Marginal(level, level * 2e-9))
    assert score.isfinite().all()


def test_scalar_preconditioning_is_edms():
    spec = ModelSpec(NET, network_input="whitened", conditioning="time", reference="isotropic")
    model = learned(spec)
    data2 = float(model.modes_variance.mean() + (model.modes_mean**2).mean())
    process = Process(model.basis, colors.White(False), schedules.LinearGamma(), model.modes)
    x = fields(SHAPE, 4)
    for t in (0.1, 0.5, 0.9):
        marginal = process.vp_marginal(t)
        alpha, std = float(marginal.alpha.mean()), float(marginal.std.mean())
        sigma = std / alpha  # EDM's noise level, of y = φ/α
        skip = data2 / (sigma**2 + data2)
        out = sigma * data2**0.5 / (sigma**2 + data2) ** 0.5
        into = 1 / (sigma**2 + data2) ** 0.5
        y = x / alpha
        said = model.network(into * y, state_of(model, marginal).expand(len(x), -1))
        torch.testing.assert_close(model.denoise(x, t, process), skip * y + out * said)


def test_the_state_is_the_log_level_by_scale():
    model = learned(ModelSpec(NET))
    process = Process(
        model.basis, colors.Matched(False), schedules.LinearGamma(-6, 6), model.modes
    )
    for t in (0.25, 0.5, 0.9):
        state = state_of(model, process.vp_marginal(t))
        torch.testing.assert_close(state, torch.full_like(state, (-6 + 12 * t) / 4))
    cutoff = schedules.Cutoff(schedules.SigmoidKernel(0.05))
    process = Process(model.basis, colors.Matched(), cutoff, model.modes)
    assert (state_of(model, process.vp_marginal(0.5)).diff() >= -1e-9).all()


def state_of(model: rg.NetworkDenoiser, marginal: Marginal) -> torch.Tensor:
    return model.state(marginal, model.unit_variance)


def test_at_a_fixed_point_every_octave_sees_the_same():
    """A spectrum k^(−2 + η) on lattices of 8² and 16² sites: where the noise falls by 2^(2 − η) an
    octave, the second octave of the larger one has what the first of the smaller one has, but for
    the data's variance, which falls by 2^−η; and but for the first point, near which the smaller
    one has no finer components.
    """
    eta, states = 0.25, []
    for size in (8, 16):
        basis = rg.bases.FourierBasis((1, size, size))
        plain = rg.Modes.of(basis)
        variance = (plain.floored_scale() / 0.3) ** (eta - 2)
        modes = rg.Modes(plain.scale, torch.zeros(plain.shape), variance, plain.momentum)
        spec = ModelSpec(OctaveNet(4), conditioning="octave_levels")
        model = spec.build(basis, modes)
        std = torch.full(basis.shape, 0.7 * 2 ** ((size // 16) * (1 - eta / 2)))
        state = model.state(Marginal(torch.ones(basis.shape), std), torch.ones(1, 1, 1))
        states.append(state.unflatten(1, (2, STATE_POINTS)))
    small = seen_from_octave(states[0], 0, 64)
    large = seen_from_octave(states[1], 1, 256)
    large[:, 1] += eta * math.log(2) / 4
    torch.testing.assert_close(large[..., 1:], small[..., 1:], rtol=0, atol=0.05)
    assert (states[1][:, 0] - small[:, 0]).abs().max() > 0.2


def test_a_batch_may_mix_noise_levels():
    model = learned(ModelSpec(NET))
    process = Process(model.basis, colors.White(), schedules.Cutoff(), model.modes)
    x, t = fields(SHAPE, 5), torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    together = model.posterior(x, process.vp_marginal(t)).mean
    for row in range(5):
        alone = model.posterior(x[row : row + 1], process.vp_marginal(t[row])).mean
        torch.testing.assert_close(together[row : row + 1], alone)


def test_low_precision_touches_the_network_alone():
    model = learned(ModelSpec(UNet(8, (1, 2), 1, ())), zero=True).float()
    exact = model.denoise(fields(SHAPE, 4).float(), 0.3, _plain(model))
    model.autocast = torch.bfloat16
    torch.testing.assert_close(model.denoise(fields(SHAPE, 4).float(), 0.3, _plain(model)), exact)
    torch.nn.init.normal_(model.network.last[2].weight, std=0.1)
    rough = model.denoise(fields(SHAPE, 4).float(), 0.3, _plain(model))
    model.autocast = None
    fine = model.denoise(fields(SHAPE, 4).float(), 0.3, _plain(model))
    assert 0 < (rough - fine).abs().max() < 0.03 * (fine - exact).abs().max() + 1e-3


def _plain(model):
    return Process(model.basis, colors.White(), schedules.Cosine(), model.modes).float()


def test_an_untrained_model_samples_the_matched_gaussian():
    model = learned(ModelSpec(NET), (1, 4, 4), zero=True)
    process = Process(model.basis, colors.White(), schedules.Cutoff(), model.modes)
    generator = torch.Generator().manual_seed(5)
    x = rg.sample(model, process, 20_000, 5, "shell", generator)
    U = dense(model.basis)
    covariance = U.T @ torch.diag(model.modes_variance.flatten()) @ U
    mean = model.basis.synthesize(model.modes_mean).flatten()
    assert_moments(x, mean, covariance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"c_out": "v"}, "c_out = 'v' is not one of std, variance, isotropic"),
        ({"network_input": "all"}, "network_input = 'all' is not one of posterior_mean, isotro"),
        (
            {"conditioning": ""},
            "conditioning = '' is not one of noise_levels, octave_levels, time",
        ),
        ({"reference": "flat"}, "reference = 'flat' is not one of spectrum, isotropic"),
    ],
)
def test_unknown_choices_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec(**change)


def test_modes_that_do_not_fit_the_basis_are_refused():
    basis, modes = fitted((1, 4, 4))[0], fitted((1, 6, 6))[1]
    for build in (ModelSpec(NET).build, rg.GaussianDenoiser):
        with pytest.raises(ValueError, match=r"modes of \(1, 6, 6\) do not fit a basis of shape"):
            build(basis, modes)


def test_a_network_can_be_too_large():
    basis, modes = fitted()
    with pytest.raises(ValueError, match="million parameters; at most 200"):
        ModelSpec(UNet(512, (1, 2, 4), 4)).build(basis, modes)
