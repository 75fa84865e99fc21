"""The action against loops, a matrix and autograd; the conventions against each other."""

import math

import numpy as np
import pytest
import torch

from rgdiff_core.lattice import Phi4

THEORIES = [Phi4(-4.0, 6.975), Phi4(-1.0, 0.5), Phi4(1.0, 0.0)]
SIZES = [1, 2, 3, 6]


def fields(size: int, n: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size)
    return torch.randn((n, size, size), generator=generator, dtype=torch.float64)


def loop_action(theory: Phi4, phi: np.ndarray) -> float:
    size, total = len(phi), 0.0
    for i in range(size):
        for j in range(size):
            here = phi[i, j]
            for there in (phi[(i + 1) % size, j], phi[i, (j + 1) % size]):
                total += (there - here) ** 2
            total += theory.m2 * here**2 + theory.lam * here**4
    return total


@pytest.mark.parametrize("theory", THEORIES)
@pytest.mark.parametrize("size", SIZES)
def test_action_equals_a_sum_in_loops(theory, size):
    phi = fields(size)
    expected = torch.tensor([loop_action(theory, p.numpy()) for p in phi], dtype=torch.float64)
    torch.testing.assert_close(theory(phi), expected)
    torch.testing.assert_close(theory(phi[:, None]), expected)


@pytest.mark.parametrize("size", SIZES)
def test_the_free_action_is_diagonal_in_momentum_space(size):
    k = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    k2 = 4 * torch.sin(k / 2) ** 2
    phi = fields(size)
    modes = torch.fft.fft2(phi, norm="ortho").abs() ** 2
    expected = (modes * (k2[:, None] + k2 + 0.7)).sum((-2, -1))
    torch.testing.assert_close(Phi4(0.7, 0.0)(phi), expected)


@pytest.mark.parametrize("theory", THEORIES)
@pytest.mark.parametrize("size", SIZES)
def test_the_force_is_minus_the_gradient(theory, size):
    phi = fields(size)[:, None].requires_grad_()
    (gradient,) = torch.autograd.grad(theory(phi).sum(), phi)
    torch.testing.assert_close(theory.force(phi), -gradient)


def neighbour_matrix(size: int) -> torch.Tensor:
    """Return the symmetric matrix that counts the links between sites, (L², L²)."""
    count = torch.zeros((size**2, size**2), dtype=torch.float64)
    for row in range(size):
        for column in range(size):
            here = row * size + column
            for there in ((row + 1) % size * size + column, row * size + (column + 1) % size):
                count[here, there] += 1
                count[there, here] += 1
    return count


def general_action(phi: torch.Tensor, j: float, a: float, b: float) -> torch.Tensor:
    """Return Σ[-J Σ_μ φφ_μ + A φ² + B φ⁴], by a matrix."""
    flat = phi.flatten(1)
    links = 0.5 * torch.einsum("bi,ij,bj->b", flat, neighbour_matrix(phi.shape[-1]), flat)
    return -j * links + a * (flat**2).sum(1) + b * (flat**4).sum(1)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(
    ("kappa", "lam"), [(0.27, 0.022), (0.2, 0.0), (0.5, 1.3), (0.342570, 0.5)]
)
def test_hopping_convention(kappa, lam, size):
    theory = Phi4.from_hopping(kappa, lam)
    back = theory.to_hopping()
    assert back.kappa == pytest.approx(kappa, rel=1e-12)
    assert back.lam == pytest.approx(lam, rel=1e-12, abs=1e-15)
    phi = fields(size)
    expected = general_action(phi, 2 * kappa, 1 - 2 * lam, lam)
    torch.testing.assert_close(theory(back.factor * phi), expected)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(("m2", "g"), [(-1.27, 6.0), (0.5, 0.0), (3.0, 24.0)])
def test_convention_with_factors_of_one_half(m2, g, size):
    theory = Phi4.from_half(m2, g)
    back = theory.to_half()
    assert (back.m2, back.g) == (m2, pytest.approx(g, rel=1e-15))
    phi = fields(size)
    expected = general_action(phi, 1, (4 + m2) / 2, g / 24)
    torch.testing.assert_close(theory(back.factor * phi), expected)


@pytest.mark.parametrize(
    ("lam", "beta", "published"),
    [
        (6.975, 0.53548, 0.537),
        (6.008, 0.57696, 0.576),
        (5.550, 0.60030, 0.601),
        (5.276, 0.61569, 0.616),
        (5.113, 0.62543, 0.626),
    ],
)
def test_published_couplings(lam, beta, published):
    # Those of arXiv:1904.12072 at m² = -4; there the hopping coupling is ½ and β = 2κ = √(2/λ).
    # The last column is arXiv:2105.12481, tuned by itself to the same correlation lengths.
    hopping = Phi4(-4, lam).to_hopping()
    assert hopping.lam == pytest.approx(0.5, rel=1e-12)
    assert 2 * hopping.kappa == pytest.approx(beta, abs=1e-5)
    assert 2 * hopping.kappa == pytest.approx(published, abs=0.002)


@pytest.mark.parametrize("g", [-1.0, math.inf])
def test_half_couplings_out_of_range_are_refused(g):
    with pytest.raises(ValueError, match=f"g = {g}"):
        Phi4.from_half(1.0, g)


@pytest.mark.parametrize(
    ("m2", "lam", "says"),
    [
        (math.nan, 1.0, "m2 = nan"),
        (1.0, math.inf, "lam = inf"),
        (1.0, -0.1, "lam = -0.1"),
        (0.0, 0.0, "m2 > 0"),
        (-1.0, 0.0, "m2 > 0"),
    ],
)
def test_theories_that_do_not_exist_are_refused(m2, lam, says):
    with pytest.raises(ValueError, match=says):
        Phi4(m2, lam)


@pytest.mark.parametrize(
    ("kappa", "lam", "says"),
    [
        (0.0, 0.5, "kappa = 0.0"),
        (math.nan, 0.5, "kappa = nan"),
        (1e-200, 0.5, "kappa = 1e-200"),
        (1e200, 0.5, r"kappa = 1e\+200"),
        (0.2, -1.0, "lam = -1.0"),
        (0.2, 1e308, "m2 = -inf"),
    ],
)
def test_hopping_couplings_out_of_range_are_refused(kappa, lam, says):
    with pytest.raises(ValueError, match=says):
        Phi4.from_hopping(kappa, lam)


@pytest.mark.parametrize(("m2", "lam"), [(1e200, 1.0), (-1e200, 1e-300), (-10.0, 1e-320)])
def test_theories_beyond_the_hopping_convention_are_told(m2, lam):
    with pytest.raises(ValueError, match="kappa is beyond the range of numbers"):
        Phi4(m2, lam).to_hopping()


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (2, 4, 5), (1, 1, 1, 4, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="lattice fields are"):
        Phi4(1.0, 1.0)(torch.zeros(shape))
