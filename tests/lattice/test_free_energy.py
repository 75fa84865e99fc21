"""log Z two ways, against exact values of small lattices, closed forms and each other."""

import math

import pytest
import torch

from rgdiff_core.lattice import (
    Bridge,
    FreeField,
    LogZ,
    Phi4,
    UnevenWeights,
    annealed_importance_sampling,
    thermodynamic_integration,
)
from rgdiff_core.statistics import Estimate

pytestmark = pytest.mark.usefixtures("one_thread")

# By quadrature and transfer matrices, without Monte Carlo; all digits are good but the last.
EXACT = [
    (Phi4(-1.0, 0.5), 2, 1.9972304198),
    (Phi4(1.0, 1.0), 2, -0.6802300257),
    (Phi4(-1.0, 0.5), 3, 3.13253605),
    (Phi4(-4.0, 8.0), 3, 1.476528667),
    (Phi4(-4.0, 6.975), 4, 3.218329),
    (Phi4(-4.0, 5.113), 4, 5.47347),
]
# By thermodynamic integration in another program, with its error.
REFERENCES = [
    (Phi4(1.0, 1.0), 6, Estimate(-7.9128, 0.0007)),
    (Phi4(-1.0, 0.5), 6, Estimate(9.876, 0.008)),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("action", "size", "known"), EXACT)
def test_both_ways_lead_to_the_exact_values(action, size, known):
    integrated = thermodynamic_integration(action, size, 2000, seeded(1), n_nodes=6).estimate
    annealed = annealed_importance_sampling(action, size, 400, seeded(2), n_steps=60).estimate
    for found, most in ((integrated, 0.06), (annealed, 0.12)):
        assert abs(found.value - known) < 4 * found.error < most


@pytest.mark.parametrize(("action", "size", "known"), REFERENCES)
def test_both_ways_agree_with_the_references_and_with_each_other(action, size, known):
    integrated = thermodynamic_integration(action, size, 3000, seeded(3), n_nodes=9)
    annealed = annealed_importance_sampling(action, size, 400, seeded(4), n_steps=100)
    assert abs(integrated.estimate.deviation(known)) < 4
    assert abs(annealed.estimate.deviation(known)) < 4
    assert abs(annealed.estimate.deviation(integrated.estimate)) < 4
    assert integrated.estimate.error < 0.03 and annealed.estimate.error < 0.05


def test_from_one_free_theory_to_another_all_is_known():
    target, start = FreeField(0.4, 5), FreeField(1.5, 5)
    found = thermodynamic_integration(target.action, 5, 3000, seeded(5), n_nodes=8, mass2=1.5)
    assert abs(found.estimate.value - target.log_z) < 4 * found.estimate.error
    assert sum(node.weight for node in found.nodes) == pytest.approx(1)
    for node in found.nodes:
        phi2 = FreeField(node.theory.m2, 5).phi2
        known = -2 * node.s * (target.m2 - start.m2) * 25 * phi2
        # v = φ makes the slope of the free theory known without error, but for float32
        assert node.slope.value == pytest.approx(known, abs=4 * node.slope.error + 1e-4)
    carried = annealed_importance_sampling(target.action, 5, 500, seeded(6), n_steps=50, mass2=1.5)
    assert abs(carried.estimate.value - target.log_z) < 4 * carried.estimate.error < 0.15


def test_the_free_theory_itself_has_no_error():
    free = FreeField(0.7, 4)
    for found in (
        thermodynamic_integration(free.action, 4, 1000, seeded(), n_nodes=4),
        annealed_importance_sampling(free.action, 4, 50, seeded(), n_steps=3),
    ):
        assert isinstance(found, LogZ)
        assert found.estimate.value == pytest.approx(free.log_z, abs=1e-12)
        assert found.estimate.error == pytest.approx(0, abs=1e-12)


def test_errors_of_slopes_are_those_of_repeated_runs():
    """χ² of 4 nodes in 5 runs has the mean 16 and the standard deviation √32."""
    runs = [
        thermodynamic_integration(Phi4(-1.0, 0.5), 4, 1000, seeded(10 + i), n_nodes=4).nodes
        for i in range(5)
    ]
    values, errors = (
        torch.tensor([[getattr(node.slope, name) for node in nodes] for nodes in runs])
        for name in ("value", "error")
    )
    square = float((((values - values.mean(0)) / errors) ** 2).sum())
    assert abs(square - 16) < 4 * math.sqrt(32)


def test_errors_of_annealing_are_those_of_repeated_runs():
    """χ² of 100 runs has the mean 100 and the standard deviation √200."""
    runs = [
        annealed_importance_sampling(Phi4(-1.0, 0.5), 2, 60, seeded(100 + i), n_steps=12).estimate
        for i in range(100)
    ]
    scaled = torch.tensor([(run.value - 1.9972304198) / run.error for run in runs])
    assert abs(float((scaled**2).sum()) - 100) < 4 * math.sqrt(200)
    assert abs(float(scaled.mean())) < 4 / math.sqrt(100)


def test_the_bridge_is_made_of_the_actions_of_its_ends():
    bridge = Bridge.to(Phi4(-4.0, 5.0), 4)
    phi = torch.randn((6, 4, 4), generator=seeded(), dtype=torch.float64)
    middle, end = bridge.theory(0.6), bridge.theory(1.0)
    assert end == Phi4(-4.0, 5.0) and bridge.theory(0.0) == bridge.start.action
    torch.testing.assert_close(bridge.difference(phi, 0.6, 1.0), end(phi) - middle(phi))
    step = 1e-5
    numeric = (bridge.theory(0.6 + step)(phi) - bridge.theory(0.6 - step)(phi)) / (2 * step)
    torch.testing.assert_close(bridge.slope(phi, 0.6), numeric, rtol=1e-6, atol=1e-6)
    # Hartree: the mass that a field feels among the fluctuations of the free theory
    assert bridge.mass2 == pytest.approx(-4 + 6 * 5 * bridge.start.phi2, rel=1e-9)


def test_weights_that_few_fields_carry_give_no_number():
    with pytest.raises(UnevenWeights, match=r"worth \d\.\d fields after n_steps = 1; at least 10"):
        annealed_importance_sampling(Phi4(-4.0, 4.26), 8, 50, seeded(), n_steps=1)
    assert issubclass(UnevenWeights, ValueError)


def test_the_quadrature_tells_when_nodes_are_too_few():
    """From far off, four nodes don't do: the rules differ, and the error owns up to it."""
    found = thermodynamic_integration(Phi4(-4.0, 8.0), 2, 4000, seeded(7), n_nodes=4, mass2=400.0)
    assert abs(found.quadrature.value) > 10 * found.quadrature.error
    assert found.estimate.error > abs(found.estimate.value - 0.9144339784) / 4


def test_both_report_how_far_they_are_and_can_be_cancelled():
    for run in (
        lambda report: thermodynamic_integration(
            Phi4(1.0, 1.0), 2, 1000, seeded(), n_nodes=4, progress=report
        ),
        lambda report: annealed_importance_sampling(
            Phi4(1.0, 1.0), 2, 20, seeded(), n_steps=5, progress=report
        ),
    ):
        shares: list[float] = []
        run(lambda done, total, shares=shares: shares.append(done / total))
        assert shares == sorted(shares) and shares[-1] == 1 and len(shares) >= 10

        def stop(done: int, total: int) -> None:
            if done > total / 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(stop)


def test_equal_generators_give_equal_numbers():
    action = Phi4(-1.0, 0.5)
    for run in (thermodynamic_integration, annealed_importance_sampling):
        first, second = (run(action, 2, 1000, seeded(3)).estimate for _ in range(2))
        assert first == second


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Bridge.to(Phi4(1.0, 1.0), 1), "size = 1"),
        (lambda: Bridge.to(Phi4(1.0, 1.0), 4, -1.0), "mass2 = -1.0"),
        (lambda: Bridge.to(Phi4(1.0, 1.0), 4).theory(1.5), "s = 1.5"),
        (lambda: thermodynamic_integration(Phi4(1.0, 1.0), 4, 10), "n_samples = 10"),
        (lambda: thermodynamic_integration(Phi4(1.0, 1.0), 4, n_nodes=3), "n_nodes = 3"),
        (lambda: annealed_importance_sampling(Phi4(1.0, 1.0), 4, 5), "n_samples = 5"),
        (lambda: annealed_importance_sampling(Phi4(1.0, 1.0), 4, n_steps=0), "n_steps = 0"),
    ],
)
def test_numbers_out_of_range_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
