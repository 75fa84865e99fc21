"""What the study of sizes measures of fields."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rgdiff_core.lattice import observables
from rgdiff_core.lattice.exponents import log_slope
from rgdiff_core.lattice.observables import changes
from rgdiff_core.statistics import Estimate

__all__ = ["OBSERVABLES", "RUNAWAY", "differences", "measured", "plain", "tamed"]

RUNAWAY = 1e9  # in lattice units

OBSERVABLES = (
    "susceptibility",
    "abs_magnetization",
    "binder",
    "phi2",
    "energy",
    "correlation_length",
)


def tamed(x: Tensor) -> Tensor:
    """Return fields with what ran away made a large number, over which no average makes sense."""
    return x.nan_to_num(RUNAWAY, RUNAWAY, -RUNAWAY).clamp(-RUNAWAY, RUNAWAY)


def measured(x: Tensor) -> dict[str, Any]:
    """Return what is measured of independent fields (n, 1, L, L)."""
    x = tamed(x)
    slope = log_slope(x, len(x)).to_dict()
    return {"observables": plain(observables(x, n_chains=len(x))), "slope": slope, "n": len(x)}


def differences(x: Tensor, parents: Tensor) -> dict[str, dict[str, float]]:
    """Return what fields (n, 1, L, L) have more of, in the mean, than those whose coarse part they
    were given: local observables, which that part does not fix.
    """
    found = changes(tamed(x), parents).items()
    return {name: each.to_dict() for name, each in found if name in OBSERVABLES}


def plain(found: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    """Return the study's observables, ready for JSON."""
    return {name: found[name].to_dict() for name in OBSERVABLES}
