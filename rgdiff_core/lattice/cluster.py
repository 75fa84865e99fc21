r"""Wolff's single-cluster update of the Ising spins in φ⁴.

With φ_x = σ_x |φ_x| and the |φ_x| held fixed, the action is that of an Ising model with couplings
of its own on every link,

.. math:: S = -\sum_{⟨xy⟩} 2 |φ_x| |φ_y| σ_x σ_y + \text{const},

of weight :math:`e^{J_{xy} σ_x σ_y}`, J_xy = 2|φ_x||φ_y|. The bond of Fortuin and Kasteleyn between
equal spins is set with probability :math:`1 - e^{-2 J_{xy}} = 1 - e^{-4 φ_x φ_y}`, and between
unequal ones never. The cluster of a site that is drawn at random is flipped, always: that is
Wolff's update, which leaves e^{-S} as it is. It changes no |φ_x|, so it needs another update
beside it to be ergodic.

On the 2×2 lattice every pair has two links, each with its own bond, as it has two terms in
the action.

References:
    Brower & Tamayo, Phys. Rev. Lett. 62 (1989) 1087 (embedded spins); Wolff, Phys. Rev. Lett. 62
    (1989) 361 (one cluster).
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["bond_probability", "wolff"]


def bond_probability(phi: Tensor) -> Tensor:
    """Return the probability of a bond to the next site along both directions.

    Arguments:
        phi: Fields, (B, L, L).

    Returns:
        (2, B, L, L): to the neighbour along the last axis, and along the one before it.
    """
    links = torch.stack([phi * phi.roll(-1, -1), phi * phi.roll(-1, -2)])
    return -torch.expm1(-4 * links.clamp(min=0))


def wolff(phi: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Flip one cluster in each field.

    Clusters are labelled by SciPy, so that fields on another device send their bonds to the host
    and get the cluster back.

    Arguments:
        phi: Fields, (B, L, L).
        generator: Source of randomness, on the device of phi.

    Returns:
        The new fields, (B, L, L).
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    chains, sites = len(phi), phi[0].numel()
    probability = bond_probability(phi)
    uniform = torch.rand(
        probability.shape, generator=generator, dtype=phi.dtype, device=phi.device
    )
    seeds = torch.randint(sites, (chains, 1), generator=generator, device=phi.device)

    # Rows of the sparse matrix are sites of all chains, with their bonds in both directions.
    bonds = (uniform < probability).movedim(0, -1).cpu()
    number = torch.arange(phi.numel(), dtype=torch.int32).view(phi.shape)
    ends = torch.stack([number.roll(-1, -1), number.roll(-1, -2)], -1)[bonds]
    rows = torch.zeros(phi.numel() + 1, dtype=torch.int32)
    torch.cumsum(bonds.sum(-1).flatten(), 0, out=rows[1:])
    graph = csr_array(
        (np.ones(len(ends)), ends.numpy(), rows.numpy()), shape=(phi.numel(), phi.numel())
    )
    labels = torch.from_numpy(connected_components(graph, directed=False)[1]).to(phi.device)

    labels = labels.view(chains, sites)
    flipped = labels == labels.gather(1, seeds)
    return torch.where(flipped.view(phi.shape), -phi, phi)
