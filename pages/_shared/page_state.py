"""A page's state in the session and in the address bar: one place to read it, one to change it.

The state is a spec. An `Address` says how the address bar spells it. Where a browser component
owns what is dragged, `DraggedState` adds a *revision* that marks a state which the server decided
and the component then adopts.
"""

import json
import re
import reprlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import streamlit as st

from pages._shared import chosen
from rgdiff_core.data import DataUnavailable
from rgdiff_core.spec import Spec, load_json

__all__ = [
    "Address",
    "DraggedState",
    "PageState",
    "damaged",
    "json_address",
    "short",
    "state_of",
    "unlinked",
    "verbatim",
]

SENTENCE = 300  # characters
MAX_UNDO = 50

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Address(Generic[S]):
    """How the address bar spells a state.

    Attributes:
        names: The parameters.
        read: Makes a state of the parameters that an address has, and of the present state;
            raises `ValueError` for nonsense.
        write: Returns the parameters of a state; none of them where it is too long for a link.
    """

    names: tuple[str, ...]
    read: Callable[[dict[str, str], S], S]
    write: Callable[[S], dict[str, str]]

    def present(self) -> dict[str, str]:
        """Return the parameters that the address bar has."""
        return {name: st.query_params[name] for name in self.names if name in st.query_params}


def json_address(read: Callable[[str], S], name: str = "state") -> Address[S]:
    """Return the address of a state that is spelt as JSON, in one parameter."""

    def read_link(link: dict[str, str], state: S) -> S:
        told = load_json(link[name])
        if not isinstance(told, dict) or "kind" not in told:
            text = reprlib.repr(link[name])
            raise ValueError(f"{name} = {text} must be a JSON object with a kind")
        return read(link[name])

    def write(state: S) -> dict[str, str]:
        return {name: json.dumps(json.loads(state.to_json()), separators=(",", ":"))}

    return Address((name,), read_link, write)


@dataclass(frozen=True)
class PageState(Generic[S]):
    """Keeps the state of one page.

    Attributes:
        page: What the page's entries in the session begin with.
        address: How the address bar spells the state.
        check: Raises `ValueError` where a state cannot be shown.
        stays: What is said of the state that stays where a change is refused.
    """

    page: str
    address: Address[S]
    check: Callable[[S], None] = lambda state: None
    stays: str = field(default="", kw_only=True)

    def _name(self, what: str) -> str:
        return f"{self.page}-{what}"

    def prepare(self, start: Callable[[], S]) -> None:
        """Take the state from a new address, or start afresh; a bad address leaves the last good
        state.

        In the run after a click the address may still be an older one: it counts for nothing, and
        is rewritten.
        """
        acted = st.session_state.pop(self._name("acted"), False)
        first = not self.started()
        if first:
            self._adopt(start())
        link = self.address.present()
        if link and link != st.session_state.get(self._name("link")) and not acted:
            st.session_state[self._name("link")] = link
            with st.spinner("Opening the link …"):
                instead = "its defaults" if first else "what it showed before"
                self.attempt(lambda: self.address.read(link, self.current()), instead)

    def current(self) -> S:
        """Return the present state."""
        return st.session_state[self._name("state")]

    def started(self) -> bool:
        """Return whether the page has been open in this session."""
        return self._name("state") in st.session_state

    def _adopt(self, state: S) -> None:
        st.session_state[self._name("state")] = state

    def change(self, state: S) -> None:
        """Make this the state; raises `ValueError` where it cannot be built."""
        self.check(state)
        self._adopt(state)
        st.session_state[self._name("acted")] = True

    def attempt(self, make: Callable[[], S], instead: str = "") -> None:
        """Change to a state that is made here; where that fails, keep the last one and say why.

        Arguments:
            instead: Of a link, what the page then shows.
        """
        st.session_state[self._name("acted")] = True
        try:
            self.change(make())
        except (ValueError, OSError, DataUnavailable) as error:
            self._refuse(
                damaged(str(error), instead) if instead else f"{in_words(error)}{self.stays}"
            )

    def _refuse(self, sentence: str) -> None:
        st.session_state[self._name("problem")] = short(" ".join(sentence.split()))

    def give_up(self, state: S, why: str) -> None:
        """Change to another state, as the present one cannot be had any more, and say why."""
        self.change(state)
        self._refuse(why)

    def problem(self) -> str | None:
        """Return, once, the sentence that says why the last change was refused."""
        return st.session_state.pop(self._name("problem"), None)

    def bound(
        self, name: str, value: Any, make: Callable[[S, Any], S], *, optional: bool = False
    ) -> dict[str, Any]:
        """Return a widget's arguments: it shows `value`, and when it changes, `make` gives the
        new state of the present one and the new value. An emptied field changes nothing, unless
        what it shows is optional: then the new value is None.
        """
        return self.kept(self._name(name), value, make, optional=optional)

    def kept(
        self, key: str, value: Any, make: Callable[[S, Any], S], *, optional: bool = False
    ) -> dict[str, Any]:
        """Return the arguments of `bound` for a widget of which the whole key is given."""

        def choose(new: Any) -> None:
            if new is not None or optional:
                self.attempt(lambda: make(self.current(), new))

        return chosen.kept(key, value, choose)

    def write_link(self) -> None:
        """Write the present state into the address bar, if it is not there yet."""
        st.session_state.pop(self._name("acted"), None)
        link = self.address.write(self.current())
        if link == self.address.present():
            return
        st.session_state[self._name("link")] = link
        for name in self.address.names:
            if name not in link:
                st.query_params.pop(name, None)
        st.query_params.update(link)


@dataclass(frozen=True)
class Moment(Generic[S]):
    """A state, and the revision under which the browser had it."""

    state: S
    revision: str


@dataclass(frozen=True)
class Trail(Generic[S]):
    """The moments that a page can go back to, and on to, the nearest last."""

    past: tuple[Moment[S], ...] = ()
    future: tuple[Moment[S], ...] = ()

    def towards(self, step: int) -> tuple[Moment[S], ...]:
        """Return the moments before (−1) or after (+1) the present state."""
        return self.past if step < 0 else self.future

    def having(self, step: int, moments: tuple[Moment[S], ...]) -> "Trail[S]":
        """Return the trail with other moments before (−1) or after (+1) the present state."""
        return replace(self, past=moments) if step < 0 else replace(self, future=moments)


@dataclass(frozen=True)
class DraggedState(PageState[S]):
    """The state of a page of which a browser component owns a part.

    What the server decided is undone by the component's own button: the component asks for it
    once its own history, that of the present revision, is at an end.

    Attributes:
        component: The key of the component.
        merge: Puts into a state what the component reports when dragging stops.
        carry: Puts into a state of the trail what of the present one is not undone.
    """

    component: str = ""
    merge: Callable[[S, dict[str, Any]], S] = lambda state, report: state
    carry: Callable[[S, S], S] = lambda state, present: state

    def revision(self) -> str:
        """Return the revision under which the browser last got a state."""
        return st.session_state[self._name("revision")]

    def sent(self) -> str:
        """Return the state, as JSON, that the browser last got."""
        return st.session_state[self._name("sent")]

    def prepare(self, start: Callable[[], S]) -> None:
        """Take the state as `PageState.prepare`; there is nothing before the first one."""
        first = not self.started()
        opens = first and not self.address.present()
        super().prepare(start)
        if first:
            self._send(self.current(), Trail())
        if opens:
            st.session_state[self._name("opening")] = self.revision()

    def opening(self) -> bool:
        """Return whether the browser shows the initial state, which begins to move."""
        return st.session_state.get(self._name("opening")) == self.revision()

    def history(self) -> str:
        """Return, as JSON, whether there were states `earlier` and `later` than the one that the
        browser last got, and the revision whose own history the browser `resumes`, "" for none.
        """
        return st.session_state[self._name("history")]

    def _trail(self) -> Trail[S]:
        return st.session_state.get(self._name("trail"), Trail())

    def _moment(self) -> Moment[S]:
        return Moment(self.current(), self.revision())

    def _adopt(self, state: S) -> None:
        trail = self._trail()
        if self.started() and state != self.current():
            trail = Trail((*trail.past, self._moment())[-MAX_UNDO:])
        self._send(state, trail)

    def _send(self, state: S, trail: Trail[S], resumes: str = "") -> None:
        super()._adopt(state)
        # unique beyond this session, for the browser may outlive it
        st.session_state[self._name("revision")] = secrets.token_hex(6)
        st.session_state[self._name("sent")] = state.to_json()
        self._set_trail(trail, resumes)

    def _cut(self, trail: Trail[S]) -> None:
        """Leave the state as it is, with fewer moments around it."""
        self._set_trail(trail, json.loads(self.history())["resumes"])

    def _set_trail(self, trail: Trail[S], resumes: str) -> None:
        st.session_state[self._name("trail")] = trail
        st.session_state[self._name("history")] = json.dumps(
            {"earlier": bool(trail.past), "later": bool(trail.future), "resumes": resumes}
        )

    def travelled(self, report: dict[str, Any] | None) -> bool:
        """Go back (`travel` −1) or on (+1) where the component asks for it; return whether the
        state is another one now, of which the page is to be drawn again.

        Moments that cannot be shown any more are dropped on the way. Where none is left, the
        state stays and the last one's fault is said, once, for then the trail has ended.
        """
        step = report.get("travel") if report and self._is_present(report) else None
        if step not in (-1, 1):
            return False
        trail, fault = self._trail(), None
        while moments := trail.towards(step):
            moment, trail = moments[-1], trail.having(step, moments[:-1])
            state = self.carry(moment.state, self.current())
            try:
                self.check(state)
            except (ValueError, OSError, DataUnavailable) as error:
                fault = str(error)
                continue
            trail = trail.having(-step, (*trail.towards(-step), self._moment()))
            self._send(state, trail, moment.revision)
            st.session_state[self._name("acted")] = True
            return True
        if fault is not None:
            self._cut(trail)
            self._refuse(fault)
        return False

    def _is_present(self, report: dict[str, Any]) -> bool:
        return str(report.get("revision")) == self.revision()

    def note(self, state: S) -> None:
        """Make this the state without sending it to the browser, whose part of it is the same."""
        st.session_state[self._name("state")] = state

    def attempt(self, make: Callable[[], S], instead: str = "") -> None:
        """Change to a state that is made here, from what was dragged last; where that fails, keep
        the last one and say why, as `PageState.attempt`.
        """
        self.rested(st.session_state.get(self.component, {}).get("client_state"))
        super().attempt(make, instead)

    def rested(self, report: dict[str, Any] | None) -> bool:
        """Take over what the component reports, unless it is of an older state.

        Returns:
            Whether nothing was refused. Else the component may keep what it has, which a further
            drag may put right.
        """
        if not report or not self._is_present(report):
            return True
        if report.get("forked"):  # what was undone is given up by a change
            self._cut(replace(self._trail(), future=()))
        try:
            merged = self.merge(self.current(), report)
            if merged != self.current():
                self.check(merged)
            self.note(merged)
        except (ValueError, OSError, DataUnavailable) as error:
            self._refuse(in_words(error))
            return False
        return True


def damaged(why: str, instead: str = "its defaults") -> str:
    """Return the sentence that says what is wrong with a link, and what the page shows."""
    return f"The link is damaged ({verbatim(why.rstrip('.'))}); the page shows {instead}."


def verbatim(text: str) -> str:
    """Return text of unknown origin as Markdown that shows it as it is: no link, no picture."""
    return f"`{short(' '.join(text.split())).replace('`', chr(39))}`"


def in_words(error: Exception) -> str:
    """Return what a fault says, by the names that the pages use and without links."""
    names = {"gamma_min": "γ(0)", "gamma_max": "γ(1)"}
    return re.sub("|".join(names), lambda found: names[found[0]], unlinked(str(error)))


def unlinked(text: str) -> str:
    """Return a sentence that may quote text of unknown origin without links and pictures."""
    return text.replace("](", "]\\(")


def state_of(page: str) -> Any | None:
    """Return the state of another page, None where it has not been open in this session."""
    return st.session_state.get(f"{page}-state")


def short(text: str) -> str:
    """Cut what would fill the page: a fault may quote a link's endless name."""
    return text if len(text) <= SENTENCE else f"{text[: SENTENCE // 2]} … {text[-SENTENCE // 2 :]}"
