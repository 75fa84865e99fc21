"""What the Samples page says of a draw, and what the Enter key does."""

from dataclasses import replace
from urllib.parse import quote

import pytest
from labpage import ref
from playwright.sync_api import Browser, Page, expect

from pages._samples.component import script
from pages._samples.state import start

pytestmark = pytest.mark.browser

SMALL = replace(start(), n=4, measured=64)
IMPORT = """async (text) => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    globalThis.bench = await import(url);
}"""


def test_the_words_of_a_draw(browser: Browser):
    tab = browser.new_page()
    tab.evaluate(IMPORT, f"{script()}\nexport {{ callsWords, previewWords }};")
    calls = [tab.evaluate(f"bench.callsWords(10, {twice})") for twice in ("true", "false")]
    assert calls == ["2 × 10 evaluations each (guidance)", "10 evaluations each"]
    assert tab.evaluate("bench.callsWords(1, false)") == "1 evaluation each"
    previews = [tab.evaluate("(n) => bench.previewWords(n)", n) for n in (1, 5)]
    assert previews == [
        "Rough preview of the first sample; release to redraw all",
        "Rough preview of the first 5 samples; release to redraw all",
    ]
    tab.close()


def test_enter_enlarges_a_sample_only_on_a_picture(lasting_tab: Page, app_url: str):
    page = lasting_tab
    page.goto(f"{app_url}/samples?state={quote(SMALL.to_json())}")
    expect(ref(page, "status")).to_contain_text("4 samples")
    large = page.get_by_role("dialog", name="One sample, enlarged")
    slider = page.get_by_role("slider", name="Steps", exact=True)
    for control in (slider, page.get_by_role("textbox", name="Steps, typed"), ref(page, "root")):
        control.focus()
        page.keyboard.press("Enter")
        expect(large).to_be_hidden()
    ref(page, "canvasX").focus()
    page.keyboard.press("Enter")
    expect(large).to_be_visible()
