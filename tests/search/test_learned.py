"""Learned schedules: against the optimum in closed form, and on data that they have not seen."""

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.likelihood import excess
from rgdiff_core.schedules import Cosine, Cutoff, HardKernel, LearnedGamma, LinearGamma
from rgdiff_core.search import learn, one_draw, step_bound
from rgdiff_core.search.learned import STEP, GammaParameters, second_moment_at, tabulated

LOW, HIGH = -8.0, 6.0
LINEAR = LinearGamma(LOW, HIGH)
TABLE = LearnedGamma(
    (0.0, 0.4, 1.0),
    (0.0, 0.3, 0.6, 1.0),
    ((LOW, -4.0, 0.0, HIGH), (LOW, -7.0, 1.0, HIGH), (LOW, 2.0, 3.0, HIGH)),
)


def best(toy, knots=29, n=2000):
    """Return √m(γ) on a grid of γ by its definition, with d log V/dγ = V e^{−γ}/S²."""
    gamma = torch.linspace(LOW, HIGH, knots, dtype=torch.float64)
    process, sigma = toy.process(LINEAR), toy.model.free_variance
    generator = torch.Generator().manual_seed(7)
    found = []
    for value in gamma:
        noise = torch.randn((n, *toy.images.shape[1:]), generator=generator, dtype=torch.float64)
        time = (value - LOW) / (HIGH - LOW)
        snr = torch.exp(-value) / process.noise_variance
        rate = snr / (1 / sigma + snr)
        values = (rate * excess(toy.model, process, toy.images[:n], time, noise)).sum((1, 2, 3))
        found.append((values / 2).square().mean().sqrt())
    return gamma, torch.stack(found)


@pytest.fixture(scope="module")
def learned(toy):
    """Return a scalar schedule learned for the toy."""
    *_, last = learn(
        toy.model,
        toy.process(LINEAR),
        toy.images,
        steps=8,
        batch=32,
        points=13,
        rounds=100,
        rate=0.1,
    )
    return last


def test_a_scalar_schedule_is_the_one_of_least_variance_in_closed_form(toy, learned):
    gamma, root = best(toy)
    share = torch.cumulative_trapezoid(root, gamma)
    least, linear = float(share[-1]) ** 2, float(torch.trapezoid(root**2, gamma) * (HIGH - LOW))
    t = torch.cat((torch.zeros(1), share / share[-1]))
    x = toy.fresh.repeat(6, 1, 1, 1)
    before, after = (
        one_draw(toy.model, toy.process(s), x).square().mean() for s in (LINEAR, learned.schedule)
    )
    assert before == pytest.approx(linear, rel=0.08)
    assert 0.95 * least < after < 1.25 * least < 0.7 * linear
    busy = (t > 0.1) & (t < 0.75)
    found = learned.schedule.gamma(t[busy], toy.model.modes)[:, 0, 0, 0]
    torch.testing.assert_close(found, gamma[busy], rtol=0, atol=0.6)


def test_one_draw_is_unbiased_whatever_the_schedule(toy, learned):
    x = toy.fresh.repeat(6, 1, 1, 1)
    straight, bent = (one_draw(toy.model, toy.process(s), x) for s in (LINEAR, learned.schedule))
    error = (straight.var() + bent.var()).div(len(x)).sqrt()
    assert abs(straight.mean() - bent.mean()) < 4 * error
    whole = step_bound(toy.model, toy.process(learned.schedule), toy.fresh, 200)
    assert abs(whole.mean() - bent.mean()) < 4 * (bent.var() / len(x)).sqrt() + 0.02


def test_a_schedule_by_scales_has_less_variance_on_fresh_data(toy):
    *_, last = learn(
        toy.model,
        toy.process(LINEAR),
        toy.images,
        steps=8,
        batch=32,
        scales=3,
        rounds=60,
        rate=0.1,
    )
    assert last.change.value < 0
    x = toy.fresh.repeat(6, 1, 1, 1)
    before, after = (
        one_draw(toy.model, toy.process(s), x).square() for s in (LINEAR, last.schedule)
    )
    assert before.mean() - after.mean() > 4 * ((before.var() + after.var()) / len(x)).sqrt()
    assert len(set(last.schedule.gammas)) == 3


def test_a_table_can_be_learned_from_the_bound_in_few_steps(toy):
    *_, last = learn(
        toy.model, toy.process(LINEAR), toy.images, steps=5, objective="bound", rounds=40, rate=0.2
    )
    before, after = (
        step_bound(toy.model, toy.process(s), toy.fresh, 5) for s in (LINEAR, last.schedule)
    )
    change = after - before
    assert change.mean() < -5 * change.std() / len(change) ** 0.5


def test_gaussian_data_leave_every_schedule_alone(toy):
    gaussian = rg.GaussianDenoiser(toy.model.basis, toy.model.modes)
    states = list(learn(gaussian, toy.process(TABLE), toy.images, rounds=3, batch=4, steps=4))
    assert {(state.objective.value, state.schedule) for state in states} == {(0.0, TABLE)}


def test_a_table_is_the_schedule_that_it_hands_back(toy):
    table, times = GammaParameters(TABLE), torch.linspace(1, 0, 7, dtype=torch.float64)
    with torch.no_grad():
        table.logits.add_(torch.randn_like(table.logits))
    found = table(times, toy.process(TABLE))
    expected = toy.process(table.schedule()).vp_marginal(times)
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.std, expected.std, rtol=1e-3, atol=1e-4)


def test_gradients_are_finite_differences(toy):
    table, times = GammaParameters(TABLE), torch.linspace(1, 0, 5, dtype=torch.float64)
    times = torch.cat((times[:-1], times[:-1] - STEP))
    process, x = toy.process(TABLE), toy.images[:5]
    noise = torch.randn((4, *x.shape), dtype=torch.float64)

    def moment(logits):
        levels = torch.func.functional_call(table, {"logits": logits}, (times, process))
        return second_moment_at(toy.model, x, levels, noise).sum()

    at = table.logits.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(moment, (at,), rtol=1e-5)


def test_schedules_by_scale_become_tables():
    scales, times = (0.0, 0.5, 1.0), (0.0, 0.25, 1.0)
    table = tabulated(Cosine(), scales, times)
    assert table.gammas[0] == table.gammas[2] and (table.gammas[0][0], table.gammas[0][-1]) == (
        -40.0,
        40.0,
    )
    cutoff = tabulated(Cutoff(), scales, times)
    modes = rg.Modes(scale=torch.tensor([[scales]], dtype=torch.float64))
    knots = torch.tensor(times, dtype=torch.float64)
    torch.testing.assert_close(cutoff.gamma(knots, modes), Cutoff().gamma(knots, modes))


@pytest.mark.parametrize(
    ("match", "schedule", "options"),
    [
        ("objective = 'least' is not one of variance, bound", LINEAR, {"objective": "least"}),
        ("scales = 1 is too few for Cutoff", Cutoff(), {}),
        ("scales = 33 is outside", LINEAR, {"scales": 33}),
        ("Cutoff jumps and has no gradient", Cutoff(HardKernel()), {"scales": 4}),
    ],
)
def test_what_cannot_be_learned_is_one_sentence(toy, match, schedule, options):
    with pytest.raises(ValueError, match=match) as caught:
        learn(toy.model, toy.process(schedule), toy.images, **options)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
