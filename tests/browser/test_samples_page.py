"""The Samples page in a real browser: samples follow the hand, are scrubbed, compared, kept."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from labpage import new_tab, ref
from patience import PATIENCE
from playwright.sync_api import Browser, Page, expect

from pages._samples.state import SamplesState, start
from pages._sampling.setting import Setting
from rgdiff_core.denoisers import GuidanceCurve
from rgdiff_core.schedules import Cutoff

pytestmark = pytest.mark.browser

SMALL = replace(start(), n=9, measured=64)
SLOW = replace(SMALL, setting=Setting(method="rk4", steps=200), n=64)

IN_ADDRESS = """(part) =>
    (new URLSearchParams(location.search).get("state") || "").includes(part)"""
STORED = """() => {
    const host = [...document.querySelectorAll("[data-testid=stMain] *")]
        .find((each) => each.shadowRoot?.querySelector(".reverse"));
    const at = (name) => (host?.shadowRoot || document).querySelector(`[data-ref=${name}]`);
    const label = at("canvasX")?.getAttribute("aria-label");
    const status = at("status")?.textContent;
    return status?.startsWith("Stored") && label ? { status, label } : null;
}"""
BEYOND = """() => [...document.querySelectorAll("[data-testid=stMain] *")].flatMap((host) =>
    [host, ...(host.shadowRoot ? host.shadowRoot.querySelectorAll("*") : [])])
    .filter((e) => e.checkVisibility() && !e.closest("table")
        && e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => `${e.tagName} ${e.className}`)"""


@pytest.fixture
def page(browser: Browser, faults: list[str]) -> Iterator[Page]:
    tab = new_tab(browser, faults, (1440, 1400))
    yield tab
    tab.close()


def visit(page: Page, url: str, bench: SamplesState | None = SMALL) -> None:
    page.goto(f"{url}/samples" + (f"?state={quote(bench.to_json())}" if bench else ""))
    drawn(page, 1)


def drawn(page: Page, count: int) -> None:
    """Wait until so many draws have been painted to their end."""
    end = time.monotonic() + PATIENCE
    while drawings(page) < count:
        assert time.monotonic() < end, f"only {drawings(page)} draws have come, not {count}"
        page.wait_for_timeout(20)


def drawings(page: Page) -> int:
    return ref(page, "root").evaluate("(root) => root.rgdiffDraws.length")


def picture(page: Page, name: str = "canvasX") -> str:
    return ref(page, name).evaluate("(canvas) => canvas.toDataURL()")


def more(page: Page) -> None:
    """Unfold sampler, time grid and seed."""
    ref(page, "samplerMore").locator("summary").first.click()


def address(page: Page) -> SamplesState:
    return SamplesState.from_json(parse_qs(urlsplit(page.url).query)["state"][0])


def rested(page: Page) -> None:
    """Wait until the server has measured what is shown."""
    expect(page.get_by_text("Statistics from")).to_be_visible()


def grip(page: Page, index: int) -> tuple[float, float]:
    knob = page.locator(".point .knob").nth(index)
    knob.scroll_into_view_if_needed()
    box = knob.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_samples_follow_the_curve_with_the_same_noise(page: Page, app_url: str):
    visit(page, app_url)
    rested(page)
    first, before = picture(page), drawings(page)
    ref(page, "add").click()
    drawn(page, before + 1)
    assert picture(page) == first  # a point on the curve changes nothing
    x, y = grip(page, 1)
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(1, 9):
        before = drawings(page)
        page.mouse.move(x - 8 * i, y + 6 * i)
        drawn(page, before + 1)  # while the button is down
    page.mouse.up()
    expect(ref(page, "status")).to_have_text(re.compile("^9 samples in"))
    assert picture(page) != first
    page.wait_for_function(IN_ADDRESS, arg='"times":[0.0,0.')
    bench = address(page)
    assert isinstance(bench.setting.side.schedule, Cutoff)
    assert bench.seed == 0 and bench.n == 9
    before = drawings(page)
    ref(page, "undo").click()
    drawn(page, before + 1)
    assert picture(page) == first  # same curve, same noise, same samples


def test_the_way_from_noise_is_scrubbed_and_played(page: Page, app_url: str):
    visit(page, app_url)
    last = picture(page)
    assert picture(page, "canvasD") == last  # at the end, both are the samples
    ref(page, "canvasX").focus()
    page.keyboard.press("Home")
    expect(ref(page, "place")).to_have_text("step 0 · t = 1.000")
    noise = picture(page)
    assert noise != last and picture(page, "canvasD") != noise
    page.keyboard.press("ArrowRight")
    expect(ref(page, "place")).to_have_text("step 1 · t = 0.950")
    page.keyboard.press("Space")
    expect(ref(page, "place")).to_have_text("step 20 · t = 0.000")
    assert picture(page) == last
    scrub = ref(page, "scrub")
    scrub.fill("0.5")
    expect(ref(page, "place")).to_have_text("step 10 · t = 0.500")
    page.wait_for_function(IN_ADDRESS, arg='"at":0.5')


def test_a_sample_is_enlarged_and_the_next_is_chosen(page: Page, app_url: str):
    visit(page, app_url)
    box = ref(page, "canvasX").bounding_box()
    assert box is not None
    ref(page, "canvasX").click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    expect(ref(page, "largeName")).to_have_text("sample 5 of 9")
    ref(page, "next").click()
    expect(ref(page, "largeName")).to_have_text("sample 6 of 9")
    page.keyboard.press("Escape")
    expect(ref(page, "large")).not_to_be_visible()
    page.wait_for_function(IN_ADDRESS, arg='"chosen":5')


def test_seed_steps_and_sampler_change_the_samples(page: Page, app_url: str):
    visit(page, app_url)
    seen = [picture(page)]
    ref(page, "newSeed").click()
    drawn(page, 2)
    seen.append(picture(page))
    more(page)
    ref(page, "method").select_option("shell")
    drawn(page, 3)
    seen.append(picture(page))
    steps = page.get_by_label("Steps, typed")
    steps.fill("5")
    steps.press("Enter")
    drawn(page, 4)
    seen.append(picture(page))
    assert len(set(seen)) == 4
    expect(ref(page, "place")).to_have_text("step 5 · t = 0.000")
    steps.fill("999")
    steps.press("Enter")
    expect(page.get_by_text(re.compile("Steps must be a number from 1 to 200"))).to_be_visible()
    page.wait_for_function(IN_ADDRESS, arg='"steps":5')
    bench = address(page)
    assert bench.setting.method == "shell" and bench.seed != 0


def test_guidance_is_a_curve_over_scales_that_is_dragged_typed_and_undone(
    page: Page, app_url: str
):
    visit(page, app_url)
    constant = picture(page)
    ref(page, "byScale").click()
    drawn(page, 2)
    assert picture(page) == constant  # s = 1 on all scales is off
    before = drawings(page)
    first = ref(page, "guidanceCurve").locator(".point").first
    first.press("ArrowUp")
    drawn(page, before + 1)
    expect(first).to_have_attribute("aria-valuenow", "1.100")
    box = first.locator(".knob").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y - 40, steps=4)
    drawn(page, before + 2)  # while the button is down
    page.mouse.up()
    assert float(first.get_attribute("aria-valuenow") or 0) > 1.5
    ref(page, "addGuidance").click()
    ref(page, "guidanceNumbers").locator("summary").click()
    typed = page.get_by_label("Guidance of guidance point 2")
    typed.fill("9")
    typed.press("Enter")
    expect(page.get_by_text("Guidance of point 2 must be a number from 0 to 6")).to_be_visible()
    typed.fill("0.25")
    typed.press("Enter")
    page.wait_for_function(IN_ADDRESS, arg="0.25,1.0]")
    guidance = address(page).setting.guidance
    assert isinstance(guidance, GuidanceCurve) and guidance.values[1:] == (0.25, 1.0)
    for _ in range(5):
        ref(page, "undo").click()
    expect(ref(page, "guidanceEditor")).not_to_be_visible()
    page.wait_for_function(IN_ADDRESS, arg='"guidance":1.0')


def test_a_link_opens_the_same_samples(page: Page, browser: Browser, faults, app_url: str):
    visit(page, app_url, replace(SMALL, seed=11))
    ref(page, "presets").get_by_text("cosine").click()
    drawn(page, 2)
    page.wait_for_function(IN_ADDRESS, arg='"values":[1.0,0.8')
    other = new_tab(browser, faults, (1440, 1400))
    other.goto(page.url)
    drawn(other, 1)
    assert picture(other) == picture(page)
    assert address(other) == address(page)
    other.close()


def test_settings_are_pinned_and_compared(page: Page, app_url: str):
    visit(page, app_url)
    rested(page)
    page.get_by_role("button", name="Pin this setting").click()
    expect(page.get_by_alt_text("Samples of A")).to_be_visible()
    shown = picture(page)
    ref(page, "presets").get_by_text("logarithmic").click()
    drawn(page, 2)
    expect(page.get_by_role("button", name="Pin this setting")).to_be_enabled()
    assert picture(page) != shown
    page.get_by_role("button", name="Restore").click()
    drawn(page, 3)
    assert picture(page) == shown
    page.get_by_role("button", name="Unpin").click()
    expect(page.get_by_alt_text("Samples of A")).to_have_count(0)


def test_a_slow_draw_shows_previews_and_is_cancelled(page: Page, app_url: str):
    page.goto(f"{app_url}/samples?state={quote(SLOW.to_json())}")
    expect(ref(page, "status")).to_have_text(re.compile(r"step [1-9]\d* of 200"))
    expect(ref(page, "canvasD")).to_have_attribute("data-step", re.compile(r"\d+"))
    ref(page, "cancel").click()
    expect(ref(page, "status")).to_have_text(re.compile(r"Cancelled at step \d+ of 200\."))
    more(page)
    ref(page, "method").select_option("ddim")
    steps = page.get_by_label("Steps, typed")
    steps.fill("3")
    steps.press("Enter")
    drawn(page, 1)
    expect(ref(page, "status")).to_have_text(re.compile("64 samples in"))


def test_a_large_model_shows_stored_samples_until_others_are_drawn(page: Page, app_url: str):
    large = SamplesState(Setting("pretrained/cifar10", steps=30), n=2)
    page.goto(f"{app_url}/samples?state={quote(large.to_json())}")
    told = page.wait_for_function(STORED, polling="raf").json_value()
    assert told["status"].startswith("Stored samples of this model. Yours")
    assert told["label"] == "2 pictures at time 0.00: current state"
    canvas = ref(page, "canvasX")
    while (text := ref(page, "status").text_content()).startswith("Stored"):
        expect(canvas).to_have_attribute("data-seq", re.compile("-1|0"))
        page.wait_for_timeout(50)
    assert re.match("2 samples in", text)
    expect(canvas).to_have_attribute("data-seq", "0")


def test_stored_samples_are_said_to_be_of_all_classes_where_one_is_chosen(
    page: Page, app_url: str
):
    setting = Setting("pretrained/cifar10-conditional", steps=30, class_label=1)
    page.goto(f"{app_url}/samples?state={quote(SamplesState(setting, n=2).to_json())}")
    told = page.wait_for_function(STORED, polling="raf").json_value()
    assert told["status"].startswith("Stored samples of this model, of all classes. Yours")
    expect(ref(page, "status")).to_have_text(re.compile("2 samples in"))
    expect(ref(page, "canvasX")).to_have_attribute("data-seq", "0")


def test_a_drag_always_shows_something_however_long_a_draw_takes(page: Page, app_url: str):
    """The whole draw takes seconds; while the button is down ten previews of it are painted, one
    after another, although the hand never stops.
    """
    page.goto(f"{app_url}/samples?state={quote(SLOW.to_json())}")
    expect(ref(page, "status")).to_have_text(re.compile(r"step [1-9]\d* of 200"))
    x, y = grip(page, 0)
    page.mouse.move(x, y)
    page.mouse.down()
    end, i = time.monotonic() + PATIENCE, 0
    while drawings(page) < 10:
        assert time.monotonic() < end, f"{drawings(page)} previews were painted"
        i += 1
        page.mouse.move(x, y + 10 + i % 40)
    expect(ref(page, "status")).to_have_text(
        re.compile(r"Rough preview of the first (sample|\d+ samples);")
    )
    page.mouse.up()
    expect(ref(page, "status")).to_have_text(re.compile(r"step [1-9]\d* of 200"))


def test_who_waits_is_told_his_place(
    page: Page, browser: Browser, faults: list[str], app_url: str
):
    other = new_tab(browser, faults)
    other.goto(f"{app_url}/samples?state={quote(SLOW.to_json())}")
    expect(ref(other, "status")).to_have_text(re.compile(r"step [1-9]\d* of 200"))
    page.goto(f"{app_url}/samples?state={quote(replace(SLOW, seed=1).to_json())}")
    # behind the other tab's draw, and behind what that page draws to measure it if that came first
    waiting = re.compile("Waiting: place [12] in the queue of long draws")
    expect(ref(page, "status")).to_have_text(waiting)
    other.close()
    expect(ref(page, "status")).to_have_text(re.compile(r"step [1-9]\d* of 200"))


SOCKETS = """window.sockets = []; const Plain = WebSocket;
    window.WebSocket = class extends Plain {
        constructor(...all) { super(...all); sockets.push(this); } };"""
FLOOD = """() => { const live = sockets.find((each) => each.url.endsWith("/live/samples"));
    for (let seq = 0; seq < 300; seq += 1)
        live.send(JSON.stringify({kind: "cancel", seq})); }"""


def test_a_line_that_was_refused_waits_for_the_hand(page: Page, app_url: str):
    page.add_init_script(SOCKETS)
    visit(page, app_url)
    rested(page)
    page.evaluate(FLOOD)
    expect(page.get_by_text("More than 30 messages per second came.")).to_be_visible()
    ref(page, "again").click()
    drawn(page, 2)
    expect(page.get_by_text("More than 30 messages per second came.")).not_to_be_visible()


def test_a_bad_link_is_one_sentence_and_the_page_works(page: Page, app_url: str):
    page.goto(f"{app_url}/samples?state=nonsense")
    expect(page.get_by_text("The link is damaged (")).to_be_visible()
    drawn(page, 1)
    assert address(page) == start()


def test_without_the_live_line_samples_come_when_the_hand_rests(page: Page, app_url: str):
    page.route_web_socket(re.compile("/live/samples"), lambda socket: socket.close(code=1011))
    visit(page, app_url)
    expect(page.get_by_text("There is no live connection to the server")).to_be_visible()
    shown = picture(page)
    ref(page, "presets").get_by_text("cosine").click()
    drawn(page, 2)
    assert picture(page) != shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(browser: Browser, faults, app_url: str, scheme: str):
    tab = new_tab(browser, faults, (390, 844), scheme)
    visit(tab, app_url)
    rested(tab)
    assert ref(tab, "root").get_attribute("data-theme") == scheme
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate(BEYOND) == []
    tab.close()
