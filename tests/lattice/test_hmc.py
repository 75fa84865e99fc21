"""The sampler: what it tunes, what it yields, how it stops, and what it refuses."""

import math
from itertools import islice, takewhile

import pytest
import torch
from torch import Tensor

from rgdiff_core.lattice import (
    HMC,
    History,
    Leapfrog,
    Omelyan,
    Phi4,
    Trajectory,
    hmc,
    schwinger_dyson,
    trajectories,
)
from rgdiff_core.lattice.hmc import mean_weight
from rgdiff_core.lattice.thermalization import autocorrelation_time, drifts
from rgdiff_core.spec import Spec
from rgdiff_core.statistics import Estimate

THEORY = Phi4(-4, 6.975)

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def autoregressive(length: int, chains: int, tau: float, seed: int) -> Tensor:
    """Return unit Gaussian series (length, chains) of a given autocorrelation time."""
    rho = (2 * tau - 1) / (2 * tau + 1)
    noise = torch.randn((length, chains), generator=seeded(seed), dtype=torch.float64)
    series = [noise[0]]
    for kick in noise[1:]:
        series.append(rho * series[-1] + math.sqrt(1 - rho**2) * kick)
    return torch.stack(series)


@pytest.mark.parametrize("integrator", [Leapfrog(), Omelyan()])
@pytest.mark.parametrize("target", [0.65, 0.9])
def test_the_step_size_is_tuned_to_the_acceptance(integrator, target):
    settings = HMC(target_acceptance=target, integrator=integrator)
    run = trajectories(THEORY, 8, 60, seeded(1), settings=settings, thermalization=100)
    discarded = list(islice(run, 100))
    assert all(move.thermalizing for move in discarded)
    # In the last quarter the step stays, so that the chains forget the tuning.
    assert len({move.step_size for move in discarded[75:]}) == 1
    kept = list(islice(run, 100))
    assert not any(move.thermalizing for move in kept)
    assert len({move.step_size for move in kept}) == 1
    acceptance = float(torch.stack([move.accepted for move in kept]).double().mean())
    assert acceptance == pytest.approx(target, abs=0.07)


def test_a_trajectory_holds_what_it_says():
    for dtype in (torch.float32, torch.float64):
        settings = HMC(cluster=1)
        run = trajectories(THEORY, 6, 7, seeded(2), settings=settings, dtype=dtype)
        for number, move in enumerate(islice(run, 5)):
            assert move.number == number
            assert move.phi.shape == (7, 6, 6) and move.phi.dtype == dtype
            torch.testing.assert_close(move.action, THEORY(move.phi.double()), atol=1e-4, rtol=0)
            mean = move.phi.double().mean((-2, -1))
            torch.testing.assert_close(move.magnetization, mean)
            assert bool((move.accepted | (move.weight < 1)).all())


@pytest.mark.parametrize("stop", [10, 40])
@pytest.mark.parametrize("cluster", [0, 1])
def test_a_run_goes_on_exactly_where_it_stopped(cluster, stop):
    # 30 trajectories thermalize: one stop is before their end, one after it.
    settings = HMC(cluster=cluster)
    source = seeded(3)
    run = trajectories(THEORY, 6, 4, source, settings=settings, thermalization=30)
    last = list(islice(run, stop))[-1]
    resumed = torch.Generator()
    resumed.set_state(source.get_state())
    again = trajectories(THEORY, 6, 4, resumed, settings=settings, thermalization=30, start=last)
    for expected, found in islice(zip(run, again, strict=False), 50):
        assert torch.equal(found.phi, expected.phi)
        assert (found.number, found.step_size) == (expected.number, expected.step_size)
        assert found.thermalizing == expected.thermalizing


def test_fields_to_start_from():
    start = torch.full((3, 6, 6), 2.0)
    far = next(trajectories(THEORY, 6, 3, seeded(4), start=start))
    torch.testing.assert_close(far.phi.abs().mean(), torch.tensor(2.0), atol=0.7, rtol=0)
    assert torch.equal(start, torch.full((3, 6, 6), 2.0))
    with pytest.raises(ValueError, match=r"start has shape \(3, 6, 6\); it must be \(4, 6, 6\)"):
        trajectories(THEORY, 6, 4, start=start)
    start[1, 2, 3] = math.nan
    with pytest.raises(ValueError, match="start holds a value that is not a finite number"):
        trajectories(THEORY, 6, 3, start=start)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("theory", [THEORY, Phi4(2.0, 0.0), Phi4(-6, 1), Phi4(1.0, 1e3)])
def test_identities_hold_at_every_coupling(theory, dtype):
    run = hmc(theory, 4, 4_000, 100, seeded(5), dtype=dtype)
    assert abs(run.exp_delta_h.value - 1) < 4 * run.exp_delta_h.error < 0.1
    identity = schwinger_dyson(theory, run.configurations, n_chains=run.n_chains)
    assert abs(identity.value - 1) < 4 * identity.error < 0.5
    assert run.configurations.dtype == dtype
    assert run.warning is None


def moving(fields: Tensor, step_size: float) -> Trajectory:
    """Return a trajectory to go on from, past thermalization, with a step size of its own."""
    one = torch.ones(len(fields), dtype=torch.float64)
    action = THEORY(fields.double())
    return Trajectory(0, False, fields, one, one > 0, one, action, step_size)


def test_steps_vary_with_the_number_of_the_trajectory_alone(monkeypatch):
    # By a tenth either way, so that no mode of the free theory returns to where it started.
    integrate, used = Omelyan.integrate, []

    def recorded(*arguments, step_size, n_steps):
        used.append(step_size)
        return integrate(*arguments, step_size=step_size, n_steps=n_steps)

    monkeypatch.setattr(Omelyan, "integrate", recorded)
    for seed in (1, 2):
        start = moving(torch.zeros(3, 4, 4), 0.2)
        for _ in islice(trajectories(THEORY, 4, 3, seeded(seed), start=start), 50):
            pass
    assert used[:50] == used[50:]
    assert 0.18 <= min(used) < 0.182 and 0.218 < max(used) <= 0.22
    assert sum(used[:50]) / 50 == pytest.approx(0.2, rel=0.01)


def test_double_precision_is_precise():
    # At so small a step the energy is conserved to 10⁻⁵, which single precision does not see.
    start = moving(torch.randn((20, 6, 6), generator=seeded(6), dtype=torch.float64), 1e-5)

    def violation(dtype: torch.dtype) -> float:
        move = next(trajectories(THEORY, 6, 20, seeded(7), dtype=dtype, start=start))
        return float(move.weight.log().abs().max())

    assert violation(torch.float64) < 1e-5 < violation(torch.float32) < 1e-2


def test_both_wells_are_visited_equally():
    # One chain alone, deep in the broken phase: only the random global sign moves it across.
    run = hmc(Phi4(-3, 0.5), 4, 1_000, 1, seeded(8), thinning=2)
    up = (run.configurations.mean((1, 2, 3)) > 0).double().mean()
    assert abs(float(up) - 0.5) < 4 * 0.5 / math.sqrt(1_000)


def test_a_batch_that_is_advanced_in_pieces_is_as_good():
    # 200 chains of 16×16 are more than one piece.
    run = hmc(THEORY, 16, 400, 200, seeded(9), thermalization=60, thinning=4)
    assert abs(run.exp_delta_h.value - 1) < 4 * run.exp_delta_h.error < 0.1
    identity = schwinger_dyson(THEORY, run.configurations, n_chains=200)
    assert abs(identity.value - 1) < 4 * identity.error < 0.1


def test_chains_stand_together_and_are_equally_long():
    run = hmc(Phi4(-1, 0.5), 6, 10, 4, seeded(19), thinning=1)
    again = hmc(Phi4(-1, 0.5), 6, 12, 4, seeded(19), thinning=1)
    assert run.configurations.shape == (10, 1, 6, 6)
    kept = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]
    assert torch.equal(run.configurations, again.configurations[kept])


def test_the_history_is_that_of_the_configurations():
    run = hmc(THEORY, 4, 12, 3, seeded(10), thermalization=25, thinning=2)
    assert run.history.action.shape == run.history.magnetization.shape == (25 + 8, 3)
    assert run.history.thermalization == 25
    kept = run.configurations.view(3, 4, 4, 4).double()
    magnetization = run.history.magnetization[25 + 1 :: 2].T
    torch.testing.assert_close(magnetization, kept.mean((-2, -1)))
    assert run.history.measured.action.shape == (8, 3)


@pytest.mark.parametrize(
    ("n_samples", "size", "chains"),
    [(10**5, 6, 900), (10_000, 6, 100), (1000, 16, 10), (100, 6, 4), (30, 8, 2), (1, 6, 1)],
)
def test_chains_are_long_enough_for_errors(n_samples, size, chains):
    run = hmc(THEORY, size, n_samples, generator=seeded(11), thermalization=20, thinning=1)
    assert run.n_chains == chains


SLOW = HMC(trajectory_length=0.05)


def test_thermalization_lasts_until_it_is_done():
    # Fields far out, and trajectories so short that hundreds are needed to come back.
    start, usual = torch.full((20, 8, 8), 3.0), 100 + 8 * 8

    def discarded(settings: HMC) -> int:
        moves = trajectories(THEORY, 8, 20, seeded(12), settings=settings, start=start)
        return sum(1 for _ in takewhile(lambda move: move.thermalizing, moves))

    assert discarded(HMC()) == usual
    assert discarded(SLOW) in (2 * usual, 4 * usual, 8 * usual)


def test_measuring_too_early_is_told():
    start = torch.full((20, 8, 8), 3.0)
    run = hmc(THEORY, 8, 1000, 20, seeded(13), settings=SLOW, thermalization=20, start=start)
    assert run.warning is not None and "after 20 trajectories" in run.warning
    assert run.history.thermalized_at > 20


def test_drifts_are_found_and_noise_is_not():
    for chains in (1, 4, 40):
        series = [autoregressive(400, chains, 3.0, seed) for seed in range(60)]
        assert sum(map(drifts, series)) <= 2
        # The noise of an average falls with the number of chains, and so may the drift.
        time = torch.arange(400, dtype=torch.float64)[:, None]
        decay = 5 / math.sqrt(chains) * torch.exp(-time / 40)
        assert sum(drifts(each + decay) for each in series) >= 55
        history = History(10 + series[0] + decay, series[1], 0)
        assert 20 <= history.thermalized_at <= 240
        assert history.warning is not None
        assert History(10 + series[0] + decay, series[1], 300).warning is None


@pytest.mark.parametrize("tau", [0.5, 1.5, 9.5])
def test_autocorrelation_time_of_an_autoregressive_series(tau):
    found = autocorrelation_time(autoregressive(4_000, 20, tau, seed=21))
    # The window of 5τ leaves out a part e^{-5} of the sum.
    assert abs(found.value - tau) < 4 * found.error + 0.01 * tau


def test_the_error_of_the_mean_weight_allows_for_autocorrelation():
    tau, length, chains = 4.5, 4_000, 20
    found = mean_weight(1 + 0.1 * autoregressive(length, chains, tau, seed=22))
    assert found.error == pytest.approx(0.1 * math.sqrt(2 * tau / (length * chains)), rel=0.1)
    assert abs(found.value - 1) < 4 * found.error


def test_autocorrelation_time_of_a_constant():
    assert autocorrelation_time(torch.ones(10, 3)) == Estimate(0.5, 0.0)


def test_progress_counts_and_cancels():
    seen = []
    hmc(Phi4(1, 1), 2, 4, 2, thermalization=20, thinning=3, progress=lambda *at: seen.append(at))
    assert seen == [(i + 1, 26) for i in range(26)]

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        del total
        if done == 5:
            raise Stop

    with pytest.raises(Stop):
        hmc(Phi4(1, 1), 2, 4, 2, progress=stop)


def test_settings_survive_json():
    settings = HMC(1.5, 0.7, Leapfrog(), 2)
    assert Spec.from_json(settings.to_json()) == settings
    assert HMC.from_json('{"kind": "HMC"}') == HMC()


def test_a_run_without_any_acceptance_fails():
    start = moving(torch.zeros(10, 4, 4), 50.0)
    with pytest.raises(ValueError, match="none of 30 proposals was accepted at step size 50"):
        hmc(THEORY, 4, 10, 10, seeded(14), start=start)


@pytest.mark.parametrize("theory", [Phi4(-4, 1e-8), Phi4(-1e5, 1.0)])
def test_energies_lost_in_rounding_errors_are_told(theory):
    with pytest.raises(ValueError, match=r"energies are too large for torch\.float32"):
        hmc(theory, 4, 10, 10, seeded(15))


def test_what_is_too_large_for_single_precision_is_not_for_double():
    theory = Phi4(-4, 1e-8)
    run = hmc(theory, 4, 200, 10, seeded(15), dtype=torch.float64)
    assert abs(run.exp_delta_h.value - 1) < 4 * run.exp_delta_h.error < 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 1}, r"size = 1 is outside \[2, 256\]"),
        ({"size": 257}, "size = 257"),
        ({"size": 6.5}, "size = 6.5"),
        ({"n_samples": 0}, "n_samples = 0"),
        ({"n_samples": 10**6 + 1}, "n_samples = 1000001"),
        ({"size": 256, "n_samples": 10**5}, "at most 268435456"),
        ({"n_chains": 0}, "n_chains = 0"),
        ({"n_chains": 11}, r"n_chains = 11 is outside \[1, 10\]"),
        ({"thinning": 0}, "thinning = 0"),
        ({"thermalization": 3}, "thermalization = 3"),
        ({"dtype": torch.float16}, "dtype = torch.float16"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        hmc(**({"action": Phi4(1, 1), "size": 6, "n_samples": 10} | arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"trajectory_length": math.nan}, "trajectory_length = nan"),
        ({"trajectory_length": 0.0}, "trajectory_length = 0.0"),
        ({"target_acceptance": 1.0}, "target_acceptance = 1.0"),
        ({"cluster": -1}, "cluster = -1"),
        ({"cluster": 1.5}, "cluster = 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        HMC(**arguments)
