"""The browser's history: Back leads to the page before, from every page."""

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

WRITTEN = "(name) => location.pathname.endsWith(name) && location.search.length > 1"
PAGES = ("Spectra", "Lattice", "Samples", "Training")


def opened(page: Page, title: str) -> None:
    """Wait until a page is there and has written its address."""
    expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
    page.wait_for_function(WRITTEN, arg="/" if title == "Noising" else f"/{title.lower()}")


def test_a_direct_visit_has_no_failed_request(page: Page, app_url: str):
    failed: list[str] = []
    page.on("response", lambda answer: failed.append(answer.url) if not answer.ok else None)
    page.goto(f"{app_url}/spectra")
    opened(page, "Spectra")
    page.close()
    assert failed == []


def test_the_first_page_is_found_by_its_name(page: Page, app_url: str):
    page.goto(f"{app_url}/noising?basis=pca")
    opened(page, "Noising")
    assert page.evaluate("location.pathname") == "/"
    assert "basis=pca" in page.evaluate("location.search")
    expect(page.get_by_text("Page not found")).to_have_count(0)


def test_back_leads_to_the_page_before(page: Page, app_url: str):
    page.goto(app_url)
    opened(page, "Noising")
    first = page.evaluate("history.length")
    for title in PAGES:
        page.get_by_role("link", name=title).click()
        opened(page, title)
        page.evaluate("history.pushState(null, '', '?other=1')")
    assert page.evaluate("history.length") == first + len(PAGES)
    for title in (*reversed(PAGES[:-1]), "Noising"):
        page.go_back()
        opened(page, title)
