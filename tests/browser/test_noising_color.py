"""The Noising page in a real browser: the noise that is dragged, one screen, the first seconds."""

from dataclasses import replace

import pytest
from labpage import (
    BEYOND,
    FRAME,
    IN_ADDRESS,
    START,
    address,
    bottom,
    centre,
    distance,
    new_tab,
    pixels,
    ref,
    settled,
    visit,
)
from playwright.sync_api import Browser, Locator, Page, expect

from rgdiff_core.colors import CurveColor, Matched, White

pytestmark = pytest.mark.browser


GREY_ON_THE_LINE = """(canvas) => {
    const root = canvas.getRootNode();
    const noise = getComputedStyle(root.querySelector(".lab")).getPropertyValue("--noise").trim();
    const wanted = [1, 3, 5].map((i) => parseInt(noise.slice(i, i + 2), 16));
    const path = root.querySelector(".grab");
    const scale = canvas.width / canvas.clientWidth;
    const context = canvas.getContext("2d");
    const grey = Array.from({ length: 400 }, (_, i) => {
        const { x, y } = path.getPointAtLength((i + 0.5) / 400 * path.getTotalLength());
        const place = [x, y].map((each) => Math.floor(each * scale));
        const found = context.getImageData(...place, 1, 1).data;
        return wanted.every((value, c) => Math.abs(value - found[c]) < 40);
    });
    return grey.filter(Boolean).length / grey.length;
}"""


@pytest.fixture(scope="module")
def page(lasting_tab: Page) -> Page:
    return lasting_tab


@pytest.fixture
def open_page(page: Page, app_url: str) -> Page:
    """Return the page in its first state."""
    visit(page, app_url)
    return page


def noise_point(page: Page, index: int) -> Locator:
    return page.get_by_role("slider", name=f"Noise point {index + 1} of")


def curve_in_address(page: Page) -> CurveColor:
    color = address(page).sides[0].color
    assert isinstance(color, CurveColor)
    return color


def wait_for_color(page: Page, wanted: str) -> None:
    """Wait until the address bar's colour, as JSON, contains these words."""
    page.wait_for_function(
        """(wanted) => JSON.stringify(JSON.parse(new URLSearchParams(location.search).get("state"))
            .sides[0].color).includes(wanted)""",
        arg=wanted,
    )


@pytest.mark.parametrize("noise", ["white", "matched (strength 0.75)", "matched"])
def test_the_title_names_the_noise_that_is_drawn(open_page: Page, noise: str):
    page, title = open_page, ref(open_page, "title")
    number = {"white": "0", "matched": "1"}.get(noise, "0.75")
    page.get_by_role("textbox", name="Noise: white 0 · matched 1, typed").fill(number)
    page.keyboard.press("Enter")
    expect(title).to_have_text(f"Sigmoid cutoff · {noise} noise · Fourier modes")
    noise_point(page, 3).focus()
    page.keyboard.press("ArrowUp")
    expect(title).to_have_text(f"Sigmoid cutoff · drawn on {noise} noise · Fourier modes")
    ref(page, "undo").click()
    expect(title).to_have_text(f"Sigmoid cutoff · {noise} noise · Fourier modes")


def test_the_noise_spectrum_dragged_by_the_mouse_paints_and_then_is_in_the_address(
    open_page: Page,
):
    page, before = open_page, pixels(open_page)
    x, y = centre(noise_point(page, 3))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 16, steps=5)
    page.evaluate(FRAME)
    expect(ref(page, "canvasA")).to_have_attribute("data-source", "painted")
    assert abs(centre(noise_point(page, 3))[1] - (y - 16)) < 1.5  # the point is where the hand is
    assert distance(pixels(page), before) > 20
    painted = pixels(page)
    page.mouse.up()
    settled(page)
    assert distance(pixels(page), painted) <= 3
    wait_for_color(page, "CurveColor")
    color = curve_in_address(page)
    assert color.base == Matched() and color.normalize
    assert color.log_variances[3] > 1 and set(color.log_variances) == {0, color.log_variances[3]}
    here = centre(noise_point(page, 3))
    visit(page, page.url.split("/?")[0], address(page))  # the address is a permalink
    assert distance(pixels(page), painted) <= 3
    assert abs(centre(noise_point(page, 3))[1] - here[1]) < 1.5
    expect(page.get_by_test_id("stCode")).to_contain_text("CurveColor(scales=(0.0, ")


def test_no_scale_is_highlighted_after_the_noise_was_dragged(open_page: Page):
    page, inset = open_page, ref(open_page, "inset")
    x, y = centre(noise_point(page, 2))
    page.mouse.move(x, y)
    expect(inset).to_have_attribute("data-lit", "true")
    page.mouse.down()
    page.mouse.move(x, y - 16, steps=5)
    expect(inset).to_have_attribute("data-lit", "false")
    page.mouse.up()
    page.mouse.move(x + 2, y - 16)
    page.evaluate(FRAME)
    expect(inset).to_have_attribute("data-lit", "false")
    page.mouse.move(5, 5)
    page.mouse.move(x, y)
    expect(inset).to_have_attribute("data-lit", "true")


def test_the_noise_that_is_dragged_is_seen_on_lines_that_coincide_with_it(open_page: Page):
    """Matched noise: data, noise and mixture are one line."""
    page = open_page
    page.get_by_role("textbox", name="Noise: white 0 · matched 1, typed").fill("1")
    page.keyboard.press("Enter")
    settled(page)
    share = ref(page, "spectrum").evaluate(GREY_ON_THE_LINE)
    assert 0.25 < share < 0.75, share


def test_noise_points_are_moved_by_keys_added_removed_typed_undone_and_reset(open_page: Page):
    page = open_page
    noise_point(page, 1).focus()
    page.keyboard.press("ArrowDown")
    wait_for_color(page, '"CurveColor"')
    assert curve_in_address(page).log_variances[1] < 0
    before = page.url
    page.keyboard.press("Shift+ArrowLeft")
    page.wait_for_function("(before) => location.href !== before", arg=before)
    assert curve_in_address(page).scales[1] < START_SCALES[1]
    page.keyboard.press("Delete")
    expect(page.get_by_role("slider", name="Noise point")).to_have_count(4)
    page.keyboard.press("Control+z")
    expect(page.get_by_role("slider", name="Noise point")).to_have_count(5)
    ref(page, "addTone").click()
    expect(page.get_by_role("slider", name="Noise point")).to_have_count(6)
    ref(page, "removeTone").click()
    expect(page.get_by_role("slider", name="Noise point")).to_have_count(5)
    page.get_by_text("Noise in numbers").click()
    typed = page.get_by_role("textbox", name="Noise power of point 5")
    typed.fill("0.001")
    typed.press("Enter")
    page.evaluate(FRAME)
    expect(noise_point(page, 4)).to_have_attribute(
        "aria-valuetext", "noise power 0.001 at scale 1"
    )
    typed.fill("-1")
    typed.press("Enter")
    expect(ref(page, "toneBad")).to_contain_text("Noise power of point 5 must be a number from")
    ref(page, "keep").uncheck()
    wait_for_color(page, '"normalize":false')
    ref(page, "resetTone").click()
    page.wait_for_function(IN_ADDRESS, arg=START.to_json())


START_SCALES = [0.0, 0.0573, 0.1487, 0.3856, 1.0]


def test_the_slider_leads_from_white_noise_to_matched_noise_and_beyond(open_page: Page):
    page, before = open_page, pixels(open_page)
    strength = page.get_by_role("slider", name="Noise: white 0")
    for share, color in (
        ("0", White()),
        ("1", Matched(strength=1.5)),
        ("0.4", Matched(strength=0.6)),
    ):
        strength.fill(share)
        page.evaluate(FRAME)
        painted = pixels(page)  # unless the exact picture has come already, on a busy machine
        assert distance(painted, before) > 20
        strength.dispatch_event("change")
        settled(page)
        worst = distance(pixels(page), painted)
        assert worst <= (2 if share == "0" else 25)  # exact at white; between, to the bands' means
        page.wait_for_function(
            IN_ADDRESS, arg=replace(START, sides=(replace(START.sides[0], color=color),)).to_json()
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_that_is_dragged_is_on_one_screen(
    browser: Browser, faults: list[str], app_url: str, scheme: str
):
    tab = new_tab(browser, faults, (1280, 720), scheme)
    visit(tab, app_url, replace(START, images=16))
    tab.evaluate(FRAME)
    places = ("canvasA", "play", "time", "curve", "sliders", "spectrum", "heat")
    assert {name: bottom(tab, name) for name in places if bottom(tab, name) > 720} == {}
    assert tab.evaluate(BEYOND) == []
    tab.close()


def test_a_newcomer_sees_it_move_until_the_first_touch(
    browser: Browser, faults: list[str], app_url: str
):
    tab = new_tab(browser, faults, reduced_motion="no-preference")
    tab.goto(app_url)
    time = ref(tab, "timeTyped")
    expect(ref(tab, "play")).to_have_attribute("aria-label", "Pause")
    for _ in range(2):
        now = time.input_value()
        expect(time).not_to_have_value(now)
    tab.keyboard.press("Shift")
    expect(ref(tab, "play")).to_have_attribute("aria-label", "Play")
    settled(tab)
    tab.wait_for_function(
        """(t) => Math.abs(JSON.parse(new URLSearchParams(location.search).get("state")).t - t)
            < 1e-3""",
        arg=float(time.input_value()),
    )
    tab.close()
    calm = new_tab(browser, faults)
    calm.goto(app_url)
    settled(calm)
    calm.wait_for_timeout(900)  # longer than the film waits
    expect(ref(calm, "timeTyped")).to_have_value("0.500")
    expect(ref(calm, "canvasA")).to_have_attribute("data-source", "exact")
    calm.close()
