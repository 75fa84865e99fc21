"""Schedules against the papers' own (α, σ), written out here, and against diffusers."""

import itertools
import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from rgdiff_core import schedules
from rgdiff_core.bases import CosineBasis, PixelBasis
from rgdiff_core.bases.modes import Modes


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
