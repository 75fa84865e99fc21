"""Measures of image models against closed forms, SciPy, and the bound in many steps."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import Denoiser, GaussianDenoiser, Posterior, gaussian_posterior
from rgdiff_core.evaluation.images.bound import BANDS, EDGES, flow_bits, image_bound
from rgdiff_core.evaluation.images.bound_decoder import decoding_noise, is_grey
from rgdiff_core.evaluation.images.samples import (
    compare_images,
    draw_images,
    eight_bit,
    image_reference,
    spectrum_ratio,
)
from rgdiff_core.likelihood import bits_per_dim, elbo
from rgdiff_core.process import Marginal, Process
from rgdiff_core.schedules import Cutoff, LinearGamma, SoftConditioning
from rgdiff_core.schedules.kernels import SigmoidKernel

SHAPE = (3, 8, 8)
BASIS = rg.bases.FourierBasis(SHAPE)
VARIANCE = (0.06 / (BASIS.momentum**2 + 0.3)).expand(SHAPE)
TRUE = Modes(BASIS.scale, torch.zeros(SHAPE), VARIANCE, BASIS.momentum)
FREE = Modes(BASIS.scale, torch.full(SHAPE, 0.05), 1.6 * VARIANCE**0.8, BASIS.momentum)
BROAD = (-14.0, 14.0)


class Informed(Denoiser):
    """A denoiser whose free theory is wrong, and whose posterior is that of the data."""

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        return gaussian_posterior(c, marginal, TRUE.mean, TRUE.variance)  # type: ignore[arg-type]


def fields(n: int, seed: int = 0) -> Tensor:
    noise = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return BASIS.synthesize(VARIANCE.sqrt() * noise)


def exact(x: Tensor) -> Tensor:
    """The density of the data themselves, in bits."""
    still = Process(BASIS, White(), LinearGamma(-39.0, 14.0), TRUE)
    return bits_per_dim(GaussianDenoiser(BASIS, TRUE).log_density(x, 0.0, still).double(), SHAPE)


@pytest.mark.parametrize("color", [White(), Matched()], ids=["white", "matched"])
@pytest.mark.parametrize(
    "schedule",
    [
        LinearGamma(*BROAD),
        Cutoff(SigmoidKernel(0.3), gamma_min=BROAD[0], gamma_max=BROAD[1]),
        SoftConditioning(*BROAD, 2.0, "variance"),
    ],
    ids=["scalar", "cutoff", "soft"],
)
def test_the_bound_of_the_perfect_denoiser_is_the_density(color, schedule):
    x = fields(400)
    process = Process(BASIS, color, schedule, FREE)
    found = image_bound(Informed(BASIS, FREE), process, x, 16, levels=None, floor=1e-9)
    off = found.bits - exact(x)
    assert abs(off.mean()) < 4 * off.std() / len(x) ** 0.5  # the noise of the levels alone
    assert (found.free - found.bits).mean() > 0.3  # where the free theory is far off
    assert found.gain.shape == (BANDS, len(EDGES) + 1)
    assert float(found.gain.sum()) == pytest.approx(float((found.bits - found.free).mean()))


def test_the_bound_is_that_of_many_steps():
    x = fields(200)
    process = Process(BASIS, Matched(), LinearGamma(-10.0, 4.0), FREE)
    model = Informed(BASIS, FREE)
    found = image_bound(model, process, x, 64, levels=None, floor=1e-9).bits
    steps = elbo(model, process, x, 400, torch.Generator().manual_seed(0), grid="logsnr")
    off = found - bits_per_dim(steps.double(), SHAPE)
    assert float(off.mean()) == pytest.approx(0, abs=4 * float(off.std()) / len(x) ** 0.5 + 0.01)


PIXELS = rg.bases.PixelBasis((1, 4, 4))


def whole(x: Tensor, levels: int = 256) -> Tensor:
    """Round to grey values."""
    half = (levels - 1) / 2
    return ((x.clamp(-1, 1) + 1) * half).round() / half - 1


def pixel_modes(spread: float, basis: Basis = PIXELS) -> Modes:
    ones = torch.ones(basis.shape)
    return Modes(basis.scale, 0 * ones, spread**2 * ones, None)


def decoding(spread: float, levels: int, noise: float) -> tuple[Tensor, Tensor]:
    """What each grey value costs in bits: in the Gaussian that it is given noise, and to be chosen
    once the noisy value is known.
    """
    values = torch.linspace(-1, 1, levels, dtype=torch.float64)
    at, weight = (torch.tensor(x) for x in np.polynomial.hermite_e.hermegauss(61))
    total = spread**2 + noise**2
    gained = math.log(total / noise**2) + (noise**2 + values**2) / total - 1
    share = spread**2 / total
    mean = share * (values[:, None] + noise * at)
    log = torch.log_softmax(-(mean[..., None] - values).square() / (2 * share * noise**2), -1)
    missed = -log[range(levels), :, range(levels)] @ (weight / weight.sum())
    return gained / 2 / math.log(2), missed / math.log(2)


def in_bins(spread: float, levels: int) -> Tensor:
    """Bits of each grey value by a Gaussian's share of its bin."""
    normal = torch.distributions.Normal(torch.tensor(0.0).double(), spread)
    values = torch.linspace(-1, 1, levels, dtype=torch.float64)
    half = 1 / (levels - 1)
    return -(normal.cdf(values + half) - normal.cdf(values - half)).log2()


@pytest.mark.parametrize(
    ("spread", "levels"), [(0.25, 256), (0.006, 256), (0.25, 16), (0.7, 4), (1.0, 2)]
)
def test_decoded_values_of_a_gaussian_cost_what_the_theory_says(spread: float, levels: int):
    basis = rg.bases.PixelBasis((1, 16, 16))
    draw = torch.Generator().manual_seed(0)
    x = whole(spread * torch.randn(1200, *basis.shape, generator=draw), levels)
    process = Process(basis, White(), LinearGamma(-16.0, 8.0), pixel_modes(spread, basis))
    model = GaussianDenoiser(basis, pixel_modes(spread, basis))
    found = image_bound(model, process, x, 1, levels=levels, decoded=True)
    each = torch.stack(decoding(spread, levels, decoding_noise(levels))).sum(0)
    off = found.bits - each[((x + 1) * (levels - 1) / 2).round().long()].flatten(1).mean(1)
    error = float(off.std()) / len(x) ** 0.5
    assert error < 0.002 and abs(float(off.mean())) < 4 * error
    assert float((0.5**each).sum()) <= 1  # as of a bound on −log P, with P of all values
    assert torch.equal(found.bits, found.free)


def test_where_the_density_is_flat_in_a_bin_decoding_costs_a_hundredth_of_a_bit():
    """It is E log₂ of the density of a comb of Gaussians, one in each bin."""
    at = torch.linspace(-0.5, 0.5, 2001, dtype=torch.float64)
    teeth = torch.arange(-5, 6).double()
    comb = torch.exp(torch.distributions.Normal(teeth, 0.35).log_prob(at[:, None])).sum(1)
    comb_bits = float(torch.trapezoid(comb * comb.log2(), at))
    costs = torch.stack(decoding(0.25, 256, decoding_noise(256))).sum(0) - in_bins(0.25, 256)
    assert comb_bits == pytest.approx(0.0115, abs=5e-5)
    assert float(costs[100:156].mean()) == pytest.approx(comb_bits, abs=2e-4)


class OneOfTwo(Denoiser):
    """The denoiser of pixels that are −½ or ½ (or next to them, as grey values are)."""

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        x = float(whole(torch.tensor(0.5)))
        known = torch.tanh(x * marginal.alpha * c / marginal.std**2)
        return Posterior(x * known, x**2 * (1 - known**2))


def test_decoded_values_that_are_one_of_two_have_a_bit():
    """Dequantized they cost more, for no denoiser of grey values knows what lies between them."""
    sign = torch.randint(2, (400, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 2 - 1
    value = whole(torch.tensor(0.5))
    modes = pixel_modes(float(value))
    process = Process(PIXELS, White(), LinearGamma(-18.0, 10.0), modes)
    x = value * sign
    found, usual = (
        image_bound(OneOfTwo(PIXELS, modes), process, x, 64, decoded=decoded, floor=3e-4)
        for decoded in (True, False)
    )
    error = float(found.bits.std()) / 20
    assert found.estimate.value == pytest.approx(1.0, abs=4 * error + 0.005)
    assert error < 0.03 and usual.estimate.value > 2
    assert float(found.free.mean()) > 6  # which knows of all values between


def test_decoded_from_more_noise_they_cost_what_choosing_them_does():
    """Nothing but the sign is lost to noise far below a half, whatever the free theory knows."""
    sign = torch.randint(2, (400, 1, 4, 4), generator=torch.Generator().manual_seed(1)) * 2 - 1
    value = whole(torch.tensor(0.5))
    modes = pixel_modes(float(value))
    process = Process(PIXELS, White(), LinearGamma(-18.0, 10.0), modes)
    found = image_bound(OneOfTwo(PIXELS, modes), process, value * sign, 64, decoded=True)
    _, missed = decoding(float(value), 256, decoding_noise(256))
    error = float(found.bits.std()) / 20
    assert error < 0.03
    assert found.estimate.value == pytest.approx(1 + float(missed[191]), abs=4 * error)


@pytest.mark.parametrize("value", [0.5, 1 + 2 / 255, -3.0, float("nan")])
def test_only_grey_values_are_decoded(value: float):
    process = Process(PIXELS, White(), LinearGamma(), pixel_modes(0.3))
    model = GaussianDenoiser(PIXELS, pixel_modes(0.3))
    x = torch.ones(2, 1, 4, 4)
    assert is_grey(x, 256)
    assert image_bound(model, process, x, 1, decoded=True).bits.isfinite().all()
    x[1, 0, 2, 1] = value
    assert not is_grey(x, 256)
    with pytest.raises(
        ValueError, match=rf"{value:.4g}.*256 grey values in \[-1, 1\], 2/255 apart"
    ):
        image_bound(model, process, x, 1, decoded=True)


@pytest.mark.parametrize("levels", [None, 1, 65_537])
def test_decoding_refuses_levels(levels: int | None):
    process = Process(PIXELS, White(), LinearGamma(), pixel_modes(0.3))
    model = GaussianDenoiser(PIXELS, pixel_modes(0.3))
    with pytest.raises(ValueError, match=f"levels = {levels}"):
        image_bound(model, process, torch.ones(2, 1, 4, 4), levels=levels, decoded=True)


def test_decoding_costs_little_more_in_coloured_noise_than_dequantizing():
    """The noise of a pixel then depends on its neighbours', which the decoder does not know; of
    these smooth densities it has a hundredth of a bit more in white noise.
    """
    images = whole(fields(1000))
    model = Informed(BASIS, FREE)
    for color, schedule in (
        (White(), Cutoff(SigmoidKernel(0.3), gamma_min=-11.0, gamma_max=8.0)),
        (Matched(), LinearGamma(-13.0, 8.0)),
    ):
        process = Process(BASIS, color, schedule, FREE)
        one, other = (image_bound(model, process, images, 16, decoded=d) for d in (True, False))
        off = one.bits - other.bits
        error = float(off.std()) / len(off) ** 0.5
        assert error < 0.004 and float(off.mean()) < 0.015 + 2 * error


def test_what_is_left_is_one_for_the_free_theory():
    images = fields(8).clamp(-1, 1)
    process = Process(BASIS, White(), LinearGamma(*BROAD), FREE)
    found = image_bound(GaussianDenoiser(BASIS, FREE), process, images, 4)
    assert torch.equal(found.bits, found.free)
    assert torch.all((found.left == 1) | found.left.isnan())


def test_equal_seeds_are_equal_noise():
    x = fields(40)
    process = Process(BASIS, White(), LinearGamma(*BROAD), FREE)
    model = Informed(BASIS, FREE)
    one, same = (image_bound(model, process, x, 8, seed=3).bits for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, image_bound(model, process, x, 8, seed=4).bits)


@pytest.mark.parametrize(("levels_per_image", "floor"), [(3, 1e-3), (0, 1e-3), (8, 0.5)])
def test_the_bound_refuses(levels_per_image, floor):
    process = Process(BASIS, White(), LinearGamma(), FREE)
    with pytest.raises(ValueError, match=r"levels_per_image|floor"):
        image_bound(
            GaussianDenoiser(BASIS, FREE), process, fields(2), levels_per_image, floor=floor
        )


def test_the_flow_of_the_free_theory_is_its_density():
    images = fields(6).clamp(-1, 1)
    process = Process(BASIS, Matched(), LinearGamma(-13.0, 6.0), FREE)
    found = flow_bits(GaussianDenoiser(BASIS, FREE), process, images, 1)
    bound = image_bound(GaussianDenoiser(BASIS, FREE), process, images, 1).free
    # each has its own dequantization
    assert torch.allclose(found, bound, atol=0.2)


def photographs(split: str = "train", n: int = 120) -> Tensor:
    return rg.data.load("photographs", split, limit=n).images


def test_the_same_images_differ_in_nothing():
    x = photographs()
    found = compare_images(eight_bit(x), image_reference(x, {}))
    assert found.spectrum_error.value < 1e-3
    assert found.sharpness.value == pytest.approx(1, abs=1e-3)
    assert found.color_error.value < 0.1
    assert found.rgb_mean == pytest.approx(x.mean((0, 2, 3)).tolist(), abs=1e-2)


def test_blurred_images_are_not_sharp():
    x = photographs()
    soft = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    known = image_reference(x, {})
    found = compare_images(eight_bit(soft), known)
    assert found.sharpness.value < 0.3
    scale, relative, error = spectrum_ratio(found.spectrum, known.spectrum)
    assert relative[-1] < -0.7 < relative[1]
    assert len(scale) == len(error) == len(relative)


def test_errors_of_samples_are_the_scatter_of_repeated_samples():
    """Sharpness and colours of 40 sets of white noise; a jackknife of ten groups is known to a
    quarter.
    """
    draw = torch.Generator().manual_seed(0)
    known = image_reference(0.3 * torch.randn(4000, *SHAPE, generator=draw), {})
    sets = [0.4 * torch.randn(60, *SHAPE, generator=draw) + 0.1 for _ in range(40)]
    found = [compare_images(eight_bit(x), known) for x in sets]
    for name in ("sharpness", "color_error"):
        each = [getattr(one, name) for one in found]
        spread = np.std([one.value for one in each], ddof=1)
        error = np.mean([one.error**2 for one in each]) ** 0.5
        assert error == pytest.approx(spread, rel=0.45), name


def test_colors_are_compared_as_gaussians():
    x, other = photographs(), 0.6 * photographs().flip(1) + 0.1
    found = compare_images(eight_bit(other), image_reference(x, {})).color_error.value
    a, b = (y.movedim(1, 0).flatten(1).double().numpy() for y in (other, x))
    first, second = np.cov(a), np.cov(b)
    root = np.asarray(scipy.linalg.sqrtm(first))
    overlap = np.asarray(scipy.linalg.sqrtm(root @ second @ root))
    squared = ((a.mean(1) - b.mean(1)) ** 2).sum() + np.trace(first + second - 2 * overlap)
    assert found == pytest.approx(127.5 * squared**0.5, rel=5e-3)


def test_features_are_compared_where_there_are_networks():
    x = photographs()
    known = image_reference(x, {"cells": lambda y: y.mean(1)[:, ::8, ::8].flatten(1)})
    same, quick = (compare_images(eight_bit(x), known, thorough=t) for t in (True, False))
    assert same.frechet["cells"].value == pytest.approx(0, abs=1e-3)
    assert set(same.kernel) == {"cells"}
    assert not quick.kernel
    far = compare_images(eight_bit(-x), known)
    assert far.frechet["cells"].value > 10 * same.frechet["cells"].error


def test_drawing_goes_in_rows():
    process = Process(BASIS, White(), LinearGamma(-6.0, 4.0), TRUE)
    seen: list[tuple[int, int]] = []
    grey = draw_images(
        GaussianDenoiser(BASIS, TRUE),
        process,
        7,
        2,
        generator=torch.Generator().manual_seed(0),
        batch_size=4,
        progress=lambda done, n: seen.append((done, n)),
    )
    assert grey.shape == (7, *SHAPE)
    assert grey.dtype == torch.uint8
    assert seen == [(4, 7), (7, 7)]


def test_too_few_samples_are_refused():
    x = photographs(n=30)
    with pytest.raises(ValueError, match="5 samples are too few"):
        compare_images(eight_bit(x[:5]), image_reference(x, {}))
