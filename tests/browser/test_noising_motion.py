"""The Noising page in a real browser: noise whose colour changes with time, and what is left."""

from dataclasses import replace

import pytest
import torch
from labpage import (
    DATA,
    FRAME,
    START,
    address,
    distance,
    pick,
    pixels,
    ref,
    settled,
    visit,
)
from playwright.sync_api import Page, expect

from pages._shared.process_choice import ProcessChoice, process
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched, PowerLaw, White
from rgdiff_core.schedules import Cosine

pytestmark = pytest.mark.browser

BLUE = replace(START.sides[0], color=PowerLaw(-1.0), start=White())
MOVING = replace(START, sides=(BLUE,), t=0.2)


@pytest.fixture(scope="module")
def page(lasting_tab: Page) -> Page:
    return lasting_tab


def finest_noise(page: Page) -> float:
    """Return the present power of the noise at the finest scale, as the plot has it."""
    page.evaluate(FRAME)
    return float(ref(page, "spectrum").get_attribute("data-finest") or "nan")


def test_the_spectrum_moves_with_the_scrubber_and_the_pictures_are_exact(page: Page, app_url: str):
    visit(page, app_url, MOVING)
    proc = process(DATA, BLUE)
    finest = proc.modes.scale.argmax()
    for t in (0.0, 0.35, 0.8):
        ref(page, "time").fill(str(t))
        power = proc.color.variance_at(torch.tensor(t), proc.modes).flatten()[finest]
        assert finest_noise(page) == pytest.approx(float(power), rel=2e-3)
        expect(ref(page, "canvasA")).to_have_attribute("data-source", "painted")
        painted = pixels(page)
        ref(page, "time").dispatch_event("change")
        settled(page)
        assert distance(pixels(page), painted) <= 3
    expect(ref(page, "movingNoise")).to_be_visible()


def test_the_last_colour_is_dragged_while_the_first_stays(page: Page, app_url: str):
    visit(page, app_url, MOVING)
    exponent = page.get_by_role("slider", name="Exponent p")
    for t, moves in (("0", False), ("1", True)):
        ref(page, "time").fill(t)
        before = finest_noise(page)
        exponent.fill("0.9")
        assert (abs(finest_noise(page) / before - 1) > 0.1) == moves
        exponent.dispatch_event("change")
        page.keyboard.press("Control+z")


def test_it_is_chosen_from_a_menu_and_is_in_the_address_and_the_lines(page: Page, app_url: str):
    visit(page, app_url)
    expect(ref(page, "movingNoise")).to_be_hidden()
    page.get_by_text("Colour over time", exact=True).first.click()
    pick(page, "Colour over time", "Starts white")
    expect(ref(page, "movingNoise")).to_be_visible()
    page.wait_for_function(
        "() => location.search.includes('start%22%3A%7B') "
        "|| location.search.includes('\"start\":{')"
    )
    settled(page)
    side = address(page).sides[0]
    assert (side.color, side.start) == (Matched(), White())
    expect(page.get_by_test_id("stCode")).to_contain_text("MovingColor(start=")
    seen = pixels(page)
    visit(page, page.url.split("/?")[0], address(page))
    assert distance(pixels(page), seen) <= 1


def test_the_bits_left_are_those_of_the_full_covariance_where_it_is_small(
    page: Page, app_url: str
):
    side = ProcessChoice(BasisSpec("pixel"), White(), Cosine())
    for data, words in (
        ("phi4-6x6-broken", "by the data's full covariance"),
        (START.data, "At most"),
    ):
        visit(page, app_url, replace(START, data=data, sides=(side,), t=0.2))
        expect(ref(page, "bitsText")).to_contain_text(words)
