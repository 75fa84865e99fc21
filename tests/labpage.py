"""The Noising page in a real browser: its parts, its pixels, its address."""

import json
from dataclasses import replace
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit

from patience import PATIENCE
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    TimeoutError,
    expect,
)

from pages._noising.state import NoisingState, start

__all__ = [
    "BEYOND",
    "DATA",
    "FRAME",
    "IN_ADDRESS",
    "PARTS_BEYOND",
    "PIXELS",
    "START",
    "address",
    "bottom",
    "centre",
    "distance",
    "drawn",
    "handle",
    "new_tab",
    "pick",
    "pixels",
    "points",
    "ref",
    "settled",
    "visit",
    "wait_for_points",
]

DATA = "photographs"
START = replace(start(DATA), images=6)

PIXELS = """(canvas) => Array.from(canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height).data)"""

IN_ADDRESS = """(wanted) => {
    const state = new URLSearchParams(location.search).get("state");
    return JSON.stringify(JSON.parse(state)) === JSON.stringify(JSON.parse(wanted));
}"""

BEYOND = """() => [...document.querySelectorAll("[data-testid=stMain] *")].flatMap((host) =>
    [host, ...(host.shadowRoot ? host.shadowRoot.querySelectorAll("*") : [])])
    .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => `${e.tagName} ${e.className}`)"""

PARTS_BEYOND = """() => [...document
    .querySelectorAll("[data-testid=stMain] :is(img, p, table, svg)")]
    .filter((element) => element.getBoundingClientRect().right > innerWidth + 1).length"""

FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"


def new_tab(
    browser: Browser,
    faults: list[str],
    size: tuple[int, int] = (1280, 720),
    color_scheme: Literal["light", "dark"] = "light",
    reduced_motion: Literal["reduce", "no-preference"] = "reduce",
    has_touch: bool = False,
) -> Page:
    """Open a tab that notes what its console complains of; no film plays for a newcomer in it."""
    tab = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=color_scheme,
        reduced_motion=reduced_motion,
        has_touch=has_touch,
    )
    tab.set_default_timeout(1000 * PATIENCE)

    def complain(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"{message.text} {message.location['url']}")

    tab.on("console", complain)
    tab.on("pageerror", lambda error: faults.append(f"exception: {error}"))
    return tab


def ref(page: Page, name: str) -> Locator:
    return page.locator(f"[data-ref={name}]")


def pick(page: Page, menu: str, option: str) -> None:
    """Choose from a menu, opened again where the page was just being redrawn."""
    found = page.get_by_role("option", name=option)
    for _ in range(PATIENCE // 5):
        page.get_by_role("combobox", name=menu).click()
        try:
            return found.click(timeout=5000)
        except TimeoutError:
            page.keyboard.press("Escape")
    raise AssertionError(f"the menu {menu!r} does not open")


def visit(page: Page, app_url: str, lab: NoisingState = START) -> None:
    page.goto(f"{app_url}/?state={quote(lab.to_json())}")
    settled(page)


def settled(page: Page) -> None:
    """Wait until the exact picture is shown."""
    page.evaluate(FRAME)  # what was just changed is painted in the next one
    expect(ref(page, "canvasA")).to_have_attribute("data-source", "exact")


def pixels(page: Page, canvas: str = "canvasA") -> list[int]:
    return ref(page, canvas).evaluate(PIXELS)


def drawn(page: Page, canvas: str) -> str:
    return ref(page, canvas).evaluate("(canvas) => canvas.toDataURL()")


def distance(first: list[int], second: list[int]) -> int:
    assert len(first) == len(second)
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def address(page: Page) -> NoisingState:
    return NoisingState.from_json(parse_qs(urlsplit(page.url).query)["state"][0])


def wait_for_points(page: Page, wanted: object) -> None:
    """Wait until the address bar's path has these control points."""
    page.wait_for_function(
        """(wanted) => {
            const state = new URLSearchParams(location.search).get("state");
            const { times, values } = JSON.parse(state).sides[0].schedule.path;
            return JSON.stringify(times.map((t, i) => [t, values[i]])) === wanted;
        }""",
        arg=json.dumps(wanted, separators=(",", ":")),
    )


def points(page: Page) -> list[list[float]]:
    return address(page).component()["sides"][0]["points"]


def handle(page: Page, index: int) -> Locator:
    return page.get_by_role("slider", name=f"Point {index + 1} of {len(points(page))}")


def centre(place: Locator) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def bottom(page: Page, name: str) -> float:
    box = ref(page, name).bounding_box()
    assert box is not None
    return box["y"] + box["height"]
