r"""The free field, λ = 0, in closed form: what samplers and estimators are checked against.

In momentum space the action is diagonal, :math:`S = \sum_k (\hat k^2 + m^2) |φ_k|^2` with
:math:`\hat k^2 = \sum_μ 4\sin^2(k_μ/2)` and unitary transforms, so that

.. math:: \hat G(k) = ⟨|φ_k|^2⟩ = \frac{1}{2(\hat k^2 + m^2)}

and everything else is a sum over momenta or, at zero spatial momentum, a hyperbolic cosine.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.lattice.action import Phi4
from rgdiff_core.seeds import device_for
from rgdiff_core.spec import check_range, check_whole

__all__ = ["FreeField"]


@dataclass(frozen=True)
class FreeField:
    """The Gaussian theory with the action of `Phi4` at λ = 0 on a periodic L×L lattice.

    Arguments:
        m2: The mass squared m², above 0.
        size: L, 1 to 1024.

    Raises:
        ValueError: When a number is out of its range.
    """

    m2: float
    size: int

    def __post_init__(self) -> None:
        check_range("m2", self.m2, 0, 1e12, low_open=True)
        check_whole("size", self.size, 1, 1024)

    @property
    def action(self) -> Phi4:
        """The same theory as an action of fields."""
        return Phi4(self.m2, 0.0)

    def propagator(self, k: Tensor) -> Tensor:
        """Return Ĝ(k), (...), at momenta k in radians per site, (..., 2)."""
        return 0.5 / ((2 * torch.sin(k / 2)).square().sum(-1) + self.m2)

    @property
    def susceptibility(self) -> float:
        """χ = V⟨M²⟩ = Ĝ(0) = 1/(2m²)."""
        return 0.5 / self.m2

    @property
    def connected_susceptibility(self) -> float:
        """V(⟨M²⟩ − ⟨|M|⟩²) = (1 − 2/π) χ."""
        return (1 - 2 / math.pi) * self.susceptibility

    @property
    def abs_magnetization(self) -> float:
        """⟨|M|⟩ = √(2⟨M²⟩/π)."""
        return math.sqrt(2 * self.susceptibility / math.pi) / self.size

    def magnetization_density(self, m: Tensor) -> Tensor:
        """Return the density of M, which is normal with variance χ/V, at values m (...)."""
        variance = self.susceptibility / self.size**2
        return torch.exp(-0.5 * m.square() / variance) / math.sqrt(2 * math.pi * variance)

    @property
    def binder(self) -> float:
        """1 − ⟨M⁴⟩/(3⟨M²⟩²) = 0."""
        return 0.0

    @property
    def phi2(self) -> float:
        """⟨φ²⟩, the mean of Ĝ over all momenta."""
        return float(self.propagator(self._momenta()).mean())

    @property
    def phi4(self) -> float:
        """⟨φ⁴⟩ = 3⟨φ²⟩²."""
        return 3 * self.phi2**2

    @property
    def energy(self) -> float:
        """The correlator of nearest neighbours, the mean of Ĝ(k) cos k₁."""
        k = self._momenta()
        return float((self.propagator(k) * torch.cos(k[..., 0])).mean())

    @property
    def action_density(self) -> float:
        """⟨S⟩/V: ½ for each of V Gaussian degrees of freedom."""
        return 0.5

    @property
    def correlation_length(self) -> float:
        """The second-moment correlation length, exactly 1/m for every L ≥ 2."""
        return 1 / math.sqrt(self.m2)

    @property
    def pole_mass(self) -> float:
        """The fall-off of the correlator, 2 arsinh(m/2); the effective mass at every t."""
        return 2 * math.asinh(0.5 * math.sqrt(self.m2))

    def correlator(self, t: Tensor) -> Tensor:
        r"""Return C(t) = Σ_y G(y, t) at whole distances 0 ≤ t ≤ L.

        .. math:: C(t) = \frac{\cosh(μ(L/2 - t))}{4 \sinh(μ) \sinh(μL/2)},
            \qquad 2\cosh μ = 2 + m^2
        """
        mu, half = self.pole_mass, 0.5 * self.size
        # Without the common factor e^{μL/2}, which overflows for large masses.
        fall, rise = torch.exp(-mu * t), torch.exp(-mu * (self.size - t))
        return (fall + rise) / (4 * math.sinh(mu) * -math.expm1(-2 * mu * half))

    @property
    def log_z(self) -> float:
        """log Z = ½ Σ_k log[π/(k̂² + m²)], Z = ∏_x ∫dφ_x e^{-S}."""
        return 0.5 * float(torch.log(2 * math.pi * self.propagator(self._momenta())).sum())

    def observables(self) -> dict[str, float]:
        """Return the exact values of `rgdiff_core.lattice.observables`, by the same names."""
        return {
            "abs_magnetization": self.abs_magnetization,
            "susceptibility": self.susceptibility,
            "connected_susceptibility": self.connected_susceptibility,
            "binder": self.binder,
            "phi2": self.phi2,
            "phi4": self.phi4,
            "energy": self.energy,
            "correlation_length": self.correlation_length,
        }

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw n independent fields, (n, 1, L, L), exactly: white noise coloured by √Ĝ.

        Arguments:
            n: Number of fields, at least 1.
            generator: Source of randomness, on whose device the fields are made; torch's own by
                default.
            dtype: torch.float32 or torch.float64.

        Raises:
            ValueError: When n is below 1.
        """
        check_whole("n", n, 1, 10**9)
        device = device_for(generator)
        shape = (n, 1, self.size, self.size)
        noise = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        amplitude = self.propagator(self._momenta()).sqrt().to(device, dtype)
        return torch.fft.ifft2(amplitude * torch.fft.fft2(noise)).real

    def _momenta(self) -> Tensor:
        """All momenta of the lattice, (L, L, 2) float64, in the order of the FFT."""
        k = 2 * math.pi * torch.fft.fftfreq(self.size, dtype=torch.float64)
        return torch.stack(torch.meshgrid(k, k, indexing="ij"), -1)
