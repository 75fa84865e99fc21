"""Scalar schedules: every component alike, as in standard diffusion."""

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules.base import Schedule, check_gammas, everywhere
from rgdiff_core.schedules.kernels import log_expm1
from rgdiff_core.spec import check_range

__all__ = ["EDM", "VE", "Cosine", "FlowMatching", "LinearBeta", "LinearGamma"]


@dataclass(frozen=True)
class LinearBeta(Schedule):
    """Variance preserving with β rising linearly: DDPM in continuous time.

    References:
        Ho et al., 2006.11239; Song et al., 2011.13456, eq. 32.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        check_range("beta_min", self.beta_min, 0, 1e3, low_open=True)
        check_range("beta_max", self.beta_max, self.beta_min, 1e3)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return log expm1(∫₀ᵗ β)."""
        integral = self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2
        return everywhere(log_expm1(integral), modes)


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""α² = f(t)/f(0) with f = cos²(π/2 · (t + s)/(1 + s)).

    References:
        Nichol & Dhariwal, 2102.09672, eq. 17.
    """

    s: float = 0.008

    def __post_init__(self) -> None:
        check_range("s", self.s, 0, 1)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return log(f(0)/f(t) − 1)."""
        first = math.pi / 2 * self.s / (1 + self.s)
        turn = math.pi / 2 * t / (1 + self.s)  # angle beyond the first
        to_end = math.pi / 2 * (1 - t) / (1 + self.s)
        # f(0) − f(t) = sin(a − a₀) sin(a + a₀), and cos a = sin(π/2 − a)
        noise = torch.log(torch.sin(turn)) + torch.log(torch.sin(turn + 2 * first))
        return everywhere(noise - 2 * torch.log(torch.sin(to_end)), modes)


@dataclass(frozen=True)
class LinearGamma(Schedule):
    """The log-SNR falls linearly: γ = γ_min + t (γ_max − γ_min).

    References:
        Kingma et al., Variational diffusion models, 2107.00630.
    """

    gamma_min: float = -13.3
    gamma_max: float = 5.0

    def __post_init__(self) -> None:
        check_gammas(self.gamma_min, self.gamma_max)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return γ_min + t (γ_max − γ_min)."""
        return everywhere(self.gamma_min + t * (self.gamma_max - self.gamma_min), modes)


class _Exploding(Schedule):
    """α = 1 while σ grows: γ = 2 log σ and r² = 1 + σ². Derived classes write `sigma_at`."""

    @abc.abstractmethod
    def sigma_at(self, t: Tensor) -> Tensor:
        """Return σ(t) > 0, of the shape of t."""

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return 2 log σ."""
        return everywhere(2 * self.sigma_at(t).log(), modes)

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return √(1 + σ²)."""
        return torch.hypot(torch.ones_like(t), self.sigma_at(t))


@dataclass(frozen=True)
class VE(_Exploding):
    """Variance exploding: α = 1, σ = σ_min (σ_max/σ_min)^t. Its colour is white, not normalized.

    References:
        Song et al., 2011.13456, eq. 31.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _check_sigmas(self.sigma_min, self.sigma_max)

    def sigma_at(self, t: Tensor) -> Tensor:
        """Return σ_min (σ_max/σ_min)^t."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t


@dataclass(frozen=True)
class EDM(_Exploding):
    """α = 1, σ^{1/ρ} linear in t: the time steps of Karras et al. taken as a schedule.

    References:
        Karras et al., 2206.00364, eq. 5.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        _check_sigmas(self.sigma_min, self.sigma_max)
        check_range("rho", self.rho, 0.1, 100)

    def sigma_at(self, t: Tensor) -> Tensor:
        """Return (σ_min^{1/ρ} + t (σ_max^{1/ρ} − σ_min^{1/ρ}))^ρ."""
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (low + t * (high - low)) ** self.rho


def _check_sigmas(sigma_min: float, sigma_max: float) -> None:
    check_range("sigma_min", sigma_min, 1e-8, 1e8)
    check_range("sigma_max", sigma_max, sigma_min, 1e8, low_open=True)


@dataclass(frozen=True)
class FlowMatching(Schedule):
    """α = 1 − t, σ = t: a straight line from data to noise.

    References:
        Lipman et al., 2210.02747; Liu et al., 2209.03003.
    """

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return 2 log(t/(1 − t))."""
        return everywhere(2 * (t.log() - torch.log1p(-t)), modes)

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return √((1 − t)² + t²)."""
        return torch.hypot(1 - t, t)
