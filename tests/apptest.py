"""A page as AppTest runs it: at an address, and without an error."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from patience import PATIENCE
from streamlit.testing.v1 import AppTest

from pages._shared import jobs

__all__ = ["finished", "healthy", "page_at", "present"]

ROOT = Path(__file__).resolve().parents[1]


def page_at(script: str, **link: str | list[str]) -> AppTest:
    """Return a page, by its path in the repository, before its first run at an address."""
    at = AppTest.from_file(str(ROOT / script), default_timeout=PATIENCE)
    for name, value in link.items():
        at.query_params[name] = value
    return at


def healthy(at: AppTest) -> AppTest:
    """Check that a page shows no error, and return it."""
    assert not at.exception
    assert not [each.value for each in at.error]
    return at


def present(widgets: Iterable[Any], key: str) -> Any:
    """Return the widget of a key, or the one that has taken its place: it has a number behind."""
    return next(each for each in widgets if str(each.key).split("~")[0] == key)


def finished(task: jobs.Task | None) -> jobs.Task:
    """Wait for work in the background, and return it."""
    assert task is not None
    end = time.monotonic() + PATIENCE
    while not task.ended and time.monotonic() < end:
        time.sleep(0.02)
    assert task.ended
    return task
