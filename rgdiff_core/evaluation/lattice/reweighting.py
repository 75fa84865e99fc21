r"""Observables of φ⁴ from a model's samples, each with its weight w = e^{−S}/q.

.. math:: ⟨O⟩_p = ⟨w O⟩_q / ⟨w⟩_q

and every observable is a function of such ratios. The errors are of first order in the
fluctuations of numerator and denominator together, as for any function of averages.

References:
    Nicoli et al., 2007.07115.
"""

import torch
from torch import Tensor

from rgdiff_core.lattice.gamma import estimate
from rgdiff_core.lattice.observables import NAMES, moments, observables_of
from rgdiff_core.statistics import Estimate

__all__ = ["reweighted_observables"]


def reweighted_observables(x: Tensor, log_w: Tensor) -> dict[str, Estimate]:
    """Return what `lattice.observables` does, of independent samples with weights.

    Arguments:
        x: fields in lattice units, (n, 1, L, L) or (n, L, L), n ≥ 2.
        log_w: −S − log q up to a constant, (n,), nats.

    Raises `ValueError` for other shapes, and for values that are not finite.
    """
    if log_w.shape != x.shape[:1]:
        raise ValueError(f"log_w has shape {tuple(log_w.shape)}; x holds {len(x)} samples.")
    weights = torch.exp(log_w.double() - log_w.double().max())[:, None]
    series = torch.cat([weights, weights * moments(x)], 1)
    size = x.shape[-1]
    found = estimate(series, len(x), lambda mean: observables_of(mean[1:] / mean[0], size))
    return dict(zip(NAMES, found, strict=True))
