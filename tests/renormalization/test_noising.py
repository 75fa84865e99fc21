"""Noise as a flow against exact moments, fixed points, and counted modes."""

import math

import pytest
import torch

from rgdiff_core import colors, schedules
from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.lattice import FreeField, Phi4, hmc
from rgdiff_core.lattice.gamma import estimate
from rgdiff_core.process import Process, ProcessSpec
from rgdiff_core.renormalization import Noising, effective_couplings

SCALAR = schedules.LinearGamma(-7.0, 7.0)


def normal(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def run():
    return hmc(Phi4(-1.0, 0.5), 6, 2000, 100, normal(21))


def fourier(color, schedule):
    return ProcessSpec(BasisSpec("fourier"), color, schedule)


def fourth_cumulant(fields, n_chains):
    m = fields.double().mean((-3, -2, -1))
    series = torch.stack([m**2, m**4], 1)
    return estimate(series, n_chains, lambda mean: mean[1] - 3 * mean[0] ** 2)


@pytest.mark.parametrize("color", [colors.White(), colors.Matched(), colors.FreeTheory(0.2)])
def test_connected_correlators_shrink_by_alpha(run, color):
    """κ₄ of the mean field is α⁴ times the original; ⟨φ²⟩ is that of α²Σ + σ²S²."""
    flow = Noising.fit(run.configurations, fourier(color, SCALAR), times=(0.0, 0.35, 0.45))
    x0 = run.configurations.double()
    original = fourth_cumulant(x0, run.n_chains)
    power = flow.process.basis.analyze(x0).square().mean(0)
    for step in flow.steps(6)[1:]:
        level = flow.process.level(step.place)
        fields = flow.apply(x0, step, normal(3))
        alpha = float(level.alpha.mean())
        found = fourth_cumulant(fields, run.n_chains)
        assert 0.5 < alpha < 0.95
        assert abs(found.value - alpha**4 * original.value) < 4 * found.error
        assert abs(found.value) > 8 * found.error
        exact = level.alpha**2 * power + level.sigma**2 * flow.process.noise_variance
        square = estimate(fields.square().mean((-3, -2, -1)), len(fields), lambda mean: mean[0])
        assert abs(square.value - float(exact.mean())) < 4 * square.error


def test_matched_noise_ends_in_the_free_theory_with_the_data_s_spectrum(run):
    """In a Gaussian theory of spectrum P, with c = ⟨φ_xφ_y⟩: 8Z(c_0 - c_n) + 2m²c_0 = 1 and
    2Z(4Σ_nn c - Σ_nn,nn c) + 2m² Σ_nn c = 0, sums that are averages over P of functions of k.
    """
    flow = Noising.fit(run.configurations, fourier(colors.Matched(), SCALAR), times=(0.0, 1.0))
    fields = flow.apply(run.configurations, flow.steps(6)[-1], normal(4))
    found = effective_couplings(fields, len(fields))
    power = flow.process.noise_variance[0]
    k = 2 * math.pi * torch.fft.fftfreq(6, dtype=torch.float64)
    near = 2 * (torch.cos(k)[:, None] + torch.cos(k))
    c0, c1, c11 = (float((power * near**n).mean()) for n in (0, 1, 2))
    matrix = torch.tensor([[8 * c0 - 2 * c1, 2 * c0], [8 * c1 - 2 * c11, 2 * c1]])
    z, m2 = torch.linalg.solve(matrix.double(), torch.tensor([1.0, 0.0]).double()).tolist()
    assert abs(found.lam.value) < 4 * found.lam.error < 0.1
    assert abs(found.z.value - z) < 4 * found.z.error
    assert abs(found.m2.value - m2) < 4 * found.m2.error
    assert z > 0.5


def test_white_noise_ends_in_independent_sites(run):
    flow = Noising.fit(run.configurations, fourier(colors.White(), SCALAR), times=(0.0, 1.0))
    start, end = (
        effective_couplings(flow.apply(run.configurations, step, normal(5)), run.n_chains)
        for step in flow.steps(6)
    )
    variance = float(flow.process.noise_variance.mean())
    assert start.z.value > 0.8
    assert abs(end.z.value) < 4 * end.z.error < 0.05
    assert abs(end.lam.value) < 4 * end.lam.error
    assert abs(end.m2.value - 0.5 / variance) < 4 * end.m2.error


def test_a_sharp_cutoff_counts_its_modes():
    """A hard cutoff with white noise far above it leaves the modes with |k| < Λ as they are."""
    fields = FreeField(0.3, 8).sample(500, normal(6))
    schedule = schedules.Cutoff(schedules.HardKernel(), schedules.LinearPath())
    flow = Noising.fit(fields, fourier(colors.White(), schedule), times=(0.25, 0.5, 0.75))
    momentum = flow.process.modes.momentum
    shells = torch.unique(momentum)
    for step in flow.steps(8):
        alive = flow.process.level(step.place).gamma < 0
        assert step.factor == pytest.approx(math.sqrt(64 / int(alive.sum())), rel=1e-3)
        last = float(momentum[alive].max())
        after = float(shells[shells > last].min())
        assert last <= step.cutoff <= after


def test_matched_noise_with_one_schedule_for_all_has_no_cutoff():
    """All components cross at once, at α² = σ²; b = 1/α grows smoothly."""
    fields = FreeField(0.3, 8).sample(500, normal(6))
    flow = Noising.fit(fields, fourier(colors.Matched(), SCALAR), times=(0.3, 0.49, 0.51, 0.9))
    steps = flow.steps(8)
    largest = math.hypot(math.pi, math.pi)
    assert [step.cutoff for step in steps] == pytest.approx([largest, largest, 0.0, 0.0])
    for step in steps:
        alpha = float(flow.process.level(step.place).alpha.mean())
        assert step.factor == pytest.approx(1 / alpha)


def test_the_cutoff_is_where_signal_and_noise_are_equal():
    """For a spectrum e^{-3k} and white noise the SNR e^{-3k - γ} is one at k = -γ/3."""
    basis = FourierBasis((1, 16, 16)).double()
    k = basis.momentum
    modes = Modes(basis.scale, torch.zeros_like(k), torch.exp(-3 * k), k)
    process = Process(basis, colors.White(normalize=False), SCALAR, modes)
    flow = Noising(process, (0.0, 0.1, 0.2, 0.4))
    found = [step.cutoff for step in flow.steps(16)]
    assert found == pytest.approx([(7 - 14 * t) / 3 for t in flow.times], rel=1e-5)


def test_wrong_input_is_one_sentence():
    fields = FreeField(0.3, 8).sample(30, normal(6))
    flow = Noising.fit(fields, fourier(colors.White(), SCALAR))
    with pytest.raises(ValueError, match="L = 8, not L = 6"):
        flow.steps(6)
    with pytest.raises(ValueError, match="does not noise lattice fields"):
        Noising(Process(FourierBasis((1, 4, 16)), colors.White(), SCALAR))
    pixels = Noising.fit(fields, ProcessSpec(BasisSpec("pixel"), colors.White(), SCALAR))
    assert all(math.isnan(step.cutoff) for step in pixels.steps(8))
