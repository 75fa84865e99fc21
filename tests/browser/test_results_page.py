"""The Results page in a real browser: links, downloads, sorting by keyboard, narrow screens."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from labpage import PARTS_BEYOND, new_tab
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import running
from tests.tiny_study import DATA, FIGURES, study_text

pytestmark = pytest.mark.browser

DRAWN = "() => document.querySelectorAll('.js-plotly-plot .main-svg').length > 0"


@pytest.fixture(scope="module")
def results_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the app with the results of a tiny study, and return its address."""
    folder = tmp_path_factory.mktemp("results")
    (folder / f"study-{DATA}.json").write_text(study_text(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGDIFF_RESULTS", str(folder))
        with running("app.py", tmp_path_factory.mktemp("app")) as url:
            yield f"{url}/results"


def visit(page: Page, url: str, section: str = "φ⁴ theory") -> None:
    page.goto(url if "?" in url else f"{url}?section={quote(section)}")
    page.get_by_role("heading", name="Results").wait_for()
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def test_figures_are_chosen_kept_in_the_address_and_taken_along(page: Page, results_url: str):
    visit(page, results_url, "Summary")
    page.get_by_text("The claim, and the verdict on each data set").click()
    expect(page.get_by_text("The claim:")).to_be_visible()
    page.get_by_role("radio", name="φ⁴ theory").click()
    page.get_by_role("radio", name="Ablation").click()
    page.wait_for_function("() => location.search.includes('Ablation')")
    address = page.url
    page.goto("about:blank")
    visit(page, address)
    page.get_by_text("From standard diffusion to the other methods").wait_for()
    page.wait_for_function(DRAWN)
    with page.expect_download() as download:
        page.locator(f".st-key-results-csv-{DATA}-ablation button").first.click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    ablation = json.loads(study_text())["ablation"]
    assert [float(row["kl"]) for row in rows] == [row["kl"]["value"] for row in ablation]
    with page.expect_download() as download:
        page.get_by_role("button", name="All numbers (JSON)").click()
    whole = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert whole == json.loads(study_text())


def test_an_arm_leads_to_the_noising_page_by_keyboard(page: Page, results_url: str):
    visit(page, results_url)
    page.get_by_role("button", name="Open in Noising").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Noising").wait_for()
    page.wait_for_function("() => location.search.includes('state=')")
    state = json.loads(parse_qs(urlsplit(page.url).query)["state"][0])
    arms = json.loads(study_text())["arms"]
    arm = next(each for each in arms if each["name"] == "matched-component")
    assert state["data"] == DATA
    for name in ("color", "schedule"):
        assert state["sides"][0][name]["kind"] == arm[name]["kind"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_holds_everything(browser: Browser, results_url: str, scheme):
    tab = new_tab(browser, [], (390, 844), scheme)
    visit(tab, results_url)
    for name in FIGURES if scheme == "light" else FIGURES[-1:]:
        tab.get_by_role("radio", name=name).click()
        tab.wait_for_function(DRAWN)
        tab.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")
        tab.wait_for_function(f"() => ({PARTS_BEYOND})() === 0")  # a figure fits once it is drawn
    tab.close()
