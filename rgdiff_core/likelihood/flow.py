r"""The density of what a denoiser samples, by the probability-flow ODE.

With the Gaussian marginal N(αμ, T), T = α²Σ + σ²S², of the free theory taken out,
z = (χ/r − αμ)/√T, and D = m + √V f with the free theory's posterior mean m and variance V, the
flow is

    dz_k/dθ_k = −f_k,    θ_k = arctan(σ_kS_k/(α_k√Σ_k)),

the interaction picture: z stands still for Gaussian data, where the result is exact in any number
of steps, and moves little for data that are nearly so. With log p₁ the prior's density of χ/r at
t = 1, log q(χ(0)) = log p₁ + ½ Σ log T(1)/T(0) + ∫₀¹ ∇·ż dt.

The density is that of χ at t = 0, which still has the little noise of the schedule's first level.
Nats. Integration is by the classical Runge–Kutta method of order 4 on a grid of times, or, to a
tolerance, by Dormand and Prince's pair of orders 5 and 4. The latter runs by its own clock,
which the mean angle drives, so that it can't step over a sharp cutoff.

References:
    Song et al., 2011.13456, section 4.3; Grathwohl et al., 1810.01367 (Hutchinson's trace); Chen,
    torchdiffeq (the adaptive integrator).
"""

import itertools
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from rgdiff_core.bases import check_fields
from rgdiff_core.denoisers import Denoiser, check_count
from rgdiff_core.devices import doubled, hosted
from rgdiff_core.likelihood.densities import Flowed, log_prior, log_volume, prior_components
from rgdiff_core.likelihood.jacobians import directions_of, divergence_of
from rgdiff_core.process import Generators, Process
from rgdiff_core.sampling import angle, check_model, time_grid
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.spec import check_range, check_whole

__all__ = ["Progress", "flow_density", "log_likelihood", "sample_with_density"]

MAX_STEPS = 10_000
EDGE = 1e-6  # γ may be infinite at the ends of time; the flow is taken just inside
IDLE = 0.05  # share of the adaptive clock that runs uniformly in t
ROUNDS, TABLE = 8, 17  # tables that read the clock, each of so many times
MIN_STEP, MAX_STEP = 1e-6, 0.05  # the shortest and the longest adaptive step, by that clock

Progress = Callable[[int, int], None] | None


def log_likelihood(
    model: Denoiser,
    process: Process,
    x: Tensor,
    steps: int = 100,
    divergence: str = "exact",
    generator: Generators = None,
    *,
    probes: int = 1,
    tolerance: float | None = None,
    grid: Grid = "uniform",
    progress: Progress = None,
    class_labels: Tensor | None = None,
) -> Tensor:
    """Return log q(x), (B,), in nats, of fields x (B, C, H, W).

    Arguments:
        model: a denoiser in the process' basis.
        steps: of the Runge–Kutta method, 1 to 10,000; each evaluates the denoiser four times.
        divergence: "exact", a backward pass for each of the C·H·W components, or "hutchinson",
            one for each probe, unbiased.
        generator: for Hutchinson's signs.
        probes: of Hutchinson's estimate, 1 to 1000.
        tolerance: where given, the adaptive method's, absolute and relative, for each step of the
            components and of log q; `steps` and `grid` are then of no account.
        grid: the times of the Runge–Kutta method, as of `sample`.
        progress: called with (steps completed, total), thousandths of the way where the method
            is adaptive; it may raise to cancel.
        class_labels: int64 (B,) or (1,), -1 for any class; default: those of the model.

    Raises `ValueError` for a value outside its range, a basis that differs, a schedule that jumps.
    """
    flowed = flow_density(
        model,
        process,
        x,
        steps,
        divergence,
        generator,
        probes=probes,
        tolerance=tolerance,
        grid=grid,
        progress=progress,
        class_labels=class_labels,
    )
    return flowed.log_density


def flow_density(
    model: Denoiser,
    process: Process,
    x: Tensor,
    steps: int = 100,
    divergence: str = "exact",
    generator: Generators = None,
    *,
    probes: int = 1,
    tolerance: float | None = None,
    grid: Grid = "uniform",
    progress: Progress = None,
    class_labels: Tensor | None = None,
) -> Flowed:
    """Return fields with their log density, and how often the denoiser was asked: see
    `log_likelihood`.
    """
    model = model.given(class_labels)
    integrate = _integrator(steps, tolerance, grid, progress)
    check_fields(x, process.basis)
    check_count(model, len(x))
    flow = _Flow(model, process, directions_of(divergence, x, generator, probes))
    first = process.level(0.0).magnitude
    c = process.basis.analyze(x) / first
    z, change = integrate(flow, flow.inward(c, 0.0), 0.0, 1.0)
    log_density = log_prior(model, process, flow.outward(z, 1.0)) + change
    turned = flow.deviation(1.0) / (flow.deviation(0.0) * first)
    return Flowed(x, log_density + log_volume(turned, x), flow.evaluations)


def sample_with_density(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 100,
    divergence: str = "exact",
    generator: Generators = None,
    *,
    probes: int = 1,
    tolerance: float | None = None,
    grid: Grid = "uniform",
    progress: Progress = None,
    class_labels: Tensor | None = None,
) -> Flowed:
    """Draw n fields by the probability flow, with their log density: see `log_likelihood`."""
    check_whole("n", n, 1, 1_000_000)
    model = model.given(class_labels)
    integrate = _integrator(steps, tolerance, grid, progress)
    c = prior_components(model, process, n, generator)
    flow = _Flow(model, process, directions_of(divergence, c, generator, probes))
    z, change = integrate(flow, flow.inward(c, 1.0), 1.0, 0.0)
    first = process.level(0.0).magnitude
    x = process.basis.synthesize(flow.outward(z, 0.0) * first)
    turned = flow.deviation(1.0) / (flow.deviation(0.0) * first)
    log_density = log_prior(model, process, c) - change + log_volume(turned, x)
    return Flowed(x, log_density, flow.evaluations)


class _Flow:
    """The ODE in z.

    Arguments:
        directions: of the divergence, see `directions_of`.

    Attributes:
        evaluations: how often the denoiser was asked.
    """

    def __init__(self, model: Denoiser, process: Process, directions: Tensor) -> None:
        check_model(model, process)
        if not process.schedule.continuous:
            raise ValueError("the probability flow needs a schedule that does not jump.")
        self.model, self.process, self.directions = model, process, directions
        self.mu, self.sigma = model.free_mean, model.free_variance
        self.evaluations = 0

    def deviation(self, t: float) -> Tensor:
        """Return √T."""
        return self.process.vp_marginal(t).total_variance(self.sigma).sqrt()

    def inward(self, c: Tensor, t: float) -> Tensor:
        """Return z of components c of χ/r."""
        return (c - self.process.vp_marginal(t).alpha * self.mu) / self.deviation(t)

    def outward(self, z: Tensor, t: float) -> Tensor:
        """Return the components of χ/r of z."""
        return self.process.vp_marginal(t).alpha * self.mu + self.deviation(t) * z

    def turning(self, t: float) -> Tensor:
        """Return dθ/dt = ½ β α√Σ S²/(σS T)."""
        t = min(1 - EDGE, max(EDGE, t))
        marginal, total = self.process.vp_marginal(t), self.deviation(t) ** 2
        rate = self.process.beta(t) * self.process.noise_variance
        return rate * marginal.alpha * self.sigma.sqrt() / (2 * marginal.std * total)

    def mean_angle(self, t: Tensor) -> Tensor:
        """Return the mean of θ over components at times t (N,)."""
        gamma = self.process.level(t).gamma
        mean = angle(gamma, self.process.noise_variance, self.sigma).mean((1, 2, 3))
        return mean.to(t.device).to(t)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Return the mean angle at t = 0 and by how much it turns until t = 1."""
        first, last = self.mean_angle(self.sigma.new_tensor([0.0, 1.0])).tolist()
        return first, last - first

    def clock(self, t: Tensor) -> Tensor:
        """Return u at times t (N,), from 0 to 1: IDLE · t and, for the rest, the mean angle's
        share of its turn; where nothing turns, t.
        """
        first, turn = self.ends
        return IDLE * t + (1 - IDLE) * ((self.mean_angle(t) - first) / turn if turn > 0 else t)

    def pace(self, turning: Tensor) -> float:
        """Return dt/du where the angles turn by so much in t."""
        turn = self.ends[1]
        return 1 / (IDLE + (1 - IDLE) * (float(turning.mean()) / turn if turn > 0 else 1.0))

    def time_at(self, u: float) -> float:
        """Return t at which the clock shows u, by ever finer tables."""
        low, high = 0.0, 1.0
        for _ in range(ROUNDS):
            t = torch.linspace(low, high, TABLE, dtype=torch.float64)
            right = int(torch.searchsorted(self.clock(t), u).clamp(1, TABLE - 1))
            low, high = t[right - 1 : right + 1].tolist()
        return (low + high) / 2

    def slope(self, z: Tensor, t: float, turning: Tensor) -> tuple[Tensor, Tensor]:
        """Return dz/dt and its divergence (B,)."""
        self.evaluations += 1
        t = min(1 - EDGE, max(EDGE, t))
        with torch.enable_grad():
            z = z.detach().to(self.sigma).requires_grad_()
            marginal = self.process.vp_marginal(t)
            v = -turning * self.model.interaction(self.outward(z, t), marginal)
            return v.detach(), divergence_of(v, z, self.directions)


Integrate = Callable[[_Flow, Tensor, float, float], tuple[Tensor, Tensor]]


def _integrator(steps: int, tolerance: float | None, grid: Grid, progress: Progress) -> Integrate:
    """Return what takes z from one end of time to the other: z there, and ∫ ∇·ż dt on the way."""
    if tolerance is not None:
        check_range("tolerance", tolerance, 1e-8, 0.1)
        return lambda flow, z, start, end: _adaptive(flow, z, start, end, tolerance, progress)
    check_whole("steps", steps, 1, MAX_STEPS)

    def fixed(flow: _Flow, z: Tensor, start: float, end: float) -> tuple[Tensor, Tensor]:
        times = time_grid(flow.process, flow.model.modes, steps, grid)
        return _runge_kutta(flow, z, times if start > end else times[::-1], progress)

    return fixed


def _runge_kutta(
    flow: _Flow, z: Tensor, times: tuple[float, ...], progress: Progress
) -> tuple[Tensor, Tensor]:
    change = z.new_zeros(len(z))

    def slope(z: Tensor, t: float) -> tuple[Tensor, Tensor]:
        return flow.slope(z, t, flow.turning(t))

    for done, (t, s) in enumerate(itertools.pairwise(times), 1):
        h = s - t
        v1, d1 = slope(z, t)
        v2, d2 = slope(z + h / 2 * v1, t + h / 2)
        v3, d3 = slope(z + h / 2 * v2, t + h / 2)
        v4, d4 = slope(z + h * v3, s)
        z = z + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        change = change + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        if progress is not None:
            progress(done, len(times) - 1)
    return z.detach(), change


class _Clocked:
    """The ODE in (z, ∫∇·ż dt) by the clock u, or by 1 − u where it runs backwards in t."""

    def __init__(self, flow: _Flow, sign: float, progress: Progress) -> None:
        self.flow, self.sign, self.progress = flow, sign, progress

    def __call__(self, u: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        flow, z = self.flow, state[0]
        t = flow.time_at(float(u) if self.sign > 0 else 1 - float(u))
        turning = flow.turning(t)
        pace = self.sign * flow.pace(turning)
        v, d = flow.slope(z, t, turning)
        return (pace * hosted(v)).to(z), (pace * hosted(d)).to(z)

    def callback_accept_step(self, u: Tensor, state: tuple[Tensor, Tensor], du: Tensor) -> None:
        del state
        if self.progress is not None:
            self.progress(min(1000, round(1000 * float(u + du))), 1000)


def _adaptive(
    flow: _Flow, z: Tensor, start: float, end: float, tolerance: float, progress: Progress
) -> tuple[Tensor, Tensor]:
    from torchdiffeq import odeint  # which loads SciPy, so only where it is needed

    begin = doubled(z.detach())
    u = torch.tensor([0.0, 1.0], dtype=torch.float64, device=begin.device)
    state = begin, u.new_zeros(len(z))
    # the end is named as a step, lest the integrator look beyond it and interpolate
    options = {"step_t": u[1:], "min_step": MIN_STEP, "max_step": MAX_STEP, "first_step": MAX_STEP}
    clocked = _Clocked(flow, end - start, progress)
    with torch.no_grad():
        path = odeint(
            clocked, state, u, rtol=tolerance, atol=tolerance, method="dopri5", options=options
        )
    return path[0][-1].to(z), path[1][-1].to(z)
