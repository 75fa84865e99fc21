"""A page's state in the session and in the address bar: one place to read it, one to change it.

The state is a spec. Its browser component owns what is dragged; a *stamp* marks a state that the
server decided, which the component then adopts.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import streamlit as st

from rgdiff_core.data import DataUnavailable
from rgdiff_core.spec import Spec

__all__ = ["Keeper", "short"]

PARAMETER = "state"
SENTENCE = 300  # characters

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Keeper(Generic[S]):
    """Keeps the state of one page.

    Attributes:
        page: What the page's entries in the session begin with.
        component: The key of the browser component that holds what is dragged.
        read: Makes a state of a link's JSON.
        check: Raises `ValueError` where a state can't be shown.
        merge: Puts into a state what the browser says when the hand rests.
    """

    page: str
    component: str
    read: Callable[[str], S]
    check: Callable[[S], None]
    merge: Callable[[S, dict[str, Any]], S]

    def _name(self, what: str) -> str:
        return f"{self.page}-{what}"

    def prepare(self, start: Callable[[], S]) -> None:
        """Take the state from a new address, or start afresh; a bad address leaves the last good
        state.

        In the run after a click the address may still be an older one: it counts for nothing, and
        is written anew.
        """
        acted = st.session_state.pop(self._name("acted"), False)
        if not self.started():
            self._adopt(start())
        link = st.query_params.get(PARAMETER)
        if link is not None and link != st.session_state.get(self._name("link")) and not acted:
            st.session_state[self._name("link")] = link
            with st.spinner("Opening the link …"):
                self.attempt(lambda: self.read(link), "This link does not describe a state: ")

    def current(self) -> S:
        """Return the present state."""
        return st.session_state[self._name("lab")]

    def started(self) -> bool:
        """Tell whether the page has been open in this session."""
        return self._name("lab") in st.session_state

    def stamp(self) -> str:
        """Return the stamp under which the browser was last told a state."""
        return st.session_state[self._name("stamp")]

    def sent(self) -> str:
        """Return the state, as JSON, that the browser was last told."""
        return st.session_state[self._name("sent")]

    def _adopt(self, state: S) -> None:
        st.session_state[self._name("lab")] = state
        # unique beyond this session, for the browser may outlive it
        st.session_state[self._name("stamp")] = secrets.token_hex(6)
        st.session_state[self._name("sent")] = state.to_json()

    def change(self, state: S) -> None:
        """Make this the state and tell the browser; raises `ValueError` where it can't be
        built.
        """
        self.check(state)
        self._adopt(state)

    def note(self, state: S) -> None:
        """Make this the state without telling the browser, whose part of it is the same."""
        st.session_state[self._name("lab")] = state

    def attempt(self, make: Callable[[], S], prefix: str = "") -> None:
        """Change to a state that is made here, of what the hand left in the browser; where it
        can't be, keep the last one and say why.
        """
        self.rested(st.session_state.get(self.component, {}).get("rest"))
        st.session_state[self._name("acted")] = True
        try:
            self.change(make())
        except (ValueError, OSError, DataUnavailable) as error:
            st.session_state[self._name("problem")] = short(f"{prefix}{error}")

    def problem(self) -> str | None:
        """Return, once, the sentence that says why the last change was refused."""
        return st.session_state.pop(self._name("problem"), None)

    def rested(self, rest: dict[str, Any] | None) -> None:
        """Take over what the browser says when the hand rests, unless it is of an older state."""
        if not rest or str(rest.get("stamp")) != self.stamp():
            return
        try:
            self.note(self.merge(self.current(), rest))
        except ValueError as error:
            st.session_state[self._name("problem")] = short(str(error))

    def write_link(self) -> None:
        """Write the present state into the address bar, if it is not there yet."""
        st.session_state.pop(self._name("acted"), None)
        link = json.dumps(json.loads(self.current().to_json()), separators=(",", ":"))
        if link != st.query_params.get(PARAMETER):
            st.session_state[self._name("link")] = link
            st.query_params[PARAMETER] = link


def short(text: str) -> str:
    """Cut what would fill the page: a fault may quote a link's endless name."""
    return text if len(text) <= SENTENCE else f"{text[: SENTENCE // 2]} … {text[-SENTENCE // 2 :]}"
