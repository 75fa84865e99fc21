"""Bands: the sum that the browser paints against the exact picture."""

import math
from functools import cache

import pytest
import torch
from laws import BASES, fields, fitted
from torch import Tensor

from rgdiff_core import Modes, Process, colors, schedules
from rgdiff_core.bases import FourierBasis, PCABasis, PixelBasis, WaveletBasis
from rgdiff_core.spectra.bands import (
    Bands,
    amplitudes_of,
    band_power,
    band_share,
    by_scale,
    data_bands,
    noise_bands,
    separable,
    split_bands,
    tabulate,
)

SHAPE = (3, 16, 16)
NAMES = [name for name in BASES if name not in ("pca of few", "pca, decorrelated")]
TIMES = torch.linspace(0, 1, 11)
LEVEL_255 = 2 / 255  # one grey level of 255, in fields that run over [−1, 1]


@cache
def pictures(shape: tuple[int, int, int], n: int = 2000) -> Tensor:
    """Return fields within [−1, 1] with the 1/k² spectrum of natural images."""
    eps = torch.randn((n, *shape), generator=torch.Generator().manual_seed(0))
    basis = FourierBasis(shape)
    k = Modes.of(basis).floored_momentum()
    x = basis.synthesize(eps / k)
    return x / x.abs().max()


def made(
    name: str,
    schedule: schedules.Schedule,
    color: colors.Color,
    shape: tuple[int, int, int] = SHAPE,
) -> tuple[Process, Tensor, Tensor]:
    x = pictures(shape)
    basis = (PCABasis.fit(x) if name.startswith("pca") else BASES[name](shape)).float()
    process = Process(basis, color, schedule, Modes.fit(basis, x))
    x = x[:6]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return process, x, noise


def painted(process: Process, bands: Bands, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Sum Σ_b α_b X_b + σ_b S_b E_b over the nodes."""
    level = process.level(t)
    alpha, sigma = (bands.at_nodes(v) for v in (level.alpha, level.sigma))
    if separable(process):
        sigma = sigma * bands.at_nodes(process.noise_variance.expand(level.gamma.shape)).sqrt()
    parts = data_bands(bands, x), noise_bands(bands, process, noise)
    return sum(
        torch.einsum("b,bnchw->nchw", w, f) for w, f in zip((alpha, sigma), parts, strict=True)
    )


def worst(process: Process, bands: Bands, x: Tensor, noise: Tensor) -> float:
    errors = [
        (painted(process, bands, x, noise, t) - process.perturb(x, t, noise)).abs().max()
        for t in TIMES
    ]
    return float(max(errors))


COLORS = [colors.White(), colors.FreeTheory(), colors.Matched()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("color", COLORS, ids=lambda c: type(c).__name__)
def test_the_painted_picture_is_the_exact_one_to_2_of_255(name, color):
    process, x, noise = made(name, schedules.Cutoff(), color)
    bands = split_bands(process)
    assert worst(process, bands, x, noise) < (1e-5 if bands.discrete else 2 * LEVEL_255)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("haar", schedules.WaveletLevels()),
        ("haar", schedules.Cutoff(schedules.HardKernel())),
        ("pixel", schedules.Sequential("column", 0.3)),
        ("pixel", schedules.SoftConditioning(order="row", softness=0.2)),
        ("pixel", schedules.Cosine()),
        ("cosine", schedules.Sequential("row", 0.3)),
        ("fourier", schedules.EDM()),
    ],
)
def test_discrete_labels_are_their_own_bands_and_exact(name, schedule):
    process, x, noise = made(name, schedule, colors.White(), (3, 8, 8))
    bands = split_bands(process)
    assert bands.discrete
    size = float(process.level(1.0).magnitude.max())
    assert worst(process, bands, x, noise) < 2e-5 * max(size, 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [2, 7, 48])
def test_the_hats_sum_to_one_and_count_every_component(name, count):
    process, x, noise = made(name, schedules.Cutoff(), colors.Matched())
    bands = split_bands(process, count=count)
    assert 1 <= len(bands.nodes) <= count
    assert (bands.weights >= 0).all() and (bands.nodes.diff() > 0).all()
    torch.testing.assert_close(bands.weights.sum(0), torch.ones_like(bands.weights[0]))
    assert float(bands.counts.sum()) == pytest.approx(math.prod(SHAPE), rel=1e-5)
    assert (bands.counts > 0).all()
    torch.testing.assert_close(data_bands(bands, x).sum(0), x, rtol=0, atol=1e-5)
    everything = noise_bands(bands, process, noise).sum(0)
    c = process.basis.analyze(noise)
    if not separable(process):
        c = c * process.noise_variance.sqrt()
    torch.testing.assert_close(everything, process.basis.synthesize(c), rtol=0, atol=1e-4)


def test_more_bands_are_better():
    process, x, noise = made("fourier", schedules.Cutoff(), colors.FreeTheory(), (1, 32, 32))
    errors = [worst(process, split_bands(process, count=n), x, noise) for n in (8, 24, 72)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < errors[0] / 10


def test_bands_serve_every_process_of_their_labels():
    one, x, noise = made("fourier", schedules.Cutoff(), colors.White())
    kernel = schedules.GaussianKernel()
    two = Process(one.basis, colors.FreeTheory(), schedules.Cutoff(kernel), one.modes)
    bands = split_bands(one)
    for process in (one, two):
        assert worst(process, bands, x, noise) < 2 * LEVEL_255


@pytest.mark.parametrize(
    ("basis", "color", "expected"),
    [
        (FourierBasis((1, 8, 8)), colors.FreeTheory(), True),
        (FourierBasis((1, 8, 8)), colors.CustomColor(tuple(1.0 + i for i in range(64))), False),
        (PixelBasis((1, 8, 8)), colors.White(), True),
        (PixelBasis((1, 8, 8)), colors.CustomColor(tuple(1.0 + i for i in range(64))), False),
        (WaveletBasis((1, 8, 8)), colors.PowerLaw(), True),
    ],
)
def test_colours_of_scale_alone_are_separable(basis, color, expected):
    assert separable(Process(basis, color, schedules.Cutoff())) is expected


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.Cutoff(path=schedules.CosinePath()),
        schedules.Cutoff(schedules.LitimKernel()),
        schedules.EDM(),
        schedules.SoftConditioning(order="variance"),
        schedules.Polchinski(duration=0.3),
    ],
)
def test_tables_hold_the_process_levels_at_the_nodes(schedule):
    process, _, _ = made("fourier", schedule, colors.FreeTheory(), (1, 8, 8))
    bands = split_bands(process)
    table = tabulate(process, [schedule], bands, ordinates=9)
    u = torch.linspace(0, 1, 9)
    straight = schedule
    if isinstance(schedule, schedules.Cutoff):
        straight, u = schedules.Cutoff(schedule.kernel, schedules.LinearPath()), 1 - u
        front = straight.front(1 - u, process.modes)
        torch.testing.assert_close(table.front[0], front)
        torch.testing.assert_close(table.cutoff[0], straight.cutoff(1 - u, process.modes))
    else:
        assert table.front is table.cutoff is None
    level = Process(process.basis, process.color, straight, process.modes).level(u)
    for got, want in ((table.alpha, level.alpha), (table.sigma, level.sigma)):
        torch.testing.assert_close(got[0], bands.at_nodes(want), rtol=1e-4, atol=1e-5)


def test_band_power_is_the_mean_variance():
    basis, modes = fitted((1, 8, 8))
    process = Process(basis, colors.White(), schedules.Cutoff(), modes)
    bands = split_bands(process, count=5)
    power = band_power(bands, modes)
    assert float((power * bands.counts).sum()) == pytest.approx(float(modes.variance.sum()))
    with pytest.raises(ValueError, match=r"use Modes\.fit"):
        band_power(bands, Modes.of(basis))


def test_a_band_of_two_variances_takes_every_strength_from_white_and_matched_noise():
    """Two channels, isotropic: where scales share no band, the sum of both noises is exact."""
    basis, modes = fitted((2, 8, 8))
    momentum = modes.momentum.expand(2, 8, 8)
    variance = torch.stack((momentum[0] ** 2 + 0.5, 0.1 * (momentum[1] ** 2 + 0.3))) ** -1
    modes = Modes(modes.scale, torch.zeros_like(variance), variance, modes.momentum)
    strengths = [colors.Matched(strength=a) for a in (0.0, 0.3, 1.0, 1.5)]
    process = Process(basis, colors.Matched(), schedules.Cutoff(), modes)
    bands = split_bands(process)
    assert bands.discrete
    spectra = torch.stack([each.variance(modes) for each in strengths])
    amplitudes = amplitudes_of(bands, process, spectra)
    eps = fields((2, 8, 8), 3, seed=1)
    parts = [
        noise_bands(bands, Process(basis, each, schedules.Cutoff(), modes), eps)
        for each in (colors.White(normalize=False), colors.Matched(normalize=False))
    ]
    for color, mixed in zip(strengths, amplitudes, strict=True):
        got = sum(torch.einsum("b,bnchw->nchw", w, f) for w, f in zip(mixed, parts, strict=True))
        want = basis.synthesize(color.variance(modes).sqrt() * basis.analyze(eps))
        torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    torch.testing.assert_close(amplitudes[0, 1], torch.zeros_like(amplitudes[0, 1]))  # white alone
    torch.testing.assert_close(amplitudes[2, 0], torch.zeros_like(amplitudes[2, 0]))  # matched


def test_shares_of_power_with_a_factor_per_scale_give_the_power_of_the_drawn_colour():
    basis, modes = fitted((1, 8, 8))
    process = Process(basis, colors.White(), schedules.Cutoff(), modes)
    bands = split_bands(process)
    assert bands.discrete and by_scale(process)
    drawn = colors.CurveColor((0.0, 0.5, 1.0), (1.0, -1.0, 2.0), colors.Matched(), normalize=False)
    share = band_share(bands, modes, [colors.Matched()])[0]
    assert float(share.sum()) == pytest.approx(1)
    factor = drawn.log_factor(bands.at_nodes(modes.floored_scale())).exp()
    power = drawn.variance(modes).mean() / modes.variance.mean()
    assert float((share * factor).sum()) == pytest.approx(float(power))


@pytest.mark.parametrize(
    ("basis", "schedule", "expected"),
    [
        (FourierBasis((1, 8, 8)), schedules.Cutoff(), True),
        (WaveletBasis((1, 8, 8)), schedules.WaveletLevels(), True),
        (FourierBasis((1, 8, 8)), schedules.Sequential("column"), False),
        (PixelBasis((1, 8, 8)), schedules.Cosine(), False),
    ],
)
def test_bands_are_cut_by_scale_where_the_schedule_orders_by_it(basis, schedule, expected):
    assert by_scale(Process(basis, colors.White(), schedule)) is expected


def test_a_count_outside_its_range_is_one_sentence():
    process, _, _ = made("fourier", schedules.Cutoff(), colors.White(), (1, 8, 8))
    for count in (1, 257):
        with pytest.raises(ValueError, match=rf"count = {count} is outside \[2, 256\]\."):
            split_bands(process, count=count)


def test_double_precision_is_kept():
    basis, modes = fitted((1, 8, 8))
    process = Process(basis, colors.White(), schedules.Cutoff(), modes)
    x = fields((1, 8, 8), 3)
    bands = split_bands(process)
    assert data_bands(bands, x).dtype == torch.float64
    assert worst(process, bands, x, fields((1, 8, 8), 3, seed=1)) < 1e-6
