r"""The density of what a denoiser samples, by the probability-flow ODE.

With the Gaussian marginal N(αμ, T), T = α²Σ + σ²S², of the free theory taken out,
z = (χ/r − αμ)/√T, and D = m + √V f with the free theory's posterior mean m and variance V, the
flow is

    dz_k/dθ_k = −f_k,    θ_k = arctan(σ_kS_k/(α_k√Σ_k)),

the interaction picture: z stands still for Gaussian data, where the result is exact in any number
of steps, and moves little for data that are nearly so. The prior at t = 1 is
N(0, 1) in z, and log q(χ(0)) = log N(z(1)) + ∫₀¹ ∇·ż dt − ½ Σ log T(0).

The density is that of χ at t = 0, which still has the little noise of the schedule's first level.
Nats; integration is by the classical Runge–Kutta method of order 4, uniform in t.

References:
    Song et al., 2011.13456, section 4.3; Grathwohl et al., 1810.01367 (Hutchinson's trace).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.process import Generators, Process, white_noise
from rgdiff_core.sampling import check_model
from rgdiff_core.spec import check_whole

__all__ = [
    "DIVERGENCES",
    "Flowed",
    "log_likelihood",
    "log_volume",
    "normal_log_density",
    "sample_with_density",
]

DIVERGENCES = ("exact", "hutchinson")
MAX_STEPS = 10_000

Trace = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Flowed:
    """Samples of the probability flow: fields x (n, C, H, W) and their log density (n,), nats."""

    x: Tensor
    log_density: Tensor


def log_likelihood(
    model: Denoiser,
    process: Process,
    x: Tensor,
    steps: int = 100,
    divergence: str = "exact",
    generator: Generators = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Return log q(x), (B,), in nats, of fields x (B, C, H, W).

    Arguments:
        model: a denoiser in the process' basis.
        steps: of the integrator, 1 to 10,000; each evaluates the score four times.
        divergence: "exact", a backward pass for each of the C·H·W components, or "hutchinson",
            one for all, unbiased.
        generator: for Hutchinson's signs.
        progress: called with (steps done, steps in all); it may raise to cancel.

    Raises `ValueError` for a value outside its range, a basis that differs, a schedule that jumps.
    """
    flow = _Flow(model, process, steps)
    trace = _trace(divergence, x, generator)
    first = process.level(0.0).magnitude
    c = process.basis.analyze(x) / first
    z = (c - flow.mean(0.0)) / flow.total(0.0).sqrt()
    z, change = flow.run(z, 0.0, 1.0, trace, progress)
    return normal_log_density(z) + change - log_volume(flow.total(0.0).sqrt() * first, x)


def sample_with_density(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 100,
    divergence: str = "exact",
    generator: Generators = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Flowed:
    """Draw n fields by the probability flow, with their log density: see `log_likelihood`."""
    check_whole("n", n, 1, 1_000_000)
    flow = _Flow(model, process, steps)
    like = process.noise_variance
    z = white_noise((n, *process.basis.shape), like, generator)
    trace = _trace(divergence, z, generator)
    prior = normal_log_density(z)
    z, change = flow.run(z, 1.0, 0.0, trace, progress)
    first = process.level(0.0).magnitude
    scale = flow.total(0.0).sqrt()
    x = process.basis.synthesize((flow.mean(0.0) + scale * z) * first)
    return Flowed(x, prior - change - log_volume(scale * first, x))


class _Flow:
    """The ODE in z."""

    def __init__(self, model: Denoiser, process: Process, steps: int) -> None:
        check_whole("steps", steps, 1, MAX_STEPS)
        check_model(model, process)
        if not process.schedule.continuous:
            raise ValueError("the probability flow needs a schedule that does not jump.")
        self.model, self.process, self.steps = model, process, steps
        self.mu, self.sigma = model.modes_mean, model.modes_variance

    def mean(self, t: float) -> Tensor:
        return self.process.preserved(t).alpha * self.mu

    def total(self, t: float) -> Tensor:
        marginal = self.process.preserved(t)
        return marginal.alpha**2 * self.sigma + marginal.std**2

    def velocity(self, z: Tensor, t: float) -> Tensor:
        marginal, total = self.process.preserved(t), self.total(t)
        c = marginal.alpha * self.mu + total.sqrt() * z
        rate = self.process.schedule.beta(t, self.process.modes) * self.process.noise_variance
        turning = rate * marginal.alpha * self.sigma.sqrt() / (2 * marginal.std * total)
        return -turning * self.model.interaction(c, marginal)

    def run(
        self,
        z: Tensor,
        start: float,
        end: float,
        trace: Trace,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[Tensor, Tensor]:
        """Return z at the end and the integral of the divergence, signed as ∫₀¹ dt."""
        h = (end - start) / self.steps
        change = torch.zeros(len(z), dtype=z.dtype, device=z.device)

        def slope(z: Tensor, t: float) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                v = self.velocity(z, t)
                return v.detach(), trace(v, z)

        for step in range(self.steps):
            t = start + step * h
            v1, d1 = slope(z, t)
            v2, d2 = slope(z + h / 2 * v1, t + h / 2)
            v3, d3 = slope(z + h / 2 * v2, t + h / 2)
            v4, d4 = slope(z + h * v3, min(1.0, max(0.0, t + h)))
            z = z + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
            change = change + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
            if progress is not None:
                progress(step + 1, self.steps)
        return z.detach(), change


def _trace(divergence: str, like: Tensor, generator: Generators) -> Trace:
    """Return what takes the divergence of v(z), (B,)."""
    if divergence == "exact":
        return _exact
    if divergence != "hutchinson":
        raise ValueError(f"divergence = {divergence!r} is not one of {', '.join(DIVERGENCES)}.")
    signs = torch.where(white_noise(like.shape, like, generator) < 0, -1.0, 1.0).to(like)

    def estimate(v: Tensor, z: Tensor) -> Tensor:
        if not v.requires_grad:
            return torch.zeros(len(z), dtype=z.dtype, device=z.device)
        (pulled,) = torch.autograd.grad(v, z, signs)
        return (pulled * signs).flatten(1).sum(1)

    return estimate


def _exact(v: Tensor, z: Tensor) -> Tensor:
    result = torch.zeros(len(z), dtype=z.dtype, device=z.device)
    if not v.requires_grad:
        return result
    flat = v.flatten(1)
    for k in range(flat.shape[1]):
        (row,) = torch.autograd.grad(flat[:, k].sum(), z, retain_graph=True)
        result = result + row.flatten(1)[:, k]
    return result


def normal_log_density(z: Tensor) -> Tensor:
    """Return the log density (B,) of N(0, 1) in every component."""
    return -(z**2 + math.log(2 * math.pi)).flatten(1).sum(1) / 2


def log_volume(scale: Tensor, x: Tensor) -> Tensor:
    """Return Σ log scale over all components of fields like x."""
    return torch.log(scale).expand(x.shape[1:]).sum()
