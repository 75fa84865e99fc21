"""Divergences and Jacobian matrices, by backward passes of a bounded number of fields at once."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from rgdiff_core.devices import doubled
from rgdiff_core.process import Generators, white_noise
from rgdiff_core.spec import check_whole

__all__ = [
    "DIVERGENCES",
    "ROWS",
    "directions_of",
    "divergence_of",
    "log_determinant",
    "pulled_back",
    "unit_directions",
]

DIVERGENCES = ("exact", "hutchinson")
MAX_PROBES = 1000
MAX_EXACT = 4096  # components, and so backward passes, of an exact divergence
ROWS = 128  # fields that are pulled back at once


def directions_of(divergence: str, like: Tensor, generator: Generators, probes: int) -> Tensor:
    """Return directions w, (K, B or 1, C, H, W), for which ∇·v = Σ_K w·(∂v/∂z)ᵀw, exactly or on
    average.
    """
    check_whole("probes", probes, 1, MAX_PROBES)
    if divergence == "exact":
        components = like[0].numel()
        if components > MAX_EXACT:
            raise ValueError(
                f"an exact divergence of {components} components takes as many backward passes; "
                f"at most {MAX_EXACT} are allowed: use divergence = 'hutchinson'."
            )
        return unit_directions(like)
    if divergence != "hutchinson":
        raise ValueError(f"divergence = {divergence!r} is not one of {', '.join(DIVERGENCES)}.")
    noise = torch.stack([white_noise(like.shape, like, generator) for _ in range(probes)])
    return torch.where(noise < 0, -1.0, 1.0).to(like) / math.sqrt(probes)


def divergence_of(v: Tensor, z: Tensor, directions: Tensor) -> Tensor:
    """Return ∇·v, (B,)."""
    result = torch.zeros(len(z), dtype=z.dtype, device=z.device)
    if not v.requires_grad:
        return result
    for chunk, pulled in pulled_back(v, z, directions):
        result = result + (pulled * chunk).flatten(2).sum((0, 2))
    return result


def unit_directions(like: Tensor) -> Tensor:
    """Return the unit vectors of all components of fields like (B, C, H, W), (D, 1, C, H, W)."""
    components = like[0].numel()
    return torch.eye(components).to(like).reshape(components, 1, *like.shape[1:])


def pulled_back(y: Tensor, x: Tensor, directions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Give directions w, (k, B or 1, C, H, W), and (∂y/∂x)ᵀw, (k, B, C, H, W), by backward passes
    of a bounded number of fields at once.
    """
    # one direction at a time is slower than two, whatever the batch
    for chunk in directions.split(max(2, ROWS // len(x))):
        weights = chunk.expand(-1, *x.shape)
        yield (
            chunk,
            torch.autograd.grad(y, x, weights, retain_graph=True, is_grads_batched=True)[0],
        )


def log_determinant(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sign of det ∂y/∂x and log |det ∂y/∂x|, each (B,), of fields (B, C, H, W), y made
    from x.
    """
    rows = [pulled.flatten(2) for _, pulled in pulled_back(y, x, unit_directions(x))]
    sign, volume = torch.linalg.slogdet(doubled(torch.cat(rows).movedim(0, 1)))
    return sign.to(y), volume.to(y)
