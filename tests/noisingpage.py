"""The Noising page in AppTest: opening it, its state, and what the browser's hand leaves in it."""

import numpy as np
from apptest import healthy, page_at
from container import unpack
from streamlit.testing.v1 import AppTest

from pages._noising import messages
from pages._noising.state import NoisingState

__all__ = ["exact", "healthy", "leave", "rest", "state", "visit"]


def visit(
    lab: NoisingState | str | None = None, script: str = "pages/noising.py", **link: str
) -> AppTest:
    """Open the page, at an address if one is given, which may say more than a state."""
    if lab is not None:
        link["state"] = lab if isinstance(lab, str) else lab.to_json()
    return page_at(script, **link).run()


def state(at: AppTest) -> NoisingState:
    """Return the state in the address bar, which must be the session's."""
    lab = NoisingState.from_json(at.query_params["state"])
    assert lab == at.session_state["noising-state"]
    return lab


def leave(at: AppTest, **values: object) -> AppTest:
    """Leave a present state with other values in the browser's hand."""
    told = state(at).component() | {"seq": 1, "revision": at.session_state["noising-revision"]}
    at.session_state["lab"] = {"client_state": told | values}
    return at


def rest(at: AppTest, **values: object) -> AppTest:
    """Stop dragging in the browser's present state with other values."""
    return leave(at, **values).run()


def exact(lab: NoisingState, side: int = 0) -> np.ndarray:
    """Return the picture that the result channel brings."""
    return unpack(messages.settled_message(lab, 1, "s"))[1][f"{side}/exact"]
