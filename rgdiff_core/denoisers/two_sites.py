r"""φ⁴ on two sites, the smallest theory with scales: all of it is a picture in the plane.

On a periodic ring of two sites each pair of neighbours counts twice, and in the modes k = 0 and
k = π, c₀ = (φ₁ + φ₂)/√2 and c_π = (φ₁ − φ₂)/√2 with k̂² = 0 and 4,

.. math:: S = \sum_k (\hat k^2 + m^2) c_k^2 + \frac{λ}{2} (c_0^4 + 6 c_0^2 c_π^2 + c_π^4)

A process that is diagonal in them makes of the density p₀ ∝ e^{−S}

.. math:: p_t(χ) = \int p_0(c) \prod_k N(χ_k; α_k c_k, σ_k^2 S_k^2)\, dc

which is a sum over nodes, a factor for each mode, and so are the posterior's mean and variance.
Where the noise is wide the nodes are those of the trapezoidal rule, which converges faster than
any power of the spacing on a smooth density that vanishes at the edges; where it is narrow, those
of Gauss and Hermite about χ/α.

References:
    Trefethen & Weideman, The exponentially convergent trapezoidal rule, SIAM Review 56 (2014) 385.
"""

import math
from collections.abc import Iterator

import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor

from rgdiff_core.bases import FourierBasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.denoisers.base import Denoiser, Posterior
from rgdiff_core.process import Marginal
from rgdiff_core.spec import check_range, check_whole

__all__ = ["TwoSites"]

NEGLIGIBLE = 36.0  # S above its least value where e^{−S} is left out
WIDE = 2.0  # spacings from which on the trapezoidal rule resolves the noise
HERMITE = 32  # nodes


class TwoSites(Denoiser):
    """The exact denoiser of φ⁴ on two sites, fields (B, 1, 1, 2), in double precision.

    Arguments:
        m2: m², in [−20, 20].
        lam: λ, in [0, 20]; m² must be above 0 where it is 0.
        points: Of the grid in each direction, odd, 31 to 1001.

    Attributes:
        axis: (points,), the grid's places, the same for both modes.
        density: (points, points), p₀(c₀, c_π) on the grid, normalized.
        log_z: log Z of the theory, in the modes as in the sites.

    Raises:
        ValueError: For numbers out of range, and for a theory without a least action.
    """

    axis: Tensor
    density: Tensor

    def __init__(self, m2: float, lam: float, points: int = 101) -> None:
        check_range("m2", m2, -20, 20)
        check_range("lam", lam, 0, 20)
        check_whole("points", points, 31, 1001)
        if lam == 0 and m2 <= 0:
            raise ValueError(f"without interaction m² = {m2:g} must be above 0.")
        basis = FourierBasis((1, 1, 2), momentum="lattice").double()
        reach = _reach(m2, lam)
        axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
        action = _action(axis[:, None], axis, m2, lam)
        step = axis[1] - axis[0]
        if (narrow := 1 / math.sqrt(8 + 4 * abs(m2))) < step:
            raise ValueError(
                f"m2 = {m2:g} and lam = {lam:g} have wells that {points} points do not resolve: "
                f"at least {math.ceil(2 * reach / narrow) + 1} would."
            )
        log_z = float(torch.logsumexp(-action.flatten(), 0) + 2 * torch.log(step))
        density = torch.exp(-action - log_z)
        sides = torch.stack((density.sum(1), density.sum(0)))
        variance = sides @ axis.square() * step**2
        modes = Modes.of(basis)
        shape = (1, 1, 2)
        super().__init__(
            basis,
            Modes(modes.scale, torch.zeros(shape).double(), variance.view(shape), modes.momentum),
        )
        self.m2, self.lam, self.log_z = float(m2), float(lam), log_z
        self.register_buffer("axis", axis)
        self.register_buffer("density", density)

    def extra_repr(self) -> str:
        return f"m2={self.m2:g}, lam={self.lam:g}, points={len(self.axis)}"

    def action(self, c: Tensor) -> Tensor:
        """Return S of the modes (c₀, c_π), (..., 2)."""
        return _action(c[..., 0].double(), c[..., 1].double(), self.m2, self.lam)

    def log_density(self, c: Tensor, marginal: Marginal) -> Tensor:
        """Return log p_t(χ) of components c (B, 1, 1, 2) for the marginal of a time, (B,)."""
        parts = [
            (rows, torch.logsumexp(logs.flatten(1), 1))
            for rows, _, logs in self._parts(c, marginal)
        ]
        return _in_order(parts)

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        """Return mean and variance of χ(0) given χ(t), exactly."""
        means, variances = [], []
        for rows, places, logs in self._parts(c, marginal):
            share = torch.softmax(logs.flatten(1), 1).view_as(logs)
            sides = [share.sum(2), share.sum(1)]  # (B, nodes) of each mode
            mean = [(x * p).sum(1) for x, p in zip(sides, places, strict=True)]
            away = [(p - m[:, None]).square() for p, m in zip(places, mean, strict=True)]
            variance = [(x * a).sum(1) for x, a in zip(sides, away, strict=True)]
            means.append((rows, torch.stack(mean, -1)))
            variances.append((rows, torch.stack(variance, -1)))
        found = (_in_order(parts).view(c.shape).to(c) for parts in (means, variances))
        return Posterior(*found)

    def _parts(
        self, c: Tensor, marginal: Marginal
    ) -> Iterator[tuple[Tensor, list[Tensor], Tensor]]:
        """Return parts of a batch that the same nodes serve: their rows; the nodes of both modes,
        (b, n) each; and the logarithm of what each pair of them adds to p_t, (b, n, n).
        """
        x = c[:, 0, 0].double()
        alpha, std = (
            each.double().expand(len(c), 1, 1, 2)[:, 0, 0]
            for each in (marginal.alpha, marginal.std)
        )
        wide = std > WIDE * (self.axis[1] - self.axis[0]) * alpha
        for kind in wide.unique(dim=0):
            rows = (wide == kind).all(1).nonzero()[:, 0]
            places, weights = zip(
                *(
                    self._rule(x[rows, k], alpha[rows, k], std[rows, k], bool(kind[k]))
                    for k in (0, 1)
                ),
                strict=True,
            )
            logs = -_action(places[0][:, :, None], places[1][:, None, :], self.m2, self.lam)
            logs = logs - self.log_z + weights[0][:, :, None] + weights[1][:, None, :]
            yield rows, list(places), logs

    def _rule(self, at: Tensor, alpha: Tensor, std: Tensor, wide: bool) -> tuple[Tensor, Tensor]:
        """Return nodes and log weights, (b, n), that integrate f(c) N(at; α c, std²) over c.

        Arguments:
            wide: whether the normal density is wider than the axis' spacing.
        """
        if wide:
            step = self.axis[1] - self.axis[0]
            away = (at[:, None] - alpha[:, None] * self.axis) / std[:, None]
            norm = torch.log(step / (std * math.sqrt(2 * math.pi)))
            return self.axis.expand_as(away), norm[:, None] - away.square() / 2
        nodes, weights = (torch.from_numpy(x).to(self.axis) for x in hermegauss(HERMITE))
        places = (at[:, None] + std[:, None] * nodes) / alpha[:, None]
        share = torch.log(weights / math.sqrt(2 * math.pi))
        return places, share - torch.log(alpha)[:, None]


def _in_order(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return parts of a batch, with their rows, as one batch."""
    order = torch.cat([rows for rows, _ in parts]).argsort()
    return torch.cat([values for _, values in parts])[order]


def _action(first: Tensor, last: Tensor, m2: float, lam: float) -> Tensor:
    first, last = first.square(), last.square()
    return m2 * first + (4 + m2) * last + lam / 2 * (first**2 + 6 * first * last + last**2)


def _reach(m2: float, lam: float) -> float:
    """Return the |c| beyond which the action is negligible in every direction.

    S is least along c₀ and, at fixed size, at most 4c² less than m²c² + λc⁴/2 elsewhere.
    """
    lowest = min(0.0, -(m2**2) / (2 * lam)) if lam and m2 < 0 else 0.0
    level = NEGLIGIBLE + lowest
    if lam == 0:
        return math.sqrt(level / m2)
    return math.sqrt((-m2 + math.sqrt(m2**2 + 2 * lam * level)) / lam)
