"""The processes that `rgdiff study schedules` compares, and the theories on which it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched, White
from rgdiff_core.lattice import Phi4
from rgdiff_core.process import ProcessSpec
from rgdiff_core.schedules import (
    Cosine,
    Cutoff,
    LinearGamma,
    Schedule,
    SoftConditioning,
    WaveletLevels,
)
from rgdiff_core.schedules.kernels import (
    BumpKernel,
    ButterworthKernel,
    GaussianKernel,
    LitimKernel,
    SigmoidKernel,
)
from rgdiff_core.study.lattice.arms import HIGH, LOW

__all__ = ["BASELINE", "CASES", "ENTRANTS", "LARGEST", "Case", "Entrant"]

BASELINE = "white-linear"


@dataclass(frozen=True)
class Case:
    """A theory on a lattice.

    Attributes:
        title: display name.
        action: the theory.
        size: L.
        few: whether only the best processes of the next smaller lattice are measured.
        longer: trajectories for each of those at 6×6, for the long waves of large lattices move
            slowly.
    """

    title: str
    action: Phi4
    size: int
    few: bool = False
    longer: int = 1


CRITICAL = Phi4(-4.0, 4.2606)
CASES: Mapping[str, Case] = {
    "phi4-6x6-critical": Case("6×6, critical line", CRITICAL, 6),
    "phi4-6x6": Case("6×6, symmetric phase", Phi4(-4.0, 6.975), 6),
    "phi4-6x6-broken": Case("6×6, broken phase", Phi4(-1.0, 0.5), 6),
    "phi4-8x8-critical": Case("8×8, critical line", CRITICAL, 8, longer=2),
    "phi4-12x12-critical": Case("12×12, critical line", CRITICAL, 12, few=True, longer=8),
}
LARGEST = "phi4-8x8-critical"  # on which all processes are measured


@dataclass(frozen=True)
class Entrant:
    """A process that is compared.

    Attributes:
        title: display name.
        kind: of noise and schedule: as the arms of `rgdiff study phi4`, or "levels".
        spec: the process.
    """

    title: str
    kind: str
    spec: ProcessSpec


def _white(schedule: Schedule) -> ProcessSpec:
    return ProcessSpec(BasisSpec(momentum="lattice"), White(), schedule)


def _matched(schedule: Schedule) -> ProcessSpec:
    return ProcessSpec(BasisSpec(momentum="lattice"), Matched(), schedule)


def _haar(schedule: Schedule) -> ProcessSpec:
    return ProcessSpec(BasisSpec("wavelet", wavelet="haar"), White(), schedule)


def _entrants() -> dict[str, Entrant]:
    local: dict[str, tuple[str, Schedule]] = {
        "gaussian": ("Gaussian cutoff", Cutoff(GaussianKernel(), gamma_max=HIGH)),
        "butterworth-1": ("Butterworth cutoff of order 1", _cutoff(ButterworthKernel(1.0))),
        "butterworth-2": ("Butterworth cutoff of order 2", _cutoff(ButterworthKernel(2.0))),
        "sigmoid-0.03": ("sigmoid cutoff of width 0.03", _cutoff(SigmoidKernel(0.03))),
        "sigmoid-0.2": ("sigmoid cutoff of width 0.2", _cutoff(SigmoidKernel(0.2))),
        "sigmoid-1": ("sigmoid cutoff of width 1", _cutoff(SigmoidKernel(1.0))),
        "soft-2": ("soft conditioning, 2", SoftConditioning(LOW, HIGH, 2.0, "variance")),
    }
    matched = {
        "litim": ("Litim cutoff", _cutoff(LitimKernel())),
        "bump": ("bump cutoff", _cutoff(BumpKernel())),
        "soft-0.5": ("soft conditioning, 0.5", SoftConditioning(LOW, HIGH, 0.5, "variance")),
    }
    linear = LinearGamma(LOW, HIGH)
    found = {
        BASELINE: Entrant("white noise, linear log-SNR", "white-scalar", _white(linear)),
        "white-cosine": Entrant("white noise, cosine", "white-scalar", _white(Cosine())),
        "matched-linear": Entrant(
            "matched noise, linear log-SNR (EqualSNR)", "matched-scalar", _matched(linear)
        ),
    }
    for name, (title, schedule) in local.items():
        found[f"white-{name}"] = Entrant(
            f"white noise, {title}", "white-component", _white(schedule)
        )
    for name, (title, schedule) in (local | matched).items():
        found[f"matched-{name}"] = Entrant(
            f"matched noise, {title}", "matched-component", _matched(schedule)
        )
    for softness, title in ((0.0, "strictly"), (0.5, "softly")):
        found[f"haar-{softness:g}"] = Entrant(
            f"Haar wavelets, {title} level by level",
            "levels",
            _haar(WaveletLevels(softness, LOW, HIGH)),
        )
    return found


def _cutoff(kernel: Any) -> Cutoff:
    return Cutoff(kernel, gamma_max=HIGH)


ENTRANTS: Mapping[str, Entrant] = _entrants()
