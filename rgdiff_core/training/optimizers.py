"""The optimizer of a run: AdamW for all weights, or Muon for those of convolutions.

Muon takes the momentum of a matrix to the nearest orthogonal one. A convolution is the matrix
(out, in · height · width), and its steps are scaled to the size of AdamW's, so that one learning
rate serves both; everything else (norms, biases, embeddings, linear layers) keeps AdamW.

References:
    Jordan et al., Muon (kellerjordan.github.io/posts/muon, 2024); Liu et al., 2502.16982 (the
    scale of a step).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rgdiff_core.networks import fast_bfloat16
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.muon import Float32Muon

__all__ = ["optimizers_for"]


def optimizers_for(config: TrainConfig, parameters: Sequence[Tensor]) -> list[Optimizer]:
    """Return the optimizers of a run, each of its share of a network's parameters."""
    muon = config.optimizer == "muon"
    rest = [p for p in parameters if not muon or p.ndim != 4]
    adamw = torch.optim.AdamW(
        rest,
        lr=config.lr,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )
    kernels = [p for p in parameters if muon and p.ndim == 4]
    return [adamw, _muon(config, kernels)] if kernels else [adamw]


def _muon(config: TrainConfig, kernels: Sequence[Tensor]) -> Optimizer:
    """Return Muon for the weights (out, in, height, width) of convolutions."""
    matrices = [nn.Parameter(_matrix(kernel.detach(), kernel)) for kernel in kernels]
    lr, weight_decay = config.lr, config.weight_decay
    optimizer: Optimizer
    if hasattr(torch.optim, "Muon") and fast_bfloat16(kernels[0].device):  # since torch 2.9
        optimizer = torch.optim.Muon(
            matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
    else:
        optimizer = Float32Muon(matrices, lr, weight_decay)

    def bring_gradients(*given: Any) -> None:
        del given
        for matrix, kernel in zip(matrices, kernels, strict=True):
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad, kernel)

    optimizer.register_step_pre_hook(bring_gradients)
    return optimizer


def _matrix(values: Tensor, kernel: Tensor) -> Tensor:
    """Return values of a kernel as a matrix (out, in · height · width), its columns in the order
    of the kernel's memory, so that the kernel itself is not copied.
    """
    last = kernel.is_contiguous(memory_format=torch.channels_last)
    return values.permute(0, 2, 3, 1).flatten(1) if last else values.flatten(1)
