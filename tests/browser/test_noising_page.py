"""The Noising page in a real browser: what is dragged, painted, confirmed and kept."""

import re
from dataclasses import replace

import pytest
from labpage import (
    BEYOND,
    DATA,
    FRAME,
    IN_ADDRESS,
    START,
    address,
    bottom,
    centre,
    distance,
    drawn,
    handle,
    new_tab,
    pick,
    pixels,
    points,
    ref,
    settled,
    visit,
    wait_for_points,
)
from playwright.sync_api import Browser, Page, expect

from pages._noising.state import start
from pages._noising.tour import states
from pages._shared.process_choice import ProcessChoice
from pages._shared.tour import STOPS
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import White
from rgdiff_core.presets import PRESETS
from rgdiff_core.schedules import Cosine, SigmoidKernel

pytestmark = pytest.mark.browser

# Scrubs as a hand does, reads what is painted while it holds, lets go, and reads what is exact.
SCRUB = """async (lab, [t, name]) => {
    const part = (ref) => lab.querySelector(`[data-ref=${ref}]`);
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const canvas = part(name);
    const read = () => Array.from(canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data);
    const time = part("time");
    time.value = t;
    time.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
    await frame();
    const [source, painted] = [canvas.dataset.source, read()];
    time.dispatchEvent(new Event("change", { bubbles: true }));
    const end = performance.now() + 60000;
    while (canvas.dataset.source !== "exact") {
        if (performance.now() > end) {
            return { stalled: `t = ${t}, on the page: ${lab.isConnected}` };
        }
        await frame();
    }
    const gap = read().reduce((most, value, i) => Math.max(most, Math.abs(value - painted[i])), 0);
    return { source, gap, levels: new Set(painted).size };
}"""


@pytest.fixture(scope="module")
def page(lasting_tab: Page) -> Page:
    return lasting_tab


BASES = {
    "pixel": BasisSpec("pixel"),
    "fourier": BasisSpec("fourier", decorrelate=True),
    "lattice": BasisSpec("fourier", momentum="lattice"),
    "cosine": BasisSpec("cosine"),
    "wavelet": BasisSpec("wavelet", wavelet="db2"),
    "pca": BasisSpec("pca"),
}


@pytest.mark.parametrize("basis", BASES)
def test_what_is_painted_is_the_exact_picture_to_two_levels(page: Page, app_url: str, basis: str):
    side = replace(START.sides[0], basis=BASES[basis])
    visit(page, app_url, replace(START, sides=(side,)))
    for t in (0.12, 0.35, 0.62, 0.9):
        seen = ref(page, "root").evaluate(SCRUB, [t, "canvasA"])
        assert "stalled" not in seen, seen
        assert seen["source"] == "painted"
        assert seen["gap"] <= 2
        assert seen["levels"] > 50


@pytest.fixture
def open_page(page: Page, app_url: str) -> Page:
    """Return the page in its first state."""
    visit(page, app_url)
    return page


def test_a_point_dragged_by_the_mouse_paints_and_then_is_in_the_address(open_page: Page):
    page, before, link = open_page, pixels(open_page), open_page.url
    x, y = centre(handle(page, 1))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 20, y + 90, steps=6)
    expect(ref(page, "canvasA")).to_have_attribute("data-source", "painted")
    assert distance(pixels(page), before) > 20
    assert page.url == link  # nothing is written during a drag
    page.mouse.up()
    settled(page)
    page.wait_for_url(lambda url: url != link)
    moved, old = points(page), START.component()["sides"][0]["points"]
    assert moved[1][0] > old[1][0] and moved[1][1] < old[1][1]
    assert [moved[0], *moved[2:]] == [old[0], *old[2:]]
    visit(page, page.url.split("/?")[0], address(page))  # the address is a permalink
    assert handle(page, 1).get_attribute("aria-valuenow") == f"{moved[1][1]:.3f}"


def test_a_drag_goes_on_where_the_page_changes_its_height(open_page: Page):
    """As it does where a sentence below gets a second line."""
    page = open_page
    taller = "(root) => { root.style.minHeight = `${root.clientHeight + 60}px`; }"
    x, y = centre(handle(page, 1))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 20, steps=2)
    page.evaluate(FRAME)
    before = handle(page, 1).get_attribute("aria-valuenow")
    ref(page, "root").evaluate(taller)
    for _ in range(3):  # the observer of the size, and what it repaints
        page.evaluate(FRAME)
    page.mouse.move(x, y + 60, steps=2)
    expect(handle(page, 1)).not_to_have_attribute("aria-valuenow", str(before))
    page.mouse.up()
    settled(page)
    ref(page, "root").evaluate("(root) => { root.style.minHeight = ''; }")


def test_arrow_keys_move_a_point_and_delete_removes_it(open_page: Page):
    page = open_page
    handle(page, 2).focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Shift+ArrowUp"):
        page.keyboard.press(key)
    wait_for_points(page, [[0, 1], [0.25, 0.62], [0.58, 0.402], [1, 0]])
    page.keyboard.press("Delete")
    wait_for_points(page, [[0, 1], [0.25, 0.62], [1, 0]])
    page.keyboard.press("Control+z")
    wait_for_points(page, [[0, 1], [0.25, 0.62], [0.58, 0.402], [1, 0]])


def test_a_menu_is_undone_after_the_drags_that_followed_it(open_page: Page):
    page, fifth = open_page, open_page.get_by_role("slider", name="Point 5 of 5", exact=True)
    pick(page, "Noise colour S", "White")
    expect(ref(page, "title")).to_contain_text("white noise")
    settled(page)
    ref(page, "add").click()
    expect(fifth).to_be_attached()
    ref(page, "undo").click()  # the point
    expect(fifth).not_to_be_attached()
    ref(page, "undo").click()  # the menu
    expect(ref(page, "title")).to_contain_text("matched noise")
    settled(page)
    page.wait_for_function(IN_ADDRESS, arg=START.to_json())
    ref(page, "redo").click()
    expect(ref(page, "title")).to_contain_text("white noise")
    ref(page, "redo").click()
    expect(fifth).to_be_attached()


def test_drags_after_a_menu_are_undone_before_it_after_a_look_at_another_page(open_page: Page):
    page = open_page
    of_six = page.get_by_role("slider", name=re.compile("^Point . of 6"))
    pick(page, "Noise colour S", "White")
    expect(ref(page, "title")).to_contain_text("white noise")
    settled(page)
    for _ in range(2):
        ref(page, "add").click()
    expect(of_six).to_have_count(6)
    ref(page, "undo").click()
    expect(of_six).to_have_count(0)
    settled(page)
    page.get_by_role("link", name="Spectra").click()
    expect(page.get_by_role("heading", name="Spectra")).to_be_visible()
    expect(page.get_by_role("button", name="Spectrum (CSV)")).to_be_visible()
    # Streamlit's browser may take what a page that is left still sends for the next one's.
    page.wait_for_selector("[data-test-script-state=notRunning]")
    page.get_by_role("link", name="Noising").click()
    settled(page)
    ref(page, "redo").click()
    expect(of_six).to_have_count(6)
    for _ in range(2):
        ref(page, "undo").click()
    expect(page.get_by_role("slider", name=re.compile("^Point . of 4"))).to_have_count(4)
    expect(ref(page, "title")).to_contain_text("white noise")
    ref(page, "undo").click()
    expect(ref(page, "title")).to_contain_text("matched noise")


def test_the_read_out_has_the_position_and_the_cutoff_that_it_stands_for(open_page: Page):
    """γ runs from 5 at the coarsest scale to −9 at the finest, so Λ = (1 − y)(−5w) + y(1 + 9w)."""
    readout = ref(open_page, "curve").locator(".readout")
    place, cutoff = readout.inner_html().split(" · Λ/k_max ")
    y = float(place.removeprefix("position "))
    assert float(cutoff) == pytest.approx(1.9 * y - 0.5 * (1 - y), abs=0.006)


def test_points_are_added_typed_undone_redone_and_reset(open_page: Page):
    page = open_page
    start_points = [[0, 1], [0.25, 0.62], [0.6, 0.36], [1, 0]]
    page.get_by_text("Points as numbers").click()
    typed = page.get_by_role("textbox", name="Cutoff position of point 2")
    typed.fill("0,5")
    typed.press("Enter")
    typed_points = [[0, 1], [0.25, 0.5], [0.6, 0.36], [1, 0]]
    wait_for_points(page, typed_points)
    typed.fill("0.1")
    typed.press("Enter")
    bad = 'Cutoff position of point 2 must be a number from 0.36 to 1, not "0.1".'
    expect(ref(page, "tableBad")).to_have_text(bad)
    assert points(page) == typed_points
    expect(typed).to_have_value("0.5")
    ref(page, "undo").click()
    wait_for_points(page, start_points)
    ref(page, "redo").click()
    wait_for_points(page, typed_points)
    curve = ref(page, "curve").bounding_box()
    assert curve is not None
    page.mouse.dblclick(curve["x"] + 0.85 * curve["width"], curve["y"] + 0.7 * curve["height"])
    expect(page.get_by_role("slider", name=re.compile("^Point . of 5"))).to_have_count(5)
    ref(page, "add").click()
    expect(page.get_by_role("slider", name=re.compile("^Point . of 6"))).to_have_count(6)
    ref(page, "remove").click()
    expect(page.get_by_role("slider", name=re.compile("^Point . of 5"))).to_have_count(5)
    ref(page, "reset").click()
    wait_for_points(page, start_points)
    page.get_by_role("button", name="linear").click()
    wait_for_points(page, [[0, 1], [1, 0]])


def test_numbers_of_time_and_width_can_be_typed(open_page: Page):
    page, before = open_page, pixels(open_page)
    for name, text in (("Time t, typed", "0.8"), ("Width w, typed", "0.25")):
        page.get_by_role("textbox", name=name).fill(text)
        page.keyboard.press("Enter")
    for number in ("0.8", "0.25"):
        page.wait_for_function("(number) => location.search.includes(number)", arg=number)
    settled(page)
    assert address(page).t == 0.8
    assert address(page).sides[0].schedule.kernel == SigmoidKernel(0.25)
    assert distance(pixels(page), before) > 20
    page.get_by_role("textbox", name="Time t, typed").fill("2")
    page.keyboard.press("Enter")
    expect(ref(page, "timeBad")).to_have_text('t must be a number from 0 to 1, not "2".')
    expect(ref(page, "timeTyped")).to_have_value("0.800")


def test_play_runs_to_the_noise_and_keys_lead_back(open_page: Page):
    page = open_page
    ref(page, "speed").select_option("4")
    ref(page, "play").click()
    expect(ref(page, "play")).to_have_attribute("aria-label", "Pause")
    expect(ref(page, "timeTyped")).to_have_value("1.000")
    expect(ref(page, "play")).to_have_attribute("aria-label", "Play")
    ref(page, "canvasA").focus()
    page.keyboard.press("Home")
    expect(ref(page, "timeTyped")).to_have_value("0.000")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(ref(page, "timeTyped")).to_have_value("0.110")
    page.wait_for_function('location.search.includes("0.11")')
    assert (address(page).t, address(page).speed) == (0.11, 4)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_a_scale_pointed_at_lights_up_everywhere(open_page: Page):
    page = open_page
    expect(ref(page, "inset")).to_have_attribute("data-lit", "false")
    places = ("tile0", "tile1", "tile2", "heat", "bits")
    before = {name: drawn(page, name) for name in places}
    box = ref(page, "spectrum").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 60)
    expect(ref(page, "inset")).to_have_attribute("data-lit", "true")
    expect(ref(page, "insetText")).to_contain_text("noise overtakes the data at t =")
    assert all(drawn(page, name) != old for name, old in before.items())
    expect(ref(page, "curve").locator(".level")).not_to_have_css("display", "none")
    expect(ref(page, "curve").get_by_text("highlighted scale")).to_be_visible()
    page.mouse.move(5, 5)
    expect(ref(page, "inset")).to_have_attribute("data-lit", "false")


FOURIER = BasisSpec("fourier", decorrelate=True)
TWO = replace(
    START,
    sides=(START.sides[0], ProcessChoice(FOURIER, White(), Cosine())),
    view="a",
)


def alone_in(page: Page, name: str) -> list[int]:
    ref(page, "views").get_by_role("button", name=name, exact=True).click()
    settled(page)
    return pixels(page)


def test_the_views_agree_with_each_other(page: Page, app_url: str):
    visit(page, app_url, TWO)
    view, alone = ref(page, "views"), {name: alone_in(page, name) for name in "AB"}
    assert distance(alone["A"], alone["B"]) > 50
    view.get_by_role("button", name="Side").click()
    expect(ref(page, "canvasB")).to_be_visible()
    settled(page)
    assert pixels(page) == alone["A"] and pixels(page, "canvasB") == alone["B"]
    view.get_by_role("button", name="Wipe").click()
    divider = page.get_by_role("slider", name="Divider between A and B")
    settled(page)
    width = ref(page, "canvasA").evaluate("(canvas) => canvas.width")
    rows = [range(i, i + 4 * width) for i in range(0, len(alone["A"]), 4 * width)]
    wiped = pixels(page)
    for row in rows:
        left = [wiped[i] == alone["A"][i] for i in row[: 2 * width - 4]]
        right = [wiped[i] == alone["B"][i] for i in row[2 * width + 4 :]]
        assert all(left) and all(right)
    divider.focus()
    page.keyboard.press("ArrowRight")
    expect(divider).to_have_attribute("aria-valuenow", "52")


def test_the_blend_leads_from_a_to_b(page: Page, app_url: str):
    visit(page, app_url, TWO)
    alone = {name: alone_in(page, name) for name in "AB"}
    ref(page, "views").get_by_role("button", name="Blend").click()
    slider = page.get_by_role("slider", name="Blend A into B")
    for weight, expected in (("0", alone["A"]), ("1", alone["B"])):
        slider.fill(weight)
        page.evaluate(FRAME)
        expect(ref(page, "canvasA")).to_have_attribute("data-source", "painted")
        assert distance(pixels(page), expected) <= 2
        settled(page)
        assert distance(pixels(page), expected) <= 1
    slider.fill("0.5")
    painted = pixels(page)
    settled(page)
    assert distance(pixels(page), painted) <= 2
    assert min(distance(painted, picture) for picture in alone.values()) > 20


def test_the_tour_and_the_presets_lead_to_their_pictures(page: Page, app_url: str):
    visit(page, app_url)
    for index, state in enumerate(states(DATA)[:3]):
        page.get_by_role("button", name="Next" if index else "Start the tour").click()
        page.wait_for_function(IN_ADDRESS, arg=state.to_json())
        expect(page.get_by_text(STOPS[index].task)).to_be_visible()
        settled(page)
    width = ref(page, "curve").evaluate("(curve) => getComputedStyle(curve).outlineWidth")
    assert width == "2px"  # the control of the third stop is marked
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    pick(page, "Preset", PRESETS["polchinski"].title)
    expect(page.get_by_text("the field itself shrinks to nothing")).to_be_visible()
    settled(page)
    expect(ref(page, "note")).to_contain_text("no cutoff to drag")


def test_a_bad_address_is_one_sentence_over_a_good_page(page: Page, app_url: str):
    page.goto(f"{app_url}/?state=%7B")
    settled(page)
    expect(page.get_by_text("The link is damaged (")).to_have_count(1)
    assert address(page) == start(DATA)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_all_and_a_finger_drags(
    browser: Browser, faults: list[str], app_url: str, scheme: str
):
    tab = new_tab(browser, faults, (390, 844), scheme, has_touch=True)
    visit(tab, app_url)
    expect(ref(tab, "root")).to_have_attribute("data-theme", scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate(BEYOND) == []
    assert max(bottom(tab, name) for name in ("canvasA", "play", "curve")) <= 1.5 * 844
    handle(tab, 1).scroll_into_view_if_needed()
    before = pixels(tab)
    x, y = centre(handle(tab, 1))
    devtools = tab.context.new_cdp_session(tab)
    touch = {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]}
    devtools.send("Input.dispatchTouchEvent", touch)
    for step in range(1, 6):
        place = {"x": x + 4 * step, "y": y + 14 * step}
        touch = {"type": "touchMove", "touchPoints": [place]}
        devtools.send("Input.dispatchTouchEvent", touch)
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tab.wait_for_function('!location.search.includes("0.62")')
    settled(tab)
    assert points(tab)[1][1] < 0.5
    assert distance(pixels(tab), before) > 20
    tab.close()
