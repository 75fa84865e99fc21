"""The Lattice page in a real browser: the map, a run that is left and resumed, narrow screens."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from labpage import PARTS_BEYOND, new_tab
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

VIEWS = ("Theory", "RG flow", "Sample", "Observables", "Configurations", "Phase scan")
FIELD = 'img[alt="field 1"]'
POINTS = """(name) => {
    const traces = [...document.querySelectorAll(".js-plotly-plot")]
        .flatMap((plot) => plot._fullData ?? []);
    return traces.find((trace) => trace.name === name)?.x.length ?? 0;
}"""


def visit(page: Page, own_url: str, query: str = "") -> None:
    """Open the page and wait until an ensemble, the first one is made by itself, is there."""
    page.goto(f"{own_url}/lattice?{query}")
    page.get_by_role("combobox", name=re.compile("Ensemble")).wait_for()
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def couplings(page: Page) -> tuple[float, float]:
    link = parse_qs(urlsplit(page.url).query)
    return float(link["m2"][0]), float(link["lam"][0])


def test_a_click_in_the_map_takes_the_point(page: Page, own_url: str):
    visit(page, own_url)
    before = page.locator(FIELD).get_attribute("src")
    plane = page.locator(".js-plotly-plot .nsewdrag").first
    box = plane.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.35 * box["height"])
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("() => !location.search.includes('m2=-4&')")
    m2, lam = couplings(page)
    assert m2 == pytest.approx(-5.5, abs=0.6) and lam == pytest.approx(6.5, abs=0.7)
    expect(page.get_by_role("spinbutton", name="m²")).to_have_value(f"{m2:g}")
    expect(page.locator(FIELD)).not_to_have_attribute("src", before or "")


def test_a_run_is_left_found_again_cancelled_and_resumed(page: Page, own_url: str):
    visit(page, own_url, "view=Sample&L=32&n=20000&chains=32&therm=40")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_function(f"({POINTS})('chain 1') > 10")
    page.reload()
    page.wait_for_function(f"({POINTS})('chain 1') > 10")
    page.get_by_text(re.compile(r"acceptance [4-9]\d\.\d% · ")).wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("progressbar").first.wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)


def test_an_ensemble_is_taken_along_and_brought_back(page: Page, own_url: str, tmp_path: Path):
    visit(page, own_url, "view=Sample")
    with page.expect_download() as download:
        page.get_by_role("button", name=".npz").click()
    path = tmp_path / "mine.npz"
    download.value.save_as(path)
    with np.load(path) as opened:
        phi = opened["images"]
    assert phi.ndim == 4 and phi.shape[2] == phi.shape[3]
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, images=phi[:, 0], m2=-4.0, lam=6.0)
    page.get_by_text("Import an ensemble").click()
    page.locator('input[type="file"]').set_input_files(foreign)
    page.get_by_text(re.compile("do not belong to m² = -4, λ = 6")).wait_for()


def test_the_other_pages_open_with_the_ensemble(page: Page, own_url: str):
    visit(page, own_url, "view=Configurations")
    page.get_by_role("button", name="Open in Spectra").click()
    page.get_by_role("heading", name="Spectra").wait_for()
    page.wait_for_url(re.compile("data=lattice-"))
    page.wait_for_selector(".js-plotly-plot .scatterlayer")


def test_nothing_is_cut_off_on_a_phone(browser: Browser, own_url: str):
    tab = new_tab(browser, [], (390, 844), "dark")
    for view in VIEWS:
        tab.goto(f"{own_url}/lattice?view={view}")
        tab.get_by_role("radio", name=view).wait_for()
        tab.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")
        tab.wait_for_selector("[data-testid=stMain] :is(.js-plotly-plot, img)")
        assert tab.evaluate("document.documentElement.scrollWidth") == 390, view
        assert tab.evaluate(PARTS_BEYOND) == 0, view
    tab.close()
