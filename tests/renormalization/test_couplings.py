"""Effective couplings: a theory's own, those of Gaussian actions, and whether χ² is one."""

import math

import pytest
import torch

from rgdiff_core.lattice import FreeField, Phi4, hmc
from rgdiff_core.renormalization import effective_couplings
from rgdiff_core.renormalization.couplings import _equations

CHI2 = 21.1
"""Exceeded by χ² of three degrees of freedom with probability 10⁻⁴."""


@pytest.mark.parametrize(
    ("action", "size"),
    [
        (Phi4(-1.0, 0.5), 6),
        (Phi4(-4.0, 4.2606), 8),
        (Phi4(1.0, 1.0), 3),
        (Phi4(-4.0, 6.975), 2),
    ],
)
def test_an_ensemble_has_its_own_couplings(action, size):
    run = hmc(action, size, 2000, 40, torch.Generator().manual_seed(11))
    found = effective_couplings(run.configurations, run.n_chains)
    assert abs(found.z.value - 1) < 4 * found.z.error
    assert abs(found.m2.value - action.m2) < 4 * found.m2.error
    assert abs(found.lam.value - action.lam) < 4 * found.lam.error
    assert abs(found.mass.value - action.m2) < 4 * found.mass.error
    assert abs(found.quartic.value - action.lam) < 4 * found.quartic.error
    assert found.z.error < 0.05
    assert found.chi2 < CHI2


def test_chi2_is_distributed_as_such():
    free = FreeField(0.5, 4)
    generator = torch.Generator().manual_seed(2)
    values = [effective_couplings(free.sample(400, generator), 400).chi2 for _ in range(40)]
    mean = sum(values) / len(values)
    assert abs(mean - 3) < 4 * math.sqrt(6 / len(values))


def test_chi2_has_the_covariance_that_autograd_gives():
    """r(averages) by way of c, and of independent fields C = J Cov Jᵀ/n with its Jacobian J."""
    fields = FreeField(0.5, 4).sample(300, torch.Generator().manual_seed(3)).double()[:, 0]
    series = _equations(fields, 3).flatten(1)

    def residuals(mean):
        system = mean.view(6, 4)
        c = torch.linalg.solve(system[:3, :3], system[:3, 3])
        return system[3:, :3] @ c - system[3:, 3]

    mean = series.mean(0)
    jacobian = torch.autograd.functional.jacobian(residuals, mean)
    covariance = jacobian @ torch.cov(series.T) @ jacobian.T / len(series)
    r = residuals(mean)
    expected = float(r @ torch.linalg.solve(covariance, r))
    assert effective_couplings(fields, len(fields)).chi2 == pytest.approx(expected, rel=1e-9)


def test_the_normalization_of_the_field_drops_out():
    fields = FreeField(0.5, 4).sample(400, torch.Generator().manual_seed(2)).double()
    one, other = (effective_couplings(c * fields, 400) for c in (1.0, 3.0))
    assert other.z.value == pytest.approx(one.z.value / 9)
    assert other.lam.value == pytest.approx(one.lam.value / 81)
    for name in ("mass", "quartic", "stiffness", "unit_mass", "unit_quartic", "chi2"):
        first, second = (getattr(x, name) for x in (one, other))
        if name != "chi2":
            first, second = first.value, second.value
        assert second == pytest.approx(first)


def test_diagonal_neighbours_are_seen():
    """Gaussian fields with S = Σ_k (k̂² + K[4 - 2cos(k₁ + k₂) - 2cos(k₁ - k₂)] + m²)|φ_k|²."""
    m2, diagonal, size = 0.4, 0.3, 6
    k = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    first, second = torch.meshgrid(k, k, indexing="ij")
    kernel = 4 - 2 * first.cos() - 2 * second.cos() + m2
    kernel += diagonal * (4 - 2 * (first + second).cos() - 2 * (first - second).cos())
    noise = torch.randn(8000, size, size, generator=torch.Generator().manual_seed(4))
    fields = torch.fft.ifft2(torch.fft.fft2(noise.double()) * (2 * kernel) ** -0.5).real
    found = effective_couplings(fields, len(fields), diagonal=True)
    assert found.diagonal is not None
    total = 1 + 2 * diagonal
    for measured, exact in (
        (found.z, 1.0),
        (found.diagonal, diagonal),
        (found.m2, m2),
        (found.lam, 0.0),
        (found.mass, m2 / total),
        (found.stiffness, total * float((0.5 / kernel).mean())),
    ):
        assert abs(measured.value - exact) < 4 * measured.error
    assert found.diagonal.error < 0.05
    assert found.chi2 < CHI2
    without = effective_couplings(fields, len(fields))
    assert without.diagonal is None
    assert without.misfit > 20


def test_what_cannot_be_measured_is_said():
    fields = torch.randn(30, 4, 4)
    with pytest.raises(ValueError, match="20 fields with L = 4"):
        effective_couplings(fields[:20])
    with pytest.raises(ValueError, match="30 fields with L = 2"):
        effective_couplings(fields[:, :2, :2], 30, diagonal=True)
    with pytest.raises(ValueError, match="too alike"):
        effective_couplings(torch.ones(30, 4, 4))
    with pytest.raises(ValueError, match="not a finite number"):
        effective_couplings(fields / 0)
    assert math.isnan(effective_couplings(fields[:1].expand(30, 4, 4), 30).chi2)
