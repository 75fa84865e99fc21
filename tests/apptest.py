"""A page as AppTest runs it: at an address, and without an error."""

from pathlib import Path

from patience import PATIENCE
from streamlit.testing.v1 import AppTest

__all__ = ["healthy", "page_at"]

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
