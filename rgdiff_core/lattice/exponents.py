r"""Critical exponents from one coupling: how observables grow with the lattice there.

At the critical point, up to corrections,

.. math:: χ \propto L^{γ/ν}, \quad ⟨|M|⟩ \propto L^{-β/ν}, \quad
    \frac{d}{dλ} \log ⟨|M|⟩ \propto L^{1/ν},

and the derivative is a covariance in the ensemble at that coupling itself,

.. math:: \frac{d}{dλ} \log ⟨|M|⟩ = -\frac{⟨|M| S_4⟩ - ⟨|M|⟩ ⟨S_4⟩}{⟨|M|⟩},
    \quad S_4 = \sum_x φ_x^4.

References:
    Ferrenberg & Landau, Phys. Rev. B 44 (1991) 5081 (logarithmic derivatives of the
    magnetization).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.lattice.gamma import estimate
from rgdiff_core.statistics import Estimate

__all__ = ["exponent", "log_slope"]


def log_slope(fields: Tensor, n_chains: int) -> Estimate:
    """Return d log⟨|M|⟩/dλ of φ⁴.

    Arguments:
        fields: (n, 1, L, L) in lattice units; those of one chain side by side.
        n_chains: as of `estimate`; n for independent fields.

    Raises:
        ValueError: as `estimate`.
    """
    fields = fields.double()
    m, quartic = fields.mean((1, 2, 3)).abs(), (fields**4).sum((1, 2, 3))
    return estimate(torch.stack([m, quartic, m * quartic], 1), n_chains, _slope)


def _slope(mean: Tensor) -> Tensor:
    return mean[1] - mean[2] / mean[0]


def exponent(values: Mapping[int, Estimate]) -> Estimate:
    """Return the exponent p of a quantity that grows as L^p, from independent values at several
    L: the slope of the logarithms by weighted least squares.

    Raises:
        ValueError: For fewer than two sizes, and values that are not positive or have no error.
    """
    if len(values) < 2:
        raise ValueError(f"an exponent takes two sizes or more, not {len(values)}.")
    for size, each in values.items():
        if not (each.value > 0 and each.error > 0):
            raise ValueError(f"{each.value:g} ± {each.error:g} at L = {size} must be positive.")
    sizes = np.log([float(size) for size in values])
    found = np.log([each.value for each in values.values()])
    weights = np.array([each.value / each.error for each in values.values()]) ** 2
    centre = np.average(sizes, weights=weights)
    spread = float((weights * (sizes - centre) ** 2).sum())
    return Estimate(float((weights * (sizes - centre) * found).sum()) / spread, spread**-0.5)
