"""Sliders of the lab: by keys."""

import pytest
from labpage import START, visit
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_arrow_keys_move_a_slider_by_a_fiftieth_of_its_range(page: Page, app_url: str):
    """With Shift by a tenth of that; each press is taken back by one undo."""
    visit(page, app_url, START)
    width = page.get_by_role("slider", name="Width w")
    typed = page.get_by_label("Width w, typed")
    width.focus()
    start = float(width.input_value())
    before = typed.input_value()
    for key, moved in (("ArrowRight", 0.02), ("Shift+ArrowUp", 0.022), ("ArrowLeft", 0.002)):
        page.keyboard.press(key)
        near = [width.element_handle(), start + moved]
        page.wait_for_function("([e, place]) => Math.abs(e.value - place) < 2e-3", arg=near)
    expect(typed).not_to_have_value(before)
    for _ in range(3):
        page.keyboard.press("Control+z")
    expect(typed).to_have_value(before)
