"""Networks with random weights, which do something."""

import math

import torch
from torch import nn

FEATURES = 7


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a value of its own, the zero ones too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.copy_(noise / math.sqrt(max(1, parameter[0].numel())))
    return network
