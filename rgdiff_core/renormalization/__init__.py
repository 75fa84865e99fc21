"""Renormalization on the lattice: block spins, momentum shells and noise as flows of the same
fields, and the effective couplings on the way. `base` has the conventions.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rgdiff_core.renormalization.base import Flow, Step
from rgdiff_core.renormalization.coarse import BlockSpin, Decimation, MomentumShell
from rgdiff_core.renormalization.couplings import Couplings, effective_couplings
from rgdiff_core.renormalization.follow import Measurement, follow, measure
from rgdiff_core.renormalization.noising import Noising

__all__ = [
    "FLOWS",
    "BlockSpin",
    "Couplings",
    "Decimation",
    "Flow",
    "Measurement",
    "MomentumShell",
    "Noising",
    "Step",
    "effective_couplings",
    "follow",
    "measure",
]

FLOWS: Mapping[str, type[BlockSpin] | type[Decimation] | type[MomentumShell] | type[Noising]] = (
    MappingProxyType(
        {flow.title: flow for flow in (BlockSpin, Decimation, MomentumShell, Noising)}
    )
)
"""The flows by their titles; each class says what it does (`about`) and along what (`axis`)."""
