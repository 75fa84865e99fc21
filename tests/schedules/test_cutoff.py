"""Cutoff kernels against the textbook K, paths against SciPy."""

import math

import numpy as np
import pytest
import torch
from laws import KERNELS, PATHS, name_of
from scipy.interpolate import PchipInterpolator

from rgdiff_core.bases import CosineBasis, FourierBasis, PixelBasis, WaveletBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules import Cutoff, kernels

SMOOTH = [kernel for kernel in KERNELS if kernel.continuous]
GAMMAS = torch.linspace(-40, 40, 161, dtype=torch.float64)
SCALES = torch.linspace(0.01, 1, 23, dtype=torch.float64)[:, None]


def textbook(kernel: kernels.Kernel, k: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Return K_Λ(k) as it is written on paper."""
    x = k / cut
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        match kernel:
            case kernels.SigmoidKernel(width):
                return 1 / (1 + np.exp(-(cut - k) / width))
            case kernels.HardKernel():
                return np.where(k < cut, 1.0, 0.0)
            case kernels.GaussianKernel():
                return np.exp(-(x**2))
            case kernels.ExponentialKernel():
                return np.exp(-x)
            case kernels.LitimKernel():
                return np.maximum(1 - x**2, 0)
            case kernels.BumpKernel():
                return np.where(x < 1, np.exp(-(x**2) / (1 - x**2)), 0.0)
            case kernels.ButterworthKernel(order):
                return 1 / (1 + x ** (2 * order))
    raise AssertionError(kernel)


@pytest.mark.parametrize("kernel", [*KERNELS, kernels.ButterworthKernel(1.0)], ids=name_of)
def test_gamma_is_the_log_odds_of_the_textbook_kernel(kernel):
    k, cut = np.meshgrid(np.linspace(0.02, 1, 60), np.linspace(0.05, 3, 80))
    kept = textbook(kernel, k, cut)
    gamma = kernel.gamma(torch.from_numpy(k), torch.from_numpy(cut)).numpy()
    with np.errstate(divide="ignore"):
        expected = np.log(1 - kept) - np.log(kept)
    good = (kept > 1e-6) & (kept < 1 - 1e-6)  # where 1 − K is well-conditioned in float64
    if kernel.continuous:
        assert good.sum() > 1000
    np.testing.assert_allclose(gamma[good], expected[good], rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(gamma[kept == 0] > 600, True)
    assert (gamma[kept == 1] < -30).all()


@pytest.mark.parametrize("kernel", SMOOTH, ids=name_of)
def test_the_inverse_inverts(kernel):
    cut = kernel.cutoff(SCALES, GAMMAS)
    assert (cut.diff(dim=1) < 0).all() or isinstance(
        kernel, kernels.LitimKernel | kernels.BumpKernel
    )
    # for compact support Λ → k as γ → ∞, and k/Λ cannot be resolved: by then e^{−γ} is rounding
    resolved = (25 if isinstance(kernel, kernels.LitimKernel) else 41) > GAMMAS
    gamma = kernel.gamma(SCALES, cut)[:, resolved]
    expected = GAMMAS[resolved].expand_as(gamma)
    torch.testing.assert_close(gamma, expected, rtol=1e-4, atol=1e-4)


def test_the_hard_kernels_inverse_is_on_the_right_side():
    kernel = kernels.HardKernel()
    gamma = kernel.gamma(SCALES, kernel.cutoff(SCALES, GAMMAS))
    assert (gamma[:, GAMMAS < 0] == -math.inf).all() and (gamma[:, GAMMAS > 0] == math.inf).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gamma_never_falls_with_k_nor_rises_with_the_cutoff(kernel, dtype):
    k = torch.linspace(0.01, 1, 200, dtype=dtype)
    cut = torch.logspace(-2, 3, 300, dtype=dtype)[:, None]
    gamma = kernel.gamma(k, cut)
    slack = 1e-5 if dtype == torch.float32 else 1e-12
    both = gamma.clamp(-60, 60)
    assert not torch.isnan(gamma).any()
    assert (both.diff(dim=1) >= -slack).all() and (both.diff(dim=0) <= slack).all()


@pytest.mark.parametrize("kernel", SMOOTH, ids=name_of)
def test_single_precision_is_enough(kernel):
    k, cut = torch.linspace(0.02, 1, 50), torch.logspace(-1, 2, 70)[:, None]
    gamma = kernel.gamma(k, cut).clamp(-40, 40).double()
    exact = kernel.gamma(k.double(), cut.double()).clamp(-40, 40)
    for sign in (1, -1):  # α and σ, away from the edge of compact support, where K falls as a root
        kept = (torch.sigmoid(sign * exact) > 1e-4) if not kernel_is_whole(kernel) else exact > -99
        got, want = torch.sigmoid(sign * gamma).sqrt(), torch.sigmoid(sign * exact).sqrt()
        torch.testing.assert_close(got[kept], want[kept], rtol=2e-3 if sign < 0 else 1e-3, atol=0)


def kernel_is_whole(kernel: kernels.Kernel) -> bool:
    """Tell whether the kernel has no edge."""
    return not isinstance(kernel, kernels.LitimKernel | kernels.BumpKernel)


BASES = [
    FourierBasis((1, 8, 8)),
    CosineBasis((1, 5, 7), "lattice"),
    WaveletBasis((1, 8, 8)),
    PixelBasis((1, 4, 4)),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=name_of)
@pytest.mark.parametrize("path", PATHS, ids=name_of)
@pytest.mark.parametrize("basis", BASES, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_component_is_kept_at_0_and_erased_at_1(kernel, path, basis, dtype):
    modes = Modes.of(basis).to(torch.zeros((), dtype=dtype))
    schedule = Cutoff(kernel, path, gamma_min=-9.0, gamma_max=5.0)
    first, last = (schedule.gamma(torch.tensor(t, dtype=dtype), modes) for t in (0.0, 1.0))
    slack = 1e-3 if dtype == torch.float32 else 1e-7
    assert (first <= -9.0 + slack).all() and (last >= 5.0 - slack).all()
    if kernel.continuous:  # and the bounds are reached: the path is not longer than it must be
        assert float(first.max()) == pytest.approx(-9.0, abs=1e-3)
        assert float(last.min()) == pytest.approx(5.0, abs=1e-3)


@pytest.mark.parametrize("kernel", [*KERNELS, kernels.ButterworthKernel(0.25)], ids=name_of)
@pytest.mark.parametrize("ends", [(-42.0, 5.0), (-40.0, 40.0), (-90.0, 90.0), (-1000.0, 1000.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wide_ends_are_reached_evenly(kernel, ends, dtype):
    """Against Λ between the ends, which are clamped to ±40 for kernels of k/Λ, in logarithms."""
    modes = Modes.of(FourierBasis((1, 8, 8))).to(torch.zeros((), dtype=dtype))
    t = torch.linspace(0, 1, 41, dtype=dtype)
    gamma = Cutoff(kernel, gamma_min=ends[0], gamma_max=ends[1]).gamma(t, modes)
    assert not gamma.isnan().any()
    got = gamma.clamp(-40, 40)
    slack = 1e-3 if dtype == torch.float32 else 1e-7
    assert (got.diff(dim=0) >= -slack).all()
    low, high = max(ends[0], -40), min(ends[1], 40)
    if isinstance(kernel, kernels.ButterworthKernel):
        k = modes.floored_scale().double()
        fall = t.double()[:, None, None, None]
        ends_at = [2 * kernel.order * torch.log(k / s) for s in (k.max(), k.min())]
        wanted = (1 - fall) * (ends_at[0] + low) + fall * (ends_at[1] + high)
        torch.testing.assert_close(got.double(), wanted.clamp(-40, 40), rtol=1e-4, atol=1e-3)
    elif kernel.continuous and kernel_is_whole(kernel):
        assert float(got[0].max()) == pytest.approx(low, abs=0.1)
        assert float(got[-1].min()) == pytest.approx(high, abs=0.1)


@pytest.mark.parametrize("kernel", KERNELS, ids=name_of)
def test_the_front_is_where_signal_and_noise_are_even(kernel):
    schedule, modes = Cutoff(kernel), Modes.of(FourierBasis((1, 8, 8)).double())
    ordinate = torch.linspace(0.2, 0.8, 7, dtype=torch.float64)
    front = schedule.front(ordinate, modes)
    gamma = kernel.gamma(front, schedule.cutoff(ordinate, modes))
    if kernel.continuous:
        torch.testing.assert_close(gamma, torch.zeros_like(gamma), atol=1e-8, rtol=0)
    else:
        below = kernel.gamma(front - 1e-6, schedule.cutoff(ordinate, modes))
        assert (gamma == math.inf).all() and (below == -math.inf).all()


RANDOM = np.random.default_rng(0)
RANDOM_PATHS = [
    kernels.CutoffPath(
        (0.0, *np.sort(RANDOM.uniform(0.01, 0.99, n)).tolist(), 1.0),
        (*np.sort(RANDOM.uniform(0, 1, n + 2))[::-1].tolist(),),
    )
    for n in (0, 1, 2, 5, 20, 62)
]


@pytest.mark.parametrize("path", [*PATHS[:3], *RANDOM_PATHS], ids=name_of)
def test_control_points_are_joined_by_scipys_pchip(path):
    t = torch.linspace(0, 1, 1001, dtype=torch.float64)
    expected = PchipInterpolator(path.times, path.values)(t.numpy())
    torch.testing.assert_close(path.ordinate(t), torch.from_numpy(expected))
    knots = torch.tensor(path.times, dtype=torch.float64)
    assert path.ordinate(knots).tolist() == list(path.values)
    assert path.ordinate(knots.float()).tolist() == torch.tensor(path.values).tolist()


@pytest.mark.parametrize("path", [*PATHS, *RANDOM_PATHS], ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paths_fall_from_end_to_end(path, dtype):
    t = torch.linspace(0, 1, 4001, dtype=dtype)
    y = path.ordinate(t)
    assert (y.diff() <= 4 * torch.finfo(dtype).eps).all()
    assert y.shape == t.shape and path.ordinate(t[:, None, None]).shape == (4001, 1, 1)
    if path in PATHS:
        assert float(y[0]) == pytest.approx(1, abs=2e-7) and float(y[-1]) == pytest.approx(
            0, abs=1e-14
        )


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_paths_are_differentiable(path):
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(path.ordinate, t)


@pytest.mark.parametrize("path", [PATHS[0], *RANDOM_PATHS[:5]], ids=name_of)
def test_the_curve_is_differentiable_in_its_points(path):
    times, values = (
        torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (path.times, path.values)
    )
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(kernels.monotone_cubic(times, values, t), path.ordinate(t))
    assert torch.autograd.gradcheck(
        lambda values: kernels.monotone_cubic(times.detach(), values, t), values
    )


@pytest.mark.parametrize("path", PATHS[3:], ids=name_of)
def test_a_path_sampled_densely_is_the_path(path):
    t = torch.linspace(0, 1, 333, dtype=torch.float64)
    sampled = kernels.CutoffPath.sampled(path, 64).ordinate(t)
    torch.testing.assert_close(sampled, path.ordinate(t), rtol=0, atol=2e-4)


def test_log_expm1_inverts_softplus():
    x = torch.logspace(-17, 3, 100, dtype=torch.float64)
    torch.testing.assert_close(torch.nn.functional.softplus(kernels.log_expm1(x), threshold=50), x)
    assert float(kernels.log_expm1(torch.tensor(0.0))) == -math.inf


def refuses(match: str, make, *arguments) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        make(*arguments)
    assert str(caught.value).endswith(".")


def test_bad_numbers_are_one_sentence():
    refuses(r"width = 0 is outside \[0.001, 10\]", kernels.SigmoidKernel, 0)
    refuses("order = 99", kernels.ButterworthKernel, 99)
    refuses("rate = 0", kernels.ExponentialPath, 0)
    refuses("rate = inf", kernels.LogarithmicPath, math.inf)
    path = kernels.CutoffPath
    refuses("2 to 64 points, got 1 times", path, (0.0,), (1.0,))
    refuses("3 times and 2 values", path, (0.0, 0.5, 1.0), (1.0, 0.0))
    refuses("got 65 times", path, tuple(i / 64 for i in range(65)), (0.0,) * 65)
    refuses("begin at 0 and end at 1", path, (0.1, 1.0), (1.0, 0.0))
    refuses("begin at 0 and end at 1", path, (0.0, 0.9), (1.0, 0.0))
    refuses("0.5 is followed by 0.5", path, (0.0, 0.5, 0.5, 1.0), (1.0, 0.9, 0.8, 0.0))
    refuses(r"Λ\(t\) must never rise", path, (0.0, 0.5, 1.0), (0.5, 0.6, 0.0))
    refuses(r"values = 1.5 is outside \[0, 1\]", path, (0.0, 1.0), (1.5, 0.0))
    refuses("times = nan", path, (0.0, math.nan, 1.0), (1.0, 0.5, 0.0))
    refuses("points = 1 ", path.sampled, kernels.LinearPath(), 1)
    refuses("points = 2.5 must be a whole number", path.sampled, kernels.LinearPath(), 2.5)


def test_incomplete_kernels_and_paths_are_refused():
    for interface in (kernels.Kernel, kernels.Path):
        with pytest.raises(TypeError, match="abstract"):
            interface()
