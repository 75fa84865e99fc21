"""The theory of the Lattice page, in the session and in the address bar."""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from pages._shared.page_state import Address, PageState
from rgdiff_core.lattice import Phi4
from rgdiff_core.spec import Spec, check_whole

__all__ = [
    "Theory",
    "attempt",
    "bound",
    "current",
    "pin",
    "pinned",
    "prepare",
    "problem",
    "read",
    "restore",
    "write_link",
]

_ENSEMBLE = "lattice-ensemble"
NAMES = {"m2": "m2", "lam": "lam", "size": "L"}  # fields, and what the address calls them
ENSEMBLE = "ensemble"
SIZES = (2, 256)


@dataclass(frozen=True)
class Theory(Spec):
    """A point of the phase diagram and a lattice.

    Arguments:
        m2: As of `Phi4`.
        lam: As of `Phi4`.
        size: L, 2 to 256.

    Raises:
        ValueError: Where there is no such theory, or not in all conventions.
    """

    m2: float = -4.0
    lam: float = 4.3
    size: int = 16

    def __post_init__(self) -> None:
        check_whole("L", self.size, *SIZES)
        Phi4(self.m2, self.lam).to_hopping()

    @property
    def action(self) -> Phi4:
        """The action."""
        return Phi4(self.m2, self.lam)

    def at(self, action: Phi4) -> "Theory":
        """Return the theory of another action on the same lattice."""
        return replace(self, m2=action.m2, lam=action.lam)


def read(link: dict[str, str], theory: Theory) -> Theory:
    """Return a theory with what an address says of it; raises `ValueError` for nonsense."""
    told: dict[str, Any] = {}
    for field, name in NAMES.items():
        if name in link:
            try:
                told[field] = int(link[name]) if field == "size" else float(link[name])
            except ValueError:
                text = link[name][:40]
                kind = "a whole number" if field == "size" else "a number"
                raise ValueError(f"{name} = {text!r} is not {kind}.") from None
    return replace(theory, **told)


def _write(theory: Theory) -> dict[str, str]:
    # the shortest text that is read as the same number
    return {name: repr(getattr(theory, field)).removesuffix(".0") for field, name in NAMES.items()}


_page = PageState(
    "lattice",
    Address(tuple(NAMES.values()), read, _write),
    stays=" The previous theory is kept.",
)
attempt, bound, current = _page.attempt, _page.bound, _page.current
problem, restore, write_link = _page.problem, _page.change, _page.write_link


def prepare() -> None:
    """Take the theory from a new address, or the first one; a bad address changes nothing."""
    _page.prepare(Theory)


def pin(ensemble: str) -> None:
    """Make this the ensemble that is looked at."""
    st.session_state[_ENSEMBLE] = ensemble
    st.query_params[ENSEMBLE] = ensemble


def pinned() -> str | None:
    """Return the id of the ensemble that is looked at, None where none has been chosen."""
    return st.query_params.get(ENSEMBLE, st.session_state.get(_ENSEMBLE))
