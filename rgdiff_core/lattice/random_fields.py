r"""Gaussian random fields with a spectrum of one's own, drawn exactly.

A field on a periodic L×L lattice is white noise coloured in momentum space: its Fourier (Hartley)
components are independent, of mean zero and variance P(k). A spectrum says how P depends on |k|;
the field scales it to the variance that a site is to have, ⟨φ²⟩ = (1/V) Σ_k P(k). Everything about
the law is known, so that models can be judged against it.
"""

import copy
import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import Basis, FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.lattice.free import FreeField
from rgdiff_core.seeds import device_for
from rgdiff_core.spec import Spec, check_increasing, check_range, check_whole

__all__ = [
    "FieldSpectrum",
    "FreeSpectrum",
    "GaussianField",
    "PowerSpectrum",
    "TableSpectrum",
]

MAX_SIZE = 256
MAX_POINTS = 512
MAX_MOMENTUM = 10.0  # radians per site, above the largest of any lattice, π√2
POWERS = (1e-30, 1e30)
MAX_SITES = 2**28
BLOCK = 2**22  # sites of the unit vectors that are analysed at once


class FieldSpectrum(Spec):
    """How the variance of the modes of a random field depends on the momentum, up to a factor."""

    @abstractmethod
    def power(self, k: Tensor) -> Tensor:
        """Return P(k) > 0, (...), at momenta in radians per site, (..., 2)."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The law in a few words."""


@dataclass(frozen=True)
class PowerSpectrum(FieldSpectrum):
    r"""P = (|k|² + k₀²)^{−p/2}.

    Arguments:
        exponent: p, −4 to 8; 2 is near to natural images, 7/4 to a critical field.
        cutoff: k₀, 10⁻³ to 10 radians per site, below which the spectrum is flat.
    """

    exponent: float = 2.0
    cutoff: float = 0.1

    def __post_init__(self) -> None:
        check_range("exponent", self.exponent, -4, 8)
        check_range("cutoff", self.cutoff, 1e-3, 10)

    @property
    def title(self) -> str:
        return f"power law p = {self.exponent:g} above k₀ = {self.cutoff:g}".replace("-", "−")

    def power(self, k: Tensor) -> Tensor:
        return (k.square().sum(-1) + self.cutoff**2) ** (-0.5 * self.exponent)


@dataclass(frozen=True)
class FreeSpectrum(FieldSpectrum):
    """P = 1/(2(k̂² + m²)), that of `FreeField`: φ⁴ theory at λ = 0.

    Arguments:
        m2: m², 10⁻⁶ to 10⁶.
    """

    m2: float = 0.1

    def __post_init__(self) -> None:
        check_range("m2", self.m2, 1e-6, 1e6)

    @property
    def title(self) -> str:
        return f"free theory m² = {self.m2:g}"

    def power(self, k: Tensor) -> Tensor:
        return FreeField(self.m2, 1).propagator(k)


@dataclass(frozen=True)
class TableSpectrum(FieldSpectrum):
    """P by points, joined by straight lines of log P over log |k|.

    Below the first positive momentum and above the last one P is that of these. A point at k = 0
    stands for the mean of the field alone.

    Arguments:
        momenta: |k| in radians per site, 2 to 512 of them, increasing in [0, 10].
        powers: P at each, 10⁻³⁰ to 10³⁰.
    """

    momenta: tuple[float, ...]
    powers: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(self.momenta)
        if not 2 <= count <= MAX_POINTS or count != len(self.powers):
            raise ValueError(
                f"a table needs 2 to {MAX_POINTS} points, got {count} momenta and "
                f"{len(self.powers)} powers."
            )
        for momentum, power in zip(self.momenta, self.powers, strict=True):
            check_range("k", momentum, 0, MAX_MOMENTUM)
            check_range(f"the power at k = {momentum:g}", power, *POWERS)
        check_increasing("momenta", self.momenta)

    @property
    def title(self) -> str:
        return f"a table of {len(self.momenta)} points"

    def power(self, k: Tensor) -> Tensor:
        x, y = (k.new_tensor(each).log() for each in (self.momenta, self.powers))
        first = 1 if self.momenta[0] == 0 else 0
        size = k.square().sum(-1).sqrt()
        place = size.log().clamp(x[first], x[-1])
        upper = torch.searchsorted(x, place).clamp(first + 1 if len(x) > first + 1 else first)
        lower = (upper - 1).clamp(first)
        gap = (x[upper] - x[lower]).clamp_min(torch.finfo(x.dtype).tiny)
        value = y[lower] + (y[upper] - y[lower]) * (place - x[lower]) / gap
        return torch.where((size == 0) & (first == 1), y[0], value).exp()


@dataclass(frozen=True)
class GaussianField(Spec):
    """A Gaussian random field on a periodic L×L lattice.

    Arguments:
        spectrum: P up to a factor.
        size: L, even, 4 to 256.
        variance: ⟨φ²⟩ of a site, 10⁻⁶ to 10⁶; None for the spectrum as it is.

    Raises:
        ValueError: When a number is out of its range, or the spectrum spans more than float32
            can hold.
    """

    spectrum: FieldSpectrum = PowerSpectrum()
    size: int = 32
    variance: float | None = 1.0

    def __post_init__(self) -> None:
        check_whole("size", self.size, 4, MAX_SIZE)
        if self.size % 2:
            raise ValueError(f"size = {self.size} is odd; an even one from 4 to 256 is needed.")
        if self.variance is not None:
            check_range("variance", self.variance, 1e-6, 1e6)
        power = self.power
        if not bool(torch.isfinite(power).all()) or float(power.max()) > 1e30:
            raise ValueError(f"the spectrum reaches {float(power.max()):.3g}, more than 1e+30.")
        if not float(power.min()) > 1e-12 * float(power.mean()):
            raise ValueError(
                f"the spectrum falls to {float(power.min() / power.mean()):.1g} of its mean; "
                "at least 1e-12 is needed."
            )

    @property
    def power(self) -> Tensor:
        """P(k), the variance of each Fourier component, (L, L) float64 in the order of the FFT."""
        k = 2 * math.pi * torch.fft.fftfreq(self.size, dtype=torch.float64)
        bare = self.spectrum.power(torch.stack(torch.meshgrid(k, k, indexing="ij"), -1))
        return bare if self.variance is None else bare * (self.variance / bare.mean())

    @property
    def entropy(self) -> float:
        """The differential entropy ½ Σ_k log(2πe P(k)) in nats, the mean of −log p."""
        return 0.5 * float((2 * math.pi * math.e * self.power).log().sum())

    def modes(self, basis: Basis) -> Modes:
        """Return the exact mean, zero, and variances of the components in a basis.

        Raises:
            ValueError: For a basis of another shape.
        """
        shape = (1, self.size, self.size)
        if basis.shape != shape:
            raise ValueError(f"the basis has shape {basis.shape}, the fields {shape}.")
        power = self.power[None]
        fourier = FourierBasis(shape).double()
        if isinstance(basis, FourierBasis):
            variance = power
        else:
            exact = copy.deepcopy(basis).to("cpu", torch.float64)
            places = torch.arange(self.size**2)
            parts = []
            for some in places.split(BLOCK // self.size**2):
                units = (some[:, None] == places).double().view(-1, *shape)
                waves = fourier.analyze(exact.synthesize(units))
                parts.append(waves.square().mul(power).sum((1, 2, 3)))
            variance = torch.cat(parts).view(shape)
        scale = basis.scale
        variance = variance.to(scale)
        return Modes(scale, torch.zeros_like(variance), variance, basis.momentum)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n independent fields, (n, 1, L, L) float32.

        Arguments:
            n: Number of fields, from 1, of at most 2²⁸ sites together.
            generator: Source of randomness, on whose device the fields are made; torch's own on
                the CPU by default.

        Raises:
            ValueError: When n is out of its range.
        """
        check_whole("n", n, 1, MAX_SITES // self.size**2)
        device = device_for(generator)
        noise = torch.randn((n, 1, self.size, self.size), generator=generator, device=device)
        amplitude = self.power.sqrt().to(noise)
        return torch.fft.ifft2(amplitude * torch.fft.fft2(noise)).real
