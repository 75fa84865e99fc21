"""Observables and weights against closed forms."""

import math

import pytest
import torch

from rgdiff_core.lattice import (
    FreeField,
    Phi4,
    correlator,
    effective_sample_size,
    observables,
)


def normal(*shape: int, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_observables_of_two_constant_fields():
    fields = torch.stack([torch.full((1, 4, 4), 2.0), torch.full((1, 4, 4), -2.0)])
    values = {name: item.value for name, item in observables(fields, n_chains=2).items()}
    # Without any mode but the zero mode the correlation length is infinite.
    assert not math.isfinite(values.pop("correlation_length"))
    assert values == pytest.approx(
        {
            "abs_magnetization": 2.0,
            "susceptibility": 16 * 4.0,
            "connected_susceptibility": 0.0,
            "binder": 2 / 3,
            "phi2": 4.0,
            "phi4": 16.0,
            "energy": 4.0,
        }
    )


def test_the_correlation_length_of_a_wave():
    """φ = ±(a + b cos(2πx/L)): χ = V a², and F = V b²/4 along x, 0 along y."""
    a, b, size = 1.5, 0.8, 10
    x = torch.arange(size, dtype=torch.float64)
    wave = (a + b * torch.cos(2 * math.pi * x / size)).expand(size, size)
    found = observables(torch.stack([wave, -wave]), n_chains=2)
    xi2 = (8 * a**2 / b**2 - 1) / (4 * math.sin(math.pi / size) ** 2)
    assert found["correlation_length"].value == pytest.approx(math.sqrt(xi2), rel=1e-12)
    assert found["susceptibility"].value == pytest.approx(size**2 * a**2, rel=1e-12)


def test_observables_of_independent_sites():
    measured = observables(normal(20_000, 1, 4, 4), n_chains=20_000)
    expected = {
        "abs_magnetization": math.sqrt(2 / (16 * math.pi)),
        "susceptibility": 1.0,
        "connected_susceptibility": 1 - 2 / math.pi,
        "binder": 0.0,
        "phi2": 1.0,
        "phi4": 3.0,
        "energy": 0.0,
    }
    for name, value in expected.items():
        assert abs(measured[name].value - value) < 4 * measured[name].error


def test_the_error_of_a_mean_is_that_of_independent_data():
    # ⟨φ²⟩ of 80,000 independent numbers of variance 2; 20,000 fields know the error to 1 %.
    found = observables(normal(20_000, 2, 2), n_chains=20_000)["phi2"]
    assert found.error == pytest.approx(math.sqrt(2 / 80_000), rel=0.04)


def test_errors_allow_for_copies():
    """25 copies of each of 400 fields, one after the other, say no more than the 400."""
    fields = normal(400, 2, 2)
    once = observables(fields, n_chains=400)["phi2"]
    repeated = observables(fields.repeat_interleave(25, 0))["phi2"]
    # ρ(t) = 1 - t/25, so that τ = 12.5; a window of about 60 of 10,000 knows it to 8 %.
    assert repeated.tau_int is not None
    assert repeated.tau_int.value == pytest.approx(12.5, abs=4 * repeated.tau_int.error)
    assert repeated.error == pytest.approx(once.error, rel=0.3)


@pytest.mark.parametrize(("size", "first"), [(12, 2), (6, 2), (5, 1)])
def test_the_mass_is_averaged_where_higher_states_have_died_out(size, first):
    """Two free fields added: m(t) falls with t, so the average is just below the first m(t)."""
    n, generator = 20_000, torch.Generator().manual_seed(8)
    light, heavy = (FreeField(m2, size).sample(n, generator) for m2 in (0.3, 5.0))
    measured = correlator(light + heavy, n_chains=n)
    masses = [each.value for each in measured.effective_mass]
    assert masses[0] - masses[1] > 5 * measured.effective_mass[1].error
    assert masses[first] < measured.mass.value < masses[first - 1]


def test_a_field_without_correlation_has_no_effective_mass_at_large_distance():
    """Of white noise C(t) is noise: where m(t) is not a number this is said, not hidden."""
    measured = correlator(normal(200, 12, 12), n_chains=200)
    undefined = [m for m in measured.effective_mass if math.isnan(m.value)]
    assert undefined and all(m.warning is not None for m in undefined)
    assert len(measured.values) == 7 and len(measured.effective_mass) == 6
    with pytest.raises(ValueError, match="L must be at least 2"):
        correlator(normal(10, 1, 1))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (torch.zeros(7, 4, 4), "7 measurements in 1 chain give no error; at least 8"),
        (torch.zeros(0, 4, 4), "0 measurements"),
        (torch.full((3, 4, 4), math.nan), "not a finite number"),
        (torch.zeros(3, 2, 4, 4), "lattice fields are"),
    ],
)
def test_fields_without_observables_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        observables(fields)


def test_effective_sample_size_of_the_true_density_is_one():
    theory, x = Phi4(-4, 6.975), normal(50, 1, 4, 4)
    assert effective_sample_size(theory, x, -theory(x) + 12.3) == pytest.approx(1.0)


def test_effective_sample_size_of_given_weights():
    theory, x = Phi4(1, 1), normal(4, 3, 3)
    weights = torch.tensor([1.0, 2.0, 3.0, 0.0], dtype=torch.float64)
    log_q = -theory(x) - torch.log(weights)
    with pytest.raises(ValueError, match="not a finite number"):
        effective_sample_size(theory, x, -log_q * math.inf)
    log_q = torch.where(weights > 0, log_q, 1e300)
    assert effective_sample_size(theory, x, log_q) == pytest.approx(36 / (4 * 14))


def test_effective_sample_size_is_safe_for_large_exponents():
    theory, x = Phi4(1, 1), normal(3, 3, 3)
    log_q = -theory(x) + torch.tensor([5000.0, 0.0, 0.0], dtype=torch.float64)
    assert effective_sample_size(theory, x, log_q) == pytest.approx(2 / 3)


def test_effective_sample_size_of_a_wider_gaussian():
    # One site (L = 1, λ = 0): target variance 1/(2m²) = 1, model variance s² = 2; for w = p/q,
    # ESS/N → 1/∫p²/q = √(2s² - 1)/s².
    n, variance = 200_000, 2.0
    x = math.sqrt(variance) * normal(n, 1, 1)
    log_q = -0.5 * x[:, 0, 0] ** 2 / variance
    ess = effective_sample_size(Phi4(0.5, 0.0), x, log_q)
    w2 = torch.exp(2 * (-Phi4(0.5, 0.0)(x) - log_q))
    error = 2 * float(w2.std() / w2.mean()) / math.sqrt(n)
    assert abs(ess - math.sqrt(2 * variance - 1) / variance) < 5 * error


@pytest.mark.parametrize("shape", [(4,), (3, 1), ()])
def test_weights_of_another_number_are_refused(shape):
    with pytest.raises(ValueError, match="log_q has shape"):
        effective_sample_size(Phi4(1, 1), torch.zeros(3, 2, 2), torch.zeros(shape))
