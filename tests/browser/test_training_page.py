"""The Training page in a real browser: start, watch, leave, come back, cancel, sample."""

import io
import re

import pytest
from labpage import centre, new_tab
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POINTS = """() => {
    const traces = document.querySelector(".js-plotly-plot")?._fullData ?? [];
    return traces.find((trace) => trace.name === "training")?.x.length ?? 0;
}"""
BY_SCALE = """() => document.querySelector(".js-plotly-plot")?._fullData?.[0]
    ?.name.startsWith("scale")"""  # a plot that is drawn anew is away for a moment
BEYOND = """() => [...document.querySelectorAll("[data-testid=stMain] :is(img, p, button, svg)")]
    .filter((element) => element.getBoundingClientRect().right > innerWidth + 1).length"""
# many steps, for the test cancels it; points and samples after few of them
CONFIG = (
    '{"data":"phi4-6x6-broken","steps":100000,"batch":16,"log_every":5,"previews":1000,'
    '"checkpoint_seconds":2.0,"model":{"kind":"ModelSpec","network":"lattice-small"}}'
)


def visit(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()


def test_a_run_is_started_left_found_again_cancelled_and_sampled(page: Page, app_url: str):
    visit(page, f"{app_url}/training?config={CONFIG}")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile("run="))
    expect(page.get_by_text(re.compile(r"Step [1-9].* of 100,000"))).to_be_visible()
    page.wait_for_function(f"({POINTS})() > 2")
    shown = page.get_by_text(re.compile("Samples of the model at step"))
    expect(shown).to_be_visible()
    start = page.get_by_role("button", name="Start", exact=True)
    assert centre(shown)[1] < centre(start)[1]  # what one watches is above the form
    before = page.evaluate(POINTS)
    page.wait_for_function(f"({POINTS})() > {before}")  # it goes on by itself

    page.reload()
    page.wait_for_function(f"({POINTS})() > {before}")
    page.get_by_text("Scale by scale", exact=True).click()
    page.wait_for_function(BY_SCALE)

    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.get_by_text(re.compile("Cancelled · Step"))).to_be_visible()
    page.get_by_role("button", name="Draw samples").click()
    expect(page.get_by_role("cell", name="Binder U₄")).to_be_visible()
    expect(page.get_by_alt_text("64 samples")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(browser: Browser, app_url: str, scheme: str):
    tab = new_tab(browser, [], (390, 844), scheme)
    visit(tab, f"{app_url}/training")
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate(BEYOND) == 0
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_read_through_the_toolbar_on_a_phone(
    browser: Browser, app_url: str, scheme: str
):
    tab = new_tab(browser, [], (390, 844), scheme)
    visit(tab, f"{app_url}/training")
    title = tab.get_by_role("heading", name="Training", exact=True)
    strip = {"x": 80, "y": 2, "width": 250, "height": 38}  # between the toolbar's buttons
    assert colors(tab, strip) > 2 and title.is_visible()  # the title stands on the toolbar
    for far in (60, 72, 84):  # lines of text are below it
        tab.get_by_test_id("stMain").evaluate("(main, far) => main.scrollTo(0, far)", far)
        assert colors(tab, strip) == 1
    tab.close()


def colors(page: Page, clip: FloatRect) -> int:
    """Count the colours of a part of the window."""
    return len(
        Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB").getcolors(1 << 16)
    )
