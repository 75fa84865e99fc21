"""One denoiser and one scalar process for ours, diffusers' schedulers and azula's samplers.

Peers work with fields in units of S, white noise of unit variance; all start from the same fields.
Each gets as many evaluations of the denoiser as it is asked for, the last of which goes to the
data: diffusers' schedulers do that themselves, azula's end at t = 0 and are denoised once more.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import azula.denoise
import azula.sample
import diffusers
import torch
from torch import Tensor

from rgdiff_core import Denoiser, Marginal, Process
from rgdiff_core.sampling import METHODS, reverse

__all__ = ["Scalar", "azula_samplers", "diffusers_loops", "our_samplers"]

TRAINING_STEPS = 1000
Run = Callable[[Tensor, int], Tensor]  # fields at t = 1 and a number of evaluations


@dataclass(frozen=True, eq=False)
class Scalar:
    """A denoiser with a process that treats all components alike.

    Attributes:
        model: in the process' basis.
        process: of white noise and a scalar schedule.
        evaluate: counts nothing, changes nothing; the peers' one way to the denoiser.
    """

    model: Denoiser
    process: Process

    @property
    def deviation(self) -> float:
        """Return S, the same everywhere."""
        return float(self.process.noise_variance.flatten()[0]) ** 0.5

    def alpha(self, t: Tensor) -> Tensor:
        """Return α at times t, of their shape."""
        return self.process.level(t).alpha.flatten(-3)[..., 0]

    def denoise(self, x: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """Return D for fields x of unit noise, in units of S."""
        one = torch.ones_like(self.process.noise_variance)
        c = self.model.basis.analyze(x) * self.deviation
        marginal = Marginal(alpha * one, sigma * self.deviation * one)
        return self.model.basis.synthesize(self.model.posterior(c, marginal).mean / self.deviation)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def our_samplers(scalar: Scalar, names: list[str], grid: str = "uniform") -> dict[str, Run]:
    """Return our samplers, from fields to fields."""

    def run(name: str) -> Run:
        def draw(x: Tensor, evaluations: int) -> Tensor:
            c = scalar.process.basis.analyze(x) * scalar.deviation
            steps = -(-evaluations // METHODS[name].evaluations)  # Heun's last step needs but one
            *_, last = reverse(scalar.model, scalar.process, c, steps, name, grid=grid)
            return scalar.process.basis.synthesize(last.components)

        return draw

    return {f"rgdiff {name}, {grid}": run(name) for name in names}


def diffusers_loops(scalar: Scalar) -> dict[str, Run]:
    """Return the loops of diffusers' schedulers, as their pipelines run them."""
    t = (torch.arange(TRAINING_STEPS, dtype=torch.float64) + 1) / TRAINING_STEPS
    products = scalar.alpha(t.to(scalar.process.noise_variance)).double() ** 2
    betas = 1 - products / torch.cat((torch.ones(1, dtype=torch.float64), products[:-1]))
    common = {"trained_betas": betas.numpy(), "timestep_spacing": "trailing"}
    kinds = {
        "DDIM": (diffusers.DDIMScheduler, {"clip_sample": False}),
        "DPMSolverMultistep": (
            diffusers.DPMSolverMultistepScheduler,
            {"final_sigmas_type": "zero", "algorithm_type": "dpmsolver++"},
        ),
        "UniPCMultistep": (diffusers.UniPCMultistepScheduler, {"final_sigmas_type": "zero"}),
        "HeunDiscrete": (diffusers.HeunDiscreteScheduler, {}),
    }

    def run(kind: type, options: dict) -> Run:
        def draw(x: Tensor, evaluations: int) -> Tensor:
            with _quiet():
                scheduler = kind(TRAINING_STEPS, **common, **options)
                halves = kind is diffusers.HeunDiscreteScheduler
                scheduler.set_timesteps((evaluations + 1) // 2 if halves else evaluations)
                if halves:  # its variable is χ/α
                    x = x * (scheduler.sigmas[0] ** 2 + 1) ** 0.5
                for index, step in enumerate(scheduler.timesteps):
                    if halves:
                        sigma = scheduler.sigmas[index]
                        alpha = (1 + sigma**2).rsqrt()
                        mean = scalar.denoise(x * alpha, alpha, sigma * alpha)
                        x = scheduler.step((x - mean) / sigma, step, x).prev_sample
                        continue
                    alpha = scheduler.alphas_cumprod[int(step)].sqrt()
                    sigma = (1 - alpha**2).sqrt()
                    eps = (x - alpha * scalar.denoise(x, alpha, sigma)) / sigma
                    x = scheduler.step(eps, step, x).prev_sample.to(x)
            return x * scalar.deviation

        return draw

    return {f"diffusers {name}": run(*each) for name, each in kinds.items()}


class _AzulaDenoiser(azula.denoise.Denoiser):
    def __init__(self, scalar: Scalar) -> None:
        super().__init__()
        self.scalar = scalar

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.scalar.alpha(t.clamp(0, 1))
        return alpha, (1 - alpha**2).sqrt()

    def forward(self, x_t: Tensor, t: Tensor, **options: object) -> azula.denoise.DiracPosterior:
        del options
        return azula.denoise.DiracPosterior(self.scalar.denoise(x_t, *self.schedule(t)))


def azula_samplers(scalar: Scalar) -> dict[str, Run]:
    """Return azula's deterministic samplers."""
    denoiser = _AzulaDenoiser(scalar)
    kinds = {
        name: getattr(azula.sample, f"{name}Sampler")
        for name in ("DDIM", "Heun", "zAB", "vAB", "zEAB", "xEAB")
    }

    def run(name: str, kind: type) -> Run:
        def draw(x: Tensor, evaluations: int) -> Tensor:
            steps = (evaluations - 1) // 2 if name == "Heun" else evaluations - 1
            x = kind(denoiser, steps=steps, silent=True)(x)
            return scalar.denoise(x, *denoiser.schedule(torch.zeros(()))) * scalar.deviation

        return draw

    return {f"azula {name}": run(name, kind) for name, kind in kinds.items()}
