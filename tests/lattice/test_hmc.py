"""The sampler against exact values, long independent runs and identities.

Tolerances are five standard errors, the seeds fixed.
"""

import math

import pytest
import torch

from rgdiff_core.lattice import Estimate, Phi4, hmc, leapfrog, observables, schwinger_dyson
from rgdiff_core.lattice.hmc import autocorrelation_time


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_agrees(measured: Estimate, value: float, error: float = 0.0) -> None:
    combined = math.hypot(measured.error, error)
    assert 0 < combined < 0.05 * max(abs(value), 1.0)
    assert abs(measured.value - value) < 5 * combined, f"{measured} against {value}"


# Quadrature and transfer matrices (L = 2, 3); Monte Carlo by Metropolis and Wolff (L = 6), for
# which the last digits' errors are given.
EXACT = [
    (
        Phi4(-1, 0.5),
        2,
        {
            "abs_magnetization": 0.7563778077,
            "susceptibility": 2.7278873107,
            "binder": 0.5015676771,
            "phi2": 0.7475104134,
            "phi4": 0.9295536553,
            "energy": 0.6680212238,
        },
    ),
    (
        Phi4(-4, 8),
        2,
        {
            "abs_magnetization": 0.2894756228,
            "susceptibility": 0.4504816415,
            "binder": 0.3637642444,
            "phi2": 0.1714344232,
            "phi4": 0.0561695839,
            "energy": 0.0996783356,
        },
    ),
    (
        Phi4(1, 1),
        3,
        {
            "susceptibility": 0.309099846,
            "binder": 0.055448566,
            "phi2": 0.111590624,
            "phi4": 0.034606236,
            "energy": 0.031791398,
        },
    ),
    (
        Phi4(-4, 6.975),
        3,
        {
            "susceptibility": 0.782872412,
            "binder": 0.349775942,
            "phi2": 0.176157909,
            "phi4": 0.060350032,
            "energy": 0.085470737,
        },
    ),
]
SIMULATED = [
    (
        Phi4(-4, 6.975),
        {
            "abs_magnetization": (0.141450, 0.000053),
            "susceptibility": (1.06231, 0.00070),
            "binder": (0.19217, 0.00032),
            "phi2": (0.161389, 0.000018),
            "phi4": (0.052572, 0.000010),
            "energy": (0.058342, 0.000021),
        },
    ),
    (
        Phi4(-1, 0.5),
        {
            "abs_magnetization": (0.79206, 0.00012),
            "susceptibility": (23.2342, 0.0059),
            "binder": (0.635071, 0.000043),
            "phi2": (0.76136, 0.00015),
            "phi4": (0.88620, 0.00026),
            "energy": (0.66754, 0.00016),
        },
    ),
]


@pytest.mark.parametrize(("theory", "size", "expected"), EXACT)
def test_small_lattices_have_their_exact_values(theory, size, expected):
    run = hmc(theory, size, 40_000, generator=seeded(11))
    measured = observables(run.configurations)
    for name, value in expected.items():
        assert_agrees(measured[name], value)


@pytest.mark.parametrize(("theory", "expected"), SIMULATED)
def test_6x6_has_the_values_of_long_runs(theory, expected):
    run = hmc(theory, 6, 20_000, generator=seeded(12))
    measured = observables(run.configurations)
    for name, (value, error) in expected.items():
        assert_agrees(measured[name], value, error)


def test_the_free_theory_has_its_closed_form():
    run = hmc(Phi4(0.5, 0.0), 4, 20_000, generator=seeded(13))
    k2 = 4 * torch.sin(math.pi * torch.arange(4, dtype=torch.float64) / 4) ** 2
    propagator = 1 / (2 * (k2[:, None] + k2 + 0.5))
    measured = observables(run.configurations)
    assert_agrees(measured["susceptibility"], 1 / (2 * 0.5))
    assert_agrees(measured["phi2"], float(propagator.mean()))
    assert_agrees(measured["binder"], 0.0)


@pytest.mark.parametrize("theory", [Phi4(-4, 6.975), Phi4(-1, 0.5), Phi4(2.0, 0.0), Phi4(-6, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_identities_hold_at_every_coupling(theory, dtype):
    run = hmc(theory, 4, 5_000, generator=seeded(14), dtype=dtype)
    assert_agrees(run.exp_delta_h, 1.0)
    assert_agrees(schwinger_dyson(theory, run.configurations), 1.0)
    assert 0.75 < run.acceptance < 0.95
    assert run.configurations.dtype == torch.float32


def test_schwinger_dyson_knows_one_theory_from_another():
    run = hmc(Phi4(-4, 6.975), 6, 5_000, generator=seeded(15))
    wrong = schwinger_dyson(Phi4(-4, 6.5), run.configurations)
    assert abs(wrong.value - 1) > 5 * wrong.error


def test_both_wells_are_visited_equally():
    # One chain alone, deep in the broken phase: only the random global sign moves it across.
    run = hmc(Phi4(-3, 0.5), 4, 2_000, 1, seeded(16), thinning=2)
    up = (run.configurations.mean((1, 2, 3)) > 0).double().mean()
    assert abs(float(up) - 0.5) < 5 * 0.5 / math.sqrt(2_000)


def test_the_leapfrog_is_reversible():
    phi, momentum = torch.randn((2, 3, 6, 6), generator=seeded(17), dtype=torch.float64)
    phi = 0.4 * phi
    theory = Phi4(-4, 6.975)
    end, final = leapfrog(theory, phi, momentum, step_size=0.1, n_steps=10)
    assert float((end - phi).abs().max()) > 0.1
    back, start = leapfrog(theory, end, -final, step_size=0.1, n_steps=10)
    torch.testing.assert_close(back, phi)
    torch.testing.assert_close(start, -momentum)


def test_the_leapfrog_is_of_second_order():
    phi, momentum = torch.randn((2, 3, 6, 6), generator=seeded(18), dtype=torch.float64)
    phi = 0.4 * phi
    theory = Phi4(-4, 6.975)

    def violation(n_steps: int) -> float:
        end, final = leapfrog(theory, phi, momentum, step_size=0.5 / n_steps, n_steps=n_steps)
        kinetic = 0.5 * (final**2 - momentum**2).sum((-2, -1))
        return float((theory(end) - theory(phi) + kinetic).abs().mean())

    assert math.log2(violation(32) / violation(64)) == pytest.approx(2, abs=0.1)


def test_chains_stand_together_and_are_equally_long():
    run = hmc(Phi4(-1, 0.5), 6, 10, 4, seeded(19), thinning=1)
    again = hmc(Phi4(-1, 0.5), 6, 12, 4, seeded(19), thinning=1)
    assert run.configurations.shape == (10, 1, 6, 6)
    kept = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]
    torch.testing.assert_close(run.configurations, again.configurations[kept], rtol=0, atol=0)


def test_a_batch_that_is_advanced_in_pieces_is_as_good():
    # 200 chains of 16×16 are more than one piece.
    theory = Phi4(-4, 6.975)
    run = hmc(theory, 16, 400, 200, seeded(20), thermalization=60, thinning=4)
    assert_agrees(run.exp_delta_h, 1.0)
    assert_agrees(schwinger_dyson(theory, run.configurations), 1.0)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_series(rho):
    noise = torch.randn((4_000, 20), generator=seeded(21), dtype=torch.float64)
    series = [noise[0]]
    for kick in noise[1:]:
        series.append(rho * series[-1] + math.sqrt(1 - rho**2) * kick)
    tau = autocorrelation_time(torch.stack(series))
    # The window of 5τ leaves out a part e^{-5} of the sum.
    expected = 0.5 * (1 + rho) / (1 - rho)
    assert abs(tau.value - expected) < 5 * tau.error + 0.01 * expected


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 1}, "size = 1 is not a whole number from 2 to 256"),
        ({"size": 257}, "size = 257"),
        ({"size": 6.0}, "size = 6.0"),
        ({"n_samples": 0}, "n_samples = 0"),
        ({"n_samples": 10**6 + 1}, "n_samples = 1000001"),
        ({"size": 256, "n_samples": 10**5}, "at most 268435456"),
        ({"n_chains": 0}, "n_chains = 0"),
        ({"n_chains": 11}, "n_chains = 11 is not a whole number from 1 to 10"),
        ({"thinning": 0}, "thinning = 0"),
        ({"thermalization": 3}, "thermalization = 3"),
        ({"trajectory_length": math.nan}, "trajectory_length = nan"),
        ({"target_acceptance": 1.0}, "target_acceptance = 1.0"),
        ({"dtype": torch.float16}, "dtype = torch.float16"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        hmc(**({"action": Phi4(1, 1), "size": 6, "n_samples": 10} | arguments))
