"""What the pages call the observables of a lattice theory."""

from collections.abc import Mapping

__all__ = ["COMPARED", "SYMBOLS", "TITLES", "in_table"]

TITLES: Mapping[str, str] = {
    "abs_magnetization": "⟨|M|⟩",
    "susceptibility": "χ = V⟨M²⟩",
    "connected_susceptibility": "connected χ = V(⟨M²⟩−⟨|M|⟩²)",
    "binder": "Binder U₄ = 1 − ⟨M⁴⟩/3⟨M²⟩²",
    "phi2": "⟨φ²⟩",
    "phi4": "⟨φ⁴⟩",
    "energy": "E = ⟨φφ′⟩ of neighbours",
    "correlation_length": "ξ, second moment",
}
SYMBOLS: Mapping[str, str] = {
    **TITLES,
    "susceptibility": "χ",
    "connected_susceptibility": "χ, connected",
    "binder": "U₄",
    "energy": "E",
    "correlation_length": "ξ",
}
"""The same where there is little room."""
COMPARED = ("abs_magnetization", "susceptibility", "binder", "phi2", "phi4", "energy")
"""Those in which samples are compared with the data."""


def in_table(name: str) -> str:
    """Return an observable's title for a table in Markdown."""
    return TITLES[name].replace("|", "\\|")
