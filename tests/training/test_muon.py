"""Muon in float32 against singular values and against torch's Muon in bfloat16."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rgdiff_core.training.muon import Float32Muon, orthogonalized

SHAPES = ((6, 54), (54, 6), (8, 8), (1, 9))
LR, WEIGHT_DECAY = 0.01, 0.1
ROUNDING = 0.02  # of steps, by bfloat16


def quintic(values: Tensor) -> Tensor:
    """Return what five steps of Newton–Schulz make of singular values."""
    values = values / values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_go_where_the_polynomial_takes_them(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    expected = u @ torch.diag(quintic(values)) @ v
    torch.testing.assert_close(orthogonalized(matrix), expected, atol=1e-10, rtol=0)
    single = orthogonalized(matrix.float()).double()
    torch.testing.assert_close(single, expected, atol=1e-4, rtol=0)


def test_small_singular_values_keep_their_direction_in_float32():
    """Over four decades, where the powers of X Xᵀ span eight."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(64, 576, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(0, -4, 64, dtype=torch.float64)
    expected = u @ torch.diag(quintic(values)) @ v
    found = orthogonalized((u @ torch.diag(values) @ v).float()).double()
    assert (found - expected).norm() < 1e-3 * expected.norm()


def test_nothing_comes_of_nothing():
    assert torch.equal(orthogonalized(torch.zeros(3, 5)), torch.zeros(3, 5))


def ours(matrices: list[nn.Parameter]) -> Optimizer:
    return Float32Muon(matrices, LR, WEIGHT_DECAY)


def theirs(matrices: list[nn.Parameter]) -> Optimizer:
    return torch.optim.Muon(
        matrices, lr=LR, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
    )


def moved(optimizers: list[Callable], gradients: list[list[Tensor]]) -> list[Tensor]:
    """Return matrices after steps along gradients, each step by the optimizer of its turn, which
    begins with the state of the one before.
    """
    torch.manual_seed(1)
    matrices = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    state: dict[int, dict[str, Tensor]] = {}
    for kind, step in zip(optimizers, gradients, strict=True):
        optimizer = kind(matrices)
        for number, matrix in enumerate(matrices):
            optimizer.state[matrix].update(state.get(number, {}))
            matrix.grad = step[number].clone()
        optimizer.step()
        state = {n: dict(optimizer.state[matrix]) for n, matrix in enumerate(matrices)}
    return [matrix.detach() for matrix in matrices]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon since 2.9")
@pytest.mark.parametrize("first", [True, False])
def test_it_takes_the_steps_of_torch_and_goes_on_with_its_state(first):
    torch.manual_seed(2)
    gradients = [[torch.randn(shape) for shape in SHAPES] for _ in range(4)]
    torchs = moved([theirs] * 4, gradients)
    mixed = [ours, theirs] if first else [theirs, ours]
    for kinds in ([ours] * 4, mixed * 2):
        for own, peer in zip(moved(kinds, gradients), torchs, strict=True):
            step = LR * 0.2 * max(own.shape) ** 0.5
            assert (own - peer).abs().max() < 4 * ROUNDING * step


def test_a_closure_is_evaluated_with_its_gradients():
    matrix = nn.Parameter(torch.ones(2, 3))
    optimizer = ours([matrix])

    def closure() -> float:
        loss = (matrix**2).sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 6
    assert (matrix < 1).all()
