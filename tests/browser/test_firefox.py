"""The pages in Firefox, where Playwright has one."""

from collections.abc import Iterator

import pytest
from labpage import START, distance, new_tab, pixels, ref, settled, visit
from playwright.sync_api import Browser, Error, Playwright, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    """Start a headless Firefox."""
    try:
        started = playwright.firefox.launch()
    except Error:
        pytest.skip("Playwright has no Firefox here: playwright install firefox")
    yield started
    started.close()


def test_noising_samples_and_lattice_work_in_firefox(firefox: Browser, app_url: str):
    page = new_tab(firefox, [])
    visit(page, app_url, START)
    before = pixels(page)
    ref(page, "timeTyped").fill("0.9")
    page.keyboard.press("Enter")
    settled(page)
    assert distance(pixels(page), before) > 20
    page.get_by_role("link", name="Samples").click()
    expect(page.get_by_text("samples in").first).to_be_visible()
    page.get_by_role("link", name="Lattice").click()
    expect(page.get_by_role("heading", name="The phase diagram")).to_be_visible()
    page.close()
