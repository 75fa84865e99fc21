"""The free field: closed forms against dense linear algebra, samples and Monte Carlo."""

import math

import pytest
import torch
from torch import Tensor

from rgdiff_core.lattice import (
    FreeField,
    Phi4,
    action_density,
    correlator,
    hmc,
    observables,
    schwinger_dyson,
)
from rgdiff_core.statistics import Estimate

SIZES = (1, 2, 3, 6, 10)


def covariance(free: FreeField) -> Tensor:
    """The covariance of all sites, the inverse of the Hessian of the action, (V, V)."""
    volume = free.size**2

    def action(flat: Tensor) -> Tensor:
        return Phi4(free.m2, 0.0)(flat.view(1, free.size, free.size))[0]

    zero = torch.zeros(volume, dtype=torch.float64)
    return torch.linalg.inv(torch.autograd.functional.hessian(action, zero))


def assert_agrees(found: Estimate, exact: float) -> None:
    assert abs(found.value - exact) < 4 * found.error, f"{found} is not {exact:.6g}"


@pytest.mark.parametrize("size", SIZES)
def test_closed_forms_are_those_of_linear_algebra(size):
    free = FreeField(0.3, size)
    volume, g = size**2, covariance(free)
    from_origin = g[0].view(size, size)
    exact = {
        "phi2": from_origin[0, 0],
        "phi4": 3 * from_origin[0, 0] ** 2,
        "energy": 0.5 * (from_origin[0, 1 % size] + from_origin[1 % size, 0]),
        "susceptibility": from_origin.sum(),
        "abs_magnetization": torch.sqrt(2 / math.pi * g.mean()),
        "connected_susceptibility": volume * (1 - 2 / math.pi) * g.mean(),
        "binder": torch.tensor(0.0),
    }
    found = free.observables()
    for name, value in exact.items():
        assert found[name] == pytest.approx(float(value), rel=1e-10), name
    t = torch.arange(size, dtype=torch.float64)
    torch.testing.assert_close(free.correlator(t), from_origin.sum(0), rtol=1e-10, atol=0)
    assert free.log_z == pytest.approx(0.5 * float(torch.logdet(2 * math.pi * g)), rel=1e-10)
    # ⟨S⟩ = ½ tr(Hessian · covariance) = V/2.
    assert free.action_density == 0.5
    k = 2 * math.pi * t[:, None] / size * torch.tensor([1.0, 0.0], dtype=torch.float64)
    modes = torch.fft.fft2(from_origin).real[:, 0]
    torch.testing.assert_close(free.propagator(k), modes, rtol=1e-10, atol=0)
    if size > 1:
        ratio = float(modes[0] / modes[1])
        length = math.sqrt(ratio - 1) / (2 * math.sin(math.pi / size))
        assert free.correlation_length == pytest.approx(length, rel=1e-10)


def test_the_correlator_falls_off_with_the_pole_mass_and_does_not_overflow():
    free = FreeField(0.04, 200)
    c = free.correlator(torch.tensor([20.0, 21.0], dtype=torch.float64))
    assert float(torch.log(c[0] / c[1])) == pytest.approx(free.pole_mass, rel=1e-10)
    assert math.isfinite(float(FreeField(1e4, 1000).correlator(torch.tensor([500.0]))))


@pytest.mark.parametrize("size", SIZES)
def test_exact_samples_have_the_exact_observables(size):
    free, n = FreeField(0.4, size), 20_000
    x = free.sample(n, torch.Generator().manual_seed(size), dtype=torch.float64)
    assert x.shape == (n, 1, size, size)
    found = observables(x, n_chains=n)
    for name, value in free.observables().items():
        if size > 1 or name != "correlation_length":
            assert_agrees(found[name], value)
    assert math.isnan(found["correlation_length"].value) == (size == 1)
    assert_agrees(action_density(free.action, x, n_chains=n), 0.5)
    assert_agrees(schwinger_dyson(free.action, x, n_chains=n), 1.0)
    if size > 1:
        measured = correlator(x, n_chains=n)
        exact = free.correlator(torch.arange(size // 2 + 1))
        for at, value in zip(measured.values, exact, strict=True):
            assert_agrees(at, float(value))
        for mass in (*measured.effective_mass, measured.mass):
            assert_agrees(mass, free.pole_mass)


def test_samples_have_the_whole_covariance():
    free, n = FreeField(0.4, 3), 40_000
    x = free.sample(n, torch.Generator().manual_seed(5), dtype=torch.float64).flatten(1)
    g = covariance(free)
    # Wick: the variance of φ_x φ_y is G_xx G_yy + G_xy².
    error = ((g.diag()[:, None] * g.diag() + g**2) / n).sqrt()
    assert float(((x.T @ x / n - g) / error).abs().max()) < 4.5  # 45 numbers


@pytest.mark.parametrize("size", [3, 6, 10])
def test_hybrid_monte_carlo_has_the_exact_observables(size, one_thread):
    free = FreeField(0.4, size)
    run = hmc(free.action, size, 8000, 40, torch.Generator().manual_seed(size), thinning=2)
    found = observables(run.configurations, n_chains=run.n_chains)
    for name, value in free.observables().items():
        assert_agrees(found[name], value)
    assert_agrees(action_density(free.action, run.configurations, n_chains=run.n_chains), 0.5)
    measured = correlator(run.configurations, n_chains=run.n_chains)
    assert_agrees(measured.values[-1], float(free.correlator(torch.tensor(size // 2))))
    assert_agrees(measured.mass, free.pole_mass)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((0.0, 4), "m2 = 0.0 is outside"), ((math.nan, 4), "m2 = nan"), ((1.0, 0), "size = 0")],
)
def test_theories_that_do_not_exist_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        FreeField(*arguments)


def test_a_number_of_samples_is_at_least_one():
    with pytest.raises(ValueError, match="n = 0"):
        FreeField(1.0, 2).sample(0)


def test_the_density_of_the_magnetization_has_its_moments():
    free = FreeField(0.3, 6)
    m = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    density = free.magnetization_density(m)
    variance = covariance(free).mean()
    for power, exact in ((0, 1.0), (2, float(variance)), (4, 3 * float(variance) ** 2)):
        assert float(torch.trapezoid(density * m**power, m)) == pytest.approx(exact, rel=1e-9)
