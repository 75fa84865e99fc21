"""What the Spectra page draws: noise, its spectrum, components and their variances."""

import math

import pytest
import torch

import rgdiff_core as rg
from rgdiff_core.spectra.power import (
    basis_functions,
    draw_noise,
    power_spectrum,
    profile,
    radial_average,
)

SHAPE = (2, 16, 16)
BASES = [
    rg.bases.PixelBasis(SHAPE),
    rg.bases.FourierBasis(SHAPE),
    rg.bases.CosineBasis(SHAPE),
    rg.bases.WaveletBasis(SHAPE, "db2"),
]


@pytest.mark.parametrize("momentum", ["continuum", "lattice"])
@pytest.mark.parametrize("color", [rg.colors.White(), rg.colors.FreeTheory(0.3)])
def test_the_radial_average_of_a_color_is_the_spectrum_of_its_noise(color, momentum):
    basis = rg.bases.FourierBasis(SHAPE, momentum)
    variance = color.variance(rg.Modes.of(basis))
    noise = draw_noise(basis, variance, 2000, torch.Generator().manual_seed(3))
    measured = power_spectrum(noise, momentum=momentum)
    expected = radial_average(variance, momentum=momentum)
    deviation = (measured.power - expected) / measured.error
    assert deviation.abs().max() < 4  # standard errors, of 13 shells
    assert (deviation**2).mean() < 2.5


def test_the_radial_average_averages_channels():
    values = torch.stack((torch.full((8, 8), 1.0), torch.full((8, 8), 3.0)))
    torch.testing.assert_close(
        radial_average(values), torch.full_like(radial_average(values), 2.0)
    )


@pytest.mark.parametrize("basis", BASES, ids=lambda b: type(b).__name__)
def test_noise_has_the_covariance_of_its_color(basis):
    variance = torch.linspace(0.5, 2.0, 512).reshape(SHAPE)
    n = 4000
    c = basis.analyze(draw_noise(basis, variance, n, torch.Generator().manual_seed(1)))
    deviation = (c.var(0) / variance - 1) / math.sqrt(2 / (n - 1))
    assert deviation.abs().max() < 4.5  # standard errors, of 512 components
    assert abs(c.mean() / c.std() * math.sqrt(c.numel())) < 4


def test_the_same_generator_gives_the_same_noise_in_every_basis():
    draws = [draw_noise(b, torch.ones(SHAPE), 3, torch.Generator().manual_seed(5)) for b in BASES]
    for draw in draws[1:]:
        torch.testing.assert_close(draw, draws[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("basis", BASES, ids=lambda b: type(b).__name__)
def test_basis_functions_are_single_components_from_coarse_to_fine(basis):
    fields, scale = basis_functions(basis, 9)
    c = basis.analyze(fields).flatten(1)
    torch.testing.assert_close(c.amax(1), torch.ones(len(c)), atol=1e-5, rtol=0)
    torch.testing.assert_close(c.abs().sum(1), torch.ones(len(c)), atol=1e-3, rtol=0)
    assert (scale.diff() >= 0).all()
    assert scale[0] == basis.scale.min() and scale[-1] == basis.scale.max()
    torch.testing.assert_close(scale, basis.scale.flatten()[c.argmax(1) % 256])


def test_a_range_of_basis_functions_is_narrower():
    basis = rg.bases.FourierBasis(SHAPE)
    _, scale = basis_functions(basis, 5, 0.4, 0.6)
    assert scale[0] > 0 and scale[-1] < 1
    assert len(basis_functions(basis, 5, 0.3, 0.3)[1]) == 1


def test_a_profile_has_each_scales_mean_and_tails():
    scale = torch.tensor([0.0, 0.5, 0.5, 1.0]).repeat_interleave(64).reshape(1, 16, 16)
    values = torch.rand(3, 16, 16, dtype=torch.float64)
    made = profile(values, scale)
    assert made.count.tolist() == [192, 384, 192]
    torch.testing.assert_close(made.scale, torch.tensor([0, 0.5, 1], dtype=torch.float64))
    for i, at in enumerate((0.0, 0.5, 1.0)):
        group = values[(scale == at).expand_as(values)]
        torch.testing.assert_close(made.mean[i], group.mean())
        torch.testing.assert_close(made.low[i], group.quantile(0.1))
        torch.testing.assert_close(made.high[i], group.quantile(0.9))


def test_many_scales_are_gathered_in_geometric_bins():
    scale = torch.linspace(0, 1, 4096, dtype=torch.float64).reshape(1, 64, 64)
    made = profile(scale, scale, bins=8)
    assert made.count.sum() == 4096 and len(made.scale) == 9
    assert made.scale[0] == 0 and made.count[0] == 1
    torch.testing.assert_close(made.mean, made.scale)
    ratio = made.scale[2:] / made.scale[1:-1]
    assert ratio.min() > 2 and ratio.max() < 4  # 4095^(1/8) = 2.83


def test_what_cannot_be_drawn_is_one_sentence():
    with pytest.raises(ValueError, match="bins = 0"):
        profile(torch.ones(1, 2, 2), torch.ones(1, 2, 2), bins=0)
    with pytest.raises(ValueError, match="count = 0"):
        basis_functions(BASES[0], 0)
    with pytest.raises(ValueError, match="in order"):
        basis_functions(BASES[0], 3, 0.8, 0.2)
