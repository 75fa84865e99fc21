r"""The modes of lattice fields along a line of couplings.

At each of K points of the line mean μ_k and variances Σ_k of the components are fitted to data. In
between, μ_k and log Σ_k are cubic splines in the place on the line, which runs from 0 to 1; the
ends are not-a-knot. Where Σ_k is smooth, their error falls with the fourth power of the distance
of the points, and `ModesLine.spread` estimates it by leaving points out.

References:
    de Boor, A Practical Guide to Splines (1978), chapter IV.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.bases.modes import Modes
from rgdiff_core.lattice.action import Phi4
from rgdiff_core.lattice.chains import HMC, STANDARD
from rgdiff_core.lattice.line import CouplingLine
from rgdiff_core.lattice.sizes import measured
from rgdiff_core.spec import check_range

__all__ = ["ModesLine", "measured_modes", "spline"]


@dataclass(frozen=True, eq=False)
class ModesLine:
    """The modes of lattice fields as a function of the place on a line of couplings.

    Attributes:
        line: the couplings.
        modes: at each of its points, with data statistics.
    """

    line: CouplingLine
    modes: tuple[Modes, ...]

    def __post_init__(self) -> None:
        if len(self.modes) != len(self.line.points):
            raise ValueError(
                f"{len(self.modes)} modes were given for {len(self.line.points)} couplings."
            )
        for modes in self.modes:
            if modes.mean is None or modes.variance is None:
                raise ValueError("a line of couplings needs the data's mean and variance.")

    @property
    def means(self) -> Tensor:
        """Return μ at each point, (K, C, H, W)."""
        return torch.stack([each.mean for each in self.modes])  # type: ignore[misc]

    @property
    def variances(self) -> Tensor:
        """Return Σ at each point, (K, C, H, W)."""
        return torch.stack([each.variance for each in self.modes])  # type: ignore[misc]

    def at(self, place: float) -> Modes:
        """Return the modes at a place in [0, 1]; at a point, those that were fitted there."""
        like = self.modes[0]
        return Modes(like.scale, *self.statistics(place), like.momentum)

    def statistics(self, place: float) -> tuple[Tensor, Tensor]:
        """Return μ and Σ, each (C, H, W), at a place in [0, 1]."""
        check_range("place", place, 0, 1)
        places = self.line.places
        if place in places:
            point = places.index(place)
            return self.means[point], self.variances[point]
        return self._splines(place)

    def spread(self) -> float:
        """Return an estimate of the relative error of Σ between points: the root mean square of
        log(Σ_k of the spline/Σ_k fitted) at the inner points, each left out in turn.

        It includes the statistical error of the fits, √(2/N) for N fields; nan for two points.
        """
        found = []
        for i, place in enumerate(self.line.places[1:-1], 1):
            _, variance = self._splines(place, without=i)
            found.append(torch.log(variance / self.variances[i]).square().mean())
        return math.sqrt(torch.stack(found).mean()) if found else math.nan

    def _splines(self, place: float, without: int | None = None) -> tuple[Tensor, Tensor]:
        """Return μ and Σ of the splines at a place, one of the points left out."""
        kept = [i for i in range(len(self.modes)) if i != without]
        places = [self.line.places[i] for i in kept]
        mean = spline(places, self.means[kept], place)
        return mean, spline(places, self.variances[kept].log(), place).exp()


def spline(places: Sequence[float], values: Tensor, place: float) -> Tensor:
    """Return the cubic spline through values (K, …) at places (K,), at one more place."""
    from scipy.interpolate import CubicSpline  # slow to load, so only where it is needed

    knots = values.detach().cpu().double().numpy()
    return torch.from_numpy(np.asarray(CubicSpline(places, knots)(place))).to(values)


def measured_modes(
    line: CouplingLine | None,
    action: Phi4,
    size: int,
    n: int,
    generator: torch.Generator | None = None,
    *,
    settings: HMC = STANDARD,
) -> Modes | ModesLine:
    """Measure what a model needs on a lattice of another size: the modes of a theory, or those at
    the points of the line that the model was trained along; arguments as of `lattice.sizes`.
    """

    def at(theory: Phi4) -> Modes:
        return measured(theory, size, n, generator, settings=settings).modes

    if line is None:
        return at(action)
    return ModesLine(line, tuple(at(Phi4(*point)) for point in line.points))
