"""The presets as whole processes: noise in its own colour, with the papers' own formulas."""

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import rgdiff_core as rg
from rgdiff_core.bases import CosineBasis, FourierBasis
from rgdiff_core.presets import PRESETS

SIZE = 16
TIMES = (0.0, 0.2, 0.55, 0.9, 1.0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Return 300 colour images with a spectrum like 1/k², correlated channels and a mean."""
    basis = FourierBasis((3, SIZE, SIZE))
    power = 0.3 / (basis.momentum.clamp(min=0.3) ** 2)
    x = rg.spectra.draw_noise(basis, power, 300, torch.Generator().manual_seed(3))
    mix = torch.tensor([[1.0, 0.4, 0.1], [0.9, 0.0, -0.2], [0.9, -0.4, 0.1]])
    return (torch.einsum("cd,ndhw->nchw", mix, x) + 0.1).clamp(-1, 1)


def build(name: str, images: Tensor) -> rg.Process:
    preset = PRESETS[name]
    basis = preset.basis.build(images)
    return rg.Process(basis, preset.color, preset.schedule, rg.Modes.fit(basis, images))


def levels(process: rg.Process, t: float) -> tuple[Tensor, Tensor]:
    marginal = process.marginal(torch.tensor(t))
    return marginal.alpha, marginal.std


def white_levels(name: str, images: Tensor, t: float) -> tuple[float, float]:
    """Return α and the noise's standard deviation where all pixels are alike."""
    alpha, std = levels(build(name, images), t)
    assert alpha.max() == alpha.min() and std.max() == std.min()
    return float(alpha.max()), float(std.max())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_preset_noises_images_of_both_kinds(name, channels, images):
    process = build(name, images[:, :channels])
    x0 = images[:4, :channels]
    states = torch.stack([process.perturb(x0, t, torch.zeros_like(x0)) for t in TIMES])
    assert torch.isfinite(states).all()
    norms = states.flatten(1).norm(dim=1)
    assert (norms.diff() <= 1e-4 * norms[0]).all()  # the signal never grows
    assert norms[0] > 0.97 * x0.norm()
    assert rg.Process.from_json(process.to_json()).to_json() == process.to_json()


def test_titles_and_references_are_told_apart():
    assert len({p.title for p in PRESETS.values()}) == len(PRESETS)
    for preset in PRESETS.values():
        assert re.search(r"\d{4}", preset.reference), preset.reference
        assert preset.look.endswith(".") and len(preset.look) > 40


@pytest.mark.parametrize("t", TIMES)
def test_white_presets_have_their_papers_noise(t, images):
    integral = 0.1 * t + 19.9 * t**2 / 2
    assert white_levels("ddpm", images, t) == pytest.approx(
        (math.exp(-integral / 2), math.sqrt(-math.expm1(-integral))), abs=2e-4
    )
    f = math.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)
    assert white_levels("cosine", images, t) == pytest.approx((f, math.sqrt(1 - f**2)), abs=2e-4)
    assert white_levels("ve", images, t) == pytest.approx((1, 0.01 * 5000**t), rel=1e-5)
    root = (1 - t) * 0.002 ** (1 / 7) + t * 80 ** (1 / 7)
    assert white_levels("edm", images, t) == pytest.approx((1, root**7), rel=1e-4)
    assert white_levels("flow-matching", images, t) == pytest.approx((1 - t, t), abs=2e-4)


def test_equal_snr_has_the_data_s_covariance_as_noise(images):
    """To 35 %, for the variances of few images are moderated."""
    process = build("equal-snr", images)
    variance = process.basis.analyze(images).var(0)
    for t in TIMES[1:]:
        alpha, std = levels(process, t)
        assert alpha.max() - alpha.min() < 1e-6
        assert_close(std**2 / (1 - alpha**2), variance, rtol=0.35, atol=0)


def test_inverse_rg_is_masuki_and_ashida_s(images):
    process = build("inverse-rg", images)
    k = CosineBasis((3, SIZE, SIZE)).momentum
    mass2 = (math.pi / 20) ** 2
    for t in TIMES:
        r = (100 * (0.02 / 100) ** t) ** 2 / (k**2 + mass2)
        alpha, std = levels(process, t)
        assert_close(alpha, (r / (1 + r)).sqrt().expand_as(alpha), rtol=1e-4, atol=1e-4)
        size = (std * (k**2 + mass2).sqrt() * (1 + r).sqrt()).flatten()
        assert float(size.std() / size.mean()) < 1e-3  # m₀/√(k² + m²)/√(1 + r)


def test_heat_dissipation_leaves_the_mean_colour(images):
    process = build("inverse-heat", images)
    alpha, std = levels(process, 1.0)
    assert std.max() == pytest.approx(0.01, rel=1e-4) == pytest.approx(float(std.min()))
    k2 = CosineBasis((3, SIZE, SIZE)).momentum ** 2
    assert_close(alpha, torch.exp(-k2 * 24**2 / 2).expand_as(alpha), rtol=1e-4, atol=1e-6)


def test_carosso_and_polchinski_end_in_free_fields():
    x = torch.randn(200, 1, 6, 6)
    k2 = FourierBasis((1, 6, 6), momentum="lattice").momentum ** 2
    moving = k2 > 0
    _, std = levels(build("carosso", x), 1.0)
    ratio = (std**2 * k2)[moving]
    assert float(ratio.max() / ratio.min()) == pytest.approx(1, rel=1e-4)  # Ω/2k̂²
    for t in (0.3, 0.7):
        alpha, std = levels(build("polchinski", x), t)
        kept = torch.exp(-(k2 + 0.5) * 4 * t)
        assert_close(alpha, kept.expand_as(alpha), rtol=1e-3, atol=1e-5)
        size = std**2 * (k2 + 0.5) / (kept * (1 - kept))
        assert float(size.max() / size.min()) == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize(("name", "exponent"), [("flicker", 1), ("blue", -2)])
def test_coloured_noise_follows_its_power_law(name, exponent, images):
    process = build(name, images)
    k = process.basis.momentum.flatten()
    noise = process.noise_variance.expand(3, SIZE, SIZE)[0].flatten()
    high = k > 3 if name == "blue" else k > 0
    slope = np.polyfit(k[high].log().numpy(), noise[high].log().numpy(), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.02)
    assert float(process.noise_variance.mean()) == pytest.approx(
        float(process.modes.variance.mean()), rel=1e-4
    )


@pytest.mark.parametrize("name", ["wsgm", "hard"])
def test_hard_limits_take_one_scale_at_a_time(name, images):
    process = build(name, images)
    for t in torch.linspace(0.03, 0.97, 20).tolist():
        alpha, _ = levels(process, t)
        between = (alpha > 0.1) & (alpha < 0.99)
        scales = process.modes.scale.expand_as(alpha)
        assert len(scales[between].unique()) <= 1
        for now in scales[between].unique():
            assert (alpha[scales > now] < 0.1).all() and (alpha[scales < now] > 0.99).all()
        assert not between.any() or name != "hard"


def test_haar_levels_overlap_and_columns_go_from_the_right(images):
    process = build("gud-haar", images)
    assert process.modes.scale.unique().numel() == 4  # three levels and the coarse picture
    alphas = [levels(process, t)[0] for t in torch.linspace(0, 1, 40).tolist()]
    scales = process.modes.scale.expand_as(alphas[0])
    dissolving = [scales[(a > 0.1) & (a < 0.95)].unique().numel() for a in alphas]
    assert max(dissolving) >= 2
    alpha, _ = levels(build("gud-columns", images), 0.5)
    assert (alpha.diff(dim=-1) <= 1e-6).all() and alpha[..., 0].min() > 0.9 > 0.1 > alpha.min()
