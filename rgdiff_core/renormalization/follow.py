"""Following an ensemble along a flow: what is measured at each step."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rgdiff_core.lattice import observables
from rgdiff_core.lattice.action import neighbours
from rgdiff_core.lattice.gamma import estimate
from rgdiff_core.renormalization.base import Flow, Step, as_fields, rescaling
from rgdiff_core.renormalization.couplings import Couplings, effective_couplings
from rgdiff_core.spectra.power import Spectrum, power_spectrum
from rgdiff_core.statistics import Estimate

__all__ = ["Measurement", "follow", "measure"]

PURE_NUMBERS = ("magnetization_ratio", "site_binder", "neighbour_correlation")


@dataclass(frozen=True, eq=False)
class Measurement:
    """A step of a flow, and the fields there.

    Attributes:
        step: where.
        fields: (n, 1, L', L') float64, in units of the new lattice.
        observables: those of `rgdiff_core.lattice.observables`, and pure numbers that do not
            depend on the field's normalization: `magnetization_ratio` ⟨|M|⟩²/⟨M²⟩, 2/π in a
            Gaussian theory and 1 with a sharp |M|; `site_binder` 1 − ⟨φ⁴⟩/(3⟨φ²⟩²), of single
            sites; `neighbour_correlation` ⟨φ_xφ_{x+μ}⟩/⟨φ²⟩; `length_ratio` ξ/L'.
        spectrum: power by |k| in units of the new lattice; its errors are those of independent
            fields.
        couplings: of the φ⁴ action that fits best.
    """

    step: Step
    fields: Tensor
    observables: dict[str, Estimate]
    spectrum: Spectrum
    couplings: Couplings

    def spectrum_on(self, size: int, eta: float = 0.0) -> Spectrum:
        """Return the spectrum, k = 0 left out, in units of the original lattice: a mode that the
        flow keeps has the momentum and the power that it had there.

        Arguments:
            size: L of the original lattice.
            eta: the η with which the flow rescales the field.
        """
        found, b = self.spectrum.only(self.spectrum.momentum > 0), size / self.step.size
        scale = (b / rescaling(b, eta)) ** 2
        return replace(
            found,
            momentum=found.momentum / b,
            power=scale * found.power,
            error=scale * found.error,
            modes=found.modes / b,
            samples=None if found.samples is None else scale * found.samples,
        )


def follow(
    flow: Flow,
    configurations: Tensor,
    n_chains: int = 1,
    *,
    generator: torch.Generator | None = None,
) -> Iterator[Measurement]:
    """Measure an ensemble at every step of a flow, `len(flow.steps(L))` of them.

    Arguments:
        flow: one of `FLOWS`.
        configurations: fields in lattice units, (n, 1, L, L) or (n, L, L), n ≥ 24; those of one
            chain side by side.
        n_chains: number of independent chains; n for independent fields.
        generator: of noise, where there is any; torch's own by default. Every step has the same
            noise, so that what is measured changes smoothly from one to the next.

    Raises `ValueError` for fields that can't be measured, or that do not fit the flow.
    """
    fields = as_fields(configurations)
    source = torch.default_generator if generator is None else generator
    state = source.get_state()
    for step in flow.steps(fields.shape[-1]):
        source.set_state(state)
        yield measure(step, flow.apply(fields, step, source), n_chains)


def measure(step: Step, fields: Tensor, n_chains: int) -> Measurement:
    """Measure fields (n, 1, L', L') at a step; arguments and errors as `follow`."""
    found = observables(fields, n_chains=n_chains)
    length = found["correlation_length"].scaled(1 / fields.shape[-1])
    return Measurement(
        step=step,
        fields=fields,
        observables=found | _pure_numbers(fields, n_chains) | {"length_ratio": length},
        spectrum=power_spectrum(fields),
        couplings=effective_couplings(fields, n_chains),
    )


def _pure_numbers(fields: Tensor, n_chains: int) -> dict[str, Estimate]:
    """Return what stays the same when the field is multiplied by a number."""
    phi = fields[:, 0]
    square, m = phi.square(), phi.mean((-2, -1))
    columns = [square, square.square(), phi * neighbours(phi) / 4]
    averages = [m.abs(), m.square(), *(column.mean((-2, -1)) for column in columns)]

    def numbers(mean: Tensor) -> list[Tensor]:
        abs_m, m2, phi2, phi4, energy = mean
        return [abs_m**2 / m2, 1 - phi4 / (3 * phi2**2), energy / phi2]

    found = estimate(torch.stack(averages, 1), n_chains, numbers)
    return dict(zip(PURE_NUMBERS, found, strict=True))
