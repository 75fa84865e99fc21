"""The Samples page as AppTest runs it: visits, menus, and what the browser reports."""

from dataclasses import replace
from typing import Any

from apptest import page_at, present
from streamlit.testing.v1 import AppTest

from pages._samples.state import SamplesState, start

__all__ = ["SMALL", "at_bench", "button", "choose", "healthy", "rest", "state", "table", "visit"]

SMALL = replace(start(), n=6, measured=64)


def visit(script: str = "pages/samples.py", **link: str) -> AppTest:
    """Open the page, at an address if one is given."""
    return page_at(script, **link).run()


def at_bench(bench: SamplesState) -> AppTest:
    return healthy(visit(state=bench.to_json()))


def healthy(at: AppTest) -> AppTest:
    assert not at.exception
    assert not [e.value for e in (*at.error, *at.warning)]
    return at


def state(at: AppTest) -> SamplesState:
    """Return the state that the address tells, which must be the session's."""
    link = at.query_params["state"]
    bench = SamplesState.from_json(link[0] if isinstance(link, list) else link)
    assert bench == at.session_state["samples-state"]
    return bench


def button(at: AppTest, label: str):
    return next(each for each in at.button if each.label == label)


def choose(at: AppTest, key: str, value: Any) -> AppTest:
    return healthy(present(at.selectbox, f"samples-{key}").set_value(value).run())


def rest(at: AppTest, **told: Any) -> AppTest:
    """Report what the browser reports when dragging stops."""
    now = at.session_state["samples-state"].component() | told
    now |= {"seq": 1, "revision": at.session_state["samples-revision"], "live": False}
    at.session_state["bench"] = {"client_state": now}
    return at.run()


def table(at: AppTest) -> str:
    return next(m.value for m in at.markdown if m.value.startswith("|"))
