"""Integrators: their symmetries, their order, and the harmonic oscillator in closed form."""

import math

import pytest
import torch
from torch import Tensor

from rgdiff_core.lattice import Leapfrog, Omelyan, Phi4

THEORY = Phi4(-4, 6.975)
INTEGRATORS = [Leapfrog(), Omelyan()]

pytestmark = pytest.mark.usefixtures("one_thread")


def state(size: int, n: int = 3, seed: int = 17) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    phi, momentum = torch.randn((2, n, size, size), generator=generator, dtype=torch.float64)
    return 0.4 * phi, momentum


def energy(theory: Phi4, phi: Tensor, momentum: Tensor) -> Tensor:
    return theory(phi) + 0.5 * (momentum**2).sum((-2, -1))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_trajectories_run_backwards_with_the_momenta_turned(integrator):
    phi, momentum = state(6)
    kept = phi.clone(), momentum.clone()
    end, final = integrator.integrate(THEORY, phi, momentum, step_size=0.1, n_steps=10)
    assert float((end - phi).abs().max()) > 0.1
    back, start = integrator.integrate(THEORY, end, -final, step_size=0.1, n_steps=10)
    torch.testing.assert_close((back, -start), (phi, momentum))
    assert torch.equal(phi, kept[0]) and torch.equal(momentum, kept[1])


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_volume_in_phase_space_is_kept(integrator):
    phi, momentum = state(2, n=1)

    def flow(z: Tensor) -> Tensor:
        end = integrator.integrate(
            THEORY, z[:4].view(1, 2, 2), z[4:].view(1, 2, 2), step_size=0.15, n_steps=3
        )
        return torch.cat([part.flatten() for part in end])

    start = torch.cat([phi.flatten(), momentum.flatten()])
    jacobian = torch.autograd.functional.jacobian(flow, start)
    assert isinstance(jacobian, Tensor)
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-10)
    assert float((jacobian - torch.eye(8)).abs().max()) > 0.1


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_energy_error_is_of_second_order(integrator):
    phi, momentum = state(6)

    def violation(n_steps: int) -> float:
        end = integrator.integrate(THEORY, phi, momentum, step_size=0.5 / n_steps, n_steps=n_steps)
        return float((energy(THEORY, *end) - energy(THEORY, phi, momentum)).abs().mean())

    assert math.log2(violation(32) / violation(64)) == pytest.approx(2, abs=0.1)


def test_the_free_field_moves_as_harmonic_oscillators():
    # Mode by mode φ_k(t) = φ_k cos ωt + p_k sin(ωt)/ω with ω² = 2(k̂² + m²).
    phi, momentum = state(4)
    k2 = 4 * torch.sin(math.pi * torch.arange(4, dtype=torch.float64) / 4) ** 2
    frequency = torch.sqrt(2 * (k2[:, None] + k2 + 0.3))
    time = 0.7
    exact = torch.fft.ifft2(
        torch.fft.fft2(phi) * torch.cos(frequency * time)
        + torch.fft.fft2(momentum) * torch.sin(frequency * time) / frequency
    ).real

    def error(integrator: Leapfrog | Omelyan, n: int) -> float:
        end, _ = integrator.integrate(Phi4(0.3, 0.0), phi, momentum, step_size=time / n, n_steps=n)
        return float((end - exact).abs().max())

    for integrator in INTEGRATORS:
        assert error(integrator, 256) < 1e-4
        assert error(integrator, 128) / error(integrator, 256) == pytest.approx(4, rel=0.01)


# What an integrator of H = ½p² + ½ω²q² conserves is p² + Ω²q², Ω² = -C/B for the step
# q' = Aq + Bp, p' = Cq + Ap; multiplied out, 1 - Ω²/ω² is this times (εω)², to lowest order.
COEFFICIENTS = [
    (Leapfrog(), 1 / 4),
    (Omelyan(), (1 - 6 * Omelyan().xi + 4 * Omelyan().xi ** 2) / 4),
    (Omelyan(xi=0.1), (1 - 0.6 + 0.04) / 4),
]


@pytest.mark.parametrize(("integrator", "coefficient"), COEFFICIENTS)
def test_the_energy_error_of_an_oscillator_has_its_coefficient(integrator, coefficient):
    theory, frequency2, step = Phi4(0.5, 0.0), 2 * 0.5, 1e-2
    phi, momentum = torch.full((1, 2, 2), 1.3).double(), torch.full((1, 2, 2), -0.4).double()
    end, final = integrator.integrate(theory, phi, momentum, step_size=step, n_steps=120)
    change = float(energy(theory, end, final) - energy(theory, phi, momentum))
    moved = float((end**2 - phi**2).sum())
    assert abs(moved) > 1
    expected = 0.5 * frequency2 * coefficient * step**2 * frequency2 * moved
    assert change == pytest.approx(expected, rel=0.01)


def test_omelyan_is_better_than_the_leapfrog_at_equal_cost():
    phi, momentum = state(6, n=50)

    def violation(integrator: Leapfrog | Omelyan, n: int) -> float:
        end = integrator.integrate(THEORY, phi, momentum, step_size=1 / n, n_steps=n)
        change = energy(THEORY, *end) - energy(THEORY, phi, momentum)
        return float(change.square().mean().sqrt())

    assert violation(Omelyan(), 8) < 0.5 * violation(Leapfrog(), 16)


@pytest.mark.parametrize("xi", [0.0, 0.5, math.nan])
def test_drifts_outside_a_step_are_refused(xi):
    with pytest.raises(ValueError, match="xi = "):
        Omelyan(xi=xi)
