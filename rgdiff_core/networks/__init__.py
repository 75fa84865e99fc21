"""Networks: functions of a field and of the noise's state, built from specs, small to large."""

from collections.abc import Mapping

from rgdiff_core.networks.base import (
    MAX_PARAMETERS,
    POINTS_PER_OCTAVE,
    STATE_POINTS,
    Network,
    NetworkSpec,
    meta_count,
    parameter_count,
)
from rgdiff_core.networks.lattice import LatticeNet
from rgdiff_core.networks.octaves import OctaveNet
from rgdiff_core.networks.precision import fast_bfloat16, network_dtype, outweighs_rounding
from rgdiff_core.networks.unet import UNet

__all__ = [
    "MAX_PARAMETERS",
    "NETWORKS",
    "POINTS_PER_OCTAVE",
    "STATE_POINTS",
    "LatticeNet",
    "Network",
    "NetworkSpec",
    "OctaveNet",
    "UNet",
    "fast_bfloat16",
    "meta_count",
    "network_dtype",
    "outweighs_rounding",
    "parameter_count",
]


def _fast(
    width: int,
    multipliers: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    dropout: float = 0.0,
    patch: int = 1,
) -> UNet:
    """Return a U-Net with wide norms and heads."""
    return UNet(
        width,
        multipliers,
        blocks,
        attention,
        dropout,
        patch=patch,
        group_channels=16,
        head_channels=128,
    )


# For images of 3×32×32 the number in a U-Net's name is its number of parameters.
NETWORKS: Mapping[str, NetworkSpec] = {
    "lattice-small": LatticeNet(16, 2),
    "lattice": LatticeNet(24, 3),
    "lattice-large": LatticeNet(48, 5),
    "octaves": OctaveNet(32),
    "unet-0.3m": _fast(16, (1, 2, 2), 1, (8,)),
    "unet-1m": _fast(24, (1, 2, 3), 1, (8,)),
    "unet-3m": _fast(40, (1, 2, 3), 1, (16, 8)),
    "unet-7m": _fast(64, (1, 2, 2), 2, (8,)),
    "unet-10m": _fast(64, (1, 2, 3), 2, (16, 8), 0.1),
    "unet-17m": _fast(128, (1, 2), 2, (8,), patch=2),
    "unet-17m-fast": _fast(64, (1, 2, 4), 2, (8, 4), patch=2),
    "unet-40m": _fast(128, (1, 2, 2, 2), 2, (16, 8), 0.1),
}
