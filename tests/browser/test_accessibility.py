"""Every page by axe-core, light and dark, and by keyboard: nothing serious, and a short way. And
nothing jumps while a page comes.
"""

from collections.abc import Iterator, Mapping

import pytest
from axe_playwright_python.sync_playwright import Axe
from labpage import new_tab, ref, settled
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

PAGES = ("", "spectra", "lattice", "samples", "training", "results")
BAD = ("serious", "critical")
LOOKS = 60  # in which what fades while it is drawn again comes back
OPTIONS = {"resultTypes": ["violations"]}
MOST_SHIFTED = 0.05  # of the cumulative layout shift, of which 0.1 is good by web.dev
SHIFTS = """globalThis.rgdiffShifts = 0;
new PerformanceObserver((seen) => seen.getEntries().forEach((entry) => {
    globalThis.rgdiffShifts += entry.hadRecentInput ? 0 : entry.value;
})).observe({ type: "layout-shift", buffered: true });"""
COLORS_ONLY = OPTIONS | {"runOnly": ["color-contrast"]}  # nothing else differs in the dark


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    tab = new_tab(browser, [])
    yield tab
    tab.close()


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious_and_nothing_jumps(page: Page, app_url: str, path: str):
    """In the light and, on the same page, in the dark."""
    page.add_init_script(SHIFTS)
    axe, app = Axe(), page.get_by_test_id("stApp")
    page.goto(f"{app_url}/{path}")
    expect(page.get_by_test_id("stHeading").first).to_be_visible()
    assert settled_faults(axe, page, OPTIONS) == []
    assert page.evaluate("rgdiffShifts") <= MOST_SHIFTED
    light = app.evaluate("(app) => getComputedStyle(app).backgroundColor")
    page.emulate_media(color_scheme="dark")
    expect(app).not_to_have_css("background-color", light)
    assert settled_faults(axe, page, COLORS_ONLY) == []


def settled_faults(axe: Axe, tab: Page, options: Mapping[str, object]) -> list[str]:
    """Return what is serious on a page that is whole and no longer changes."""
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(tab.locator("[data-stale=true]")).to_have_count(0)
    told, size = ["not whole"], content(tab)
    for _ in range(LOOKS):
        tab.wait_for_timeout(1000)
        before, size = size, content(tab)
        if size == before and not (told := serious(axe, tab, options)):
            break
    return told


def content(tab: Page) -> int:
    """Return how many elements a page has, which grows until all of it has come."""
    return tab.locator("*").count()


def serious(axe: Axe, tab: Page, options: Mapping[str, object]) -> list[str]:
    """Return what axe finds serious on a page as it is now."""
    found = axe.run(tab, options=dict(options)).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in BAD
        for node in each["nodes"]
    ]


def test_the_first_tab_leads_to_the_curve(page: Page, app_url: str):
    page.goto(app_url)
    settled(page)
    page.locator("#rgdiff-skip").wait_for(state="attached")
    page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="Skip to the curve")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(ref(page, "curve").locator(".point").first).to_be_focused()
    expect(skip).not_to_be_in_viewport()


def test_where_there_is_no_curve_the_first_tab_leads_to_the_page(page: Page, app_url: str):
    page.goto(f"{app_url}/results")
    expect(page.get_by_test_id("stHeading").first).to_be_visible()
    page.locator("#rgdiff-skip").wait_for(state="attached")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Skip to the content").press("Enter")
    expect(page.get_by_test_id("stMain")).to_be_focused()
