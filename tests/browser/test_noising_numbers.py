"""Numbers that are typed on the Noising page: what is said of a bad one, and for how long."""

import pytest
from labpage import START, ref, visit
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(lasting_tab: Page, app_url: str) -> Page:
    visit(lasting_tab, app_url, START)
    return lasting_tab


def refuse(page: Page, name: str, number: str) -> None:
    field = page.get_by_role("textbox", name=name)
    field.fill(number)
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")


def test_the_next_valid_action_takes_back_what_was_said_of_a_bad_number(page: Page):
    said = page.get_by_text("must be a number from")
    for undone in (False, True):
        ref(page, "forward").click()
        refuse(page, "Noise: white 0 · matched 1, typed", "1e9")
        refuse(page, "Time t, typed", "2")
        expect(said).to_have_count(2)
        ref(page, "undo" if undone else "forward").click()
        expect(said).to_have_count(0)
        expect(page.locator(".lab [aria-invalid=true]")).to_have_count(0)


def test_the_good_number_typed_again_takes_it_back(page: Page):
    field = page.get_by_role("textbox", name="Time t, typed")
    good = field.input_value()
    refuse(page, "Time t, typed", "2")
    expect(field).to_have_value(good)
    field.fill(good)
    field.press("Enter")
    expect(page.get_by_text("must be a number from")).to_have_count(0)
    expect(field).to_have_attribute("aria-invalid", "false")


def test_a_number_of_images_beyond_the_limits_is_refused_in_a_sentence(page: Page):
    field = page.get_by_role("spinbutton", name="Images", exact=True)
    field.fill("99999")
    field.press("Enter")
    expect(page.get_by_text("Images must be from 1 to 64, not 99,999.")).to_be_visible()
    expect(field).to_have_value("6")
