"""The presenter's view, and pictures from the clipboard, in a real Chromium."""

from collections.abc import Iterator

import pytest
from labpage import START, address, new_tab, ref, settled, visit
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

SHOWN = "(lab) => [lab.matches(':popover-open'), lab.getBoundingClientRect().width]"
ASKED = "() => new URLSearchParams(location.search).get('present')"
PASTE = """async () => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 40;
    canvas.getContext("2d").fillRect(0, 0, 20, 40);
    const blob = await new Promise((done) => canvas.toBlob(done));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([blob], "image.png", { type: "image/png" }));
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
}"""

KEPT = "One picture, and 16 overlapping parts of it"
REFUSED = "all images are equal, so that they have no spectrum"

# Pressed again where the camera, on a busy machine, had no picture to give yet.
TAKEN = """(answers) => {
    if (answers.some((answer) => document.body.innerText.includes(answer))) return true;
    const button = document.querySelector("[data-testid=stCameraInputButton]");
    if (button?.textContent === "Take Photo" && document.querySelector("video")?.videoWidth)
        button.click();
    return false;
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    faults: list[str] = []
    tab = new_tab(browser, faults)
    yield tab
    tab.close()
    assert faults == []


def test_the_presenter_s_view_has_the_window_and_keeps_the_state(page: Page, app_url: str):
    visit(page, app_url)
    ref(page, "present").click()
    assert ref(page, "root").evaluate(SHOWN) == [True, 1280]
    for part in ("canvasA", "play", "curve", "time"):
        expect(ref(page, part)).to_be_in_viewport(ratio=0.99)
    for part in ("heat", "spectrum", "bits"):
        expect(ref(page, part)).to_be_hidden()
    assert page.evaluate(ASKED) == "1"
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(ref(page, "timeTyped")).to_have_value("0.990")
    ref(page, "speed").select_option("4")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("End")
    page.keyboard.press(" ")  # there and back: from the end towards the data
    page.wait_for_function(
        "(input) => Number(input.value) < 0.9", arg=ref(page, "timeTyped").element_handle()
    )
    page.keyboard.press(" ")
    kept = ref(page, "timeTyped").input_value()
    page.keyboard.press("Escape")
    assert ref(page, "root").evaluate(SHOWN)[0] is False
    expect(ref(page, "heat")).to_be_visible()
    expect(ref(page, "timeTyped")).to_have_value(kept)
    page.wait_for_function("() => !new URLSearchParams(location.search).has('present')")


def test_the_address_opens_the_presenter_s_view(page: Page, app_url: str):
    page.goto(f"{app_url}/?present=1")
    ref(page, "canvasA").wait_for()
    page.wait_for_function("(lab) => lab.matches(':popover-open')", arg=root(page))
    page.keyboard.press("p")  # wherever the focus is
    page.wait_for_function("(lab) => !lab.matches(':popover-open')", arg=root(page))


def root(page: Page):
    return ref(page, "root").element_handle()


def test_a_photograph_is_taken_and_kept_or_refused_in_a_sentence(page: Page, app_url: str):
    """Chromium's camera is a test picture here, black on a machine too busy to play it, and that
    has no spectrum.
    """
    visit(page, app_url, START)
    page.get_by_role("button", name="Your own images").click()
    page.get_by_text("Photograph with the camera").click()
    page.wait_for_function(TAKEN, arg=[KEPT, REFUSED], polling=1000)
    if page.get_by_text(REFUSED).count():
        assert address(page).data == START.data
    else:
        page.wait_for_function("() => location.search.includes('own-')")


def test_pictures_are_pasted(page: Page, app_url: str):
    visit(page, app_url, START)
    page.get_by_role("button", name="Your own images").click()
    page.locator(".st-key-dataset-files input[type=file]").wait_for(state="attached")
    page.evaluate(PASTE)
    expect(page.get_by_text(KEPT)).to_be_visible()
    page.wait_for_function("() => location.search.includes('own-image-')")
    settled(page)
