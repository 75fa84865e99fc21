"""What the Lattice page calls things, and what it draws along flows: names, values, curves."""

import math
import re
from collections.abc import Mapping, Sequence

from pages._shared.plots import Curve
from rgdiff_core.renormalization import Measurement
from rgdiff_core.statistics import Estimate

__all__ = ["GAUSSIAN", "QUANTITIES", "curve_of", "in_symbols", "value_of"]

QUANTITIES: Mapping[str, str] = {
    "Binder U₄": "binder",
    "ξ/L′": "length_ratio",
    "U₄ of single sites": "site_binder",
    "⟨φφ_μ⟩/⟨φ²⟩": "neighbour_correlation",
    "⟨|M|⟩²/⟨M²⟩": "magnetization_ratio",
    "coupling λ⟨φ²⟩²": "unit_quartic",
    "mass m²⟨φ²⟩": "unit_mass",
    "stiffness Z⟨φ²⟩": "stiffness",
    "m²/Z": "mass",
    "λ/Z²": "quartic",
    "χ²/dof of the action": "misfit",
}
COUPLINGS = ("unit_quartic", "unit_mass", "stiffness", "mass", "quartic")
GAUSSIAN = {
    "binder": 0.0,
    "site_binder": 0.0,
    "unit_quartic": 0.0,
    "magnetization_ratio": 2 / math.pi,
}


SYMBOLS = {"m2": "m²", "lam": "λ", "kappa": "κ"}


def in_symbols(text: str) -> str:
    """Return a sentence of the library with the symbols of its arguments."""
    return re.sub(r"\b(m2|lam|kappa)\b", lambda name: SYMBOLS[name[0]], text)


def value_of(each: Measurement, name: str) -> Estimate:
    """Return a quantity of `QUANTITIES` at a step."""
    if name == "misfit":
        return Estimate(each.couplings.misfit, 0.0)
    if name in COUPLINGS:
        return getattr(each.couplings, name)
    return each.observables[name]


def curve_of(label: str, track: Sequence[Measurement], name: str, color: str) -> Curve | None:
    """Return a quantity along a flow, without points of which nothing is known."""
    size = track[0].step.size
    kept = [
        (each.step.factor, found)
        for each in track
        if each.step.factor <= size and _known(found := value_of(each, name))
    ]
    if not kept:
        return None
    x, y = [b for b, _ in kept], [found.value for _, found in kept]
    return Curve(label, x, y, color, joined=True, error=[found.error for _, found in kept])


def _known(found: Estimate) -> bool:
    finite = math.isfinite(found.value) and math.isfinite(found.error)
    return finite and found.error < max(1.0, 0.5 * abs(found.value))
