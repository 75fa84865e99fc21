r"""Schedules that act by momentum: heat flows and exact renormalization-group flows, as in their
papers.

All are the same process with their own γ_k(t) and magnitude r_k(t); |k| is the basis' momentum, k²
the eigenvalue of −Δ.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.schedules.base import Schedule
from rgdiff_core.schedules.kernels import log_expm1
from rgdiff_core.schedules.scalar import Cosine
from rgdiff_core.spec import check_range

__all__ = ["BlurringDiffusion", "Carosso", "InverseHeat", "InverseRG", "Polchinski"]


@dataclass(frozen=True)
class InverseHeat(Schedule):
    r"""Inverse heat dissipation: α = exp(−k² σ_B²/2), with a constant, small noise σ.

    The blur's width σ_B, in pixels, is zero at t = 0; it is blur_min at t = 1/steps and from there
    grows geometrically to blur_max, so that t = j/steps is the paper's step j. Its basis is the
    cosine basis, its colour white, not normalized.

    References:
        Rissanen, Heinonen & Solin, 2206.13397.
    """

    blur_min: float = 0.5
    blur_max: float = 24.0
    noise: float = 0.01
    steps: int = 200

    def __post_init__(self) -> None:
        check_range("blur_min", self.blur_min, 1e-3, 1e3)
        check_range("blur_max", self.blur_max, self.blur_min, 1e3)
        check_range("noise", self.noise, 1e-6, 1e3)
        check_range("steps", self.steps, 2, 1e6)

    def blur(self, t: Tensor) -> Tensor:
        """Return σ_B(t) in pixels, of the shape of t."""
        first = 1 / self.steps
        share = ((t - first) / (1 - first)).clamp_min(0)
        geometric = self.blur_min * (self.blur_max / self.blur_min) ** share
        return torch.where(t < first, self.blur_min * t / first, geometric)

    def _log_alpha(self, t: Tensor, modes: Modes) -> Tensor:
        return -(modes.momentum**2) * self.blur(t) ** 2 / 2

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return 2 log(σ/α)."""
        return 2 * math.log(self.noise) - 2 * self._log_alpha(t, modes)

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return √(α² + σ²)."""
        alpha = self._log_alpha(t, modes).exp()
        return torch.hypot(alpha, torch.full_like(alpha, self.noise))


@dataclass(frozen=True)
class BlurringDiffusion(Schedule):
    r"""Blur and noise together: α_k = a d_k, σ = √(1 − a²), d = (1 − d_min) exp(−k² σ_B²/2) +
    d_min.

    a(t) is the cosine schedule's α, σ_B(t) = blur_max sin²(π t/2) in pixels. Its basis is the
    cosine basis, its colour white.

    References:
        Hoogeboom & Salimans, 2209.05557.
    """

    blur_max: float = 20.0
    d_min: float = 0.001
    s: float = 0.008

    def __post_init__(self) -> None:
        check_range("blur_max", self.blur_max, 0, 1e3)
        check_range("d_min", self.d_min, 1e-9, 1)
        check_range("s", self.s, 0, 1)

    def _damping(self, t: Tensor, modes: Modes) -> Tensor:
        blur = self.blur_max * torch.sin(math.pi * t / 2) ** 2
        return (1 - self.d_min) * torch.exp(-(modes.momentum**2) * blur**2 / 2) + self.d_min

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return the cosine schedule's γ less 2 log d."""
        return Cosine(self.s).gamma_at(t, modes) - 2 * self._damping(t, modes).log()

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return √(α² + σ²)."""
        gamma = Cosine(self.s).gamma_at(t, modes)
        signal = torch.sigmoid(-gamma) * self._damping(t, modes) ** 2
        return torch.sqrt(signal + torch.sigmoid(gamma))


@dataclass(frozen=True)
class Carosso(Schedule):
    r"""Carosso's RG: the heat equation with noise, ∂_τφ = Δφ + η. α = exp(−k² τ), β_k = 2k²
    constant, τ = t · duration.

    With free-theory noise of mass 0, S² ∝ 1/k², this is the flow of Cotler & Rezchikov. A zero
    momentum counts as half the smallest one (their code sets k² = 1 there), so that the zero mode
    too reaches the fixed point, slowly.

    References:
        Carosso, 1904.13057; Cotler & Rezchikov, 2308.12355, eq. 4.32.
    """

    duration: float = 16.0

    def __post_init__(self) -> None:
        check_range("duration", self.duration, 1e-6, 1e6)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return log expm1(2k²τ)."""
        return log_expm1(2 * modes.floored_momentum() ** 2 * self.duration * t)


@dataclass(frozen=True)
class Polchinski(Schedule):
    r"""Polchinski's flow towards a field of zero size: α = K_t, σ² = K_t (1 − K_t), K_t = exp(−(k²
    + μ²) τ).

    With free-theory noise of the same mass; τ = t · duration, and r = √K_t.

    Arguments:
        mass2: μ² > 0 in lattice units.

    References:
        Polchinski, Nucl. Phys. B 231 (1984) 269; Cotler & Rezchikov, 2308.12355 and its code.
    """

    mass2: float = 0.5
    duration: float = 4.0

    def __post_init__(self) -> None:
        check_range("mass2", self.mass2, 0, 1e3, low_open=True)
        check_range("duration", self.duration, 1e-6, 1e3)

    def _exponent(self, t: Tensor, modes: Modes) -> Tensor:
        return (modes.momentum**2 + self.mass2) * self.duration * t

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return log expm1((k² + μ²) τ)."""
        return log_expm1(self._exponent(t, modes))

    def magnitude_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return √K_t."""
        return torch.exp(-self._exponent(t, modes).clamp_max(160) / 2)  # r > 0 in float32


@dataclass(frozen=True)
class InverseRG(Schedule):
    r"""The inverse-RG diffusion model: γ_k = log((k² + m²)/Λ²), Λ(t) falling geometrically.

    With free-theory noise of the same mass; it is soft conditioning with labels log(k² + m²) and
    softness 1.

    Arguments:
        mass2: m² ≥ 0 in lattice units (the paper's CIFAR-10 value is (π/20)²).
        cutoff_max: Λ at t = 0, in units of momentum.
        cutoff_min: Λ at t = 1, likewise.

    References:
        Masuki & Ashida, 2501.09064.
    """

    mass2: float = 0.0247
    cutoff_max: float = 100.0
    cutoff_min: float = 0.02

    def __post_init__(self) -> None:
        check_range("mass2", self.mass2, 0, 1e3)
        check_range("cutoff_min", self.cutoff_min, 1e-9, 1e9)
        check_range("cutoff_max", self.cutoff_max, self.cutoff_min, 1e9, low_open=True)

    def gamma_at(self, t: Tensor, modes: Modes) -> Tensor:
        """Return log((k² + m²)/Λ(t)²)."""
        k = modes.momentum if self.mass2 > 0 else modes.floored_momentum()
        fall = 2 * math.log(self.cutoff_max / self.cutoff_min) * t
        return torch.log(k**2 + self.mass2) - 2 * math.log(self.cutoff_max) + fall
