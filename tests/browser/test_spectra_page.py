"""The Spectra page in a real browser: links, downloads, uploads, narrow and dark screens."""

import csv
from pathlib import Path

import pytest
from labpage import PARTS_BEYOND, new_tab
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

CURVE = """(name) => Array.from(document.querySelector(".js-plotly-plot")._fullData
    .find((trace) => trace.name === name).y)"""
CHANGED = """([name, old]) => {
    const traces = document.querySelector(".js-plotly-plot")?._fullData ?? [];
    const trace = traces.find((each) => each.name === name);
    return trace !== undefined && trace.y[3] !== old;
}"""


def visit(page: Page, app_url: str, query: str = "") -> None:
    """Open the page; its data set is made where it is not there yet."""
    page.goto(f"{app_url}/spectra?data=photographs{query}")
    page.wait_for_selector(".js-plotly-plot .scatterlayer")
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")


def curve(page: Page, name: str) -> list[float]:
    return page.evaluate(CURVE, name)


def test_a_changed_control_redraws_the_noise_and_is_in_the_link(page: Page, app_url: str):
    visit(page, app_url)
    old = curve(page, "Power law noise")
    exponent = page.get_by_role("spinbutton", name="Exponent p")
    exponent.fill("-1")
    exponent.press("Enter")
    page.wait_for_function(CHANGED, arg=["Power law noise", old[3]])
    blue = curve(page, "Power law noise")
    assert old == sorted(old, reverse=True) and blue == sorted(blue)
    page.wait_for_url("**p=-1**")
    page.reload()
    page.wait_for_selector(".js-plotly-plot .scatterlayer")
    assert curve(page, "Power law noise") == pytest.approx(blue)


def test_the_csv_is_what_is_drawn(page: Page, app_url: str, tmp_path: Path):
    visit(page, app_url)
    with page.expect_download() as download:
        page.get_by_role("button", name="Spectrum (CSV)").click()
    download.value.save_as(tmp_path / "spectrum.csv")
    rows = list(csv.DictReader((tmp_path / "spectrum.csv").read_text().splitlines()))
    assert [float(row["power"]) for row in rows] == pytest.approx(curve(page, "Data"))
    assert [float(row["Matched"]) for row in rows] == pytest.approx(curve(page, "Matched noise"))
    assert sum(int(row["modes"]) for row in rows) == 32 * 32


def test_the_views_change_without_the_figure_above(page: Page, app_url: str):
    visit(page, app_url)
    expect(page.get_by_alt_text("White noise")).to_have_count(8)
    figure = page.locator(".js-plotly-plot").first.element_handle()
    page.get_by_text("Basis functions", exact=True).click()
    expect(page.get_by_alt_text("scale 0", exact=True)).to_have_count(1)
    page.get_by_text("Variance by scale", exact=True).click()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    assert figure.is_visible()
    page.wait_for_url("**view=Variance+by+scale**")


def test_a_bad_upload_is_one_sentence(page: Page, app_url: str, tmp_path: Path):
    visit(page, app_url)
    (tmp_path / "note.png").write_text("not a picture")
    page.get_by_text("Your own images").click()
    page.locator('input[type="file"]').first.set_input_files(tmp_path / "note.png")
    expect(page.get_by_text("note.png cannot be read as an image")).to_be_visible()
    assert len(curve(page, "Data")) == 17


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_phone(browser: Browser, app_url: str, scheme: str):
    tab = new_tab(browser, [], (390, 844), scheme)
    visit(tab, app_url)
    expect(tab.get_by_alt_text("Matched noise")).to_have_count(8)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.evaluate(PARTS_BEYOND) == 0
    tab.close()
