r"""What the flows have in common: steps on one scale, and fields at each.

A flow takes fields on the L×L lattice to coarser ones. Its steps are compared by one number, the
scale factor b: V/b² degrees of freedom are left of the V of the original lattice. For block spins
and momentum shells b = L/L', exactly; for noise see `rgdiff_core.renormalization.noising`.

Where the lattice becomes coarser, lengths are measured in units of the new spacing and the field
is rescaled,

.. math:: φ'(x') = b^{(d - 2 + η)/2} \, \bar φ(b x'), \qquad d = 2

with \bar φ the coarse field in the units of the fine one. At a critical point there is one η for
which φ' has the same distribution at all large b: in the class of the two-dimensional Ising model
η = 1/4. With η = 0 the field keeps its units. What doesn't depend on the normalization of the
field (`mass`, `quartic` and so on of `Couplings`, Binder cumulants, lengths) doesn't depend on η.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from rgdiff_core.lattice.action import sites
from rgdiff_core.spec import check_range

__all__ = ["Flow", "Step", "as_fields", "check_eta", "rescaling"]

MIN_SIDE = 2
"""The smallest lattice that flows end at: a single site has no gradient."""


@dataclass(frozen=True)
class Step:
    """Where a flow is.

    Attributes:
        place: on the flow's own axis: b, L' or t.
        factor: b ≥ 1.
        cutoff: Λ, the momentum up to which there still are modes, in radians per original spacing.
        size: L', of the fields at this step.
    """

    place: float
    factor: float
    cutoff: float
    size: int


class Flow(Protocol):
    """What takes configurations to coarser ones.

    Attributes:
        title: its name.
        about: what it does, in a sentence.
        axis: what `Step.place` is.
    """

    title: ClassVar[str]
    about: ClassVar[str]
    axis: ClassVar[str]

    def steps(self, size: int) -> tuple[Step, ...]:
        """Return the steps for fields on L×L, from the original fields on."""
        ...

    def apply(
        self, configurations: Tensor, step: Step, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return the fields at a step, (n, 1, L', L') float64, of the original ones (n, 1, L, L)
        or (n, L, L).
        """
        ...


def as_fields(configurations: Tensor) -> Tensor:
    """Return fields as (n, 1, L, L) in float64; raises `ValueError` for another shape or L < 2."""
    fields = sites(configurations).double()[:, None]
    if fields.shape[-1] < MIN_SIDE:
        raise ValueError("a lattice of one site has no coarser one; L must be at least 2.")
    return fields


def check_eta(eta: float) -> None:
    """Raise `ValueError` unless η is in [-2, 2]."""
    check_range("eta", eta, -2, 2)


def rescaling(factor: float, eta: float) -> float:
    """Return b^{η/2}, by which a coarse field is multiplied in two dimensions."""
    return factor ** (eta / 2)
