"""Schedules against their laws, and the limits that GUD names."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from laws import KERNELS, SCHEDULES, fields, fitted, name_of
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from rgdiff_core import schedules
from rgdiff_core.bases import FourierBasis, WaveletBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules import Level

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
T = torch.linspace(0, 1, 41, dtype=torch.float64)
SMOOTH = [s for s in SCHEDULES if s.continuous]


@pytest.fixture(scope="module")
def modes() -> Modes:
    return fitted()[1]


@every_schedule
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("precise", [torch.float32, torch.float64])
def test_levels_have_the_shape_of_time_and_components(schedule, shape, dtype, precise):
    modes = Modes.fit(FourierBasis(shape), fields(shape, 20).to(precise))
    for t in (
        0.3,
        torch.tensor(0.3, dtype=dtype),
        torch.rand(8, dtype=dtype),
        torch.rand(1).to(dtype),
    ):
        times = t.shape if isinstance(t, Tensor) else ()
        level = schedule.level(t, modes)
        beta = schedule.beta(t, modes)
        for x in (
            schedule.gamma(t, modes),
            level.gamma,
            level.alpha,
            level.sigma,
            level.snr,
            beta,
        ):
            assert x.shape[:-3] == times and x.shape[-2:] == shape[1:]
            assert x.shape[-3] in (1, shape[0])
        assert (level.magnitude * level.gamma).shape == level.gamma.shape
        assert beta.shape == level.gamma.shape


@every_schedule
def test_equal_sizes_are_not_mixed_up(schedule):
    if isinstance(schedule, schedules.SoftConditioning) and not isinstance(schedule.order, str):
        return
    modes = fitted((4, 4, 4))[1]
    t = torch.linspace(0.1, 0.9, 4, dtype=torch.float64)
    for batch, one in (
        (schedule.gamma(t, modes), [schedule.gamma(s, modes) for s in t]),
        (schedule.beta(t, modes), [schedule.beta(s, modes) for s in t]),
        (schedule.level(t, modes).alpha, [schedule.level(s, modes).alpha for s in t]),
        (schedule.magnitude_rate(t, modes), [schedule.magnitude_rate(s, modes) for s in t]),
    ):
        torch.testing.assert_close(batch, torch.stack(one))


@every_schedule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gamma_never_falls(schedule, modes, dtype):
    t = torch.linspace(0, 1, 2001, dtype=dtype)
    gamma = schedule.gamma(t, modes.to(t)).clamp(-60, 60)
    assert not torch.isnan(gamma).any()
    assert float(gamma.diff(dim=0).min()) >= (-2e-3 if dtype == torch.float32 else -1e-9)


@every_schedule
def test_alpha_and_sigma_keep_the_magnitude(schedule, modes):
    level = schedule.level(torch.linspace(0, 1, 101, dtype=torch.float64), modes)
    total = torch.hypot(level.alpha, level.sigma)
    torch.testing.assert_close(total, level.magnitude.expand_as(total))
    finite = level.gamma.abs() < 40
    snr = (level.alpha / level.sigma) ** 2
    torch.testing.assert_close(snr[finite], level.snr[finite])


def test_alpha_and_sigma_are_exact_to_gamma_40_in_single_precision():
    gamma = torch.linspace(-40, 40, 4001)
    single = Level(gamma, torch.ones(()))
    exact = 1 / np.sqrt(1 + np.exp(gamma.double().numpy()))
    np.testing.assert_allclose(single.alpha, exact, rtol=1e-6)
    np.testing.assert_allclose(single.sigma, exact[::-1], rtol=1e-6)
    np.testing.assert_allclose(single.snr, np.exp(-gamma.double().numpy()), rtol=1e-6)


@pytest.mark.parametrize("schedule", SMOOTH, ids=name_of)
def test_beta_is_the_fall_of_log_alpha(schedule, modes):
    """β = −d log(α²/r²)/dt, and d log r/dt, by central differences in double precision."""
    step = 1e-6
    # away from the knots and corners of the piecewise schedules
    t = torch.linspace(0.0313, 0.9717, 23, dtype=torch.float64)

    def rate(function) -> Tensor:
        return (function(t + step) - function(t - step)) / (2 * step)

    def log_kept(t: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(-schedule.gamma(t, modes))

    beta = schedule.beta(t, modes)
    expected = -rate(log_kept)
    resolved = expected.isfinite() & (schedule.gamma(t, modes) < 30)
    assert resolved.double().mean() > 0.2 and (beta >= 0).all()
    torch.testing.assert_close(beta[resolved], expected[resolved], rtol=2e-4, atol=2e-5)

    def log_r(t: Tensor) -> Tensor:
        return schedule.level(t, modes).magnitude.log()

    magnitude_rate = schedule.magnitude_rate(t, modes)
    difference = rate(log_r).expand_as(magnitude_rate)
    torch.testing.assert_close(magnitude_rate, difference, rtol=2e-4, atol=2e-5)


@every_schedule
def test_rates_are_finite_to_the_very_ends(schedule, modes):
    ends = torch.tensor([0.0, 1e-7, 1 - 1e-7, 1.0])
    assert torch.isfinite(schedule.beta(ends, modes)).all()
    assert torch.isfinite(schedule.magnitude_rate(ends, modes)).all()


def test_rates_do_not_vanish_in_inference_mode(modes):
    schedule = schedules.Polchinski()
    expected = schedule.beta(0.5, modes), schedule.magnitude_rate(0.5, modes)
    with torch.inference_mode():
        inside = Modes(
            *(x.clone() for x in (modes.scale, modes.mean, modes.variance, modes.momentum))
        )
        for m in (modes, inside):
            t = torch.tensor(0.5, dtype=torch.float64)
            torch.testing.assert_close(
                (schedule.beta(t, m), schedule.magnitude_rate(t, m)), expected
            )
            torch.testing.assert_close(
                schedules.Cutoff().beta(t, m), schedules.Cutoff().beta(0.5, modes).clone()
            )
    with torch.no_grad():
        torch.testing.assert_close(schedule.beta(0.5, modes), expected[0])


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [
        (schedules.LinearGamma(-11.5, 4.5), -11.5, 4.5),
        (schedules.VE(0.01, 50.0), 2 * math.log(0.01), 2 * math.log(50)),
        (schedules.EDM(0.002, 80.0), 2 * math.log(0.002), 2 * math.log(80)),
        (schedules.FlowMatching(), -math.inf, math.inf),
        (schedules.Cosine(), -math.inf, math.inf),
        (schedules.LinearBeta(), -math.inf, math.log(math.expm1(10.05))),
        (schedules.Sequential("row", 0.3, -8.0, 3.0), -8.0, 3.0),
        (schedules.WaveletLevels(0.0, -8.0, 3.0), -8.0, 3.0),
        (schedules.Carosso(), -math.inf, None),
        (schedules.Polchinski(), -math.inf, None),
        (schedules.InverseHeat(), 2 * math.log(0.01), None),
    ],
    ids=name_of,
)
def test_end_points_are_exact(schedule, first, last, modes):
    for t, end in ((0.0, first), (1.0, last)):
        if end is not None:
            gamma = schedule.gamma(t, modes)
            expected = torch.full_like(gamma, end)
            torch.testing.assert_close(gamma, expected, rtol=1e-12, atol=1e-12)


def test_a_table_is_scipys_pchip_in_time_and_linear_between_scales(modes):
    rows = ((-9.0, -9.0, -2.0, 4.0), (-11.0, -3.0, 2.0, 5.0), (-6.0, 1.0, 1.0, 7.0))
    scales, times = (0.1, 0.2, 0.9), (0.0, 0.37, 0.71, 1.0)
    found = schedules.LearnedGamma(scales, times, rows).gamma(T, modes)
    table = PchipInterpolator(times, np.array(rows).T)(T.numpy())  # (times, scales)
    expected = [np.interp(modes.scale.numpy(), scales, row) for row in table]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12, atol=1e-12)


def test_a_straight_table_is_linear_log_snr(modes):
    table = schedules.LearnedGamma(gammas=((-8.0, 3.0),)).gamma(T, modes)
    torch.testing.assert_close(table, schedules.LinearGamma(-8.0, 3.0).gamma(T, modes))


def test_a_sigmoid_cutoff_on_a_straight_path_is_soft_conditioning(modes):
    cutoff = schedules.Cutoff(
        schedules.SigmoidKernel(0.2), schedules.CutoffPath(), gamma_min=-7.0, gamma_max=3.0
    )
    soft = schedules.SoftConditioning(-7.0, 3.0, 0.2)
    torch.testing.assert_close(cutoff.gamma(T, modes), soft.gamma(T, modes))


def test_soft_conditioning_ends_as_in_gud(modes):
    schedule = schedules.SoftConditioning(-7.0, 3.0, 0.4, "variance")
    label = -modes.variance.log()
    first, last = schedule.gamma(0.0, modes), schedule.gamma(1.0, modes)
    torch.testing.assert_close(first, -7 + (label - label.max()) / 0.4)
    slope = 3 + 7 + (label.max() - label.min()) / 0.4
    torch.testing.assert_close(last - first, slope.expand_as(first))


def test_soft_conditioning_by_variance_adjusts_to_standard_and_equal_snr(modes):
    """GUD: with γ = log Σ + …, inverse softness 1 undoes the data's spectrum (white noise)."""
    schedule = schedules.SoftConditioning(softness=1.0, order="variance")
    data = schedule.gamma(0.3, modes) + modes.variance.log()
    torch.testing.assert_close(data, data.mean().expand_as(data))


def test_infinite_softness_is_standard_diffusion(modes):
    gamma = schedules.SoftConditioning(-7.0, 3.0, 1e6, "scale").gamma(T, modes)
    linear = schedules.LinearGamma(-7.0, 3.0).gamma(T, modes)
    torch.testing.assert_close(gamma, linear, rtol=0, atol=2e-6)


def test_zero_softness_is_autoregressive():
    modes = Modes(scale=torch.linspace(0, 1, 5, dtype=torch.float64).reshape(1, 1, 5))
    gamma = schedules.SoftConditioning(-7.0, 3.0, 1e-4).gamma(
        torch.linspace(0, 1, 4001, dtype=torch.float64), modes
    )
    active = (gamma > -7) & (gamma < 3)
    assert int(active.sum(-1).max()) <= 1
    order = [int((gamma[:, 0, 0, i] > 0).double().argmax()) for i in range(5)]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("order", ["column", "row", "level", "scale"])
def test_strictly_sequential_groups_never_overlap(order):
    modes = Modes.of(WaveletBasis((1, 8, 8)).double())
    schedule = schedules.Sequential(order, 0.0, -8.0, 3.0)
    label = schedule.label(modes).expand(1, 8, 8)
    t = torch.linspace(0, 1, 997, dtype=torch.float64)
    gamma = schedule.gamma(t, modes)
    active = (gamma > -8 + 1e-9) & (gamma < 3 - 1e-9)
    for moment in active:
        assert len(label[moment].unique()) <= 1
    started = [float(t[(gamma[:, 0] > -8)[:, label[0] == v].any(1)].min()) for v in label.unique()]
    assert started == sorted(started, reverse=True)  # the largest label first
    same = schedules.Sequential(order, 1.0, -8.0, 3.0).gamma(t, modes)
    torch.testing.assert_close(same, schedules.LinearGamma(-8.0, 3.0).gamma(t, modes))


def test_wavelet_levels_are_sequential_by_level():
    modes = Modes.of(WaveletBasis((1, 8, 8)).double())
    levels = schedules.WaveletLevels(0.3).gamma(T, modes)
    torch.testing.assert_close(levels, schedules.Sequential("scale", 0.3).gamma(T, modes))


@pytest.mark.parametrize("size", [8, 15, 32, 33, 64])
def test_equal_momenta_are_one_group(size):
    """3² + 4² = 5²: groups are counted by integers, and must not be split by rounding."""
    n = np.rint(np.fft.fftfreq(size) * size).astype(int)
    distinct = len(np.unique(n[:, None] ** 2 + n**2))
    for dtype in (torch.float32, torch.float64):
        basis = FourierBasis((1, size, size)).to(dtype)
        label = schedules.Sequential("level").label(Modes.of(basis))
        assert len(label.unique()) == distinct


def test_blends_begin_and_end_with_their_schedules(modes):
    a, b = schedules.Cosine(), schedules.Polchinski()
    t = torch.linspace(0.01, 0.9, 9, dtype=torch.float64)
    for weight, end in ((0.0, a), (1.0, b)):
        blend = schedules.BlendedSchedule(a, b, weight).level(t, modes)
        expected = end.level(t, modes)
        torch.testing.assert_close(
            blend.gamma, expected.gamma.clamp(-40, 40).expand_as(blend.gamma)
        )
        torch.testing.assert_close(blend.magnitude, expected.magnitude.expand_as(blend.magnitude))


def test_only_the_hard_kernel_jumps():
    jumps = [kernel for kernel in KERNELS if not schedules.Cutoff(kernel).continuous]
    assert jumps == [schedules.HardKernel()]
    blend = schedules.BlendedSchedule(schedules.Cosine(), schedules.Cutoff(schedules.HardKernel()))
    assert not blend.continuous


@pytest.mark.parametrize("t", [-0.1, 1.1, math.nan, torch.tensor([0.5, 2.0]), torch.tensor(-1.0)])
@pytest.mark.parametrize("method", ["gamma", "level", "beta", "magnitude_rate"])
def test_times_outside_0_to_1_are_one_sentence(t, method, modes):
    with pytest.raises(ValueError, match=r"is outside \[0, 1\]\.$"):
        getattr(schedules.Cosine(), method)(t, modes)


@pytest.mark.parametrize("t", [torch.tensor([0, 1]), torch.rand(2, 2)])
def test_times_of_another_shape_or_type_are_one_sentence(t, modes):
    with pytest.raises(ValueError, match=r"t must be floating, of shape \(\) or \(B,\)"):
        schedules.Cosine().gamma(t, modes)


@pytest.mark.parametrize(
    ("match", "make"),
    [
        ("beta_min = 0 ", lambda: schedules.LinearBeta(0)),
        ("beta_max = 0.05 ", lambda: schedules.LinearBeta(0.1, 0.05)),
        ("s = -1 ", lambda: schedules.Cosine(-1)),
        ("gamma_max = -20 ", lambda: schedules.LinearGamma(-13, -20)),
        ("gamma_min = nan", lambda: schedules.LinearGamma(math.nan)),
        ("sigma_max = 0.001 ", lambda: schedules.VE(0.01, 0.001)),
        ("rho = 0 ", lambda: schedules.EDM(rho=0)),
        ("softness = 0 ", lambda: schedules.SoftConditioning(softness=0)),
        ("softness = 1.5 ", lambda: schedules.WaveletLevels(1.5)),
        ("order = 'size'", lambda: schedules.SoftConditioning(order="size")),
        ("order = nan", lambda: schedules.Sequential((0.0, math.nan))),
        ("blur_max = 0.1 ", lambda: schedules.InverseHeat(blur_max=0.1)),
        ("steps = 1 ", lambda: schedules.InverseHeat(steps=1)),
        ("d_min = 0 ", lambda: schedules.BlurringDiffusion(d_min=0)),
        ("duration = 0 ", lambda: schedules.Carosso(0)),
        ("mass2 = 0 ", lambda: schedules.Polchinski(0)),
        ("cutoff_max = 0.01 ", lambda: schedules.InverseRG(cutoff_max=0.01)),
        (
            r"at scale 0.5 it falls from 2 to 1 between t = 0.25 and 1\.",
            lambda: schedules.LearnedGamma((0.0, 0.5), (0.0, 0.25, 1.0), ((0, 1, 2), (0, 2, 1))),
        ),
        ("at scale 0 is 1 at all", lambda: schedules.LearnedGamma(gammas=((1.0, 1.0),))),
        ("has 1 values for 2 times", lambda: schedules.LearnedGamma(gammas=((1.0,),))),
        ("got 2 scales and 1 rows", lambda: schedules.LearnedGamma((0.0, 1.0))),
        ("scales must increase", lambda: schedules.LearnedGamma((1.0, 0.0), gammas=((0, 1),) * 2)),
        ("gammas = nan", lambda: schedules.LearnedGamma(gammas=((math.nan, 1.0),))),
        ("must begin at 0 and end at 1", lambda: schedules.LearnedGamma(times=(0.0, 0.5))),
        ("weight = -1 ", lambda: schedules.BlendedSchedule(schedules.VE(), schedules.VE(), -1)),
    ],
)
def test_bad_numbers_are_one_sentence(match, make):
    with pytest.raises(ValueError, match=match) as caught:
        make()
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_orders_that_need_more_than_there_is_are_one_sentence():
    bare = Modes.of(FourierBasis((1, 4, 4)))
    with pytest.raises(ValueError, match="needs the data"):
        schedules.SoftConditioning(order="variance").gamma(0.5, bare)
    with pytest.raises(ValueError, match="order has 3 entries"):
        schedules.SoftConditioning(order=(0.0, 1.0, 2.0)).gamma(0.5, bare)


@dataclass(frozen=True)
class Outside(schedules.Schedule):
    """A schedule as a user of the library writes one: `gamma_at` is the one method."""

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        return 8 * t**2 - 4 + modes.scale


def test_gamma_at_is_the_one_method_to_write(modes):
    schedule = Outside()
    t = torch.tensor([0.25, 0.5], dtype=torch.float64)
    expected = torch.sigmoid(schedule.gamma(t, modes)) * 16 * t[:, None, None, None]
    torch.testing.assert_close(schedule.beta(t, modes), expected)
    torch.testing.assert_close(schedule.level(t, modes).snr, torch.exp(-schedule.gamma(t, modes)))


def test_an_incomplete_schedule_is_refused():
    with pytest.raises(TypeError, match=r"abstract method '?gamma_at"):
        schedules.Schedule()
