"""Block spins, decimation and momentum shells against SciPy and dense linear algebra."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import resample

from rgdiff_core.lattice import FreeField, observables
from rgdiff_core.renormalization import (
    BlockSpin,
    Decimation,
    MomentumShell,
    Step,
    effective_couplings,
)
from rgdiff_core.spec import from_json

FREE = FreeField(0.3, 12)
CASES = [
    (BlockSpin(eta=0.25), 4),
    (BlockSpin(), 6),
    (Decimation(eta=0.25), 6),
    (MomentumShell(eta=0.25), 8),
    (MomentumShell(), 5),
]


def at(flow, fields, side):
    step = next(s for s in flow.steps(fields.shape[-1]) if s.size == side)
    return flow.apply(fields, step)


def matrix_of(flow, size, side):
    """The flow as a dense matrix (L'², L²): what becomes of fields that are 1 at one site."""
    units = torch.eye(size**2, dtype=torch.float64).reshape(-1, 1, size, size)
    return at(flow, units, side).reshape(size**2, -1).T


def free_covariance(free):
    size = free.size
    k = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    power = free.propagator(torch.stack(torch.meshgrid(k, k, indexing="ij"), -1))
    correlation = torch.fft.ifft2(power).real
    x = torch.arange(size)
    i, j = (g.flatten() for g in torch.meshgrid(x, x, indexing="ij"))
    return correlation[(i[:, None] - i) % size, (j[:, None] - j) % size]


def test_a_block_has_the_mean_of_its_sites():
    fields = torch.randn(3, 1, 12, 12, dtype=torch.float64)
    blocks = at(BlockSpin(eta=0.5), fields, 4)
    for i in range(4):
        for j in range(4):
            mean = fields[:, 0, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean((-2, -1))
            torch.testing.assert_close(blocks[:, 0, i, j], 3**0.25 * mean)


def test_decimation_keeps_every_other_site():
    fields = torch.randn(3, 12, 12, dtype=torch.float64)
    kept = at(Decimation(eta=1.0), fields, 3)
    torch.testing.assert_close(kept[:, 0, 1, 2], 2 * fields[:, 4, 8])


@pytest.mark.parametrize("flow", [BlockSpin(0.25), Decimation(0.25), MomentumShell(0.25)])
def test_two_steps_are_one(flow):
    fields = torch.randn(3, 1, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(at(flow, at(flow, fields, 6), 3), at(flow, fields, 3))


@pytest.mark.parametrize("size", [12, 9])
@pytest.mark.parametrize("side", [7, 5, 3])
def test_momentum_shells_are_those_of_scipy(size, side):
    fields = np.random.default_rng(0).normal(size=(4, size, size))
    expected = resample(resample(fields, side, axis=1), side, axis=2)
    found = at(MomentumShell(), torch.from_numpy(fields), side)
    torch.testing.assert_close(found[:, 0], torch.from_numpy(expected))


@pytest.mark.parametrize("size", [12, 9])
def test_momentum_shells_keep_normalized_modes(size):
    for side in range(2, size + 1):
        matrix = size / side * matrix_of(MomentumShell(), size, side)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(side**2, dtype=torch.float64))


@pytest.mark.parametrize("side", [12, 7, 4])
def test_a_free_field_keeps_its_propagator_below_the_cutoff(side):
    """The coarse covariance has the eigenvalues b^{η-2} Ĝ(k) with |k_μ| ≤ πL'/L, and no others."""
    matrix = matrix_of(MomentumShell(eta=0.25), 12, side)
    found = torch.linalg.eigvalsh(matrix @ free_covariance(FREE) @ matrix.T)
    n = torch.arange(side, dtype=torch.float64)
    k = 2 * math.pi * torch.minimum(n, side - n) / 12
    kept = FREE.propagator(torch.stack(torch.meshgrid(k, k, indexing="ij"), -1)).flatten()
    torch.testing.assert_close(found, (12 / side) ** -1.75 * kept.sort().values)


@pytest.mark.parametrize(("flow", "side"), CASES)
def test_observables_and_couplings_of_a_free_field(flow, side):
    """A free field stays Gaussian with a covariance known exactly, and so are all averages: with
    c_n = ⟨φ_xφ_y⟩ at nearest neighbours and so on, Wick's theorem gives λ = 0, and Z and m² solve
    8Z(c_0 - c_n) + 2m²c_0 = 1, 2Z(4Σ_nn c - Σ_nn,nn c) + 2m² Σ_nn c = 0.
    """
    matrix = matrix_of(flow, FREE.size, side)
    covariance = matrix @ free_covariance(FREE) @ matrix.T
    near = torch.zeros(side, side, side, side, dtype=torch.float64)
    across = torch.zeros_like(near)
    for i in range(side):
        for j in range(side):
            for s in (1, -1):
                near[i, j, (i + s) % side, j] += 1
                near[i, j, i, (j + s) % side] += 1
                across[i, j, (i + s) % side, (j + 1) % side] += 1
                across[i, j, (i + s) % side, (j - 1) % side] += 1
    near, across = (x.reshape(side**2, side**2) for x in (near, across))

    def mean(*operators):
        return float(torch.linalg.multi_dot([*operators, covariance]).trace()) / side**2

    one = torch.eye(side**2, dtype=torch.float64)
    c0, c1, c11 = mean(one, one), mean(one, near), mean(near, near)
    z, m2 = np.linalg.solve([[8 * c0 - 2 * c1, 2 * c0], [8 * c1 - 2 * c11, 2 * c1]], [1, 0])
    residual = z * (8 * mean(one, across) - 2 * mean(near, across)) + 2 * m2 * mean(one, across)

    fields = at(flow, FREE.sample(20_000, torch.Generator().manual_seed(1)), side)
    seen = observables(fields, n_chains=len(fields))
    found = effective_couplings(fields, len(fields))
    expected = [
        (seen["phi2"], c0),
        (seen["phi4"], 3 * c0**2),
        (seen["energy"], c1 / 4),
        (seen["susceptibility"], float(covariance.sum()) / side**2),
        (seen["binder"], 0.0),
        (found.z, z),
        (found.m2, m2),
        (found.lam, 0.0),
        (found.mass, m2 / z),
        (found.stiffness, z * c0),
        (found.unit_mass, m2 * c0),
        (found.residuals[0], residual),
    ]
    for measured, exact in expected:
        assert abs(measured.value - exact) < 4 * measured.error


def test_steps():
    factors = [step.factor for step in BlockSpin().steps(12)]
    assert factors == [1, 2, 3, 4, 6]
    assert [step.size for step in MomentumShell().steps(5)] == [5, 4, 3, 2]
    last = MomentumShell().steps(8)[-1]
    assert (last.factor, last.cutoff) == (4, pytest.approx(math.pi / 4))


@pytest.mark.parametrize("flow", [BlockSpin(0.25), Decimation(), MomentumShell(0.5)])
def test_flows_are_specs(flow):
    assert from_json(flow.to_json()) == flow


def test_wrong_input_is_one_sentence():
    fields = torch.randn(3, 12, 12)
    with pytest.raises(ValueError, match=r"L' = 8 do not fit a lattice of L = 12"):
        BlockSpin().apply(fields, BlockSpin().steps(16)[1])
    with pytest.raises(ValueError, match=r"size = 16 is outside \[2, 12\]"):
        MomentumShell().apply(fields, MomentumShell().steps(16)[0])
    for flow in (BlockSpin(), Decimation(), MomentumShell()):
        for side in (0, 1, 13):
            with pytest.raises(ValueError, match=rf"size = {side} is outside \[2, 12\]"):
                flow.apply(fields, Step(1, 1, 1, side))
    with pytest.raises(ValueError, match="eta = 3"):
        BlockSpin(eta=3.0)
    with pytest.raises(ValueError, match="one site"):
        Decimation().apply(torch.randn(3, 1, 1), Decimation().steps(2)[0])
