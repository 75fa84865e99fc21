"""Samplers: measured order, exact distributions, what they leave alone, what they refuse."""

import itertools
import math

import pytest
import torch
from gaussians import CUTOFF, FREE, SHAPE, DenseGaussian, generator, made, truth
from laws import assert_moments, fields, name_of
from torch import Tensor

from rgdiff_core import (
    Denoiser,
    GaussianDenoiser,
    Process,
    colors,
    elbo,
    log_likelihood,
    sample,
    schedules,
    trajectory,
)
from rgdiff_core.bases import FourierBasis, PCABasis, PixelBasis, WaveletBasis
from rgdiff_core.sampling import METHODS, State, reverse
from rgdiff_core.seeds import MAX_SEED, STREAMS, stream, streams

ORDERS = {"ddim": 1, "heun": 2, "dpmpp_2m": 2}
HARD = schedules.Cutoff(schedules.HardKernel())


def gain(model: Denoiser, process: Process, steps: int, method: str) -> Tensor:
    """Return the factor by which a deterministic method scales each component's deviation."""
    first, *_, last = trajectory(model, process, 1, steps, method, generator())
    prior, modes = process.prior(), model.modes
    c, c0 = process.basis.analyze(first.x), process.basis.analyze(last.x)
    return (c0 - modes.mean) / (c - prior.mean)


@pytest.mark.parametrize("method", ORDERS)
@pytest.mark.parametrize(
    "schedule",
    [
        schedules.LinearGamma(-24.0, 4.0),
        schedules.SoftConditioning(-24.0, 3.0, 0.3),
        schedules.Cutoff(gamma_min=-24.0, path=schedules.CosinePath()),
        schedules.EDM(1e-5, 30.0),
    ],
    ids=name_of,
)
def test_the_order_of_convergence(method, schedule):
    """The exact flow maps each deviation by √(Σ/Var_1); the error falls as N^−order."""
    model, process = made(schedule)
    exact = model.modes.variance.sqrt() / process.prior().std
    steps = (80, 160, 320)
    errors = [((gain(model, process, n, method) / exact - 1) ** 2).mean() ** 0.5 for n in steps]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders[-1] == pytest.approx(ORDERS[method], abs=0.25), (errors, orders)
    assert errors[-1] < (0.05 if ORDERS[method] == 1 else 5e-3)


SHELLS = [
    HARD,
    *(schedules.Cutoff(k) for k in (schedules.SigmoidKernel(0.05), schedules.LitimKernel())),
    schedules.WaveletLevels(0.0),
    schedules.FlowMatching(),
    schedules.EDM(),
    schedules.Polchinski(duration=0.5),
    schedules.InverseHeat(0.5, 4.0, 0.1),
    schedules.SoftConditioning(-3.0, -1.0, 0.5),  # signal is left at t = 1
]


@pytest.mark.parametrize("name", ["fourier", "pca"])
@pytest.mark.parametrize("schedule", SHELLS, ids=name_of)
def test_the_shell_step_is_exact_in_distribution_at_4_steps(schedule, name):
    model, process = made(schedule, name)
    x = sample(model, process, 20_000, 4, "shell", generator(1))
    assert_moments(x, *truth(model))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "schedule",
    [
        CUTOFF,
        schedules.EDM(),
        schedules.FlowMatching(),
        schedules.Polchinski(duration=0.5),
        schedules.Sequential("level", 0.3),
    ],
    ids=name_of,
)
def test_every_method_converges_to_the_data(method, schedule):
    model, process = made(schedule)
    x = sample(model, process, 2000, 150, method, generator(2))
    mean, covariance = truth(model)
    centred = x.flatten(1) - mean
    error = torch.linalg.matrix_norm(centred.T @ centred / len(x) - covariance)
    allowed = 0.2 if METHODS[method].order == 1 else 0.1
    assert error < allowed * torch.linalg.matrix_norm(covariance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("softness", [0.0, 0.3, 1.0])
def test_correlated_components_may_wait_for_each_other(method, softness):
    """Columns one after another: no method may overshoot, and all of them converge."""
    site = torch.arange(8.0, dtype=torch.float64)
    covariance = torch.exp(-(site[:, None] - site).abs() / 4)
    model = DenseGaussian(PixelBasis((1, 1, 8)), covariance)
    schedule = schedules.Sequential("column", softness, -12.0, 5.0)
    process = Process(model.basis, colors.White(), schedule, model.modes)

    def error(steps: int) -> float:
        x = sample(model, process, 2000, steps, method, generator()).flatten(1)
        return float((x.T @ x / len(x) - covariance).abs().max())

    few, many = error(20), error(160)
    assert few < 1 and many < 0.4 and (many < few or many < 0.15)


@pytest.mark.parametrize("method", METHODS)
def test_components_whose_level_does_not_change_are_untouched(method):
    shape = (1, 4, 5)
    model = GaussianDenoiser.fit(PixelBasis(shape), fields(shape, 60).float())
    schedule = schedules.Sequential("column", 0.0)
    process = Process(model.basis, colors.White(), schedule, model.modes)
    steps, kept = 10, 0
    states = list(trajectory(model, process, 3, steps, method, generator()))
    for before, after in itertools.pairwise(states[:-1]):  # the last step goes to the data
        same = process.level(before.time).gamma == process.level(after.time).gamma
        same = same.expand(shape)
        assert torch.equal(before.x[:, same], after.x[:, same])
        assert not torch.equal(before.x, after.x)
        kept += int(same.sum())
    assert kept > 100


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["pixel", "fourier", "pca"])
def test_a_stream_for_each_makes_batches_irrelevant(method, name):
    model, process = made(name=name)

    def streams(*seeds: int) -> list[torch.Generator]:
        return [generator(seed) for seed in seeds]

    whole = sample(model, process, 8, 6, method, streams(*range(8)))
    one = [sample(model, process, 1, 6, method, streams(i))[0] for i in range(8)]
    if name == "pca":  # matrix products round differently for other batches
        torch.testing.assert_close(whole, torch.stack(one))
    else:
        assert torch.equal(whole, torch.stack(one))


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_a_sample_whatever_their_number(method):
    model, process = made()
    many = sample(model, process, 5, 6, method, seed=3)
    few = sample(model, process, 2, 6, method, seed=3)
    torch.testing.assert_close(few, many[:2], rtol=0, atol=1e-12)
    own = [generator(3 * 1_000_003 + i) for i in range(5)]
    assert torch.equal(sample(model, process, 5, 6, method, own), many)
    *_, last = trajectory(model, process, 5, 6, method, seed=3)
    assert torch.equal(last.x, many)
    assert not torch.equal(sample(model, process, 2, 6, method, seed=4), few)


def test_the_streams_of_seeds_are_their_own():
    firsts = [stream(seed, number).initial_seed() for seed in (0, 1, 5) for number in (0, 1, 99)]
    assert len(set(firsts)) == len(firsts)
    assert stream(MAX_SEED, STREAMS - 1).initial_seed() < 2**63
    assert [each.initial_seed() for each in streams(1, 3, first=2)] == [
        stream(1, number).initial_seed() for number in (2, 3, 4)
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"generator": 3}, r"generator = 3 is a number: pass seed=3\."),
        ({"generator": "three"}, "generator = 'three' is neither a torch.Generator nor a list"),
        ({"generator": [1, 2]}, r"generator = \[1, 2\] is neither a torch.Generator nor a list"),
        ({"generator": [generator()]}, r"1 generators were given for 2 samples\."),
        ({"generator": generator(), "seed": 3}, "seed = 3 and a generator exclude each other"),
        ({"seed": -1}, r"seed = -1 is outside \[0, "),
        ({"seed": 10**20}, "seed = 100000000000000000000 is outside"),
        ({"seed": 0.5}, r"seed = 0\.5 must be a whole number"),
        ({"seed": math.nan}, "seed = nan must be a finite number"),
        ({"seed": "three"}, "seed = 'three' must be a finite number"),
    ],
)
def test_what_is_no_randomness_is_one_sentence(given, sentence):
    model, process = made()
    for call in (sample, trajectory):
        with pytest.raises(ValueError, match=sentence) as caught:
            call(model, process, 2, 3, **given)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [3, "three", [1, 2]])
def test_a_generator_is_checked_wherever_noise_is_drawn(wrong):
    model, process = made()
    x = torch.zeros(2, *SHAPE, dtype=torch.float64)
    calls = (
        lambda: process.perturb(x, 0.5, generator=wrong),
        lambda: process.prior_sample(2, wrong),
        lambda: reverse(model, process, x, 3, generator=wrong),
        lambda: elbo(model, process, x, 3, generator=wrong),
        lambda: log_likelihood(model, process, x, 3, "hutchinson", generator=wrong),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"is neither a torch\.Generator nor a list"):
            call()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_samples(method):
    model, process = made()
    before = torch.get_rng_state()
    a, b = (sample(model, process, 2, 5, method, generator(3)) for _ in range(2))
    assert torch.equal(a, b) and torch.equal(before, torch.get_rng_state())
    assert not torch.equal(a, sample(model, process, 2, 5, method, generator(4)))


def test_the_callback_sees_every_state_and_may_cancel():
    model, process = made()
    states: list[State] = []
    x = sample(model, process, 2, 5, "shell", generator(), states.append)
    assert [s.step for s in states] == list(range(6))
    assert [s.time for s in states] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
    assert torch.equal(states[-1].x, x)
    assert states[0].denoised is None and all(s.denoised.shape == x.shape for s in states[1:])

    class Cancelled(Exception):
        pass

    seen: list[int] = []

    def cancel(state: State) -> None:
        seen.append(state.step)
        if state.step == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample(model, process, 2, 5, "ddim", callback=cancel)
    assert seen == [0, 1, 2]


def test_a_trajectory_is_the_sample_and_leaves_gradients_on():
    model, process = made()
    states = trajectory(model, process, 2, 5, "heun", generator(1))
    next(states)
    assert torch.is_grad_enabled()
    *_, last = states
    assert torch.equal(last.x, sample(model, process, 2, 5, "heun", generator(1)))
    assert not last.x.requires_grad


def test_the_default_call():
    model, process = made()
    x = sample(model, process, 3)
    assert x.shape == (3, *SHAPE) and torch.isfinite(x).all()


def test_a_process_without_data_starts_from_the_models():
    """Where signal is left at t = 1, only the model can know how much."""
    model, _ = made()
    schedule = schedules.SoftConditioning(-3.0, -1.0, 0.5)
    process = Process(model.basis, colors.White(), schedule).double()
    assert process.modes.variance is None
    x = sample(model, process, 20_000, 4, "shell", generator(1))
    assert_moments(x, *truth(model))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_have_the_models_precision(method, dtype):
    model, process = (module.to(dtype) for module in made())
    assert sample(model, process, 2, 3, method).dtype == dtype


def test_samples_are_where_the_process_is(device):
    model, process = (module.float().to(device) for module in made())
    x = sample(model, process, 2, 3, "shell", [generator(1), generator(2)])
    assert x.device.type == device.type


@pytest.mark.parametrize("method", METHODS)
def test_a_jump_is_refused_by_the_odes(method):
    model, process = made(HARD)
    blend = schedules.BlendedSchedule(schedules.Cosine(), HARD)
    for p in (process, Process(process.basis, FREE, blend, process.modes)):
        if METHODS[method].ode:
            with pytest.raises(ValueError, match="this schedule jumps: use 'shell'"):
                sample(model, p, 2, method=method)
        elif method == "shell":
            assert torch.isfinite(sample(model, p, 2, 5, method)).all()
        else:
            with pytest.warns(UserWarning, match="loses their variance: use the shell"):
                assert torch.isfinite(sample(model, p, 2, 5, method)).all()


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("method = 'euler' is not one of", {"method": "euler"}),
        (r"n = 0 is outside \[1, 100000\]", {"n": 0}),
        ("n = 2.5 must be a whole number", {"n": 2.5}),
        (r"steps = 0 is outside \[1, 10000\]", {"steps": 0}),
        ("steps = 2.5 must be a whole number", {"steps": 2.5}),
        ("steps = 'x' must be a finite number", {"steps": "x"}),
        ("steps = nan must be a finite number", {"steps": math.nan}),
        ("1 generators were given for 2 samples", {"generator": [generator()]}),
    ],
)
def test_bad_arguments_are_one_sentence_and_at_once(match, options):
    model, process = made()
    arguments = {"n": 2, "steps": 3, "method": "shell"} | options
    with pytest.raises(ValueError, match=match) as caught:
        trajectory(model, process, **arguments)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FourierBasis(SHAPE), PixelBasis(SHAPE)),
        (WaveletBasis(SHAPE), WaveletBasis(SHAPE, "db2")),
        (WaveletBasis(SHAPE, levels=1), WaveletBasis(SHAPE, levels=2)),
        (PCABasis.fit(fields(SHAPE)), PCABasis.fit(fields(SHAPE, seed=1))),
        (FourierBasis(SHAPE), FourierBasis((1, 4, 6))),
        (PixelBasis((2, 2, 2)), PixelBasis((2, 2, 2), channels=torch.eye(2).flip(0))),
    ],
    ids=name_of,
)
def test_a_model_in_another_basis_is_refused(one, other):
    model = GaussianDenoiser.fit(one, fields(one.shape))
    process = Process(other, colors.White(), CUTOFF)
    with pytest.raises(ValueError, match="is not the process'"):
        sample(model, process, 2)


def test_the_kind_of_momentum_does_not_matter_to_the_model():
    model = GaussianDenoiser.fit(FourierBasis(SHAPE, "lattice"), fields(SHAPE))
    assert sample(model, Process(FourierBasis(SHAPE), FREE, CUTOFF, model.modes), 2).shape[0] == 2
