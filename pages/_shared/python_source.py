"""Python lines that rebuild what a page shows."""

import dataclasses

import rgdiff_core as rg
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color
from rgdiff_core.data import symmetries_of
from rgdiff_core.schedules import Kernel, Path, Schedule
from rgdiff_core.spec import Spec

__all__ = ["basis_lines", "spec_source"]


def symmetries_source(name: str) -> str:
    """Return the Python argument that states a data set's symmetries, "" for none."""
    symmetries = symmetries_of(name)
    return "" if symmetries == "none" else f", symmetries={symmetries!r}"


def basis_lines(basis: BasisSpec) -> str:
    """Return Python source for the choice of a basis."""
    given = [
        f"{f.name}={getattr(basis, f.name)!r}"
        for f in dataclasses.fields(basis)
        if getattr(basis, f.name) != f.default
    ]
    return f"BasisSpec({', '.join(given)})"


def spec_source(value: object) -> str:
    """Return Python source for a spec, with its name in the library."""
    if not isinstance(value, Spec):
        return repr(value)
    room = "colors" if isinstance(value, Color) else "schedules"
    name = type(value).__name__
    if getattr(getattr(rg, room), name, None) is not type(value):  # of an extension
        base = next(each for each in (Color, Kernel, Path, Schedule) if isinstance(value, each))
        return f"rg.{room}.{base.__name__}.from_json({value.to_json()!r})"
    fields = (
        f"{f.name}={spec_source(getattr(value, f.name))}"
        for f in dataclasses.fields(value)  # type: ignore[arg-type]
    )
    return f"rg.{room}.{name}({', '.join(fields)})"
