"""Colours against closed forms: the lattice propagator, power laws, the data's variance."""

import math

import pytest
import torch
from laws import BASES, COLORS, fields, fitted, name_of
from scipy.interpolate import PchipInterpolator

from rgdiff_core import colors
from rgdiff_core.bases import FourierBasis, PCABasis, PixelBasis
from rgdiff_core.bases.modes import Modes

EVERY_BASIS = [name for name in BASES if name != "pca of few"]


@pytest.mark.parametrize("color", COLORS, ids=name_of)
@pytest.mark.parametrize("name", EVERY_BASIS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_component_gets_some_noise_and_all_together_the_datas_power(color, name, dtype):
    shape = (3, 8, 8)
    basis = BASES[name](shape).to(dtype)
    modes = Modes.fit(basis, fields(shape, 100).to(dtype))
    variance = color.variance(modes)
    assert variance.shape in ((1, 8, 8), (3, 8, 8)) and variance.dtype == dtype
    assert (variance > 0).all() and torch.isfinite(variance).all()
    if color.normalize:
        torch.testing.assert_close(variance.mean(), modes.variance.mean())


@pytest.mark.parametrize("color", COLORS, ids=name_of)
def test_without_data_the_power_is_one(color):
    modes = Modes.of(FourierBasis((1, 8, 8)))
    if isinstance(color, colors.Matched | colors.BlendedColor):
        with pytest.raises(ValueError, match="needs the data's variance"):
            color.variance(modes)
    elif color.normalize:
        assert float(color.variance(modes).mean()) == pytest.approx(1)


@pytest.mark.parametrize(("size", "mass2"), [((6, 6), 0.1), ((5, 8), 2.0), ((4, 4), 1e-4)])
def test_free_theory_is_the_lattice_propagator(size, mass2):
    height, width = size
    d = height * width
    unit = torch.eye(d, dtype=torch.float64).reshape(d, height, width)
    laplacian = sum(unit.roll(s, axis) for s in (1, -1) for axis in (1, 2)) - 4 * unit
    propagator = torch.linalg.inv(mass2 * unit.reshape(d, d) - laplacian.reshape(d, d))
    # exact lattice momenta: the basis' own are stored in single precision
    k2 = [2 - 2 * torch.cos(2 * math.pi * torch.arange(n) / n).double() for n in size]
    momentum = (k2[0][:, None] + k2[1]).clamp_min(0).sqrt()[None]
    modes = Modes(momentum / momentum.max(), momentum=momentum)
    variance = colors.FreeTheory(mass2, normalize=False).variance(modes)
    basis = FourierBasis((1, *size), "lattice").double()
    columns = basis.synthesize(variance * basis.analyze(unit[:, None])).reshape(d, d)
    torch.testing.assert_close(columns, propagator, rtol=1e-6, atol=1e-6 / mass2)


def test_power_law_in_closed_form():
    basis = FourierBasis((1, 16, 16)).double()
    modes = Modes.of(basis)
    k = basis.momentum
    for exponent, cutoff in ((2.0, 0.4), (-3.0, 0.2), (0.5, 1.0)):
        variance = colors.PowerLaw(exponent, cutoff, normalize=False).variance(modes)
        torch.testing.assert_close(variance, (k**2 + cutoff**2) ** (-exponent / 2))
    bare = colors.PowerLaw(2.0, normalize=False).variance(modes)
    torch.testing.assert_close(bare[k > 0], k[k > 0] ** -2)
    assert float(bare[0, 0, 0]) == pytest.approx((math.pi / 16) ** -2)


def test_power_law_of_exponent_2_is_the_massless_free_theory():
    modes = Modes.of(FourierBasis((1, 8, 8)))
    torch.testing.assert_close(
        colors.PowerLaw(2.0, 0.3).variance(modes), colors.FreeTheory(0.3**2).variance(modes)
    )


@pytest.mark.parametrize("size", [8, 1024])
@pytest.mark.parametrize("regulator", [0.0, 1e-300, 1e-40, 1e-19, 1e-12, 1e-6, 1e-3, 100.0])
def test_the_zero_mode_is_finite_whatever_the_regulator(size, regulator):
    modes = Modes.of(FourierBasis((1, size, size)))
    for color in (
        colors.FreeTheory(regulator),
        colors.PowerLaw(8.0, regulator),
        colors.PowerLaw(-8.0, regulator),
    ):
        variance = color.variance(modes)
        assert (variance > 0).all() and torch.isfinite(variance).all()
        assert float(variance.mean()) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", EVERY_BASIS)
def test_matched_is_the_datas_variance(name):
    _, modes = fitted(name=name)
    torch.testing.assert_close(colors.Matched().variance(modes), modes.variance)


def test_matched_in_pca_whitens():
    x = fields((1, 6, 6), 400)
    basis = PCABasis.fit(x)
    modes = Modes.fit(basis, x, prior_count=0)
    c = (basis.analyze(x) - modes.mean) / colors.Matched().variance(modes).sqrt()
    covariance = torch.cov(c.flatten(1).T)
    torch.testing.assert_close(covariance, torch.eye(36, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", EVERY_BASIS)
def test_strength_leads_from_white_to_matched_and_beyond(name):
    _, modes = fitted(name=name)
    for strength, end in ((0.0, colors.White()), (1.0, colors.Matched())):
        variance = colors.Matched(strength=strength).variance(modes)
        torch.testing.assert_close(variance, end.variance(modes).expand_as(variance))
    steep = colors.Matched(strength=1.5, normalize=False).variance(modes)
    data = colors.Matched(normalize=False).variance(modes)
    torch.testing.assert_close(steep, data * data.sqrt())


POINTS = (0.0, 0.2, 0.45, 1.0)


@pytest.mark.parametrize("momentum", ["continuum", "lattice"])
@pytest.mark.parametrize("exponent", [2.0, -1.5])
def test_points_on_a_power_law_are_that_power_law(momentum, exponent):
    modes = Modes.of(FourierBasis((1, 16, 12), momentum).double())
    scale = modes.floored_scale()
    knots = (float(scale.min()), *POINTS[1:])
    drawn = colors.CurveColor(POINTS, tuple(-exponent * math.log(s) for s in knots))
    expected = colors.PowerLaw(exponent).variance(modes)
    torch.testing.assert_close(drawn.variance(modes), expected, rtol=1e-6, atol=0)


def test_a_curve_is_scipys_monotone_cubic_over_the_logarithm_and_constant_beyond():
    modes = Modes.of(FourierBasis((1, 32, 32)).double())
    scales, values = (0.05, 0.1, 0.4, 0.9), (1.0, 1.5, -2.0, -1.8)
    bare = colors.CurveColor(scales, values, normalize=False).variance(modes)
    scale = modes.floored_scale().clamp(0.05, 0.9).log()
    expected = PchipInterpolator([math.log(s) for s in scales], values)(scale.numpy())
    torch.testing.assert_close(bare.log(), torch.from_numpy(expected))


def test_a_curve_multiplies_its_base_and_keeps_the_power_unless_told_not_to():
    _, modes = fitted()
    data = colors.Matched().variance(modes)
    flat = colors.CurveColor(POINTS, (1.0,) * 4, colors.Matched())
    torch.testing.assert_close(flat.variance(modes), data)
    values = (0.5, 1.0, -1.0, 0.0)
    free = colors.CurveColor(POINTS, values, colors.Matched(), normalize=False)
    factor = colors.CurveColor(POINTS, values, normalize=False).variance(modes)
    torch.testing.assert_close(free.variance(modes), data * factor)
    kept = colors.CurveColor(POINTS, values, colors.Matched()).variance(modes)
    torch.testing.assert_close(kept.mean(), data.mean())
    torch.testing.assert_close(
        kept / kept.mean(), free.variance(modes) / free.variance(modes).mean()
    )


def test_a_second_point_below_every_scale_leaves_the_curve_finite():
    modes = Modes.of(FourierBasis((1, 4, 4)))  # its smallest non-zero scale is 1/√8
    variance = colors.CurveColor((0.0, 1e-3, 1.0), (5.0, 0.0, -5.0)).variance(modes)
    assert (variance > 0).all() and variance.isfinite().all()


def test_blends_begin_and_end_with_their_colours():
    _, modes = fitted()
    first, second = colors.FreeTheory(), colors.Matched()
    for weight, end in ((0.0, first), (1.0, second)):
        blend = colors.BlendedColor(first, second, weight).variance(modes)
        torch.testing.assert_close(blend, end.variance(modes).expand_as(blend))
    half = colors.BlendedColor(first, second).variance(modes).sqrt()
    mean = (first.variance(modes).sqrt() + second.variance(modes).sqrt()) / 2
    torch.testing.assert_close(half, mean)


def test_in_the_pixel_basis_every_colour_of_momentum_is_white():
    modes = Modes.of(PixelBasis((1, 4, 4)))
    for color in (colors.PowerLaw(), colors.FreeTheory()):
        torch.testing.assert_close(color.variance(modes), torch.ones(1, 4, 4))


@pytest.mark.parametrize(
    ("match", "make"),
    [
        (r"exponent = 9 is outside \[-8, 8\]", lambda: colors.PowerLaw(9)),
        ("exponent = nan", lambda: colors.PowerLaw(math.nan)),
        ("cutoff = -1", lambda: colors.PowerLaw(2, -1)),
        ("mass2 = -0.1", lambda: colors.FreeTheory(-0.1)),
        ("variances = 0", lambda: colors.CustomColor((1.0, 0.0))),
        ("variances = inf", lambda: colors.CustomColor((1.0, math.inf))),
        ("variances = 1e-300", lambda: colors.CustomColor((1.0, 1e-300))),
        ("strength = 4", lambda: colors.Matched(strength=4.0)),
        ("3 scales and 2 log-var", lambda: colors.CurveColor((0.0, 0.5, 1.0), (0.0, 0.0))),
        ("2 to 64 points, got 1", lambda: colors.CurveColor((0.0,), (0.0,))),
        ("scales = 2", lambda: colors.CurveColor((0.0, 2.0), (0.0, 0.0))),
        ("0.5 is followed by 0.5", lambda: colors.CurveColor((0.5, 0.5), (0.0, 0.0))),
        ("log_variances = 99", lambda: colors.CurveColor((0.0, 1.0), (0.0, 99.0))),
        ("weight = 2", lambda: colors.BlendedColor(colors.White(), colors.White(), 2)),
        ("3 entries", lambda: colors.CustomColor((1.0,) * 3).variance(Modes(torch.ones(1, 2, 2)))),
    ],
)
def test_bad_numbers_are_one_sentence(match, make):
    with pytest.raises(ValueError, match=match) as caught:
        make()
    assert str(caught.value).endswith(".")


def test_an_incomplete_colour_is_refused():
    with pytest.raises(TypeError, match=r"abstract method '?bare"):
        colors.Color()
