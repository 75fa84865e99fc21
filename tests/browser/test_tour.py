"""The tour in a real browser: begun while the opening animation plays, and its bars of buttons."""

import pytest
from labpage import new_tab, ref, settled
from playwright.sync_api import Browser, expect

from pages._noising.tour import states
from pages._shared.tour import STOPS

pytestmark = pytest.mark.browser

# of the data that the app opens with, which depends on what is cached
FIRST = [states(data)[0].to_json() for data in ("cifar10", "photographs")]
ONE_IN_ADDRESS = """(wanted) => {
    const state = JSON.parse(new URLSearchParams(location.search).get("state"));
    return wanted.some((each) => JSON.stringify(state) === JSON.stringify(JSON.parse(each)));
}"""


@pytest.mark.parametrize("seconds", [0, 3])
def test_the_tour_begins_while_the_film_plays(
    browser: Browser, faults: list[str], app_url: str, seconds: int
):
    tab = new_tab(browser, faults, reduced_motion="no-preference")
    tab.goto(app_url)
    expect(ref(tab, "play")).to_have_attribute("aria-label", "Pause")
    expect(ref(tab, "canvasA")).to_have_attribute("data-source", "painted")
    tab.wait_for_timeout(1000 * seconds)
    tab.get_by_role("button", name="Start the tour").click()
    expect(tab.get_by_text(STOPS[0].task)).to_be_visible()
    expect(ref(tab, "title")).to_have_text("Cosine · white noise · pixels")
    tab.wait_for_timeout(2000)  # longer than the lab waits before it tells where the film stopped
    tab.get_by_role("button", name="Leave the tour").click()
    expect(tab.get_by_role("button", name="Start the tour")).to_be_visible()
    tab.wait_for_function(ONE_IN_ADDRESS, arg=FIRST)
    expect(ref(tab, "title")).to_have_text("Cosine · white noise · pixels")
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    tab.close()


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_the_buttons_over_two_pictures_are_on_one_line(
    browser: Browser, faults: list[str], app_url: str, size: tuple[int, int]
):
    tab = new_tab(browser, faults, size)
    tab.goto(f"{app_url}/?tour=2")
    settled(tab)
    bar = ref(tab, "picture").locator(".bar")
    for part in bar.locator("button:visible").all():
        box, line = part.bounding_box(), bar.bounding_box()
        assert box is not None and line is not None
        assert box["x"] + box["width"] <= size[0] and line["height"] < 2 * box["height"]
    tab.close()
