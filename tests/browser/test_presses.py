"""A press of a button beside a clock, in a real browser that is busy."""

import re
from pathlib import Path

import pytest
from patience import PATIENCE
from playwright.sync_api import Browser, expect

from tests.browser.conftest import running

pytestmark = pytest.mark.browser

# The browser's next turn, in which Streamlit sends a press, comes after some of the clock's.
BUSY = """() => {
    const later = window.setTimeout.bind(window);
    window.setTimeout = (run, ms, ...rest) => later(run, ms || 2000, ...rest);
}"""


def test_a_press_is_carried_out_once_whatever_timers_do(browser: Browser, tmp_path: Path):
    page = browser.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    with running("tests/browser/presses_app.py", tmp_path) as url:
        page.goto(url)
        expect(page.get_by_text(re.compile(r"Turn ([3-9]|\d\d+)\."))).to_be_visible()
        pressed = page.get_by_text(re.compile(r"Pressed: \d"))
        for count in ("1", "2"):
            before = pressed.inner_text()
            page.evaluate(BUSY)
            page.get_by_role("button", name="Press").click()
            expect(pressed).not_to_have_text(before)
            assert pressed.inner_text() == f"Pressed: {count}."
    page.close()
