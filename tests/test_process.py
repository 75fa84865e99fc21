"""The process: moments over many draws, exact transitions, its SDE."""

import math

import pytest
import torch
from laws import BASES, COLORS, SCHEDULES, assert_moments, dense, fields, made, name_of

from rgdiff_core import Modes, Process, colors, schedules
from rgdiff_core.bases import FourierBasis, PCABasis, PixelBasis
from rgdiff_core.process import Marginal, white_noise
from rgdiff_core.seeds import stream, walk

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
DRAWS = 8_000
FREE, CUTOFF = colors.FreeTheory(), schedules.Cutoff()


def draws_of_data(process: Process, n: int, generator: torch.Generator) -> torch.Tensor:
    """Draw Gaussian data with the process' mean and variance."""
    modes = process.modes
    eps = torch.randn(n, *process.basis.shape, generator=generator, dtype=torch.float64)
    return process.basis.synthesize(modes.mean + modes.variance.sqrt() * eps)


def moments(process: Process, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return αUμ and U(α²Σ + σ²S²)U† as dense arrays, written with the schedule's own numbers."""
    u = dense(process.basis).T
    time = torch.tensor(t, dtype=torch.float64)
    level = process.schedule.level(time, process.modes)
    noise = process.color.variance_at(time, process.modes)
    variance = level.alpha**2 * process.modes.variance + level.sigma**2 * noise
    mean = level.alpha * process.modes.mean
    return u @ mean.flatten(), u @ torch.diag(variance.flatten()) @ u.T


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("given", [False, True], ids=["noise drawn", "noise given"])
def test_perturbed_fields_have_the_exact_covariance(name, given):
    process, t = made(name), 0.4
    generator = torch.Generator().manual_seed(1)
    x0 = draws_of_data(process, DRAWS, generator)
    noise = torch.randn(x0.shape, generator=generator, dtype=x0.dtype) if given else None
    assert_moments(process.perturb(x0, t, noise, generator=generator), *moments(process, t))


@pytest.mark.parametrize(
    "color", [c for c in COLORS if not isinstance(c, colors.CustomColor)], ids=name_of
)
@pytest.mark.parametrize(
    "schedule", [schedules.SoftConditioning(), schedules.Polchinski(duration=1.0)], ids=name_of
)
def test_every_colour_has_the_exact_covariance(color, schedule):
    process, t = made(color=color, schedule=schedule), 0.5
    generator = torch.Generator().manual_seed(2)
    x0 = draws_of_data(process, DRAWS, generator)
    assert_moments(process.perturb(x0, t, generator=generator), *moments(process, t))


def test_a_batch_of_times_is_one_time_each():
    process = made(shape=(4, 4, 4))
    x0, noise = torch.randn(2, 4, 4, 4, 4, dtype=torch.float64)
    t = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64)
    one = [process.perturb(x[None], s, e[None])[0] for x, s, e in zip(x0, t, noise, strict=True)]
    torch.testing.assert_close(process.perturb(x0, t, noise), torch.stack(one))


@pytest.mark.parametrize("name", BASES)
def test_perturb_is_alpha_x_plus_std_noise_in_components(name):
    process = made(name)
    x0, noise = torch.randn(2, 5, 2, 4, 4, dtype=torch.float64)
    t = torch.rand(5, dtype=torch.float64)
    marginal = process.marginal(t)
    c = marginal.alpha * process.basis.analyze(x0) + marginal.std * process.basis.analyze(noise)
    torch.testing.assert_close(process.basis.analyze(process.perturb(x0, t, noise)), c)
    assert process.perturb(x0, t, noise).dtype == torch.float64
    assert process.float().perturb(x0.float(), t, noise.float()).dtype == torch.float32


@every_schedule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transitions_compose(schedule, dtype):
    process = made(schedule=schedule, shape=(1, 8, 8)).to(dtype)
    r, s, t = (torch.tensor(v, dtype=dtype) for v in (0.13, 0.35, 0.62))
    first, second, whole = (process.transition(*p) for p in ((r, s), (s, t), (r, t)))
    rtol, atol = (1e-4, 1e-6) if dtype == torch.float32 else (1e-9, 1e-12)
    torch.testing.assert_close(second.alpha * first.alpha, whole.alpha, rtol=rtol, atol=atol)
    std = torch.hypot(second.alpha * first.std, second.std)
    torch.testing.assert_close(std, whole.std, rtol=rtol, atol=atol)
    # and from the marginal at r to the marginal at t
    start, end = process.marginal(r), process.marginal(t)
    torch.testing.assert_close(whole.alpha * start.alpha, end.alpha, rtol=rtol, atol=atol)
    std = torch.hypot(whole.alpha * start.std, whole.std)
    torch.testing.assert_close(std, end.std, rtol=rtol, atol=atol)
    still = process.transition(t, t)
    assert (still.alpha == 1).all() and (still.std == 0).all()


def test_transitions_run_forward_and_take_batches():
    process = made()
    s, t = torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.2])
    assert process.transition(s, t).alpha.shape == (2, 1, 4, 4)
    assert process.transition(0.1, t).std.shape == (2, 1, 4, 4)
    with pytest.raises(ValueError, match="runs forward"):
        process.transition(t, s)


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.LinearBeta(),
        schedules.SoftConditioning(),
        schedules.Cutoff(),
        schedules.VE(0.05, 5.0),
        schedules.BlurringDiffusion(blur_max=1.0),
        schedules.Polchinski(duration=0.5),
        schedules.InverseHeat(0.2, 2.0, 0.1, 2),
    ],
    ids=name_of,
)
def test_the_sdes_moments_flow_to_the_marginal(schedule):
    """ṁ = f m and v̇ = 2 f v + g², integrated with Runge–Kutta, for every component at once."""
    process = made(schedule=schedule)
    a, b, steps = 0.1, 0.7, 3000
    start, end = process.marginal(a), process.marginal(b)
    mean, variance = start.alpha, start.std**2
    t = torch.linspace(a, b, 2 * steps + 1, dtype=torch.float64)
    f, g2, h = process.drift(t), process.diffusion(t) ** 2, (b - a) / steps
    for i in range(0, 2 * steps, 2):
        middle_mean = mean + h / 2 * f[i] * mean
        middle = variance + h / 2 * (2 * f[i] * variance + g2[i])
        mean = mean + h * f[i + 1] * middle_mean
        variance = variance + h * (2 * f[i + 1] * middle + g2[i + 1])
    torch.testing.assert_close(mean, end.alpha, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(variance, end.std**2, rtol=1e-3, atol=1e-5)


def test_euler_maruyama_paths_reach_the_marginal():
    process = made(schedule=schedules.SoftConditioning(-4.0, 2.0, 0.5), shape=(1, 4, 4))
    generator = torch.Generator().manual_seed(3)
    x0 = draws_of_data(process, DRAWS, generator)
    c = process.basis.analyze(process.perturb(x0, 0.0, generator=generator))
    steps = 200
    for i in range(steps):
        t = (i + 0.5) / steps  # the midpoint's coefficients: the error falls as the square
        eps = torch.randn(c.shape, generator=generator, dtype=c.dtype)
        f, g = process.drift(t) / steps, process.diffusion(t) / math.sqrt(steps)
        c = c + (f + f**2 / 2) * c + g * eps * (1 + f / 2)
    assert_moments(process.basis.synthesize(c), *moments(process, 1.0))


def test_the_reverse_sde_with_the_exact_score_comes_back():
    """Anderson: φ from p_1 down to p_s, with the score of Gaussian data in closed form."""
    process = made(schedule=schedules.SoftConditioning(-4.0, 2.0, 0.5), shape=(1, 4, 4))
    generator = torch.Generator().manual_seed(4)
    x = process.perturb(draws_of_data(process, 5000, generator), 1.0, generator=generator)
    steps, end = 200, 0.25
    h = (1 - end) / steps
    for i in range(steps):
        t = 1 - (i + 0.5) * h
        mean, covariance = moments(process, t)
        precision = torch.linalg.inv(covariance)

        def drift(y, t=t, mean=mean, precision=precision):
            score = (-(y.flatten(1) - mean) @ precision).reshape(y.shape)
            return process.reverse_drift(y, t, score)

        eps = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        kick = process.basis.synthesize(process.diffusion(t) * math.sqrt(h) * eps)
        predicted = x - h * drift(x) + kick
        x = x - h * (drift(x) + drift(predicted)) / 2 + kick
    assert_moments(x, *moments(process, end))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_the_prior_knows_the_data(schedule):
    process = made(schedule=schedule, shape=(1, 8, 8))
    last, modes = process.marginal(1.0), process.modes
    prior = process.prior()
    torch.testing.assert_close(prior.mean, last.alpha * modes.mean)
    variance = last.alpha**2 * modes.variance + last.std**2
    torch.testing.assert_close(prior.std, variance.sqrt())
    assert torch.isfinite(process.prior_sample(2)).all()


def test_prior_samples_have_the_exact_covariance():
    process = made(schedule=schedules.SoftConditioning(-7.0, -1.0), shape=(2, 4, 4))
    x = process.prior_sample(DRAWS, torch.Generator().manual_seed(5))
    assert x.shape == (DRAWS, 2, 4, 4) and x.dtype == torch.float64
    assert_moments(x, *moments(process, 1.0))


def test_a_marginals_variances_are_those_of_the_joint_gaussian():
    """Of χ(0) and χ(t) = αχ(0) + std ε, whose covariance matrix is conditioned on χ(t)."""
    alpha, std, variance = (torch.rand(3, 1, 2, 2, dtype=torch.float64) + 0.1 for _ in range(3))
    marginal = Marginal(alpha, std)
    mixing = torch.stack([torch.ones_like(alpha), alpha, torch.zeros_like(std), std], -1)
    mixing = mixing.unflatten(-1, (2, 2)).mT  # from (χ(0), ε) to (χ(0), χ(t))
    joint = (
        mixing @ torch.diag_embed(torch.stack([variance, torch.ones_like(std)], -1)) @ mixing.mT
    )
    torch.testing.assert_close(marginal.total_variance(variance), joint[..., 1, 1])
    known = 1 / torch.linalg.inv(joint)[..., 0, 0]
    torch.testing.assert_close(marginal.posterior_variance(variance), known)


def test_without_data_the_prior_is_the_noise():
    process = Process(FourierBasis((1, 4, 4)), colors.White(), schedules.Cutoff())
    assert (process.prior().mean == 0).all()
    torch.testing.assert_close(process.prior().std, torch.ones(1, 4, 4))
    assert process.prior_sample(3).shape == (3, 1, 4, 4)


def streams(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(n)]


@pytest.mark.parametrize("name", BASES)
def test_with_a_stream_for_each_a_sample_does_not_depend_on_its_batch(name):
    process = made(name)
    x0 = fields((2, 4, 4), 8)
    whole = white_noise(x0.shape, x0, streams(8)), process.perturb(x0, 0.5, generator=streams(8))
    prior = process.prior_sample(8, streams(8))
    for i in range(8):
        noise = white_noise((1, 2, 4, 4), x0, [streams(8)[i]])
        assert torch.equal(noise[0], whole[0][i])
        # the transforms' own rounding may depend on the batch
        alone = process.perturb(x0[i : i + 1], 0.5, generator=[streams(8)[i]])
        torch.testing.assert_close(alone[0], whole[1][i], rtol=0, atol=1e-14)
        torch.testing.assert_close(
            process.prior_sample(1, [streams(8)[i]])[0], prior[i], rtol=0, atol=1e-14
        )
    if name in ("pixel", "fourier"):
        one = [process.perturb(x0[i : i + 1], 0.5, generator=[streams(8)[i]]) for i in range(8)]
        assert torch.equal(torch.cat(one), whole[1])


def test_noise_on_a_walk_is_white_and_leads_from_one_stream_to_the_other():
    """Within 5 standard errors, in a second draw as well as in the first."""
    shape, like = (5, 1, 100, 100), torch.zeros(()).double()
    turning, ends = walk(3, 5, 7, 2), [stream(3, 7), stream(3, 2)]
    for _ in range(2):
        noise = white_noise(shape, like, turning).flatten(1)
        own = white_noise((2, *shape[1:]), like, ends).flatten(1)
        torch.testing.assert_close(noise[[0, -1]], own)
        assert (noise.square().mean(1) - 1).abs().max() < 5 * (2 / 1e4) ** 0.5
        angles = torch.linspace(0, math.pi / 2, 5).double()
        overlap = noise @ noise[0] / 1e4
        assert (overlap - angles.cos()).abs().max() < 5 / 1e2


def test_one_generator_gives_the_same_again_and_leaves_the_global_state_alone():
    process, x0 = made(), fields((2, 4, 4), 3)
    before = torch.get_rng_state()
    a, b = (process.perturb(x0, 0.5, generator=torch.Generator().manual_seed(7)) for _ in "ab")
    assert torch.equal(a, b) and torch.equal(torch.get_rng_state(), before)


def refuses(match: str, call, *arguments, **options) -> None:
    with pytest.raises(ValueError, match=match) as caught:
        call(*arguments, **options)
    assert str(caught.value).endswith(".")


def test_what_does_not_fit_is_one_sentence():
    process, x0 = made(), fields((2, 4, 4), 3)
    refuses(r"t = 1.5 is outside \[0, 1\]", process.perturb, x0, 1.5)
    refuses("2 times do not fit", process.perturb, x0, torch.rand(2))
    refuses("expected fields", process.perturb, x0[..., :3], 0.5)
    refuses("noise", process.perturb, x0, 0.5, x0[:2])
    refuses("noise", process.perturb, x0, 0.5, x0[:1])
    refuses(
        "2 generators were given for 3 samples", process.perturb, x0, 0.5, generator=streams(2)
    )
    basis = FourierBasis((1, 4, 4))
    white, cutoff = colors.White(), schedules.Cutoff()
    for other in (FourierBasis((1, 4, 6)), FourierBasis((3, 4, 4))):
        modes = Modes.fit(other, fields(other.shape, 5))
        refuses("do not fit a basis", Process, basis, white, cutoff, modes)
    refuses("needs the data's variance", Process, basis, colors.Matched(), cutoff)
    refuses("needs the data", Process, basis, white, schedules.SoftConditioning(order="variance"))


def test_gamma_is_clamped_once_and_here():
    process = Process(PixelBasis((1, 2, 2)), colors.White(), schedules.FlowMatching())
    assert process.schedule.gamma(0.0, process.modes).max() == -math.inf
    for t, gamma in ((0.0, -40), (1.0, 40)):
        level = process.level(t)
        assert (level.gamma == gamma).all()
        assert (level.alpha > 0).all() and (level.sigma > 0).all()
    x = fields((1, 2, 2), 2).float()
    torch.testing.assert_close(process.perturb(x, 0.0), x)


def test_tensors_move_with_the_process(device):
    basis = PCABasis.fit(fields((1, 4, 4)).float())
    process = Process(basis, colors.White(), schedules.Cutoff()).to(device)
    x = process.perturb(torch.randn(3, 1, 4, 4, device=device), torch.rand(3, device=device))
    assert x.device.type == device.type and torch.isfinite(x).all()
    assert process.prior_sample(2, torch.Generator().manual_seed(0)).device.type == device.type
    again = Process.from_json(process.to_json())
    torch.testing.assert_close(again.modes.scale, process.modes.scale.cpu())
