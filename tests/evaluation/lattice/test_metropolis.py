"""Independence Metropolis on a handful of states, where sums over all pairs are exact."""

import math

import pytest
import torch

from rgdiff_core.evaluation import (
    expected_acceptance,
    expected_tau_int,
    independence_metropolis,
)
from rgdiff_core.statistics import Estimate

P = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)
Q = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact(p: torch.Tensor, q: torch.Tensor) -> tuple[float, float]:
    """Acceptance, and ½ + Σ_t Σ_i p_i r_i^t, r the chance of being rejected, by plain sums."""
    w = [float(a / b) for a, b in zip(p, q, strict=True)]
    accepted = [
        sum(float(q[j]) * min(1.0, w[j] / w[i]) for j in range(len(w))) for i in range(len(w))
    ]
    tau = 0.5 + sum(
        float(p[i]) * sum((1 - accepted[i]) ** t for t in range(1, 2000)) for i in range(len(w))
    )
    return sum(float(p[i]) * accepted[i] for i in range(len(w))), tau


def test_the_chain_visits_states_as_often_as_they_weigh_and_accepts_as_often_as_it_should():
    n = 60_000
    states = torch.multinomial(Q, n, replacement=True, generator=seeded())
    log_w = torch.log(P / Q)[states] + 7.0  # a constant is of no account
    chain = independence_metropolis(log_w, seeded(1))
    acceptance, tau = exact(P, Q)
    assert abs(chain.acceptance.value - acceptance) < 4 * chain.acceptance.error < 0.02
    assert abs(chain.tau_int.value - tau) < 4 * chain.tau_int.error < 0.2
    visits = torch.bincount(states[chain.indices], minlength=len(P)) / n
    error = torch.sqrt(2 * tau * P * (1 - P) / n)
    assert bool(((visits - P).abs() < 4 * error).all())
    # the proposals themselves are far off
    assert bool(((Q - P).abs() > 20 * error).any())


def test_expectations_are_sums_over_all_pairs():
    """With a uniform model over the samples, the closed forms are exact."""
    uniform = torch.full_like(P, 1 / len(P))
    acceptance, tau = exact(P, uniform)
    assert expected_acceptance(torch.log(P)) == pytest.approx(acceptance, rel=1e-12)
    assert expected_tau_int(torch.log(P)) == pytest.approx(tau, rel=1e-12)
    # in any order, with any constant, and where weights span more than a float can hold
    assert expected_acceptance(torch.log(P.flip(0)) - 900) == pytest.approx(acceptance, rel=1e-12)
    wide = torch.tensor([0.0, -1000.0, -2000.0, -math.inf])
    assert expected_acceptance(wide) == pytest.approx(0.25, rel=1e-12)
    assert expected_tau_int(wide) == pytest.approx(3.5, rel=1e-12)


def test_the_acceptance_of_log_weights_that_are_normal_is_known():
    """For log w ~ N(0, s²), E min(w, w')/E w = 2Φ(−s/√2), a Gaussian integral."""
    s, n, sets = 0.8, 2000, 20
    log_w = s * torch.randn((sets, n), generator=seeded(2), dtype=torch.float64)
    found = Estimate.of(torch.tensor([expected_acceptance(each) for each in log_w]))
    known = 2 * float(torch.special.ndtr(torch.tensor(-s / math.sqrt(2), dtype=torch.float64)))
    assert abs(found.value - known) < 4 * found.error < 0.01


def test_a_perfect_model_accepts_always():
    chain = independence_metropolis(torch.full((100,), -3.0), seeded())
    assert chain.indices.tolist() == list(range(100))
    assert (chain.acceptance.value, chain.tau_int.value) == (1.0, 0.5)
    assert expected_acceptance(torch.zeros(100)) == pytest.approx(1)
    assert expected_tau_int(torch.zeros(100)) == pytest.approx(0.5)


def test_one_stay_of_all_proposals_is_told():
    chain = independence_metropolis(torch.tensor([0.0] + [-math.inf] * 99), seeded())
    assert chain.indices.tolist() == [0] * 100
    assert (chain.acceptance.value, chain.tau_int.value) == (0.0, 50.0)


@pytest.mark.parametrize(
    ("log_w", "says"),
    [
        (torch.zeros(1), "shape \\(1,\\)"),
        (torch.zeros(3, 2), "shape \\(3, 2\\)"),
        (torch.tensor([0.0, math.nan]), "not a finite number"),
        (torch.tensor([0.0, math.inf]), "not a finite number"),
        (torch.tensor([-math.inf, -math.inf]), "every sample the weight 0"),
    ],
)
def test_weights_that_are_none_are_refused(log_w, says):
    for call in (independence_metropolis, expected_acceptance, expected_tau_int):
        with pytest.raises(ValueError, match=says):
            call(log_w)
