"""Modes: mean and variance of components, moderated where images are few."""

import math

import pytest
import torch
from laws import BASES, fields

from rgdiff_core.bases import FourierBasis, PixelBasis
from rgdiff_core.bases.modes import Modes


@pytest.mark.parametrize("name", BASES)
def test_without_a_prior_they_are_the_samples_moments(name):
    shape = (2, 4, 4)
    basis, x = BASES[name](shape), fields(shape, 300)
    modes = Modes.fit(basis, x, prior_count=0)
    c = basis.analyze(x)
    torch.testing.assert_close(modes.mean, c.mean(0))
    floor = 1e-8 * c.var(0).mean()
    torch.testing.assert_close(modes.variance, c.var(0).clamp_min(floor))
    assert modes.shape == shape


def test_few_images_are_moderated_towards_the_band():
    shape = (1, 16, 16)
    generator = torch.Generator().manual_seed(1)
    basis = FourierBasis(shape)
    truth = 1 / (basis.momentum**2 + 0.3)
    x = basis.synthesize(truth.sqrt() * torch.randn(400, 5, *shape, generator=generator))

    def error(prior_count: float) -> float:
        fits = [Modes.fit(basis, few, prior_count=prior_count).variance for few in x]
        return float((torch.stack(fits) / truth).log().square().mean())

    assert error(4.0) < 0.5 * error(0.0)


def test_two_images_make_positive_variances():
    modes = Modes.fit(PixelBasis((1, 3, 3)), fields((1, 3, 3), 2))
    assert (modes.variance > 0).all()


@pytest.mark.parametrize("images", [torch.float32, torch.float64])
@pytest.mark.parametrize("basis", [torch.float32, torch.float64])
def test_all_tensors_have_the_images_precision(images, basis):
    modes = Modes.fit(FourierBasis((1, 4, 4)).to(basis), fields((1, 4, 4)).to(images))
    tensors = (modes.scale, modes.mean, modes.variance, modes.momentum)
    assert {x.dtype for x in tensors} == {images}


def test_a_vanishing_scale_counts_as_half_the_smallest():
    modes = Modes.of(FourierBasis((1, 4, 4)))
    assert float(modes.floored_scale().min()) == pytest.approx(0.5 / math.sqrt(8))
    assert float(modes.floored_momentum().min()) == pytest.approx(math.pi / 4)
    assert float(Modes.of(PixelBasis((1, 4, 4))).floored_scale().min()) == 1


def test_modes_of_a_scale_alone():
    modes = Modes(scale=torch.linspace(0, 1, 4).reshape(1, 2, 2))
    assert float(modes.momentum.max()) == pytest.approx(math.sqrt(2) * math.pi)
    assert modes.mean is None and modes.variance is None and modes.shape == (1, 2, 2)


ONE, THREE = torch.ones(1, 4, 4), torch.ones(3, 4, 4)


@pytest.mark.parametrize(
    ("match", "tensors"),
    [
        ("scale must be", {"scale": torch.ones(4, 4)}),
        (r"scale .* \[0, 1\]", {"scale": 2 * ONE}),
        (r"scale .* \[0, 1\]", {"scale": math.nan * ONE}),
        ("come together", {"scale": ONE, "mean": ONE}),
        ("come together", {"scale": ONE, "variance": ONE}),
        ("variance must be positive", {"scale": ONE, "mean": ONE, "variance": 0 * ONE}),
        ("variance must be positive", {"scale": ONE, "mean": ONE, "variance": math.nan * ONE}),
        ("variance must be positive", {"scale": ONE, "mean": ONE, "variance": math.inf * ONE}),
        ("mean .* finite", {"scale": ONE, "mean": math.nan * ONE, "variance": ONE}),
        ("momentum .* finite", {"scale": ONE, "momentum": math.inf * ONE}),
        ("momentum .* finite", {"scale": ONE, "momentum": -ONE}),
        ("momentum", {"scale": ONE, "momentum": THREE}),
        ("fit", {"scale": ONE, "mean": ONE, "variance": THREE}),
        ("fit", {"scale": ONE, "mean": ONE[:, :1], "variance": ONE[:, :1]}),
        ("fit", {"scale": THREE, "mean": ONE, "variance": ONE}),
    ],
)
def test_tensors_that_describe_no_modes_are_one_sentence(match, tensors):
    with pytest.raises(ValueError, match=match) as caught:
        Modes(**tensors)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("match", "images"),
    [
        ("too few", fields((1, 4, 4), 1)),
        ("NaN", math.nan * fields((1, 4, 4), 3)),
        ("all images are equal", torch.ones(3, 1, 4, 4)),
        ("expected fields", fields((1, 4, 6), 3)),
        ("must have shape", torch.ones(4, 4)),
    ],
)
def test_images_without_statistics_are_one_sentence(match, images):
    with pytest.raises(ValueError, match=match):
        Modes.fit(FourierBasis((1, 4, 4)), images)


def test_numbers_per_component():
    modes = Modes(scale=ONE, mean=THREE, variance=THREE)
    assert modes.per_component("order", (1.0,) * 16).shape == (1, 4, 4)
    assert modes.per_component("order", (1.0,) * 48).shape == (3, 4, 4)
    for count in (0, 15, 32):
        with pytest.raises(ValueError, match=f"order has {count} entries"):
            modes.per_component("order", (1.0,) * count)
    with pytest.raises(ValueError, match="prior_count = -1"):
        Modes.fit(PixelBasis((1, 4, 4)), fields((1, 4, 4)), prior_count=-1)
