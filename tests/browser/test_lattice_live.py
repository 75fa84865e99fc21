"""The star of the phase diagram in a real browser: keys, fingers, and what goes back to it."""

import re
from collections.abc import Iterator

import pytest
from labpage import FRAME, centre, ref
from patience import PATIENCE
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser


def visit(page: Page, own_url: str, lam: float = 4.3) -> Locator:
    """Open the map with the star, and return the star."""
    page.goto(f"{own_url}/lattice?map=drag+the+star&m2=-4&lam={lam}&L=8")
    expect(ref(page, "told")).to_contain_text(f"m² = −4, λ = {lam}")
    return ref(page, "star")


def test_the_star_makes_the_theory_and_the_theory_takes_the_star(page: Page, own_url: str):
    star = visit(page, own_url)
    told, start = ref(page, "told"), star.get_attribute("transform") or ""
    page.get_by_role("application", name="Phase diagram").press("Shift+ArrowUp")
    expect(star).not_to_have_attribute("transform", start)
    page.wait_for_url(re.compile(r"[?&]lam=4\.8(&|$)"))
    expect(page.get_by_role("spinbutton", name="λ", exact=True)).to_have_value("4.8")
    expect(told).to_contain_text("λ = 4.8")

    field = page.get_by_role("spinbutton", name="λ", exact=True)
    field.fill("4.3")
    field.press("Enter")
    expect(told).to_contain_text("λ = 4.3")
    expect(star).to_have_attribute("transform", start)

    x, y = centre(star)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40)
    expect(told).to_have_attribute("aria-live", "off")  # a held star is not read out
    page.mouse.up()
    expect(told).to_have_attribute("aria-live", "polite")
    page.wait_for_function("() => !location.search.includes('lam=4.3&')")


def test_what_is_typed_counts_for_more_than_a_star_that_still_moves(page: Page, own_url: str):
    star = visit(page, own_url)
    plane, told = page.get_by_role("application", name="Phase diagram"), ref(page, "told")
    start = star.get_attribute("transform") or ""
    page.evaluate("""() => {  // the star does not come to rest
        const now = performance.now();
        performance.now = () => now;
    }""")
    plane.press("Shift+ArrowUp")
    expect(star).not_to_have_attribute("transform", start)
    field = page.get_by_role("spinbutton", name="λ", exact=True)
    field.fill("3")
    field.press("Enter")
    page.wait_for_url(re.compile(r"[?&]lam=3(&|$)"))
    expect(told).to_contain_text("λ = 3")
    page.evaluate("() => { delete performance.now; }")
    plane.press("ArrowUp")
    page.wait_for_url(re.compile(r"[?&]lam=(4\.\d+|3\.\d+)(&|$)"))
    assert re.search(r"[?&]lam=3\.1(&|$)", page.url)


def test_a_star_where_no_theory_is_goes_back(page: Page, own_url: str):
    star = visit(page, own_url, 0.4)
    start, problem = star.get_attribute("transform") or "", ref(page, "problem")
    expect(problem).to_be_hidden()
    problem.evaluate("""(part) => {
        part.writes = 0;
        new MutationObserver((found) => { part.writes += found.length; })
            .observe(part, { childList: true });
    }""")
    page.get_by_role("application", name="Phase diagram").press("Shift+ArrowDown")
    expect(problem).to_contain_text("with λ = 0")
    expect(star).to_have_attribute("transform", start)
    expect(ref(page, "told")).to_contain_text("λ = 0.4")
    assert "lam=0.4" in page.url
    assert problem.evaluate("(part) => part.writes") == 1


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(1000 * PATIENCE)
    yield context.new_page()
    context.close()


def swipe(page: Page, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Draw a finger over the screen."""
    touch = page.context.new_cdp_session(page)
    steps = 8
    for step in range(steps + 1):
        x, y = (a + b * step / steps for a, b in zip(start, by, strict=True))
        kind = "touchMove" if step else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        page.evaluate(FRAME)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_finger_drags_only_the_star_and_scrolls_the_page(phone: Page, own_url: str):
    star = visit(phone, own_url)
    start, main = star.get_attribute("transform") or "", phone.get_by_test_id("stMain")
    ref(phone, "map").scroll_into_view_if_needed()
    top = main.evaluate("(part) => part.scrollTop")
    x, y = centre(star)
    swipe(phone, (x + 18, y), (40, -30))
    expect(star).not_to_have_attribute("transform", start)
    assert main.evaluate("(part) => part.scrollTop") == top
    phone.wait_for_function("() => !location.search.includes('lam=4.3&')")

    here = star.get_attribute("transform") or ""
    x, y = centre(star)
    swipe(phone, (x + 60, y), (0, -80))
    phone.wait_for_function(
        "(top) => document.querySelector('[data-testid=stMain]').scrollTop > top", arg=top
    )
    expect(star).to_have_attribute("transform", here)
