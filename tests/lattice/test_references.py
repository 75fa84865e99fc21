"""Hybrid Monte Carlo against exact values, long independent runs, and closed forms.

Tolerances are four standard errors, the seeds fixed.
"""

import math
from collections.abc import Sequence

import pytest
import torch

from rgdiff_core.lattice import (
    HMC,
    FreeField,
    HMCResult,
    Leapfrog,
    Phi4,
    hmc,
    observables,
    schwinger_dyson,
)
from rgdiff_core.statistics import Estimate

pytestmark = pytest.mark.usefixtures("one_thread")

NO_HALF, ORDERED, STRONG = Phi4(1, 1), Phi4(-1, 0.5), Phi4(-4, 8)
BROKEN, SYMMETRIC = Phi4.from_hopping(0.27, 0.022), Phi4.from_hopping(0.21, 0.022)
ALBERGO = Phi4(-4, 6.975)

# Exact to the digits shown: for L = 2 the trapezoidal rule over all four sites, for L = 3 and 4
# transfer matrices on the nodes of a Gauss rule. The values at (κ, λ) are in that convention.
NAMES = ("susceptibility", "binder", "phi2", "phi4", "energy")
EXACT = [
    (ORDERED, 2, (2.7278873107, 0.5015676771, 0.7475104134, 0.9295536553, 0.6680212238)),
    (STRONG, 2, (0.4504816415, 0.3637642444, 0.1714344232, 0.0561695839, 0.0996783356)),
    (ALBERGO, 2, (0.5442096309, 0.3955645244, 0.1956262102, 0.0711283841, 0.1230602395)),
    (NO_HALF, 2, (0.2940850213, 0.0999001915, 0.1301461272, 0.0459554443, 0.0606603811)),
    (BROKEN, 2, (7.8790503179, 0.3933452300, 2.2308290260, 9.9094892889, 1.9154537755)),
    (SYMMETRIC, 2, (2.2917325684, 0.1245423666, 0.8740125154, 2.0579037834, 0.5072663466)),
    (ORDERED, 3, (5.8473829, 0.56216273, 0.73956350, 0.87386052, 0.64813775)),
    (STRONG, 3, (0.604369375, 0.300199667, 0.154404192, 0.047601949, 0.065407794)),
    (ALBERGO, 3, (0.782872412, 0.349775942, 0.176157909, 0.060350032, 0.085470737)),
    (NO_HALF, 3, (0.309099846, 0.055448566, 0.111590624, 0.034606236, 0.031791398)),
    (BROKEN, 3, (13.862216, 0.42512752, 1.9152709, 7.4826086, 1.5372535)),
    (SYMMETRIC, 3, (2.489615078, 0.07643807, 0.695702253, 1.35336859, 0.267428061)),
    (STRONG, 4, (0.6839676, 0.234675, 0.1477462, 0.0443759, 0.0525034)),
    (ALBERGO, 4, (0.934973, 0.294358, 0.1673918, 0.0557090, 0.0692851)),
    (Phi4(-4, 5.113), 4, (2.17113, 0.46776, 0.242732, 0.106323, 0.146816)),
]

# Monte Carlo by Metropolis and Wolff, 5 to 12 million configurations, with standard errors.
SIMULATED = [
    (
        ALBERGO,
        6,
        {
            "abs_magnetization": (0.141450, 0.000053),
            "susceptibility": (1.06231, 0.00070),
            "connected_susceptibility": (0.34201, 0.00020),
            "binder": (0.19217, 0.00032),
            "phi2": (0.161389, 0.000018),
            "phi4": (0.052572, 0.000010),
            "energy": (0.058342, 0.000021),
            "correlation_length": (1.48212, 0.00074),
        },
    ),
    (
        ORDERED,
        6,
        {
            "abs_magnetization": (0.79206, 0.00012),
            "susceptibility": (23.2342, 0.0059),
            "connected_susceptibility": (0.6492, 0.0011),
            "binder": (0.635071, 0.000043),
            "phi2": (0.76136, 0.00015),
            "phi4": (0.88620, 0.00026),
            "energy": (0.66754, 0.00016),
            "correlation_length": (9.2934, 0.0029),
        },
    ),
    (
        Phi4(-4, 6.008),
        8,
        {
            "abs_magnetization": (0.142127, 0.000072),
            "susceptibility": (1.8936, 0.0017),
            "connected_susceptibility": (0.60078, 0.00054),
            "binder": (0.20913, 0.00046),
            "phi2": (0.183843, 0.000022),
            "phi4": (0.066757, 0.000013),
            "energy": (0.075534, 0.000028),
            "correlation_length": (1.9983, 0.0014),
        },
    ),
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_agrees(measured: Estimate, value: float, error: float = 0.0) -> None:
    combined = math.hypot(measured.error, error)
    assert 0 < combined < 0.05 * max(abs(value), 1.0)
    assert abs(measured.value - value) < 4 * combined, f"{measured} against {value}"


def assert_exact(run: HMCResult, theory: Phi4, exact: Sequence[float]) -> None:
    # In the convention of (κ, λ) fields are larger by 1/√κ; two of the theories are given in it.
    factor = theory.to_hopping().factor if theory in (BROKEN, SYMMETRIC) else 1.0
    assert_agrees(run.exp_delta_h, 1.0)
    measured = observables(run.configurations / factor, n_chains=run.n_chains)
    for name, value in zip(NAMES, exact, strict=True):
        assert_agrees(measured[name], value)


@pytest.mark.parametrize(("theory", "size", "exact"), EXACT)
def test_small_lattices_have_their_exact_values(theory, size, exact):
    assert_exact(hmc(theory, size, 10_000, 100, seeded(11)), theory, exact)


@pytest.mark.parametrize(("theory", "size", "exact"), EXACT[:10:2])
def test_clusters_lead_to_the_exact_values(theory, size, exact):
    run = hmc(theory, size, 10_000, 100, seeded(16), settings=HMC(cluster=1))
    assert_exact(run, theory, exact)


@pytest.mark.parametrize(("theory", "size", "exact"), EXACT[::6])
def test_the_leapfrog_leads_to_the_exact_values(theory, size, exact):
    run = hmc(theory, size, 10_000, 100, seeded(17), settings=HMC(integrator=Leapfrog()))
    assert_exact(run, theory, exact)


@pytest.mark.parametrize(("theory", "size", "expected"), SIMULATED)
def test_larger_lattices_have_the_values_of_long_runs(theory, size, expected):
    run = hmc(theory, size, 15_000, 150, seeded(12))
    measured = observables(run.configurations, n_chains=run.n_chains)
    for name, (value, error) in expected.items():
        assert_agrees(measured[name], value, error)


@pytest.mark.parametrize(
    ("m2", "size", "settings"), [(0.5, 4, HMC()), (2.0, 7, HMC()), (0.2, 5, HMC(cluster=1))]
)
def test_the_free_theory_has_its_closed_form(m2, size, settings):
    run = hmc(Phi4(m2, 0.0), size, 15_000, 150, seeded(13), settings=settings)
    measured = observables(run.configurations, n_chains=run.n_chains)
    for name, value in FreeField(m2, size).observables().items():
        assert_agrees(measured[name], value)


@pytest.mark.parametrize(
    "theory",
    [Phi4(-4, 4.2606), Phi4(-6, 1), Phi4(-0.5, 0.1), Phi4(20, 300), Phi4.from_half(-1.2, 6.0)],
)
def test_the_schwinger_dyson_identity_holds(theory):
    run = hmc(theory, 8, 3_000, 60, seeded(14))
    assert_agrees(schwinger_dyson(theory, run.configurations, n_chains=run.n_chains), 1.0)


def test_schwinger_dyson_knows_one_theory_from_another():
    run = hmc(ALBERGO, 6, 4_000, 80, seeded(15))
    wrong = schwinger_dyson(Phi4(-4, 6.5), run.configurations, n_chains=run.n_chains)
    assert abs(wrong.value - 1) > 8 * wrong.error
