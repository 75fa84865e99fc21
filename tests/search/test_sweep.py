"""Sweeps: what is drawn, what is kept, what is refused."""

import math

import optuna
import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.denoisers import GaussianDenoiser
from rgdiff_core.likelihood.discrete import MAX_FIELDS
from rgdiff_core.schedules import Cutoff, LinearGamma, SoftConditioning
from rgdiff_core.search import Space, Sweep, best, open_study, run, step_bound, trials
from rgdiff_core.search.space import COLORS, KERNELS
from rgdiff_core.search.sweep import PARTS
from rgdiff_core.spec import from_json

SMALL = Sweep(steps=4, images=200)


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'sweeps.db'}"


@pytest.fixture
def storage_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("RGDIFF_SWEEPS", f"sqlite:///{tmp_path / 'own.db'}")


def drawn(space, n):
    """Return what a space gives for random trials."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.draw(study.ask()) for _ in range(n)]


def test_a_space_has_all_that_it_names(toy):
    space = Space(kernels=KERNELS)
    pairs = drawn(space, 150)
    for color, schedule in pairs[:40]:
        assert (from_json(color.to_json()), from_json(schedule.to_json())) == (color, schedule)
        gamma = toy.process(schedule, color).level(0.5).gamma
        assert gamma.isfinite().all()
    kinds = {type(schedule) for _, schedule in pairs}
    assert kinds == {Cutoff, LinearGamma, SoftConditioning}
    cutoffs = [schedule for _, schedule in pairs if isinstance(schedule, Cutoff)]
    assert len({type(schedule.kernel) for schedule in cutoffs}) == len(KERNELS)
    assert {len(schedule.path.times) for schedule in cutoffs} == {5}
    assert len({type(color) for color, _ in pairs}) == len(COLORS)


def test_a_space_may_be_small():
    space = Space(("cutoff",), ("litim",), colors=("white",), points=0, gamma_max=(3.0, 3.0))
    for color, schedule in drawn(space, 5):
        assert color == rg.colors.White()
        assert schedule == Cutoff(
            rg.schedules.LitimKernel(), gamma_min=schedule.gamma_min, gamma_max=3.0
        )


def test_resuming_goes_on_with_the_numbers(toy, storage):
    study = open_study("a", SMALL, "toy", storage=storage, seed=1)
    first = list(run(study, toy.model, toy.images, count=3))
    study = open_study("a", SMALL, "toy", storage=storage, seed=1)
    second = list(run(study, toy.model, toy.images, count=3))
    assert [t.number for t in (*first, *second)] == list(range(6))
    assert trials(study) == [*first, *second]
    assert {t.state for t in trials(study)} == {"complete"}  # the first ten are never given up
    assert len({t.schedule for t in trials(study)}) == 6
    least = min(trials(study), key=lambda t: t.value)
    assert best(study) == least


def test_a_trials_value_is_its_bound(toy, storage):
    study = open_study("a", SMALL, "toy", storage=storage)
    (trial,) = run(study, toy.model, toy.images, count=1)
    process = toy.process(trial.schedule, trial.color)
    bound = step_bound(toy.model, process, toy.images, 4, draws=2)
    error = math.hypot(trial.error, float(bound.std()) / len(bound) ** 0.5)
    assert trial.value == pytest.approx(float(bound.mean()), abs=4 * error)


def test_a_sweep_finds_better_than_its_first_trials(toy):
    study = open_study("a", SMALL, "toy", storage="sqlite:///:memory:", seed=0)
    found = list(run(study, toy.model, toy.images, count=40))
    assert any(t.state == "pruned" and t.value is None for t in found)
    assert best(study).value < min(t.value for t in found[:10])


def test_gaussian_data_tie(toy, storage):
    gaussian = GaussianDenoiser(toy.model.basis, toy.model.modes)
    study = open_study("a", SMALL, "free", storage=storage)
    found = [t.value for t in run(study, gaussian, toy.images, count=3)]
    assert found == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.fixture(scope="module")
def free_field():
    """Return a lattice without interaction and its exact model."""
    action = rg.lattice.Phi4(1.0, 0.0)
    basis = rg.bases.FourierBasis((1, 4, 4), momentum="lattice").double()
    variance = 1 / (2 * (basis.momentum**2 + action.m2))
    modes = rg.Modes(basis.scale, torch.zeros_like(variance), variance, basis.momentum)
    return action, GaussianDenoiser(basis, modes)


@pytest.mark.parametrize("objective", ["kl", "ess"])
def test_samples_of_the_free_field_are_perfect(toy, storage, free_field, objective):
    action, model = free_field
    space = Space(("scalar",), colors=("matched",))
    sweep = Sweep(objective, 3, space, images=16, method="interaction")
    study = open_study("a", sweep, "free", storage=storage)
    (trial,) = run(study, model, toy.images, count=1, action=action)
    # F = −log Z of the free field, in closed form
    log_z = float(torch.log(2 * torch.pi * model.modes_variance).sum()) / 2
    assert trial.value == pytest.approx(-log_z if objective == "kl" else 1, rel=1e-6)
    assert trial.error == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match=f"objective = '{objective}' is for lattices"):
        run(study, model, toy.images, count=1)


class Stopped(GaussianDenoiser):
    """A denoiser during which a person presses Ctrl+C."""

    def interaction(self, c, marginal):
        raise KeyboardInterrupt


def test_what_is_done_is_kept_when_a_trial_is_stopped(toy, storage):
    study = open_study("a", SMALL, "toy", storage=storage)
    list(run(study, toy.model, toy.images, count=2))
    stopped = Stopped(toy.model.basis, toy.model.modes)
    with pytest.raises(KeyboardInterrupt):
        list(run(study, stopped, toy.images, count=2))
    assert [t.state for t in trials(study)] == ["complete", "complete", "fail"]
    (third,) = run(study, toy.model, toy.images, count=1)
    assert third.number == 3


def test_the_default_storage_is_the_users(toy, storage_of_its_own, tmp_path):
    study = open_study("a", SMALL, "toy")
    list(run(study, toy.model, toy.images, count=1))
    assert (tmp_path / "own.db").is_file()
    assert best(open_study("empty", SMALL, "toy")) is None


def test_bad_input_is_one_sentence(toy, storage, tmp_path):
    def refuses(says, make, *arguments, **options):
        with pytest.raises(ValueError, match=says) as caught:
            make(*arguments, **options)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)

    refuses("objective = 'beauty' is not one of", Sweep, "beauty")
    refuses("steps = 0", Sweep, steps=0)
    refuses("images = 2 ", Sweep, images=2)
    refuses(r"images = 100001 is outside \[8, 100000\]", Sweep, "ess", images=100_001)
    refuses(r"images = 400001 is outside \[8, 400000\]", Sweep, "kl", images=400_001)
    assert Sweep("kl", images=400_000).images // PARTS == Sweep("ess", images=MAX_FIELDS).images
    refuses("method = 'shell' is not one of", Sweep, "kl", method="shell")
    refuses("leave 'hard' out", Sweep, "ess", space=Space(kernels=("hard",)))
    refuses("kernels = 'square' is not one of", Space, kernels=("square",))
    refuses("colors is empty", Space, colors=())
    refuses("points = 17", Space, points=17)
    refuses("gamma_min = -99", Space, gamma_min=(-99.0, 0.0))
    refuses("must stay below gamma_max", Space, gamma_min=(-1.0, 0.0), gamma_max=(0.0, 1.0))
    refuses("can't be used", open_study, "a", SMALL, "toy", storage="nonsense")
    refuses("can't be used", open_study, "a", SMALL, "toy", storage='{"kind": []}')
    open_study("a", SMALL, "toy", storage=f"sqlite:///{tmp_path}/{{braces}}.db")
    assert (tmp_path / "{braces}.db").is_file()
    missing = f"sqlite:///{tmp_path / 'no' / 'folder.db'}"
    refuses("can't be used", open_study, "a", SMALL, "toy", storage=missing)
    study = open_study("a", SMALL, "toy", storage=storage)
    refuses("has model = toy; give", open_study, "a", SMALL, "other", storage=storage)
    refuses("has sweep = ", open_study, "a", Sweep(steps=5), "toy", storage=storage)
    refuses("trials = 0", run, study, toy.model, toy.images, count=0)
