"""Noise sources: a function of seed and step alone, and everything that is promised occurs."""

import random

import pytest
import torch
from laws import fitted

from rgdiff_core import colors, schedules
from rgdiff_core.bases import PixelBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.process import Process
from rgdiff_core.seeds import fold_in
from rgdiff_core.training import noise_levels
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess, Universal
from rgdiff_core.training.random_processes import random_process

SHAPE = (1, 6, 6)
SOURCES = [
    FixedProcess(),
    FixedProcess(colors.White(), schedules.Cosine()),
    FixedProcess(colors.CurveColor((0.0, 0.4, 1.0), (1.0, 0.0, -2.0), colors.Matched())),
    Universal(8),
    Universal(8, curves=0.7),
]


@pytest.mark.parametrize("times", ["stratified", "importance"])
@pytest.mark.parametrize("source", SOURCES)
def test_a_draw_depends_on_seed_and_step_alone(source, times):
    basis, modes = fitted(SHAPE)
    walked, fresh, other = (
        source.sampler(basis, modes, Objective(times=times), seed) for seed in (3, 3, 4)
    )
    for step in range(20):
        batch = walked.draw(step, 10)
    again, different = fresh.draw(19, 10), other.draw(19, 10)
    torch.testing.assert_close(batch.marginal.alpha, again.marginal.alpha, rtol=0, atol=0)
    torch.testing.assert_close(batch.weight, again.weight, rtol=0, atol=0)
    assert not torch.equal(batch.marginal.std, different.marginal.std)
    assert not torch.equal(batch.marginal.std, walked.draw(20, 10).marginal.std)


@pytest.mark.parametrize("source", SOURCES)
def test_draws_may_jump_forth_and_back(source):
    basis, modes = fitted(SHAPE)
    jumping = source.sampler(basis, modes, Objective(), 3)
    for step in (0, 30, 29, 29, 3, 40, 41, 5):
        fresh = source.sampler(basis, modes, Objective(), 3).draw(step, 9)
        batch = jumping.draw(step, 9)
        assert torch.equal(batch.marginal.alpha, fresh.marginal.alpha)
        assert torch.equal(batch.marginal.std, fresh.marginal.std)
        assert torch.equal(batch.weight, fresh.weight)


def test_times_are_stratified():
    basis, modes = fitted(SHAPE)
    source = FixedProcess(colors.White(), schedules.LinearGamma(0.0, 1.0))
    batch = source.sampler(basis, modes, Objective(), 0).draw(5, 50)
    snr = batch.marginal.alpha**2 / (1 - batch.marginal.alpha**2)
    t = -torch.log(snr)[:, 0, 0, 0]
    assert (torch.sort(t).values * 50).floor().tolist() == list(range(50))


def test_levels_are_those_of_the_process():
    basis, modes = fitted(SHAPE)
    color, schedule = colors.FreeTheory(0.3), schedules.LinearGamma(-5.0, 5.0)
    batch = FixedProcess(color, schedule).sampler(basis, modes, Objective(), 0).draw(0, 20)
    process = Process(basis, color, schedule, modes)
    alpha2 = batch.marginal.alpha**2
    t = (torch.log((1 - alpha2) / alpha2)[:, 0, 0, 0] + 5) / 10
    expected = process.vp_marginal(t)
    torch.testing.assert_close(batch.marginal.alpha, expected.alpha.expand_as(alpha2))
    torch.testing.assert_close(batch.marginal.std, expected.std.expand_as(batch.marginal.std))


def test_the_universal_mixture_holds_all_that_it_promises():
    basis, modes = fitted(SHAPE)
    chance = random.Random(0)
    drawn = [random_process(basis, modes, chance) for _ in range(300)]
    kinds = {type(p.color).__name__ for p in drawn}
    assert kinds == {"White", "Matched", "BlendedColor", "FreeTheory", "PowerLaw"}
    kernels = {
        type(p.schedule.kernel).__name__ for p in drawn if isinstance(p.schedule, schedules.Cutoff)
    }
    assert len(kernels) == 7
    softness = [
        p.schedule.softness for p in drawn if isinstance(p.schedule, schedules.SoftConditioning)
    ]
    assert min(softness) < 0.1
    assert max(softness) > 3
    assert any(isinstance(p.schedule, schedules.LinearGamma) for p in drawn)


def test_a_share_of_the_universal_mixture_has_drawn_colours():
    basis, modes = fitted(SHAPE)
    chance = random.Random(0)
    drawn = [random_process(basis, modes, chance, 0.5).color for _ in range(400)]
    curves = [c for c in drawn if isinstance(c, colors.CurveColor)]
    powers = [c for c in drawn if isinstance(c, colors.Matched) and c.strength != 1]
    for some in (curves, powers):  # a quarter each, within 4 standard errors
        assert abs(len(some) / 400 - 0.25) < 4 * (0.25 * 0.75 / 400) ** 0.5
    assert max(c.strength for c in powers) > 1.3
    assert all(c.variance(modes).isfinite().all() for c in curves)
    with pytest.raises(ValueError, match=r"curves = 2.0 is outside \[0, 1\]"):
        Universal(curves=2.0)


def test_universal_batches_mix_processes_and_stay_finite():
    basis, modes = fitted(SHAPE)
    sampler = Universal(16).sampler(basis, modes, Objective(), 0)
    batch = sampler.draw(40, 256)
    assert batch.marginal.alpha.shape == (256, *SHAPE)
    for x in (batch.marginal.alpha, batch.marginal.std, batch.weight):
        assert x.isfinite().all()
        assert (x > 0).all()
    total = batch.marginal.std[:, 0, 0, 0] ** 2 / (1 - batch.marginal.alpha[:, 0, 0, 0] ** 2)
    assert len(torch.unique((total * 1e6).round())) > 10  # colours: S² of one component


def test_every_argument_of_a_seed_matters():
    seeds = {fold_in(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125
    assert fold_in(1, 23) != fold_in(12, 3)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match=r"processes = 0 is outside \[1, 4096\]"):
        Universal(0)


def test_the_table_of_the_mixture_never_takes_more_than_a_gibibyte():
    for shape in ((1, 6, 6), (3, 32, 32), (3, 256, 256)):
        for processes in (1, 64, 113, 256, 4096):
            source = Universal(processes)
            try:
                levels = source.levels(shape)
            except ValueError:
                continue
            floats = torch.empty(3, processes, levels, *shape, device="meta").numel()
            assert 4 * floats <= 2**30
    assert Universal(256).levels((3, 32, 32)) == Universal(4096).levels((1, 6, 6)) == 64
    assert Universal(64).levels((3, 256, 256)) == 7


def test_more_processes_than_memory_holds_are_refused_before_any_is_taken():
    basis = PixelBasis((3, 256, 256))
    message = "processes = 114 of fields 3×256×256 take more than 1 GiB of memory: take at most "
    with pytest.raises(ValueError, match=f"{message}113."):
        Universal(114).sampler(basis, Modes.of(basis), Objective(), 0)
    Universal(113).check(basis.shape)
    with pytest.raises(ValueError, match="too large for any"):
        Universal(1).check((3, 5000, 5000))


def test_large_fields_have_fewer_levels_each(monkeypatch):
    basis, modes = fitted(SHAPE)
    monkeypatch.setattr(noise_levels, "MAX_WINDOW", 3 * 36 * 8 * 5)
    sampler = Universal(8).sampler(basis, modes, Objective(), 0)
    alpha = sampler.draw(20, 4000).marginal.alpha[:, 0, 0, 0]
    assert len(alpha.unique()) == 40
