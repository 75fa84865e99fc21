"""The search by gradient: against finite differences, closed forms and fresh data."""

import itertools

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.process import Marginal
from rgdiff_core.schedules import Cutoff, LinearGamma
from rgdiff_core.schedules.kernels import (
    ButterworthKernel,
    CosinePath,
    CutoffPath,
    ExponentialKernel,
    GaussianKernel,
    HardKernel,
    SigmoidKernel,
)
from rgdiff_core.search import compare, improve, step_bound
from rgdiff_core.search.gradient import CutoffParameters, bound_at

STEPS = 5
TIMES = torch.linspace(1, 0, STEPS + 1, dtype=torch.float64)[:-1]
STARTS = [
    Cutoff(SigmoidKernel(0.3), CutoffPath((0.0, 0.3, 1.0), (1.0, 0.4, 0.0))),
    Cutoff(ButterworthKernel(2.0), CosinePath()),
    Cutoff(GaussianKernel()),
    Cutoff(ExponentialKernel(), gamma_min=-12.0, gamma_max=8.0),
]


def drawn(toy, n):
    noise = torch.randn((STEPS, n, *toy.images.shape[1:]), dtype=torch.float64)
    return toy.images[:n], noise


@pytest.mark.parametrize("points", [4, STEPS + 1, 9])
@pytest.mark.parametrize("start", STARTS, ids=lambda start: type(start.kernel).__name__)
def test_a_curve_is_the_schedule_that_it_hands_back(toy, start, points):
    curve = CutoffParameters(start, points, shape=True)
    with torch.no_grad():
        curve.logits += torch.randn_like(curve.logits)
        curve.log_number += 0.2
    process = toy.process(curve.schedule())
    found, expected = curve(TIMES, toy.process(start)), process.vp_marginal(TIMES)
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.std, expected.std, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: type(start.kernel).__name__)
def test_gradients_are_finite_differences(toy, start):
    process, (x, noise) = toy.process(start), drawn(toy, 6)
    curve = CutoffParameters(start, STEPS + 1, shape=True)

    def bound(logits, log_number):
        curve.logits.data, curve.log_number.data = logits, log_number
        parameters = {"logits": logits, "log_number": log_number}
        marginal = torch.func.functional_call(curve, parameters, (TIMES, process))
        return bound_at(toy.model, x, marginal, noise).sum()

    at = curve.logits.detach().clone(), curve.log_number.detach().clone()
    at = tuple(a.requires_grad_() for a in at)
    assert torch.autograd.gradcheck(bound, at, rtol=1e-5)


def test_what_does_not_fit_into_one_call_is_the_same(toy, monkeypatch):
    process, (x, noise) = toy.process(STARTS[0]), drawn(toy, 6)
    curve, found = CutoffParameters(STARTS[0], 4, shape=True), []
    for most in (1 << 20, 200):
        monkeypatch.setattr("rgdiff_core.search.gradient.MAX_VALUES", most)
        bound = bound_at(toy.model, x, curve(TIMES, process), noise)
        found.append((bound.detach(), *torch.autograd.grad(bound.sum(), curve.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_the_bound_is_that_of_the_likelihood(toy):
    process = toy.process(STARTS[0])
    x, noise = drawn(toy, 2000)
    ours = bound_at(toy.model, x, process.vp_marginal(TIMES), noise)
    theirs = step_bound(toy.model, process, x, STEPS, draws=2)
    difference = ours - theirs  # the same images, other noise
    assert abs(difference.mean()) < 4 * difference.std() / len(x) ** 0.5


def test_gaussian_data_leave_every_schedule_alone(toy):
    gaussian = rg.GaussianDenoiser(toy.model.basis, toy.model.modes)
    process = toy.process(STARTS[0])
    x, noise = drawn(toy, 8)
    curve = CutoffParameters(STARTS[0], STEPS + 1, shape=True)
    bound = bound_at(gaussian, x, curve(TIMES, process), noise)
    assert torch.equal(bound, torch.zeros(8, dtype=torch.float64))
    states = list(improve(gaussian, process, x, STEPS, rounds=5, batch=4, points=6))
    assert {state.schedule for state in states} == {states[0].schedule}
    assert states[-1].change.value == 0


def test_a_search_gains_on_fresh_data(toy):
    process = toy.process(STARTS[0])
    states = list(improve(toy.model, process, toy.images, STEPS, rounds=80, rate=0.1))
    last = states[-1]
    assert (last.round, last.rounds, last.eta_s) == (80, 80, 0)
    assert states[0].change.value == pytest.approx(0, abs=0.05)  # points on the start's curve
    found = compare(toy.model, process, toy.process(last.schedule), toy.fresh, STEPS)
    assert found.change.value < -8 * found.change.error
    assert found.change.value == pytest.approx(found.after.value - found.before.value)
    assert last.change.value == pytest.approx(found.change.value, abs=6 * last.change.error)


def test_a_search_is_left_by_not_going_on_and_repeats(toy):
    process = toy.process(STARTS[0])

    def begin():
        search = improve(toy.model, process, toy.images, 3, rounds=50, batch=8, seed=4)
        return list(itertools.islice(search, 3))

    first, second = begin(), begin()
    assert [s.schedule for s in first] == [s.schedule for s in second]
    assert len(first[-1].schedule.path.times) == 4
    values = first[-1].schedule.path.values
    assert values[0] == 1 and values[-1] == 0 and list(values) == sorted(values, reverse=True)


def test_the_width_stays_where_it_is_told_to(toy):
    process = toy.process(STARTS[0])
    search = improve(toy.model, process, toy.images, 3, rounds=3, batch=8, shape=False)
    assert {state.schedule.kernel for state in search} == {SigmoidKernel(0.3)}


def test_bad_input_is_one_sentence(toy):
    def refuses(says, schedule=STARTS[0], model=toy.model, images=toy.images, steps=3, **options):
        with pytest.raises(ValueError, match=says) as caught:
            improve(model, toy.process(schedule), images, steps, **options)
        assert str(caught.value).endswith(".")

    refuses("LinearGamma has no control points", LinearGamma(-9, 5))
    refuses("HardKernel jumps", Cutoff(HardKernel()))
    refuses(r"steps = 0 is outside \[1, 1000\]", steps=0)
    refuses(r"points = 65 is outside \[2, 64\]", points=65)
    refuses("rounds = 0", rounds=0)
    refuses(r"rate = 0 is outside \(0, 10\]", rate=0)
    refuses("1 images are too few", images=toy.images[:1])
    other = rg.GaussianDenoiser.fit(rg.bases.CosineBasis((1, 4, 4)), toy.images)
    refuses("basis", model=other)


def test_a_marginal_without_a_channel_axis_broadcasts(toy):
    x, noise = drawn(toy, 4)
    one = Marginal(*(a[:, :, :1, :1] for a in _level(toy)))
    full = Marginal(*(a.expand(STEPS, *x.shape[1:]) for a in (one.alpha, one.std)))
    torch.testing.assert_close(
        bound_at(toy.model, x, one, noise), bound_at(toy.model, x, full, noise)
    )


def _level(toy):
    level = toy.process(LinearGamma(-6, 4)).vp_marginal(TIMES)
    return level.alpha, level.std
