r"""Flows to smaller lattices: averages of blocks, decimation, and momentum shells.

For a momentum shell a field of the coarse lattice holds the modes with |k_μ| ≤ Λ = πL'/L, which
are those of its Brillouin zone; the others are integrated out, which for configurations means:
left out. In one direction, with L' odd, these are the waves e^{2πinx/L} with |n| < L'/2. For even
L' there is one more, n = L'/2, of which the coarse lattice can tell the cosine but not the sine;
so the cosine is kept. Normalized modes go to normalized modes: the map is R φ Rᵀ with R Rᵀ = 1. So
a free field stays one, with the propagator that it had at every momentum kept; divided by b, a
wave has the height on the coarse lattice that it had on the fine one (and the wave n = L'/2 of an
even lattice the mean square).
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from rgdiff_core.renormalization.base import (
    MIN_SIDE,
    Step,
    as_fields,
    check_eta,
    rescaling,
)
from rgdiff_core.spec import Spec, check_whole

__all__ = ["BlockSpin", "Decimation", "MomentumShell"]

MAX_SIDE = 1024


class Coarse(Spec):
    """What the flows to smaller lattices have in common: η, steps by blocks, rescaling.

    Derived classes have the field `eta`, and say what becomes of fields in `coarse`.
    """

    eta: float

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def steps(self, size: int) -> tuple[Step, ...]:
        """Return a step for every b that divides L and leaves at least two sites a side."""
        check_whole("size", size, MIN_SIDE, MAX_SIDE)
        sides = [b for b in range(1, size // MIN_SIDE + 1) if size % b == 0]
        return tuple(Step(b, b, math.pi / b, size // b) for b in sides)

    def apply(
        self, configurations: Tensor, step: Step, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the fields on L'×L', (n, 1, L', L') float64; nothing is random here.

        Raises `ValueError` where the flow has no L' that is the step's.
        """
        del generator
        fields = as_fields(configurations)
        check_whole("size", step.size, MIN_SIDE, fields.shape[-1])
        factor = fields.shape[-1] / step.size
        return rescaling(factor, self.eta) * self.coarse(fields, step.size)

    @abstractmethod
    def coarse(self, fields: Tensor, side: int) -> Tensor:
        """Return fields (n, 1, L', L') of fields (n, 1, L, L), in the same units; L' = side."""


@dataclass(frozen=True)
class BlockSpin(Coarse):
    """Averages over blocks of b×b sites.

    Arguments:
        eta: η of the field's rescaling by b^{η/2}, in [-2, 2].

    References:
        Kadanoff, Physics 2 (1966) 263.
    """

    eta: float = 0.0

    title: ClassVar[str] = "block spin"
    about: ClassVar[str] = "Every block of b×b sites becomes one site that has their average."
    axis: ClassVar[str] = "side of a block, b"

    def coarse(self, fields: Tensor, side: int) -> Tensor:
        """Return the averages; raises `ValueError` where L' does not divide L."""
        return torch.nn.functional.avg_pool2d(fields, _block(fields, side))


@dataclass(frozen=True)
class Decimation(Coarse):
    """Every b-th site in both directions is kept, the others are integrated out.

    Arguments:
        eta: η of the field's rescaling by b^{η/2}, in [-2, 2].
    """

    eta: float = 0.0

    title: ClassVar[str] = "decimation"
    about: ClassVar[str] = "Of every b×b sites one is kept as it is, the others are summed over."
    axis: ClassVar[str] = "distance of the sites that are kept, b"

    def coarse(self, fields: Tensor, side: int) -> Tensor:
        """Return the sites kept; raises `ValueError` where L' does not divide L."""
        b = _block(fields, side)
        return fields[..., ::b, ::b]


@dataclass(frozen=True)
class MomentumShell(Coarse):
    """Modes above a falling cutoff are integrated out, and the rest is put on a smaller lattice.

    Arguments:
        eta: η of the field's rescaling by b^{η/2}, in [-2, 2].

    References:
        Wilson & Kogut, Phys. Rep. 12 (1974) 75.
    """

    eta: float = 0.0

    title: ClassVar[str] = "momentum shell"
    about: ClassVar[str] = "Modes above the cutoff are left out; the lattice shrinks with them."
    axis: ClassVar[str] = "side of the lattice, L'"

    def steps(self, size: int) -> tuple[Step, ...]:
        """Return a step for every L' from L down to 2."""
        check_whole("size", size, MIN_SIDE, MAX_SIDE)
        sides = range(size, MIN_SIDE - 1, -1)
        return tuple(Step(side, size / side, math.pi * side / size, side) for side in sides)

    def coarse(self, fields: Tensor, side: int) -> Tensor:
        """Return the long waves, of the height that they had."""
        size = fields.shape[-1]
        matrix = _truncation(size, side).to(fields.device)
        return (side / size) * (matrix @ fields @ matrix.T)


def _block(fields: Tensor, side: int) -> int:
    """Return b = L/L'; raises `ValueError` where it isn't whole."""
    b, rest = divmod(fields.shape[-1], side)
    if rest:
        raise ValueError(
            f"blocks that leave L' = {side} do not fit a lattice of L = {fields.shape[-1]}."
        )
    return b


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _truncation(size: int, side: int) -> Tensor:
    """Return R, (L', L), with orthonormal rows: from waves of L to those of L' ≤ L."""
    fine = torch.arange(size, dtype=torch.float64) / size
    coarse = torch.arange(side, dtype=torch.float64) / side
    waves = torch.arange(-((side - 1) // 2), (side - 1) // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi * waves * (coarse[:, None, None] - fine[:, None])
    matrix = torch.cos(angle).sum(-1) / math.sqrt(size * side)
    if side % 2 == 0:
        cosine = torch.cos(math.pi * side * fine)
        alternating = torch.cos(math.pi * side * coarse) / math.sqrt(side)
        matrix += alternating[:, None] * (cosine / torch.linalg.norm(cosine))
    return matrix
