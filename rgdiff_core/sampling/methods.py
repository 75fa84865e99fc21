r"""The steps of all samplers, from t to the earlier s, per component of χ/r.

With λ = −γ/2, q = 1 − α_t²/α_s² the noise that the process adds between them, ε̂ = (χ_t − α_tD)/
(σ_tS), and (θ, z, f) the interaction picture of the free theory (see `Interaction`):

- euler_maruyama: the reverse SDE with the noise B = ∫β dt of the step;
- ddim(η):        χ_s = α_sD + √(σ_s²S² − e²) ε̂ + e w with e = η σ_sS √q/σ_t; η = 1 is ancestral;
- colored_noise:  ddim with η_k² ∝ sin²θ_k, at the same total of e²;
- shell:          draw χ̂ from N(D, V), then χ_s from q(χ_s | χ_t, χ̂);
- heun:           the trapezoid for d(χ/α)/dn = Sε̂, n = σ/α;
- rk4:            the classical Runge–Kutta step for d(χ/S)/dϑ = −(D − αχ)/(σS), ϑ = arctan n;
- dpmpp_2m:       χ_s = (σ_s/σ_t) χ_t − α_s (e^{−h} − 1) D̃, h = λ_s − λ_t, D̃ from two steps;
- dpmpp_2m_sde:   χ_s = (σ_s/σ_t) e^{−h} χ_t + α_s (1 − e^{−2h}) D̃ + σ_sS √(1 − e^{−2h}) w;
- predictor_corrector: ancestral, then Langevin moves at the new level;
- interaction:    Adams–Bashforth and Adams–Moulton for dz/dθ = −f.

References:
    Song et al., 2010.02502 (DDIM); Karras et al., 2206.00364 (Heun); Lu et al., 2211.01095
    (DPM-Solver++); Song et al., 2011.13456 (predictor–corrector); Salimans & Ho, 2202.00512 (the
    angle); Davidson et al., 2605.30332 (coloured noise); Hult, J. Lightwave Technol. 25 (2007)
    3770 (integrating in the interaction picture); Zhao et al., 2302.04867 (a corrector without
    evaluations of its own).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgdiff_core.process import Process
from rgdiff_core.sampling.grids import angle
from rgdiff_core.sampling.interface import (
    Method,
    NoiseLevel,
    StepContext,
    StepResult,
    added_noise,
    ddim_step,
    extrapolated,
    into_picture,
    out_of_picture,
)
from rgdiff_core.spec import check_range, check_whole

__all__ = [
    "DDIM",
    "METHODS",
    "RK4",
    "Ancestral",
    "ColoredNoise",
    "DPMpp2M",
    "DPMpp2MSDE",
    "EulerMaruyama",
    "Heun",
    "Interaction",
    "PredictorCorrector",
    "Shell",
]

STEEP = 3.0  # fall of γ in one step beyond which a trapezoid in n overshoots


@dataclass(frozen=True)
class DDIM(Method):
    """Denoise and noise again, with a share η in [0, 1] of the noise drawn afresh."""

    eta: float = 0.0
    title = "DDIM"
    help = "First order. The predicted noise is kept; with η > 0 a part of it is drawn afresh."

    def __post_init__(self) -> None:
        check_range("eta", self.eta, 0, 1)

    @property
    def ode(self) -> bool:  # type: ignore[override]
        """Return whether nothing is drawn."""
        return self.eta == 0

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        mean = ctx.mean()
        return StepResult(ddim_step(ctx, mean, self.eta), mean)


@dataclass(frozen=True)
class Ancestral(Method):
    """DDIM with η = 1: the step of DDPM."""

    title = "Ancestral (DDPM)"
    help = "First order, stochastic. Loses variance where a mode passes the cutoff in one step."

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        mean = ctx.mean()
        return StepResult(ddim_step(ctx, mean, 1.0), mean)


@dataclass(frozen=True)
class ColoredNoise(Method):
    r"""DDIM whose fresh noise goes where scales are not resolved yet, after 2605.30332.

    With a perfect denoiser and many steps every η_k leaves the marginals alone. In all as much is
    drawn as by `DDIM(eta)`, Σ_k e_k², but shared out by sin²θ_k, the part of the data's variance
    that is not known yet: the free theory knows what the paper measures.

    Arguments:
        eta: in (0, 1], of the whole.
    """

    eta: float = 1.0
    title = "Coloured noise"
    help = "First order, stochastic: fresh noise only at scales that are not resolved yet (CNS)."

    def __post_init__(self) -> None:
        check_range("eta", self.eta, 0, 1, low_open=True)

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        mean, level_t, level_s = ctx.mean(), ctx.level_t, ctx.level_s
        theta = angle(level_t.gamma, level_t.color, ctx.model.free_variance)
        unknown = torch.where(ctx.model.free_variance > 0, torch.sin(theta) ** 2, 0.0)
        share = added_noise(level_t, level_s) / level_t.sigma2
        energy = level_s.std**2 * share
        total, used = (e.sum((-3, -2, -1), keepdim=True) for e in (energy, unknown * energy))
        eta2 = self.eta**2 * unknown * total / torch.where(used > 0, used, 1.0)
        most = 1 / torch.where(share > 0, share, 1.0)  # all of a component's noise
        return StepResult(ddim_step(ctx, mean, torch.minimum(eta2, most).sqrt()), mean)


@dataclass(frozen=True)
class Shell(Method):
    """Draw the data from the denoiser's posterior, then the process between: exact in
    distribution for Gaussian data at any number of steps, hard cutoffs included.
    """

    title = "Shell"
    help = "Stochastic. Draws the data from the posterior: any schedule, hard cutoffs included."
    at_jumps = (
        "Where the schedule is discontinuous, this step draws newly resolved modes from a "
        "Gaussian: for data that are not Gaussian no number of steps is enough."
    )

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        level_t, level_s = ctx.level_t, ctx.level_s
        posterior = ctx.model.posterior(ctx.c, level_t.marginal)
        data = posterior.mean + posterior.variance.sqrt() * ctx.draw()
        added, share = added_noise(level_t, level_s), level_s.sigma2 / level_t.sigma2
        mean = level_t.alpha / level_s.alpha * share * ctx.c
        mean = mean + level_s.alpha * (added / level_t.sigma2) * data
        c = mean + torch.sqrt(share * added * level_t.color) * ctx.draw()
        return StepResult(c, posterior.mean)


@dataclass(frozen=True)
class EulerMaruyama(Method):
    """Euler's rule for the reverse SDE, in units of the step's own noise B = ∫β dt.

    Where it would overshoot, in steps of much noise, the ancestral step stands.
    """

    title = "Euler–Maruyama"
    help = "First order, stochastic: the reverse SDE as it stands. Needs many steps."

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        level_t, level_s, mean = ctx.level_t, ctx.level_s, ctx.mean()
        total = softplus(level_t.gamma) - softplus(level_s.gamma)  # B
        score = (level_t.alpha * mean - ctx.c) / level_t.sigma2  # S² times the score
        noise = torch.sqrt((total * level_t.color).clamp_min(0)) * ctx.draw()
        c = ctx.c + total * (ctx.c / 2 + score) + noise
        steady = (total * (1 / level_t.sigma2 - 0.5) < 1) & (level_s.gamma > -math.inf)
        return StepResult(torch.where(steady, c, ddim_step(ctx, mean, 1.0)), mean)


@dataclass(frozen=True)
class Heun(Method):
    """The trapezoid that corrects the DDIM step, which stands where γ falls by 3 or more."""

    ode = True
    order = 2
    evaluations = 2
    title = "Heun"
    help = "Second order, two evaluations per step: the sampler of EDM."

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        level_t, level_s, mean = ctx.level_t, ctx.level_s, ctx.mean()
        predicted = ddim_step(ctx, mean, 0.0)
        if ctx.times[1] == 0:
            return StepResult(predicted, mean)
        again = ctx.model.posterior(predicted, level_s.marginal).mean
        slope = (ctx.c - level_t.alpha * mean) / level_t.sigma2.sqrt()
        sigma = torch.where(level_s.gamma > -math.inf, level_s.sigma2, 1.0).sqrt()
        slope_again = (predicted - level_s.alpha * again) / sigma
        change = level_s.alpha * (torch.exp(level_s.gamma / 2) - torch.exp(level_t.gamma / 2))
        corrected = predicted + change * (slope_again - slope) / 2
        steep = level_t.gamma - level_s.gamma >= STEEP
        return StepResult(torch.where(steep, predicted, corrected), mean)


@dataclass(frozen=True)
class RK4(Method):
    """The classical Runge–Kutta step, uniform in t, of the flow in the angle ϑ = arctan(σ/α).

    Each component turns by just the angle between the two levels; where the three nodes miss more
    than half of it, the DDIM step stands. A step that finishes components costs one more call.
    """

    ode = True
    order = 4
    evaluations = 4
    title = "Runge–Kutta 4"
    help = "Fourth order, four evaluations per step: for exact trajectories of smooth schedules."

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        (t, s), process = ctx.times, ctx.process
        end = process.level(s).gamma
        mid = replace(ctx.level_t, gamma=process.level((t + s) / 2).gamma)
        level_s, half = replace(ctx.level_t, gamma=end), (t - s) / 2
        means: list[Tensor] = []

        def slope(c: Tensor, noise: NoiseLevel) -> Tensor:
            means.append(ctx.model.posterior(c, noise.marginal).mean)
            return (means[-1] - noise.alpha * c) * torch.sqrt(noise.color) / noise.std

        rates = [self._turning(process, time) for time in (t, (t + s) / 2, s)]
        simpson = half / 3 * (rates[0] + 4 * rates[1] + rates[2])
        one = torch.ones_like(simpson)
        turned = angle(ctx.level_t.gamma, one, one) - angle(end, one, one)
        share = turned / torch.where(simpson > 0, simpson, 1.0)
        caught = (share > 0.5) & (share < 2)
        first, middle, last = (torch.where(caught, share * rate, 0.0) for rate in rates)
        k1 = first * slope(ctx.c, ctx.level_t)
        k2 = middle * slope(ctx.c + half * k1, mid)
        k3 = middle * slope(ctx.c + half * k2, mid)
        k4 = last * slope(ctx.c + 2 * half * k3, level_s)
        c = ctx.c + half / 3 * (k1 + 2 * k2 + 2 * k3 + k4)
        if ctx.finishing:
            data = ctx.model.posterior(c, level_s.marginal).mean
            c = torch.where(ctx.level_s.gamma == -math.inf, data, c)
        return StepResult(torch.where(caught, c, ddim_step(ctx, means[0], 0.0)), means[0])

    @staticmethod
    def _turning(process: Process, t: float) -> Tensor:
        """Return dϑ/dt = β α/(2σ)."""
        return process.beta(t) * torch.exp(-process.level(t).gamma / 2) / 2


@dataclass(frozen=True)
class DPMpp2M(Method):
    """DPM-Solver++(2M): the denoiser's mean extrapolated from two steps, exact where it is
    constant. The extrapolation never goes further than the last step went.
    """

    ode = True
    order = 2
    title = "DPM-Solver++(2M)"
    help = "Second order with one evaluation per step: the usual choice for few steps."

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        mean, h = ctx.mean(), (ctx.level_t.gamma - ctx.level_s.gamma) / 2
        guess = extrapolated(ctx.memory, mean, h)
        c = ctx.level_s.std / ctx.level_t.std * ctx.c - ctx.level_s.alpha * torch.expm1(-h) * guess
        return StepResult(c, mean, (mean, h))


@dataclass(frozen=True)
class DPMpp2MSDE(Method):
    """The same for the reverse SDE."""

    order = 1
    title = "DPM-Solver++(2M) SDE"
    help = "The stochastic form of DPM-Solver++(2M): forgets errors, at the price of noise."

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        mean, h = ctx.mean(), (ctx.level_t.gamma - ctx.level_s.gamma) / 2
        guess = extrapolated(ctx.memory, mean, h)
        fresh = -torch.expm1(-2 * h)
        c = (
            ctx.level_s.std / ctx.level_t.std * torch.exp(-h) * ctx.c
            + ctx.level_s.alpha * fresh * guess
        )
        c = c + ctx.level_s.std * fresh.clamp_min(0).sqrt() * ctx.draw()
        return StepResult(c, mean, (mean, h))


@dataclass(frozen=True)
class PredictorCorrector(Method):
    """An ancestral step, and Langevin moves at the level that it reaches.

    A move is an Ornstein–Uhlenbeck step in z of length `strength` · sin²θ with the interaction's
    force: it leaves Gaussian data as they are.

    Arguments:
        strength: in (0, 2]; 2 · 0.16² is that of Song et al.
        corrections: moves in each step, 1 to 16.
    """

    strength: float = 0.05
    corrections: int = 1
    title = "Predictor–corrector"
    help = "An ancestral step, then a Langevin move at the new level. Two evaluations per step."

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0, 2, low_open=True)
        check_whole("corrections", self.corrections, 1, 16)

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        """Return how often a step asks the denoiser."""
        return 1 + self.corrections

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        mean = ctx.mean()
        c = ddim_step(ctx, mean, 1.0)
        if ctx.times[1] == 0:
            return StepResult(c, mean)
        level_s, model = ctx.level_s, ctx.model
        theta = angle(level_s.gamma, level_s.color, model.free_variance)
        length = self.strength * torch.sin(theta) ** 2
        pull = -torch.expm1(-length) / torch.tan(theta).clamp_min(1e-6)
        fresh = torch.sqrt(-torch.expm1(-2 * length))
        for _ in range(self.corrections):
            z = into_picture(ctx, c, level_s)
            force = model.interaction(c, level_s.marginal)
            z = torch.exp(-length) * z + pull * force + fresh * ctx.draw()
            c = torch.where(length > 0, out_of_picture(ctx, z, level_s), c)
        return StepResult(c, mean)


@dataclass(frozen=True)
class Interaction(Method):
    r"""The probability flow in the interaction picture of the free theory.

    With T = α²Σ + σ²S², z = (χ − αμ)/√T, θ = arctan(σS/(α√Σ)) and D = m + √V f, m and V those of
    the free theory, the flow is exactly dz/dθ = −f, regular down to the data at θ = 0. Gaussian
    data stand still; what moves is what the network adds.

    The rule is Adams–Bashforth of two steps δ per component, with sin δ for δ: as DDIM, of which
    it is the part beyond the free theory, it does not overshoot in long steps. Once f is known at
    the new level, the step there is corrected by Adams–Moulton's rule of three points, at no cost.
    Neither extrapolates further than the last step went.
    """

    ode = True
    order = 3
    title = "Exponential integrator (interaction picture)"
    help = (
        "Third order with one evaluation per step; exact for Gaussian data at any number of steps."
    )

    def step(self, ctx: StepContext) -> StepResult:
        """Take the step."""
        model, marginal = ctx.model, ctx.level_t.marginal
        free, force = model.free(ctx.c, marginal), model.interaction(ctx.c, marginal)
        theta, theta_next = (
            angle(noise.gamma, noise.color, model.free_variance)
            for noise in (ctx.level_t, ctx.level_s)
        )
        turn = theta - theta_next
        z = self._corrected(ctx, force)
        ahead = z + torch.sin(turn) * extrapolated(ctx.memory, force, turn)
        mean = free.mean + free.variance.sqrt() * force
        earlier = ctx.memory or (force, torch.zeros_like(turn))
        memory = (force, turn, z, *earlier[:2])
        return StepResult(out_of_picture(ctx, ahead, ctx.level_s), mean, memory)

    @staticmethod
    def _corrected(ctx: StepContext, force: Tensor) -> Tensor:
        """Return z at the start of the step, corrected by the denoiser's estimate there."""
        z = into_picture(ctx, ctx.c, ctx.level_t)
        if ctx.memory is None:
            return z
        middle, turn, before, first, turn_first = ctx.memory
        r = (turn / torch.where(turn_first > 0, turn_first, 1.0)).clamp_max(2)
        r = torch.where(turn_first > 0, r, 0.0)  # the trapezoid, where nothing came before
        mean = (2 * r + 3) / (1 + r) * force + (r + 3) * middle - r**2 / (1 + r) * first
        return torch.where(turn > 0, before + turn / 6 * mean, z)


METHODS: dict[str, Method] = {
    "dpmpp_2m": DPMpp2M(),
    "interaction": Interaction(),
    "heun": Heun(),
    "rk4": RK4(),
    "ddim": DDIM(),
    "shell": Shell(),
    "ancestral": Ancestral(),
    "colored_noise": ColoredNoise(),
    "euler_maruyama": EulerMaruyama(),
    "dpmpp_2m_sde": DPMpp2MSDE(),
    "predictor_corrector": PredictorCorrector(),
}
