"""Gaussian random fields: the law that they are drawn from, and models that know it."""

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import rgdiff_core as rg
from rgdiff_core.bases import FourierBasis, WaveletBasis
from rgdiff_core.data import ImageSet
from rgdiff_core.evaluation.images.held_out import held_out_bits
from rgdiff_core.lattice import (
    FreeField,
    FreeSpectrum,
    GaussianField,
    PowerSpectrum,
    TableSpectrum,
    observables,
    random_fields,
)
from rgdiff_core.likelihood.bits import bits_per_dim
from rgdiff_core.spec import Spec

pytestmark = pytest.mark.usefixtures("one_thread")

TABLE = TableSpectrum((0.0, 0.5, 2.0, 4.0), (9.0, 8.0, 1.0, 0.25))
FIELDS = (
    GaussianField(PowerSpectrum(3.0, 0.3), 8),
    GaussianField(FreeSpectrum(0.4), 8, None),
    GaussianField(TABLE, 8, 2.5),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: type(field.spectrum).__name__)
def test_fields_have_their_spectrum(field):
    n = 4000
    power = np.abs(np.fft.fft2(field.sample(n, seeded(1))[:, 0].double().numpy())) ** 2 / 64
    # |φ_k|² is exponential, or χ² of one degree where k = −k: its error is at most √2 P/√n.
    pull = (power.mean(0) / field.power.numpy() - 1) * math.sqrt(n / 2)
    assert np.abs(pull).max() < 4.5
    assert Spec.from_json(field.to_json()) == field


def test_a_power_law_and_its_scale():
    field = GaussianField(PowerSpectrum(3.0, 0.5), 8, 2.0)
    assert float(field.power.mean()) == pytest.approx(2.0)
    ratio = field.power[0, 0] / field.power[0, 4]
    assert float(ratio) == pytest.approx(((math.pi**2 + 0.25) / 0.25) ** 1.5)


def test_the_free_theory_is_that_of_phi4():
    free = FreeField(0.4, 8)
    field = GaussianField(FreeSpectrum(0.4), 8, None)
    found = observables(field.sample(4000, seeded(2)), n_chains=4000)
    for name, exact in free.observables().items():
        assert abs(found[name].value - exact) < 4.5 * found[name].error
    gaussian = 0.5 * 64 * (1 + math.log(2 * math.pi)) + 0.5 * float(field.power.log().sum())
    assert field.entropy == pytest.approx(gaussian)
    # S and log Z of the action give the same entropy: ⟨S⟩ + log Z, with ⟨S⟩ = V/2.
    assert field.entropy == pytest.approx(32 + free.log_z)


def test_a_table_is_met_at_its_points_and_joined_by_powers():
    k = torch.tensor([0.0, 0.1, 0.5, 1.0, 2.0, 3.0, 4.0, 4.4], dtype=torch.float64)
    found = TABLE.power(torch.stack([k, 0 * k], -1))
    expected = [9, 8, 8, 8 * 2**-1.5, 1, 0.25 ** (math.log(1.5) / math.log(2)), 0.25, 0.25]
    torch.testing.assert_close(found, k.new_tensor(expected))
    flat = TableSpectrum((0.0, 1.0), (5.0, 2.0)).power(torch.stack([k, 0 * k], -1))
    torch.testing.assert_close(flat, k.new_tensor([5.0] + 7 * [2.0]))
    # Without a point at k = 0 the mean has the power of the first one.
    flat = TableSpectrum((1.0, 2.0), (5.0, 2.0)).power(torch.zeros(1, 2))
    torch.testing.assert_close(flat, torch.tensor([5.0]))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: type(field.spectrum).__name__)
def test_the_gaussian_model_has_the_bits_of_the_closed_form(field):
    n, shape = 2000, (1, 8, 8)
    basis = FourierBasis(shape)
    model = rg.GaussianDenoiser(basis, field.modes(basis))
    process = rg.Process(basis, rg.colors.Matched(), rg.schedules.Cosine(), model.modes)
    x = field.sample(n, seeded(3))
    some = rg.log_likelihood(model, process, x[:4], steps=40, divergence="exact").double()
    # The density of each field by dense linear algebra, in real space.
    kernel = np.fft.ifft2(field.power.numpy()).real
    rows = [np.roll(kernel, (i, j), (0, 1)).ravel() for i in range(8) for j in range(8)]
    flat = x[:, 0].double().numpy().reshape(n, 64)
    _, log_det = np.linalg.slogdet(np.array(rows))
    quadratic = (flat * np.linalg.solve(np.array(rows), flat.T).T).sum(1)
    exact = -0.5 * (quadratic + log_det + 64 * math.log(2 * math.pi))
    np.testing.assert_allclose(some.numpy(), exact[:4], atol=0.02)
    bits = bits_per_dim(torch.from_numpy(exact), shape, levels=3)  # a bin of width 1
    closed = field.entropy / (64 * math.log(2))
    assert abs(float(bits.mean()) - closed) < 4 * float(bits.std()) / math.sqrt(n)
    held_out = ImageSet(x[:200], None, "", "", -3.0, 3.0)
    bound = held_out_bits(model, process, held_out, 200, seeded(5))
    # Above it by the terms of the bound that do not vanish with 200 steps.
    assert -4 * bound.error < bound.value - closed < 4 * bound.error + 0.02


def test_the_modes_of_another_basis_are_those_of_the_covariance():
    field, shape = FIELDS[0], (1, 8, 8)
    basis = WaveletBasis(shape)
    variance = field.modes(basis).variance
    assert variance is not None
    measured = basis.analyze(field.sample(4000, seeded(4))).double().square().mean(0)
    assert float((measured / variance - 1).abs().max()) < 4.5 * math.sqrt(2 / 4000)
    assert float(variance.mean()) == pytest.approx(1.0, rel=1e-6)
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4\), the fields \(1, 8, 8\)"):
        field.modes(FourierBasis((1, 4, 4)))


class Largest(TorchDispatchMode):
    """The size of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_the_modes_of_another_basis_take_little_memory_and_leave_it_as_it_is(monkeypatch):
    monkeypatch.setattr(random_fields, "BLOCK", 2**12)
    field, basis = GaussianField(PowerSpectrum(2.0, 0.5), 16), WaveletBasis((1, 16, 16))
    with Largest() as largest:
        variance = field.modes(basis).variance
    assert variance is not None
    assert largest.elements < 2**14  # a matrix of all components has 2¹⁶
    assert {each.dtype for each in basis.buffers() if each.is_floating_point()} == {torch.float32}
    assert float(variance.sum()) == pytest.approx(16**2, rel=1e-5)  # the trace of the covariance


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PowerSpectrum(9), r"exponent = 9 is outside \[-4, 8\]"),
        (lambda: PowerSpectrum(2, 0), r"cutoff = 0 is outside \[0.001, 10\]"),
        (lambda: FreeSpectrum(-1.0), "m2 = -1.0 is outside"),
        (lambda: TableSpectrum((1.0,), (1.0,)), "a table needs 2 to 512 points, got 1 momenta"),
        (lambda: TableSpectrum((1.0, 1.0), (1.0, 2.0)), "must increase, but 1 is followed by 1"),
        (lambda: TableSpectrum((1.0, 2.0), (1.0, -2.0)), "the power at k = 2 = -2.0 is outside"),
        (lambda: TableSpectrum((1.0, math.nan), (1.0, 2.0)), "k = nan must be a finite number"),
        (lambda: GaussianField(size=7), "size = 7 is odd"),
        (lambda: GaussianField(size=1024), r"size = 1024 is outside \[4, 256\]"),
        (lambda: GaussianField(variance=0), "variance = 0 is outside"),
        (lambda: GaussianField(PowerSpectrum(8, 1e-3)), "the spectrum falls to .* of its mean"),
        (lambda: GaussianField().sample(0), "n = 0 is outside"),
    ],
)
def test_nonsense_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
