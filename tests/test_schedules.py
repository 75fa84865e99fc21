"""Schedules against their laws, the papers' own (α, σ), and diffusers."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from laws import KERNELS, SCHEDULES, fields, fitted, name_of
from torch import Tensor

from rgdiff_core import schedules
from rgdiff_core.bases import CosineBasis, FourierBasis, PixelBasis, WaveletBasis
from rgdiff_core.modes import Modes
from rgdiff_core.schedules import Level

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
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
        (schedule.expansion(t, modes), [schedule.expansion(s, modes) for s in t]),
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

    expansion = schedule.expansion(t, modes)
    difference = rate(log_r).expand_as(expansion)
    torch.testing.assert_close(expansion, difference, rtol=2e-4, atol=2e-5)


@every_schedule
def test_rates_are_finite_to_the_very_ends(schedule, modes):
    ends = torch.tensor([0.0, 1e-7, 1 - 1e-7, 1.0])
    assert torch.isfinite(schedule.beta(ends, modes)).all()
    assert torch.isfinite(schedule.expansion(ends, modes)).all()


def test_rates_do_not_vanish_in_inference_mode(modes):
    schedule = schedules.Polchinski()
    expected = schedule.beta(0.5, modes), schedule.expansion(0.5, modes)
    with torch.inference_mode():
        inside = Modes(
            *(x.clone() for x in (modes.scale, modes.mean, modes.variance, modes.momentum))
        )
        for m in (modes, inside):
            t = torch.tensor(0.5, dtype=torch.float64)
            torch.testing.assert_close((schedule.beta(t, m), schedule.expansion(t, m)), expected)
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


def alphas(schedule: schedules.Schedule, steps: int) -> np.ndarray:
    """Return α² after each of so many discrete steps."""
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    level = schedule.level(t, Modes.of(PixelBasis((1, 1, 1))))
    return level.alpha.flatten().numpy() ** 2


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler])
def test_linear_beta_is_the_limit_of_diffusers_steps(scheduler):
    def gap(steps: int) -> float:
        discrete = scheduler(steps, beta_start=0.1 / steps, beta_end=20 / steps).alphas_cumprod
        return np.abs(discrete.double().numpy() - alphas(schedules.LinearBeta(), steps)).max()

    gaps = [gap(n) for n in (500, 1000, 2000)]
    assert gaps[1] < 0.01
    for coarse, fine in itertools.pairwise(gaps):
        assert coarse / fine == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler])
@pytest.mark.parametrize("steps", [100, 1000])
def test_cosine_is_diffusers_squaredcos_up_to_the_cap(scheduler, steps):
    discrete = scheduler(steps, beta_schedule="squaredcos_cap_v2")
    free = int((discrete.betas < 0.999).sum())  # the last step is capped
    assert free >= steps - 1
    expected = discrete.alphas_cumprod[:free].double().numpy()
    np.testing.assert_allclose(alphas(schedules.Cosine(), steps)[:free], expected, rtol=1e-4)


T = torch.linspace(0, 1, 41, dtype=torch.float64)
GRID = T[:, None, None, None]


def check_levels(schedule, modes: Modes, alpha: Tensor, sigma: Tensor, atol: float = 1e-8) -> None:
    level = schedule.level(T, modes)
    torch.testing.assert_close(level.alpha, alpha.expand_as(level.alpha), rtol=1e-6, atol=atol)
    torch.testing.assert_close(level.sigma, sigma.expand_as(level.sigma), rtol=1e-6, atol=atol)


def pixel_modes() -> Modes:
    return Modes.of(PixelBasis((1, 2, 2)).double())


def test_vp_of_score_sde():
    mean = torch.exp(-(GRID**2) * (20 - 0.1) / 4 - GRID * 0.1 / 2)
    check_levels(schedules.LinearBeta(), pixel_modes(), mean, torch.sqrt(1 - mean**2))


def test_ve_of_score_sde():
    sigma = 0.01 * (50 / 0.01) ** GRID
    check_levels(schedules.VE(), pixel_modes(), torch.ones_like(GRID), sigma)
    rate = schedules.VE().beta(T, pixel_modes())  # their g² = 2 σ² log(σ_max/σ_min) is r² β
    level = schedules.VE().level(T, pixel_modes())
    g2 = 2 * (sigma**2 * math.log(5000)).expand_as(rate)
    torch.testing.assert_close(level.magnitude**2 * rate, g2, rtol=1e-5, atol=1e-9)


def test_edm_steps():
    steps = 40
    ends = [s ** (1 / 7) for s in (80, 0.002)]
    sigma = [(ends[0] + i / steps * (ends[1] - ends[0])) ** 7 for i in range(steps + 1)]
    expected = torch.tensor(sigma[::-1], dtype=torch.float64)[:, None, None, None]
    check_levels(schedules.EDM(), pixel_modes(), torch.ones_like(GRID), expected)


def test_flow_matching():
    check_levels(schedules.FlowMatching(), pixel_modes(), 1 - GRID, GRID)


def cosine_modes(size: int = 8) -> tuple[Modes, Tensor]:
    """Return the modes of the cosine basis, and π²(n² + m²)/L² written out."""
    n = torch.arange(size, dtype=torch.float64)
    eigenvalue = math.pi**2 * (n[:, None] ** 2 + n**2)[None] / size**2
    k = eigenvalue.sqrt()
    basis = CosineBasis((1, size, size))
    torch.testing.assert_close(basis.momentum.double(), k, rtol=1e-6, atol=1e-6)
    return Modes(k / k.max(), momentum=k), eigenvalue


def test_inverse_heat_dissipation():
    modes, eigenvalue = cosine_modes()
    widths = [0.0, *np.geomspace(0.5, 24, 40)]
    time = torch.tensor(widths, dtype=torch.float64)[:, None, None, None] ** 2 / 2
    alpha = torch.exp(-eigenvalue * time)
    check_levels(schedules.InverseHeat(steps=40), modes, alpha, torch.full_like(alpha, 0.01))


def test_blurring_diffusion():
    modes, eigenvalue = cosine_modes()
    width = 20 * torch.sin(GRID * math.pi / 2) ** 2
    damping = 0.999 * torch.exp(-eigenvalue * width**2 / 2) + 0.001

    def angle(t: Tensor) -> Tensor:
        return torch.cos((t + 0.008) / 1.008 * math.pi / 2)

    a = angle(GRID) / math.cos(0.008 / 1.008 * math.pi / 2)
    sigma = torch.sqrt((1 - a**2).clamp_min(0))
    check_levels(schedules.BlurringDiffusion(), modes, a * damping, sigma, atol=2e-8)


def lattice_modes(size: int = 6) -> tuple[Modes, Tensor]:
    k = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    k2 = (4 * torch.sin(k[:, None] / 2) ** 2 + 4 * torch.sin(k / 2) ** 2)[None]
    k2[0, 0, 0] = 0
    return Modes(k2.sqrt() / k2.sqrt().max(), momentum=k2.sqrt()), k2


def test_carosso_flow():
    from rgdiff_core.colors import FreeTheory

    modes, k2 = lattice_modes()
    tau = 3.0 * GRID
    schedule = schedules.Carosso(3.0)
    k2[0, 0, 0] = k2[0, 0, 1] / 4  # the zero mode's regulator
    alpha = torch.exp(-k2 * tau)
    check_levels(schedule, modes, alpha, torch.sqrt(-torch.expm1(-2 * k2 * tau)))
    # with S² = 1/(2k²), noise of σ²S² = (1 − e^{−2k²τ})/(2k²) at fixed rate 1
    beta = schedule.beta(T, modes)
    torch.testing.assert_close(beta, (2 * k2 * 3.0).expand_as(beta), rtol=1e-6, atol=1e-9)
    free = FreeTheory(0.0, normalize=False).variance(modes) / 2
    torch.testing.assert_close(beta * free / 3, torch.ones_like(beta), rtol=1e-6, atol=0)


def test_polchinski_flow():
    modes, k2 = lattice_modes()
    kept = torch.exp(-(k2 + 0.5) * 4.0 * GRID)
    alpha, sigma = kept, torch.sqrt(kept * (1 - kept))
    check_levels(schedules.Polchinski(0.5, 4.0), modes, alpha, sigma)


def test_inverse_rg_model():
    modes, eigenvalue = cosine_modes()
    mass2 = 0.0247
    cutoff = 100 * (0.02 / 100) ** GRID
    ratio = cutoff**2 / (eigenvalue + mass2)
    alpha, sigma = torch.sqrt(ratio / (1 + ratio)), torch.sqrt(1 / (1 + ratio))
    check_levels(schedules.InverseRG(), modes, alpha, sigma)


def test_inverse_rg_is_soft_conditioning_with_softness_1():
    modes, eigenvalue = cosine_modes(4)
    mass2, top, bottom = 0.3, 50.0, 0.05
    label = torch.log(eigenvalue + mass2)
    soft = schedules.SoftConditioning(
        gamma_min=float(label.max()) - 2 * math.log(top),
        gamma_max=float(label.min()) - 2 * math.log(bottom),
        softness=1.0,
        order=tuple(label.flatten().tolist()),
    )
    flow = schedules.InverseRG(mass2, top, bottom)
    torch.testing.assert_close(flow.gamma(T, modes), soft.gamma(T, modes), rtol=1e-6, atol=1e-6)


def test_massless_inverse_rg_is_the_butterworth_cutoff_of_order_1():
    modes, _ = cosine_modes(4)
    cutoff = schedules.Cutoff(schedules.ButterworthKernel(1.0), schedules.LinearPath(), -9.0, 5.0)
    k = modes.floored_momentum()
    top, bottom = float(k.max()) * math.exp(4.5), float(k.min()) * math.exp(-2.5)
    flow = schedules.InverseRG(0.0, top, bottom)
    torch.testing.assert_close(flow.gamma(T, modes), cutoff.gamma(T, modes))


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
@pytest.mark.parametrize("method", ["gamma", "level", "beta", "expansion"])
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
    """A schedule as a user of the library writes one: `gamma` is the one method."""

    def gamma(self, t: Tensor | float, modes: Modes) -> Tensor:
        t = torch.as_tensor(t, dtype=modes.scale.dtype)
        return 8 * t[..., None, None, None] ** 2 - 4 + modes.scale


def test_gamma_is_the_one_method_to_write(modes):
    schedule = Outside()
    t = torch.tensor([0.25, 0.5], dtype=torch.float64)
    expected = torch.sigmoid(schedule.gamma(t, modes)) * 16 * t[:, None, None, None]
    torch.testing.assert_close(schedule.beta(t, modes), expected)
    torch.testing.assert_close(schedule.level(t, modes).snr, torch.exp(-schedule.gamma(t, modes)))


def test_an_interface_says_what_is_missing(modes):
    with pytest.raises(TypeError, match="does not say"):
        schedules.Schedule().gamma(0.5, modes)
