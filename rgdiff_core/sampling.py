r"""Samplers: from noise to data, component by component.

All work with χ/r, which preserves variance. From time t to the earlier s, with λ_k = −γ_k/2 and
q = 1 − α_t²/α_s², the noise that the process adds between them,

- ddim:     χ_s = α_s D + σ_s S ε̂, with ε̂ = (χ_t − α_t D)/(σ_t S); the linear part is exact;
- heun:     the trapezoidal rule for d(χ/α)/dn = Sε̂, n = σ/α, which corrects the DDIM step;
- dpmpp_2m: χ_s = (σ_s/σ_t) χ_t − α_s (e^{−h} − 1) D̃, h = λ_s − λ_t, D̃ extrapolated from two
  steps;
- shell:    draw χ̂ from the denoiser's posterior N(D, V), then χ_s from q(χ_s | χ_t, χ̂): exact in
  distribution for Gaussian
            data at any number of steps, hard cutoffs included.

The last step goes to the data themselves (γ = −∞). Components whose γ does not change in a step
are left untouched.

References:
    Song et al., 2010.02502 (DDIM); Karras et al., 2206.00364 (Heun); Lu et al., 2211.01095
    (DPM-Solver++).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rgdiff_core.bases import Basis
from rgdiff_core.denoisers import Denoiser, Posterior
from rgdiff_core.process import Generators, Marginal, Process, white_noise
from rgdiff_core.spec import check_whole

__all__ = ["METHODS", "State", "check_model", "sample", "trajectory"]

MAX_STEPS = 10_000
MAX_SAMPLES = 100_000


@dataclass(frozen=True, eq=False)
class State:
    """A state on the way from noise to data.

    Attributes:
        step: 0 for the prior, `steps` for the data.
        time: t, from 1 down to 0.
        x: fields φ(t), (n, C, H, W).
        denoised: the denoiser's mean in the step that led here, as fields; None at step 0.
    """

    step: int
    time: float
    x: Tensor
    denoised: Tensor | None


@dataclass(frozen=True, eq=False)
class _Noise:
    """The noise level of χ/r at one time."""

    gamma: Tensor
    color: Tensor

    @property
    def alpha(self) -> Tensor:
        return torch.sigmoid(-self.gamma).sqrt()

    @property
    def std(self) -> Tensor:
        return (torch.sigmoid(self.gamma) * self.color).sqrt()

    @property
    def marginal(self) -> Marginal:
        return Marginal(self.alpha, self.std)


@dataclass(frozen=True, eq=False)
class _Step:
    """All that a step needs: where it stands, where it goes, and what the denoiser says."""

    c: Tensor
    now: _Noise
    target: _Noise
    posterior: Posterior
    evaluate: Callable[[Tensor, _Noise], Posterior]
    draw: Callable[[], Tensor]
    last: bool
    earlier: "_Step | None"


def _ddim(step: _Step) -> Tensor:
    return _ddim_eta(step, 0.0)


def _ancestral(step: _Step) -> Tensor:
    return _ddim_eta(step, 1.0)


def _ddim_eta(step: _Step, eta: float) -> Tensor:
    now, target, mean = step.now, step.target, step.posterior.mean
    eps = (step.c - now.alpha * mean) / now.std
    if eta == 0:
        return target.alpha * mean + target.std * eps
    fresh = eta * target.std * torch.sqrt(_added(now, target) / torch.sigmoid(now.gamma))
    kept = torch.sqrt((target.std**2 - fresh**2).clamp_min(0))
    return target.alpha * mean + kept * eps + fresh * step.draw()


def _shell(step: _Step) -> Tensor:
    now, target, posterior = step.now, step.target, step.posterior
    data = posterior.mean + posterior.variance.sqrt() * step.draw()
    if step.last:
        return data
    noise, added = torch.sigmoid(now.gamma), _added(now, target)
    share = torch.sigmoid(target.gamma) / noise  # σ_s²/σ_t²
    mean = now.alpha / target.alpha * share * step.c + target.alpha * (added / noise) * data
    return mean + torch.sqrt(share * added * now.color) * step.draw()


def _heun(step: _Step) -> Tensor:
    now, target = step.now, step.target
    predicted = _ddim(step)
    if step.last:
        return predicted
    again = step.evaluate(predicted, target).mean
    slope = (step.c - now.alpha * step.posterior.mean) / torch.sigmoid(now.gamma).sqrt()
    slope_again = (predicted - target.alpha * again) / torch.sigmoid(target.gamma).sqrt()
    change = target.alpha * (torch.exp(target.gamma / 2) - torch.exp(now.gamma / 2))
    corrected = predicted + change * (slope_again - slope) / 2
    # where n falls by more than e^{3/2} in one step the trapezoid overshoots: the DDIM step stands
    return torch.where(now.gamma - target.gamma < 3, corrected, predicted)


def _dpmpp_2m(step: _Step) -> Tensor:
    now, target, mean = step.now, step.target, step.posterior.mean
    h = (now.gamma - target.gamma) / 2
    if step.earlier is not None and not step.last:
        before = (step.earlier.now.gamma - now.gamma) / 2
        # a component that has only just begun to move says little of its slope
        weight = torch.where(before > 0, (h / (2 * before)).clamp_max(1), 0.0)
        mean = mean + weight * (mean - step.earlier.posterior.mean)
    return target.std / now.std * step.c - target.alpha * torch.expm1(-h) * mean


def _added(now: _Noise, target: _Noise) -> Tensor:
    """Return q = 1 − α_t²/α_s²."""
    return -torch.expm1((softplus(target.gamma) - softplus(now.gamma)).clamp_max(0))


@dataclass(frozen=True)
class Method:
    """A sampler's step, and whether it integrates the probability-flow ODE (and needs a continuous
    schedule).
    """

    step: Callable[[_Step], Tensor]
    ode: bool


METHODS = {
    "ancestral": Method(_ancestral, ode=False),
    "ddim": Method(_ddim, ode=True),
    "dpmpp_2m": Method(_dpmpp_2m, ode=True),
    "heun": Method(_heun, ode=True),
    "shell": Method(_shell, ode=False),
}


def _check(
    model: Denoiser, process: Process, n: int, steps: int, method: str, generator: Generators
) -> None:
    check_whole("n", n, 1, MAX_SAMPLES)
    check_whole("steps", steps, 1, MAX_STEPS)
    if not isinstance(generator, torch.Generator | None) and len(generator) != n:
        raise ValueError(f"{len(generator)} generators were given for {n} samples.")
    if method not in METHODS:
        raise ValueError(f"method = {method!r} is not one of {', '.join(METHODS)}.")
    if METHODS[method].ode and not process.schedule.continuous:
        raise ValueError(
            f"method = {method!r} integrates an ODE and this schedule jumps: use 'shell'."
        )
    check_model(model, process)


def check_model(model: Denoiser, process: Process) -> None:
    """Raise `ValueError` unless the model's basis is the process'."""
    if not _same_basis(model.basis, process.basis):
        raise ValueError(
            f"the model's basis ({type(model.basis).__name__} {model.basis.shape}) is not the "
            f"process' "
            f"({type(process.basis).__name__} {process.basis.shape})."
        )


def _same_basis(one: Basis, other: Basis) -> bool:
    """Tell whether two bases are alike, by what they make of one field that has a part of
    everything.
    """
    if type(one) is not type(other) or one.shape != other.shape:
        return False
    probe = torch.sin(torch.arange(1.0, 1 + math.prod(one.shape))).reshape(one.shape)
    probe = probe.to(one.scale.device)
    return torch.allclose(one.analyze(probe), other.analyze(probe), atol=1e-3)


def trajectory(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 50,
    method: str = "dpmpp_2m",
    generator: Generators = None,
) -> Iterator[State]:
    """Return an iterator over the states from the prior to the data, steps + 1 of them.

    The prior is the process', with the model's data statistics where the process has none.

    Arguments:
        model: a denoiser in the process' basis.
        n: number of samples, 1 to 100,000.
        steps: 1 to 10,000, uniform in t.
        method: one of METHODS.
        generator: one generator, or n of them, one stream per sample.

    Raises `ValueError` for a value outside its range, a basis that differs, and for an ODE method
    with a schedule that jumps.
    """
    _check(model, process, n, steps, method, generator)
    return _walk(model, process, n, steps, METHODS[method].step, generator)


@torch.no_grad()
def _walk(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int,
    take: Callable[[_Step], Tensor],
    generator: Generators,
) -> Iterator[State]:
    basis = process.basis
    prior = process.prior(model.modes)
    shape = (n, *basis.shape)
    magnitude = process.level(1.0).magnitude
    c = (prior.mean + prior.std * white_noise(shape, prior.std, generator)) / magnitude

    def noise_at(index: int) -> _Noise:
        gamma = process.level(1 - index / steps).gamma
        return _Noise(
            torch.full_like(gamma, -math.inf) if index == steps else gamma, process.noise_variance
        )

    def evaluate(components: Tensor, noise: _Noise) -> Posterior:
        return model.posterior(components, noise.marginal)

    def draw() -> Tensor:
        return white_noise(shape, c, generator)

    yield State(0, 1.0, basis.synthesize(c * magnitude), None)
    now, earlier = noise_at(0), None
    for index in range(1, steps + 1):
        target, time = noise_at(index), 1 - index / steps
        posterior = evaluate(c, now)
        step = _Step(c, now, target, posterior, evaluate, draw, index == steps, earlier)
        c = torch.where(target.gamma == now.gamma, c, take(step))
        magnitude = 1.0 if index == steps else process.level(time).magnitude
        x, denoised = basis.synthesize(c * magnitude), basis.synthesize(posterior.mean)
        yield State(index, time, x, denoised)
        now, earlier = target, replace(step, earlier=None)


def sample(
    model: Denoiser,
    process: Process,
    n: int,
    steps: int = 50,
    method: str = "dpmpp_2m",
    generator: Generators = None,
    callback: Callable[[State], None] | None = None,
) -> Tensor:
    """Draw n fields (n, C, H, W). Arguments and errors as in `trajectory`.

    Arguments:
        callback: called with every `State`; it may raise to cancel.
    """
    state = None
    for state in trajectory(model, process, n, steps, method, generator):
        if callback is not None:
            callback(state)
    if state is None:
        raise ValueError("the trajectory is empty.")
    return state.x
