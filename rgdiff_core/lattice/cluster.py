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

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["bond_probability", "clusters", "wolff"]

PIECE_SITES = 2**14 - 1  # of which each has two bonds
PACKED = 16  # lattices, from which on eight of them in a byte are quicker
STEPS = 4  # of growth between two looks whether it has ended


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

    Clusters are found on the host, so that fields on another device send their bonds there and
    get the cluster back.

    Arguments:
        phi: Fields, (B, L, L).
        generator: Source of randomness, on the device of phi.

    Returns:
        The new fields, (B, L, L).
    """
    shape = (2, *phi.shape)
    uniform = torch.rand(shape, generator=generator, dtype=phi.dtype, device=phi.device)
    seeds = torch.randint(phi[0].numel(), (len(phi), 1), generator=generator, device=phi.device)
    # On the CPU in pieces, on which torch works in the calling thread.
    piece = max(1, PIECE_SITES // phi[0].numel()) if phi.device.type == "cpu" else len(phi)
    parts = zip(phi.split(piece), uniform.split(piece, 1), strict=True)
    bonds = torch.cat([chance < bond_probability(part) for part, chance in parts], 1)
    found = clusters(bonds.cpu().numpy(), seeds[:, 0].cpu().numpy())
    flipped = torch.from_numpy(found).to(phi.device)
    return torch.where(flipped, -phi, phi)


def clusters(bonds: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Find the cluster of one site in each of B lattices.

    Arguments:
        bonds: (2, B, L, L) bool, to the neighbour along the last axis, and along the one before
            it.
        sites: (B,), of each lattice the number of a site, in the order of rows.

    Returns:
        (B, L, L) bool.
    """
    return _grown(bonds, sites) if len(sites) >= PACKED else _labelled(bonds, sites)


def _labelled(bonds: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Find clusters by labelling the connected components of all lattices, one site at a time."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    shape = bonds.shape[1:]
    number = np.arange(math.prod(shape), dtype=np.int32).reshape(shape)
    # Rows of the sparse matrix are sites of all lattices, with their bonds in both directions.
    both = np.moveaxis(bonds, 0, -1)
    ends = np.stack([np.roll(number, -1, -1), np.roll(number, -1, -2)], -1)[both]
    rows = np.concatenate([[0], np.cumsum(both.sum(-1).ravel())])
    graph = csr_array((np.ones(len(ends)), ends, rows), shape=(number.size, number.size))
    labels = connected_components(graph, directed=False)[1].reshape(len(sites), -1)
    return (labels == np.take_along_axis(labels, sites[:, None], 1)).reshape(shape)


def _grown(bonds: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """Find clusters by growing those of all lattices together, eight in a byte.

    Every lattice has a frame that repeats its other side, so that a step to all neighbours is a
    shift of the flat array; the frame is refreshed after every few steps.
    """
    chains, height, width = bonds.shape[1:]
    start = np.zeros((chains, height * width), dtype=bool)
    start[np.arange(chains), sites] = True
    frame = ((0, 0), (1, 1), (1, 1))
    right, down = (np.pad(np.packbits(each, axis=0), frame, mode="wrap") for each in bonds)
    right[:, :, -1] = down[:, -1] = 0  # out of the frame
    cluster = np.pad(np.packbits(start.reshape(bonds.shape[1:]), axis=0), frame)
    flat, inside, room = cluster.ravel(), cluster[:, 1:-1, 1:-1], np.empty_like(cluster).ravel()
    steps = []
    for by, bond in ((1, right.ravel()[:-1]), (width + 2, down.ravel()[: -width - 2])):
        near, far = flat[:-by], flat[by:]
        steps += [(near, far, bond, room[:-by]), (far, near, bond, room[:-by])]
    while True:
        before = inside.copy()
        cluster[:, 0], cluster[:, -1] = cluster[:, -2], cluster[:, 1]
        cluster[:, :, 0], cluster[:, :, -1] = cluster[:, :, -2], cluster[:, :, 1]
        for _ in range(STEPS):
            for source, target, bond, joined in steps:
                np.bitwise_and(source, bond, out=joined)
                np.bitwise_or(target, joined, out=target)
        if np.array_equal(inside, before):
            return np.unpackbits(inside, axis=0, count=chains).astype(bool)
