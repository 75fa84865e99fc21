r"""Coarse grids: the components of a basis that a coarser lattice has.

With P the restriction to the coarse components, whose rows are rows of the identity, a field φ of
N sites has the coarse field

    φ_c = U_c P U†φ,

of n sites, U_c being the same basis on the coarse grid. P P† = 1, so that white noise stays
white, and P†, the prolongation by zeros, is the adjoint. In the Fourier and the cosine basis φ_c
is √(N/n) times the field without its finer components, at the sites of the coarse grid; in
wavelets it is their approximation, for Haar √(N/n) times the mean over blocks.
"""

import torch
from torch import Tensor, nn

from rgdiff_core.bases.base import Basis
from rgdiff_core.spec import check_whole

__all__ = ["CoarseGrid"]

MAX_HALVINGS = 8


class CoarseGrid(nn.Module):
    """The components of a basis on a grid whose sides are halved a number of times.

    Arguments:
        basis: U; Fourier, cosine or wavelets.
        halvings: 1 to 8.

    Attributes:
        basis: U_c, of shape (C, h, w).
        amplitude: √(N/n) = 2^halvings.
        fine: bool (1, H, W), the components that the coarse grid lacks.

    Raises `ValueError` for sides that are not divisible often enough, and a basis whose components
    belong to no coarser grid.
    """

    rows: Tensor
    columns: Tensor
    fine: Tensor

    def __init__(self, basis: Basis, halvings: int) -> None:
        super().__init__()
        check_whole("halvings", halvings, 1, MAX_HALVINGS)
        channels, *sides = basis.shape
        factor = 2**halvings
        if any(side % factor for side in sides):
            raise ValueError(
                f"{sides[0]}×{sides[1]} pixels cannot be halved {halvings} times: they are not "
                f"divisible by {factor}."
            )
        self.shape, self.amplitude = basis.shape, float(factor)
        height, width = (side // factor for side in sides)
        self.basis = basis.coarse((channels, height, width))
        self.register_buffer("rows", basis.coarse_places(sides[0], height), persistent=False)
        self.register_buffer("columns", basis.coarse_places(sides[1], width), persistent=False)
        fine = torch.ones(1, *sides, dtype=torch.bool)
        fine[:, self.rows[:, None], self.columns] = False
        self.register_buffer("fine", fine, persistent=False)

    def restrict(self, c: Tensor) -> Tensor:
        """Return P c, the coarse components (…, C, h, w) of components c (…, C, H, W)."""
        return c.index_select(-2, self.rows).index_select(-1, self.columns)

    def prolong(self, c: Tensor) -> Tensor:
        """Return P†c, components (…, C, H, W) whose fine ones are 0."""
        wide = c.new_zeros(*c.shape[:-1], self.shape[2]).index_copy(-1, self.columns, c)
        whole = c.new_zeros(*c.shape[:-2], *self.shape[1:])
        return whole.index_copy(-2, self.rows, wide)
