"""Conditional denoisers against dense linear algebra, and samples that keep what is known."""

import pytest
import torch
from gaussians import generator
from laws import assert_moments, dense, fields

from rgdiff_core import GaussianDenoiser, ModelSpec, Modes, Process, colors, sample, schedules
from rgdiff_core.bases import FourierBasis, WaveletBasis
from rgdiff_core.denoisers.conditional import Conditioned
from rgdiff_core.networks import LatticeNet

SHAPE = (1, 4, 4)
BASIS = FourierBasis(SHAPE)
MODEL = GaussianDenoiser.fit(BASIS, fields(SHAPE, 60)).double()
SOFT = torch.sigmoid((0.5 - BASIS.scale.double()) / 0.1)
HARD = (BASIS.scale < 0.5).double()


def process(schedule: schedules.Schedule | None = None) -> Process:
    return Process(MODEL.basis, colors.Matched(), schedule or schedules.Cutoff(), MODEL.modes)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_two_looks_are_one_by_bayes_rule(t):
    """Precisions add: the posterior from the prior and two independent looks."""
    x = fields(SHAPE, 1)
    given = Conditioned(MODEL, x, SOFT, generator())
    noised = process().double().vp_marginal(t)
    c = torch.randn(1, *SHAPE, dtype=torch.float64, generator=generator(1))
    found = given.posterior(c, noised)
    sigma, mu = MODEL.modes.variance, MODEL.modes.mean
    doubt = sigma * (1 - SOFT) / SOFT
    first = noised.alpha**2 / noised.std**2
    precision = 1 / sigma + first + 1 / doubt
    mean = (mu / sigma + noised.alpha * c / noised.std**2 + given.look / doubt) / precision
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.variance, 1 / precision)


@pytest.mark.parametrize("method", ["shell", "dpmpp_2m", "interaction"])
@pytest.mark.parametrize("schedule", [schedules.Cutoff(), schedules.FlowMatching()])
def test_what_is_known_is_kept_and_the_rest_is_drawn(method, schedule):
    x = fields(SHAPE, 1)
    given = Conditioned(MODEL, x, HARD)
    drawn = sample(given, process(schedule).double(), 4000, 40, method, generator())
    c, data = BASIS.analyze(drawn), BASIS.analyze(x)
    kept = HARD.bool().expand(SHAPE)
    torch.testing.assert_close(c[:, kept], data[:, kept].expand(4000, -1), atol=1e-5, rtol=0)
    variance = MODEL.modes.variance[~kept]
    error = 5 * (2 / 4000) ** 0.5  # five standard errors of a variance
    allowed = error + (0.05 if method == "dpmpp_2m" else 0)
    assert ((c[:, ~kept].var(0) / variance - 1).abs() < allowed).all()


def test_soft_looks_at_the_data_give_the_data_back_in_distribution():
    """χ from the prior, a look at χ, then χ' given the look: χ' has the prior's distribution."""
    n = 6000
    x = BASIS.synthesize(
        MODEL.modes.mean
        + MODEL.modes.variance.sqrt()
        * torch.randn(n, *SHAPE, dtype=torch.float64, generator=generator(3))
    )
    again = sample(
        Conditioned(MODEL, x, SOFT, generator(4)), process().double(), n, 6, "shell", generator(5)
    )
    u = dense(BASIS).T
    mean, covariance = (
        u @ MODEL.modes.mean.flatten(),
        u @ torch.diag(MODEL.modes.variance.flatten()) @ u.T,
    )
    assert_moments(again, mean, covariance)
    both = BASIS.analyze(again) * BASIS.analyze(x)
    assert float(both.mean()) > 0.3 * float(MODEL.modes.variance.mean())  # and remembers it


def test_nothing_known_is_the_model_itself():
    nothing = torch.zeros(SHAPE)
    one = sample(
        Conditioned(MODEL, fields(SHAPE, 1), nothing), process(), 3, 8, "ddim", generator()
    )
    torch.testing.assert_close(one, sample(MODEL, process(), 3, 8, "ddim", generator()))


def test_everything_known_gives_the_fields_back():
    x = fields(SHAPE, 3)
    for method in ("shell", "ddim", "interaction", "ancestral"):
        given = Conditioned(MODEL, x, torch.ones(SHAPE))
        torch.testing.assert_close(sample(given, process().double(), 3, 5, method), x)


def test_wavelet_levels_are_filled_in_one_by_one():
    shape = (1, 8, 8)
    basis = WaveletBasis(shape, levels=2)
    model = GaussianDenoiser.fit(basis, fields(shape, 60).float())
    coarse = (basis.scale < 0.5).float()
    x = fields(shape, 2).float()
    p = Process(basis, colors.Matched(), schedules.WaveletLevels(0.0), model.modes)
    drawn = sample(Conditioned(model, x, coarse), p, 2, 12, "shell", generator())
    kept = coarse.bool().expand(shape)
    torch.testing.assert_close(basis.analyze(drawn)[:, kept], basis.analyze(x)[:, kept])


def test_what_does_not_fit_is_one_sentence():
    x = fields(SHAPE, 2)
    modes = Modes.fit(BASIS, fields(SHAPE, 60).float())
    timed = ModelSpec(LatticeNet(4, 1), conditioning="time").build(BASIS, modes)
    for model, fields_, known, match in (
        (MODEL, x, torch.full(SHAPE, 1.5), r"must be in \[0, 1\]"),
        (MODEL, x[..., :3], torch.ones(SHAPE), "do not fit"),
        (timed, x, torch.ones(SHAPE), "conditioned on the time alone"),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            Conditioned(model, fields_, known)
        assert str(caught.value).endswith(".")
