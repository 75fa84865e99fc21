"""Modes: mean and variance of components, moderated where images are few."""

import math

import pytest
import torch
from laws import BASES, fields

from rgdiff_core.bases import FourierBasis, PCABasis, PixelBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.bases.moments import (
    component_covariance,
    has_uncorrelated_components,
    shrunk_eigenvalues,
)


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
    x = basis.synthesize(truth.sqrt() * torch.randn(100, 5, *shape, generator=generator))

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


def moved(x: torch.Tensor) -> torch.Tensor:
    """Return fields (n, C, L, L) moved by all translations, reflections, rotations, signs."""
    turned = [y for x in (x, x.flip(-1)) for y in (x.rot90(n, (-2, -1)) for n in range(4))]
    size = range(x.shape[-1])
    shifted = [y.roll((i, j), (-2, -1)) for y in turned for i in size for j in size]
    return torch.cat([sign * y for y in shifted for sign in (1, -1)])


@pytest.mark.parametrize("name", BASES)
def test_lattice_symmetries_are_those_of_all_moved_fields(name):
    shape = (2, 4, 4)
    basis, x = BASES[name](shape), fields(shape, 7)
    modes = Modes.fit(basis, x, symmetries="lattice", prior_count=0)
    c = basis.analyze(moved(x))
    torch.testing.assert_close(modes.mean, torch.zeros(shape).to(x))
    torch.testing.assert_close(modes.variance, c.square().mean(0))


def test_a_lattice_that_is_not_square_keeps_its_axes():
    x = fields((1, 4, 6), 5)
    modes = Modes.fit(FourierBasis((1, 4, 6)), x, symmetries="lattice", prior_count=0)
    power = torch.fft.fft2(x, norm="ortho").abs().square().mean(0)
    mirrored = power.flip(-1).roll(1, -1)
    torch.testing.assert_close(modes.variance, (power + mirrored) / 2)
    with pytest.raises(ValueError, match="symmetries = 'cube'"):
        Modes.fit(FourierBasis((1, 4, 6)), x, symmetries="cube")


def test_symmetrised_variances_cost_a_gaussian_less():
    """KL(truth | fit) of a free field falls by the length of an orbit, nearly eight."""
    basis = FourierBasis((1, 8, 8), "lattice")
    truth = 1 / (basis.momentum**2 + 0.3)
    generator = torch.Generator().manual_seed(3)
    x = basis.synthesize(truth.sqrt() * torch.randn(20, 100, 1, 8, 8, generator=generator))

    def cost(symmetries: str) -> float:
        fits = [Modes.fit(basis, some, symmetries=symmetries) for some in x]
        ratios = [(truth + fit.mean**2) / fit.variance for fit in fits]
        terms = [r - 1 + (fit.variance / truth).log() for r, fit in zip(ratios, fits, strict=True)]
        return float(torch.stack(terms).sum() / 2 / len(x))

    assert cost("none") > 0.5  # mean and variance: 3/4 of the 64 components over 100 fields
    assert cost("lattice") < 0.15 * cost("none")


def test_a_channel_is_moderated_by_itself():
    """Chroma far quieter than luminance stays so with few images."""
    shape = (3, 16, 16)
    basis = FourierBasis(shape)
    loudness = torch.tensor([1.0, 0.01, 0.002])[:, None, None]
    truth = loudness / (basis.momentum**2 + 0.1)
    generator = torch.Generator().manual_seed(4)
    x = basis.synthesize(truth.sqrt() * torch.randn(50, 8, *shape, generator=generator))
    ratio = torch.stack([Modes.fit(basis, few).variance / truth for few in x]).mean((0, 2, 3))
    assert ((ratio - 1).abs() < 0.1).all()


def test_moderation_is_not_governed_by_the_loudest_mode_of_a_band():
    """A spectrum that falls by e⁶ within one band, which pixels are."""
    shape, n = (1, 8, 8), 6
    truth = torch.exp(-torch.linspace(0, 6, 64)).reshape(shape)
    generator = torch.Generator().manual_seed(5)
    x = truth.sqrt() * torch.randn(200, n, *shape, generator=generator)
    fits = torch.stack([Modes.fit(PixelBasis(shape), few).variance for few in x])
    quiet = (fits / truth).flatten(1).mean(0)[-8:]
    # n₀ T + d Σ with T the geometric mean, e³ above the quietest
    expected = (4 * torch.exp(torch.tensor(-3.0)) / truth.flatten()[-8:] + 5) / 9
    assert ((quiet / expected - 1).abs() < 0.1).all()


def test_principal_components_do_not_overfit_their_variances():
    """With a third as many images as components: along each, the data's own variance."""
    d, n = 192, 64
    truth = 1 / torch.arange(1.0, d + 1, dtype=torch.float64) ** 1.2
    generator = torch.Generator().manual_seed(6)
    x = truth.sqrt() * torch.randn(n, d, dtype=torch.float64, generator=generator)
    basis = PCABasis.fit(x.reshape(n, 3, 8, 8))
    along = (basis.vectors**2 @ truth).reshape(3, 8, 8)
    plain = Modes.fit(basis, x.reshape(n, 3, 8, 8), prior_count=0).variance
    shrunk = Modes.fit(basis, x.reshape(n, 3, 8, 8)).variance

    def error(variance: torch.Tensor) -> float:
        return float((variance / along).log().flatten()[:60].square().mean().sqrt())

    assert error(plain) > 0.4
    assert error(shrunk) < 0.6 * error(plain)
    assert float((shrunk / along).log().mean().abs()) < 0.3  # the others, where nothing is seen
    fresh = truth.sqrt() * torch.randn(5000, d, dtype=torch.float64, generator=generator)
    found = Modes.fit(basis, fresh.reshape(-1, 3, 8, 8)).variance
    assert float((found / along - 1).abs().mean()) < 0.03  # other images are taken as they are


@pytest.mark.parametrize("n", [100, 400])
def test_shrunk_eigenvalues_of_white_data_are_one(n):
    """All sample eigenvalues scatter between (1 ± √(p/n))² and yet all variances are equal."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(n, 200, dtype=torch.float64, generator=generator)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.T)).flip(0).clamp_min(0)
    shrunk = shrunk_eigenvalues(eigenvalues, n - 1)
    assert (shrunk.diff() <= 0).all()
    assert float((shrunk - 1).abs().mean()) < 0.15
    with pytest.raises(ValueError, match="freedom = 3"):
        shrunk_eigenvalues(eigenvalues, 3)


@pytest.mark.parametrize("name", BASES)
def test_bases_whose_components_are_uncorrelated_say_so(name):
    shape = (1, 4, 4)
    x = fields(shape, 60)
    basis = BASES[name](shape)
    for symmetries in ("none", "lattice"):
        if "pca" in name and (symmetries == "lattice" or "few" in name):
            continue  # found in fields that were not moved, or in others
        c = component_covariance(basis, x, symmetries)
        diagonal = bool((c - c.diag().diag()).abs().max() < 1e-9 * c.diag().max())
        assert diagonal == has_uncorrelated_components(basis, symmetries)


def test_what_needs_the_variance_says_so():
    basis = FourierBasis((1, 4, 4))
    modes = Modes.fit(basis, fields((1, 4, 4), 60))
    assert modes.variance_for("the bound") is modes.variance
    message = r"^the bound needs the data's variance: use Modes\.fit\(basis, images\)\.$"
    with pytest.raises(ValueError, match=message):
        Modes.of(basis).variance_for("the bound")
