r"""A lower bound of log p(x): that of the shell sampler in N steps, with nothing left out.

From t to the earlier s the shell sampler draws χ̂(0) from N(D, V) and χ_s from q(χ_s|χ_t, χ̂). With
ρ = V_t (SNR_s − SNR_t), SNR = α²/(σ²S²), and V the free theory's posterior variance, for which
1/V = 1/Σ + SNR and so 1 + ρ = V_t/V_s, the divergence of q(χ_s|χ_t, χ(0)) from such a step is

    KL = ½ [log(1 + ρ) + ρ/(1 + ρ) (|χ(0) − D|²/V_t − 1)]

per component. For the free theory's own mean m the steps are those of the joint Gaussian, so its
bound is log N(x; μ, Σ) itself, for every x. Logarithms and the prior's divergence are the same
for every D. What remains is a difference, and no constant:

    −log p(x) ≤ −log N(x; μ, Σ) + ½ Σ_i Σ_k (1 − V_k(t_{i+1})/V_k(t_i)) E[excess_k(t_i)],
    excess = (|χ(0) − D|² − |χ(0) − m|²)/V = f (f + 2 (m − χ(0))/√V),    f = (D − m)/√V,

over times 1 = t_0 > … > t_N = 0. A component that reaches the schedule's least noise goes to the
data themselves (V = 0), as in the sampler. For Gaussian data the bound is their density at any N,
without variance; schedules may jump. As N → ∞ it becomes ½∫Σ_k E|χ_k(0) − D_k|² d(SNR_k), less
the same for m. Nats.

References:
    Ho et al., 2006.11239, eq. 5; Kingma et al., 2107.00630, section 4 (both for scalar noise).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.base import free_error
from rgdiff_core.likelihood.densities import free_log_density
from rgdiff_core.process import Generators, Marginal, Process, white_noise
from rgdiff_core.sampling import check_model, time_grid
from rgdiff_core.sampling.grids import Grid
from rgdiff_core.sampling.methods import NoiseLevel
from rgdiff_core.spec import check_whole

__all__ = ["elbo", "excess", "excess_at", "levels", "step_weights_at"]

MAX_STEPS = 10_000


def elbo(
    model: Denoiser,
    process: Process,
    x: Tensor,
    steps: int = 100,
    generator: Generators = None,
    *,
    grid: Grid = "uniform",
    progress: Callable[[int, int], None] | None = None,
    class_labels: Tensor | None = None,
) -> Tensor:
    """Return an unbiased estimate, (B,), in nats, of a lower bound of log p(x) of fields x.

    p is what the shell sampler draws in so many steps from the free theory's prior, with the free
    theory's variance.

    Arguments:
        model: a denoiser in the process' basis.
        x: fields (B, C, H, W).
        steps: of the sampler, 1 to 10,000; each evaluates the denoiser once.
        generator: one generator, or B of them.
        grid: the times, as of `sample`.
        progress: called with (steps completed, total); it may raise to cancel.
        class_labels: int64 (B,) or (1,), -1 for any class; default: those of the model.

    Raises `ValueError` for a value outside its range, fields of another shape, a basis that
    differs, and a model that is given components exactly.
    """
    model = model.given(class_labels)
    check_whole("steps", steps, 1, MAX_STEPS)
    check_model(model, process)
    times = torch.tensor(time_grid(process, model.modes, steps, grid))
    with torch.no_grad():
        bound = free_log_density(model, x)
        marginals = levels(process, times)
        weights = step_weights_at(marginals, model.free_variance)
        for i in range(steps):
            marginal = Marginal(marginals.alpha[i], marginals.std[i])
            terms = weights[i] * excess_at(model, x, marginal, white_noise(x.shape, x, generator))
            bound = bound - terms.flatten(1).sum(1) / 2
            if progress is not None:
                progress(i + 1, steps)
    return bound


def levels(process: Process, times: Tensor) -> Marginal:
    """Return the marginals of χ/r, (N + 1, C or 1, H, W), at times (N + 1,) falling from 1 to 0,
    with (1, 0) for components that have reached their least noise, as in the sampler.
    """
    gamma = process.level(times).gamma
    clean = gamma <= gamma[-1]
    clean[0], clean[-1] = False, True
    return NoiseLevel(gamma, process.noise_variance, clean).marginal


def excess(
    model: Denoiser, process: Process, x: Tensor, t: Tensor | float, noise: Tensor
) -> Tensor:
    """Return (|χ(0) − D|² − |χ(0) − m|²)/V, (B, C, H, W), of fields x at times t, () or (B,).

    Arguments:
        noise: white, (B, C, H, W), in component space.
    """
    return excess_at(model, x, process.vp_marginal(t), noise)


def excess_at(model: Denoiser, x: Tensor, marginal: Marginal, noise: Tensor) -> Tensor:
    """Return the excess at a marginal of χ/r; it is differentiable in the marginal."""
    data = model.basis.analyze(x)
    free = free_error(data, noise, marginal, model.free_mean, model.free_variance)
    f = model.interaction(marginal.alpha * data + marginal.std * noise, marginal)
    return f * (f + 2 * free)


def step_weights_at(marginals: Marginal, variance: Tensor) -> Tensor:
    """Return the weights 1 − V(t_{i+1})/V(t_i), (N, …), of the steps between N + 1 marginals of
    χ/r, latest first; they are differentiable in the marginals.

    Arguments:
        variance: Σ of the data's components, (C or 1, H, W).
    """
    left = marginals.posterior_variance(variance)
    before, after = left[:-1], left[1:]
    return torch.where(before > 0, 1 - after / torch.where(before > 0, before, 1.0), 0.0)
