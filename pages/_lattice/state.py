"""The theory of the Lattice page, in the session and in the address bar."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

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

_THEORY, _PROBLEM, _LINK, _ACTED, _ENSEMBLE = (
    f"lattice-{name}" for name in ("theory", "problem", "link", "acted", "ensemble")
)
NAMES = {"m2": "m2", "lam": "lam", "size": "L"}  # fields, and what the address calls them
ENSEMBLE = "ensemble"
SIZES = (2, 256)
SENTENCE = 300  # characters


@dataclass(frozen=True)
class Theory(Spec):
    """A point of the phase diagram and a lattice.

    Arguments:
        m2, lam: The couplings, as of `Phi4`.
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


def prepare() -> None:
    """Take the theory from a new address, or the first one; a bad address changes nothing.

    In the run after a change the address may still be an older one: it counts for nothing, and is
    written anew.
    """
    acted = st.session_state.pop(_ACTED, False)
    if _THEORY not in st.session_state:
        st.session_state[_THEORY] = Theory()
    link = _told()
    if link and link != st.session_state.get(_LINK) and not acted:
        st.session_state[_LINK] = link
        attempt(lambda: read(link, current()))


def _told() -> dict[str, str]:
    """Return what the address says of the theory."""
    return {name: st.query_params[name] for name in NAMES.values() if name in st.query_params}


def read(link: dict[str, str], theory: Theory) -> Theory:
    """Return a theory with what an address says of it; raises `ValueError` for nonsense."""
    told: dict[str, Any] = {}
    for field, name in NAMES.items():
        if name in link:
            try:
                told[field] = int(link[name]) if field == "size" else float(link[name])
            except ValueError:
                text = link[name][:40]
                raise ValueError(f"the address has {name} = {text!r}, not a number.") from None
    return replace(theory, **told)


def current() -> Theory:
    """Return the present theory."""
    return st.session_state[_THEORY]


def restore(theory: Theory) -> None:
    """Make this the theory."""
    st.session_state[_THEORY] = theory
    st.session_state[_ACTED] = True


def attempt(make: Callable[[], Theory]) -> None:
    """Change the theory; where that can't be done the last one stays, and a sentence says why."""
    st.session_state[_ACTED] = True
    try:
        restore(make())
    except ValueError as error:
        st.session_state[_PROBLEM] = " ".join(str(error).split())[:SENTENCE]


def problem() -> str | None:
    """Return, once, the sentence that says why the last change was refused."""
    return st.session_state.pop(_PROBLEM, None)


def bound(name: str, value: Any, make: Callable[[Theory, Any], Theory]) -> dict[str, Any]:
    """Return a widget's arguments: it shows `value`, and when it changes, `make` gives the new
    theory of the present one and the new value.
    """
    key = f"lattice-{name}"
    st.session_state[key] = value

    def changed() -> None:
        new = st.session_state[key]
        if new is not None:  # an emptied field
            attempt(lambda: make(current(), new))

    return {"key": key, "on_change": changed}


def write_link() -> None:
    """Write the present theory into the address bar, if it is not there yet."""
    st.session_state.pop(_ACTED, None)
    theory = current()
    # the shortest text that is read as the same number
    link = {name: repr(getattr(theory, field)).removesuffix(".0") for field, name in NAMES.items()}
    if link != _told():
        st.session_state[_LINK] = link
        st.query_params.update(link)


def pin(ensemble: str) -> None:
    """Make this the ensemble that is looked at."""
    st.session_state[_ENSEMBLE] = ensemble
    st.query_params[ENSEMBLE] = ensemble


def pinned() -> str | None:
    """Return the id of the ensemble that is looked at, None where none has been chosen."""
    return st.query_params.get(ENSEMBLE, st.session_state.get(_ENSEMBLE))
