r"""Noise as a flow: the forward process of a diffusion model on the same lattice.

Noise doesn't take modes away at a sharp cutoff; it drowns them, those first whose signal is weak
beside it. With SNR_k(t) = α_k²Σ_k/(σ_k²S_k²) the signal-to-noise ratio of component k, the share
of it that still can be known is SNR/(1 + SNR), which is ½ where the two are equal. So

.. math:: V/b^2 = \sum_k \frac{\mathrm{SNR}_k(t)}{1 + \mathrm{SNR}_k(t)}

degrees of freedom are left, and for a sharp cutoff this b is that of the momentum shell. The
cutoff Λ(t) is the momentum at which the SNR crosses one. Where all components cross at once
(matched noise with a scalar schedule) there is no such momentum: Λ falls from the largest to 0 in
one moment, while b grows smoothly; such a flow erases all scales together.

The lattice stays and the field isn't rescaled, so m²/Z is in units of the original spacing.

For Gaussian noise, independent of the data and of variance N_k = σ_k²S_k² in component k,
connected correlators of more than two fields only shrink: those of n fields by α for each of them.
The end is the Gaussian theory with the noise's own spectrum: white noise, which has Z = 0; or with
matched noise the free theory that has the data's spectrum.
"""

import math
from typing import ClassVar, Self

import torch
from torch import Tensor

from rgdiff_core.process import Process, ProcessSpec
from rgdiff_core.renormalization.base import Step, as_fields
from rgdiff_core.spectra.power import data_log_snr

__all__ = ["Noising"]

TIMES = tuple(i / 16 for i in range(17))


class Noising:
    """A forward process at given times.

    Arguments:
        process: of fields (1, L, L), with the data's statistics.
        times: in [0, 1].

    Raises `ValueError` for a process without the data's variance, or of another shape.
    """

    title: ClassVar[str] = "noising"
    about: ClassVar[str] = "The diffusion model's noise drowns the modes, weak signals first."
    axis: ClassVar[str] = "time, t"

    def __init__(self, process: Process, times: tuple[float, ...] = TIMES) -> None:
        shape = tuple(process.basis.shape)
        if shape[0] != 1 or shape[1] != shape[2]:
            raise ValueError(f"a process of {shape} does not noise lattice fields (1, L, L).")
        self.process, self.times = process, times
        self._log_snr = [data_log_snr(process, t).double().cpu() for t in times]

    @classmethod
    def fit(
        cls, configurations: Tensor, spec: ProcessSpec, *, times: tuple[float, ...] = TIMES
    ) -> Self:
        """Build the process, in float64, for configurations (n, 1, L, L) or (n, L, L), n ≥ 2.

        Raises `ValueError` where basis, colour or schedule do not fit them.
        """
        return cls(spec.build(as_fields(configurations), symmetries="lattice"), times)

    def steps(self, size: int) -> tuple[Step, ...]:
        """Return a step for each of the times; raises `ValueError` for another L than the
        process'.
        """
        own = self.process.basis.shape[-1]
        if size != own:
            raise ValueError(f"the process is of lattices with L = {own}, not L = {size}.")
        momentum = self.process.modes.momentum.double().cpu()
        return tuple(
            Step(t, _factor(snr), _crossing(snr, momentum), size)
            for t, snr in zip(self.times, self._log_snr, strict=True)
        )

    def apply(
        self, configurations: Tensor, step: Step, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return φ(t), (n, 1, L, L) float64; the noise is drawn from the generator."""
        fields = as_fields(configurations).to(self.process.noise_variance)
        return self.process.perturb(fields, step.place, generator=generator).double()


def _factor(log_snr: Tensor) -> float:
    """Return b, from the share of the components that is left."""
    return 1 / math.sqrt(float(torch.sigmoid(log_snr).mean()))


def _crossing(log_snr: Tensor, momentum: Tensor) -> float:
    """Return the smallest momentum at which the SNR, averaged at equal momentum, falls below one;
    nan for a basis without momenta.
    """
    snr, k = (x.flatten() for x in torch.broadcast_tensors(log_snr, momentum))
    shells, shell = torch.unique(k.float(), return_inverse=True)
    if len(shells) < 2:
        return math.nan
    count = torch.bincount(shell).double()
    k = torch.zeros_like(count).index_add_(0, shell, k) / count
    mean = torch.zeros_like(count).index_add_(0, shell, snr) / count
    below = torch.nonzero(mean < 0)
    if not len(below):
        return float(k[-1])
    first = int(below[0])
    if first == 0:
        return 0.0
    share = mean[first - 1] / (mean[first - 1] - mean[first])
    return float(k[first - 1] + share * (k[first] - k[first - 1]))
