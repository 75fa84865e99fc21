r"""The action of two-dimensional φ⁴ theory and its force.

One convention is used throughout, that of Albergo, Kanwar and Shanahan:

.. math:: S[φ] = \sum_x \Big[ \sum_{μ=1,2} (φ_{x+μ} - φ_x)^2 + m^2 φ_x^2 + λ φ_x^4 \Big]

with periodic boundaries and weight :math:`e^{-S}`. Multiplying out,
:math:`S = \sum_x [-2 \sum_μ φ_x φ_{x+μ} + (4 + m^2) φ_x^2 + λ φ_x^4]`, which is the form
computed here. On a 2×2 lattice every pair of neighbours is counted twice.

References:
    Flow-based generative models for Markov chain Monte Carlo in lattice field theory,
    arXiv:1904.12072, eq. 22.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from rgdiff_core.spec import check_range

__all__ = ["Half", "Hopping", "Phi4", "neighbours", "sites"]


def sites(phi: Tensor) -> Tensor:
    """Return fields as (B, L, L).

    Arguments:
        phi: Fields, (B, L, L) or (B, 1, L, L).

    Raises:
        ValueError: For any other shape.
    """
    field = phi.squeeze(1) if phi.ndim == 4 and phi.shape[1] == 1 else phi
    if field.ndim != 3 or field.shape[-1] != field.shape[-2] or field.shape[-1] < 1:
        raise ValueError(
            f"phi has shape {tuple(phi.shape)}; lattice fields are (B, L, L) or (B, 1, L, L)."
        )
    return field


def neighbours(phi: Tensor) -> Tensor:
    """Return the sum of the four nearest neighbours of every site, same shape as phi."""
    total = phi.roll(-1, -1)
    # In place, here and in the force: the sampler spends its time on these few lines.
    for shift, dim in ((1, -1), (-1, -2), (1, -2)):
        total += phi.roll(shift, dim)
    return total


@dataclass(frozen=True)
class Hopping:
    r"""Couplings of the hopping convention.

    .. math:: S = \sum_x [-2κ \sum_μ φ_x φ_{x+μ} + (1 - 2λ) φ_x^2 + λ φ_x^4]

    Arguments:
        kappa: κ > 0.
        lam: λ ≥ 0.

    References:
        Estimation of thermodynamic observables in lattice field theories with deep
        generative models, arXiv:2007.07115.
    """

    kappa: float
    lam: float

    @property
    def factor(self) -> float:
        """√κ, by which fields of this convention are multiplied to be those of `Phi4`."""
        return math.sqrt(self.kappa)


@dataclass(frozen=True)
class Half:
    r"""Couplings of the convention with factors ½, usual in the continuum.

    .. math:: S = \sum_x [½ \sum_μ (φ_{x+μ} - φ_x)^2 + ½ m^2 φ_x^2 + \frac{g}{4!} φ_x^4]

    Arguments:
        m2: m², the same number as in `Phi4`.
        g: g ≥ 0.
    """

    m2: float
    g: float

    @property
    def factor(self) -> float:
        """1/√2, by which fields of this convention are multiplied to be those of `Phi4`."""
        return math.sqrt(0.5)


@dataclass(frozen=True)
class Phi4:
    r"""φ⁴ theory in two dimensions, in lattice units.

    .. math:: S = \sum_x [\sum_μ (φ_{x+μ} - φ_x)^2 + m^2 φ_x^2 + λ φ_x^4]

    Arguments:
        m2: The bare mass squared m², any finite number; above 0 where λ = 0.
        lam: The coupling λ ≥ 0.

    Raises:
        ValueError: When the weight e^{-S} cannot be normalized, or a number is not finite.
    """

    m2: float
    lam: float

    def __post_init__(self) -> None:
        for name, value in (("m2", self.m2), ("lam", self.lam)):
            if not math.isfinite(value):
                raise ValueError(f"{name} = {value} is not a finite number.")
        if self.lam < 0:
            raise ValueError(
                f"lam = {self.lam} is negative: the action needs lam >= 0 to be bounded below."
            )
        if self.lam == 0 and self.m2 <= 0:
            raise ValueError(f"m2 = {self.m2} with lam = 0: the free theory needs m2 > 0.")

    @classmethod
    def from_hopping(cls, kappa: float, lam: float) -> "Phi4":
        """Build the theory from the couplings (κ, λ) of the hopping convention.

        The fields differ by a factor: φ_here = √κ φ_κ, so that φ²_here = κ φ²_κ, while ratios
        such as the Binder cumulant and lengths are the same in both.

        Raises:
            ValueError: Unless κ is in [10⁻¹⁰⁰, 10¹⁰⁰] and λ >= 0 is finite.
        """
        check_range("kappa", kappa, 1e-100, 1e100)  # κ² must not overflow or vanish
        if not (math.isfinite(lam) and lam >= 0):
            raise ValueError(f"lam = {lam} is not a finite number of at least 0.")
        return cls(m2=(1 - 2 * lam) / kappa - 4, lam=lam / kappa**2)

    def to_hopping(self) -> Hopping:
        """Return the couplings (κ, λ) of the same theory, the inverse of `from_hopping`.

        κ is the positive root of 2λκ² + (4 + m²)κ = 1, and λ_κ = λκ².

        Raises:
            ValueError: Where κ is too large or too small for a number.
        """
        a = 4 + self.m2
        root = math.sqrt(a * a + 8 * self.lam)
        # Of the two equal forms, the one without cancellation.
        kappa = 2 / (root + a) if a >= 0 else (root - a) / (4 * self.lam)
        if not 0 < kappa < math.inf:
            raise ValueError(
                f"m2 = {self.m2:g}, lam = {self.lam:g}: kappa is beyond the range of numbers."
            )
        return Hopping(kappa=kappa, lam=self.lam * kappa**2)

    @classmethod
    def from_half(cls, m2: float, g: float) -> "Phi4":
        """Build the theory from the couplings (m², g) of the convention with factors ½.

        The fields differ by a factor: φ_here = φ_½/√2, so that λ = g/6 and m² is the same.

        Raises:
            ValueError: Unless the theory exists, as for `Phi4`.
        """
        if not (math.isfinite(g) and g >= 0):
            raise ValueError(f"g = {g} is not a finite number of at least 0.")
        return cls(m2=m2, lam=g / 6)

    def to_half(self) -> Half:
        """Return the couplings (m², g) of the same theory, the inverse of `from_half`."""
        return Half(m2=self.m2, g=6 * self.lam)

    def density(self, phi: Tensor) -> Tensor:
        """Return the action of every site, (B, L, L), for phi (B, L, L) or (B, 1, L, L).

        Every link is shared equally by its two ends.
        """
        field = sites(phi)
        square = field * field
        return square * (4 + self.m2 + self.lam * square) - field * neighbours(field)

    def __call__(self, phi: Tensor) -> Tensor:
        """Return S[φ], (B,), for phi (B, L, L) or (B, 1, L, L)."""
        return self.density(phi).sum((-2, -1))

    def force(self, phi: Tensor) -> Tensor:
        """Return -∂S/∂φ = 2 Σ_nn φ - 2(4 + m²)φ - 4λφ³, of the shape of phi."""
        sites(phi)
        local = phi.square().mul_(4 * self.lam).add_(2 * (4 + self.m2))
        return neighbours(phi).mul_(2).addcmul_(phi, local, value=-1)
