"""The precision that a network computes in, chosen by measurement."""

import time
from functools import lru_cache

import torch
from torch import nn

from rgdiff_core.networks.base import NetworkSpec

__all__ = ["fast_bfloat16", "network_dtype", "outweighs_rounding"]

GAIN = 1.3  # bfloat16 must be so many times faster to be worth its rounding
TRIES = 5


def network_dtype(
    precision: str, network: NetworkSpec, device: torch.device
) -> torch.dtype | None:
    """Return the type that a network computes in by autocast, None for that of its weights.

    Arguments:
        precision: "float32", "bfloat16" or "auto": bfloat16 where the device is faster with it,
            float32 for lattice networks, whose densities are exact to rounding.
    """
    if precision == "auto":
        fast = not network.any_size and fast_bfloat16(device)
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if precision == "bfloat16" else None


def outweighs_rounding(float32_seconds: float, bfloat16_seconds: float) -> bool:
    """Tell whether bfloat16 is so much faster that its rounding is worth it, from the times of the
    same computation in both types.
    """
    return float32_seconds > GAIN * bfloat16_seconds


@lru_cache(maxsize=8)
def fast_bfloat16(device: torch.device) -> bool:
    """Tell whether convolutions are faster in bfloat16 than in float32 on a device.

    On a CPU it takes a fraction of a second to measure: some have matrix units for it, others
    emulate it, and their names do not tell.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    convolution = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    x = torch.rand(4, 64, 16, 16).to(memory_format=torch.channels_last)
    full, half = _seconds(convolution, x), _seconds(convolution.bfloat16(), x.bfloat16())
    return outweighs_rounding(full, half)


def _seconds(convolution: nn.Module, x: torch.Tensor) -> float:
    """Return the shortest of several times of a convolution."""
    found = []
    with torch.inference_mode():
        for _ in range(TRIES):
            start = time.perf_counter()
            convolution(x)
            found.append(time.perf_counter() - start)
    return min(found)
