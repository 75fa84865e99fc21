"""The Samples page in a real browser: the noise spectrum is dragged, and the samples follow."""

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from labpage import FRAME, bottom, centre, new_tab, ref
from playwright.sync_api import Browser, Locator, Page, expect

from pages._samples.state import SamplesState, start
from rgdiff_core.colors import CurveColor, Matched

pytestmark = pytest.mark.browser

SMALL = replace(start(), n=9, measured=64)
IN_ADDRESS = """(part) =>
    (new URLSearchParams(location.search).get("state") || "").includes(part)"""


@pytest.fixture
def page(browser: Browser, faults: list[str]) -> Iterator[Page]:
    tab = new_tab(browser, faults, (1440, 1400))
    yield tab
    tab.close()


def visit(page: Page, url: str, bench: SamplesState) -> None:
    page.goto(f"{url}/samples?state={quote(bench.to_json())}")
    expect(ref(page, "status")).to_have_text(re.compile(r"^\d+ samples"))


def picture(page: Page) -> str:
    return ref(page, "canvasX").evaluate("(canvas) => canvas.toDataURL()")


def noise_point(page: Page, index: int) -> Locator:
    return page.get_by_role("slider", name=f"Noise point {index + 1} of")


def color_in_address(page: Page) -> object:
    state = parse_qs(urlsplit(page.url).query)["state"][0]
    return SamplesState.from_json(state).setting.side.color


def test_samples_follow_the_noise_spectrum(page: Page, app_url: str):
    visit(page, app_url, SMALL)
    first = picture(page)
    noise_point(page, 2).scroll_into_view_if_needed()
    x, y = centre(noise_point(page, 2))
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 5):
        page.mouse.move(x, y - 6 * step)
        page.evaluate(FRAME)
    assert abs(centre(noise_point(page, 2))[1] - (y - 24)) < 1.5
    page.mouse.up()
    expect(ref(page, "status")).to_have_text(re.compile("^9 samples"))
    expect(ref(page, "title")).to_contain_text("drawn on matched noise")
    page.wait_for_function(IN_ADDRESS, arg='"CurveColor"')
    color = color_in_address(page)
    assert isinstance(color, CurveColor) and color.base == Matched()
    assert color.log_variances[2] > 0.3
    dragged = picture(page)
    assert dragged != first
    again = SamplesState.from_json(parse_qs(urlsplit(page.url).query)["state"][0])
    ref(page, "undo").click()
    page.wait_for_function(IN_ADDRESS, arg='"color":{"kind":"Matched"')
    assert picture(page) == first  # same noise, same spectrum, same samples
    visit(page, app_url, again)  # the address is a permalink
    assert picture(page) == dragged


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_and_the_schedule_stay_on_one_screen(
    browser: Browser, faults: list[str], app_url: str, scheme: str
):
    tab = new_tab(browser, faults, (1280, 720), scheme)
    visit(tab, app_url, SMALL)
    tab.evaluate(FRAME)
    places = ("canvasX", "canvasD", "play", "curve")
    assert {name: bottom(tab, name) for name in places if bottom(tab, name) > 720} == {}
    tab.close()
