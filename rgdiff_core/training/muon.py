"""Muon in float32, for devices without fast bfloat16.

torch's Muon multiplies its matrices in bfloat16, which a processor without units for it emulates,
many times slower. In float32 the same iteration is precise enough to be run on the small
matrix X Xᵀ instead of on X, which is less than half the work for the kernels of convolutions.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Float32Muon", "orthogonalized"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of a step of Newton–Schulz, steepest at zero
ITERATIONS = 5
LEAST_NORM = 1e-7
MOMENTUM = 0.95
RMS = 0.2  # of AdamW's steps (2502.16982)


class Float32Muon(Optimizer):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, computed in float32.

    What either keeps of each parameter continues in the other.

    Arguments:
        matrices: parameters (rows, columns).
        lr: the learning rate.
        weight_decay: of the weights, decoupled from the gradient.

    References:
        Jordan et al., Muon (kellerjordan.github.io/posts/muon, 2024); Liu et al., 2502.16982
        (the scale of a step).
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every matrix that has a gradient; returns the closure's value."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, group["lr"], group["weight_decay"])
        return loss

    def _move(self, matrix: Tensor, lr: float, weight_decay: float) -> None:
        """Move one matrix along its orthogonalized momentum, as Nesterov does."""
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonalized(gradient.lerp(average, MOMENTUM))
        matrix.mul_(1 - lr * weight_decay)
        matrix.add_(direction, alpha=-lr * RMS * max(matrix.shape) ** 0.5)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix (rows, columns) with its singular values taken near one.

    A step of Newton–Schulz takes X to (a + b G + c G²) X with G = X Xᵀ. All steps together are one
    polynomial of the first G, so that X is multiplied twice, however many they are.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalized(matrix.T).T
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm().clamp(min=LEAST_NORM)
    gram, product = x @ x.T, torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(ITERATIONS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ x
