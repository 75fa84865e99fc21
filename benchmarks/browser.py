"""The app in a real Chromium: frames while dragging, other controls, first picture, memory.

Each figure is one of the budgets: frames ≤ 16.7 ms at the 95th percentile with 16 images and
≤ 33 ms with 64; any other control ≤ 250 ms; first picture ≤ 5 s after the process starts; page
switch ≤ 1 s; memory with 20 sessions ≤ 1.5 × that with one.
"""

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from _app import App, chromium, running_app, tab
from _report import ROOT, machine, no_options, percentile, table, write
from playwright.sync_api import Browser, Page

sys.path.insert(0, str(ROOT))

from pages._noising.state import NoisingState, start
from rgdiff_core.data import available
from rgdiff_core.schedules import CutoffPath

FRAME_BUDGET = {16: 16.7, 64: 33.0}  # ms
CONTROL_BUDGET, SWITCH_BUDGET, FIRST_BUDGET = 250.0, 1000.0, 5000.0  # ms
MEMORY_BUDGET, SESSIONS = 1.5, 20
GESTURE = 5.0  # seconds
STARTS, SWITCHES, ROUNDS = 3, 5, 3

PICTURE = "canvas[data-ref=canvasA]"
SPECTRA = ".js-plotly-plot .scatterlayer"
PAINTED = f"""() => {{
    const every = [...document.querySelectorAll("*")];
    const root = every.map((each) => each.shadowRoot?.querySelector(".lab")).find(Boolean)
        || document.querySelector(".lab");
    return root?.rgdiffFrames?.length > 0 && root.querySelector("{PICTURE}").width > 1;
}}"""
# The time of the last key, and of the first frame after each change of the picture since.
WATCH = """(canvas) => {
    const watch = globalThis.rgdiffWatch = { enter: 0, changes: [] };
    addEventListener("keydown", (event) => {
        watch.enter = event.timeStamp;
        watch.changes = [];
    }, true);
    new MutationObserver(() => requestAnimationFrame(() => {
        watch.changes.push(performance.now());
    })).observe(canvas, { attributeFilter: ["data-source"] });
}"""
MENUS = {
    "Kernel K": ["Gaussian", "Litim", "Butterworth", "Sigmoid"],
    "Noise colour S": ["White", "Power law", "Matched", "Free theory"],
    "Schedule γ(t)": ["Cosine", "Linear β (VP)", "Soft conditioning", "Cutoff Λ(t)"],
    "Basis U": ["Cosines", "Wavelets", "Principal components", "Fourier modes"],
}


def state(data: str, images: int, seed: int = 0) -> NoisingState:
    """Return the page's first state, with points on the curve to hold on to."""
    lab = replace(start(data), images=images, seed=seed)
    side = lab.sides[0]
    path = CutoffPath((0.0, 0.3, 0.6, 1.0), (1.0, 0.7, 0.35, 0.0))
    return lab.with_side(0, replace(side, schedule=replace(side.schedule, path=path)))


def visit(page: Page, app: App, lab: NoisingState | None = None) -> None:
    """Open the Noising page in a state and wait for its picture."""
    query = "" if lab is None else "?" + urlencode({"state": lab.to_json()})
    page.goto(f"{app.url}/{query}")
    page.wait_for_function(PAINTED)


def quiet(page: Page) -> None:
    """Wait until the exact picture is there and the server rests."""
    page.wait_for_selector(f"{PICTURE}[data-source=exact]")
    page.wait_for_selector('[data-testid="stStatusWidget"]', state="detached")
    page.wait_for_timeout(400)


def frames(page: Page, gesture: Callable[[float], None]) -> dict[str, Any]:
    """Make a gesture for some seconds: percentiles of a frame's cost and of the interval between
    frames, in ms.

    Arguments:
        gesture: is called over and over, with the seconds since the start.
    """
    page.locator(".lab").evaluate("(root) => { root.rgdiffFrames.length = 0; }")
    began, calls = time.monotonic(), 0
    while (seconds := time.monotonic() - began) < GESTURE:
        gesture(seconds)
        calls += 1
    every = page.locator(".lab").evaluate("(root) => root.rgdiffFrames.slice()")
    at = [frame["at"] for frame in every]
    return {
        "cost": spread([frame["cost"] for frame in every]),
        "interval": spread([b - a for a, b in pairwise(at)]),
        "inputs_per_second": calls / GESTURE,
    }


def drag(page: Page, grip: str, width: float, height: float) -> dict[str, Any]:
    """Take hold of what `grip` names and swing it about."""
    quiet(page)
    box = page.locator(grip).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    figures = frames(page, lambda s: page.mouse.move(x + swing(s) * width, y + swing(s) * height))
    page.mouse.up()
    return figures


def play(page: Page) -> dict[str, Any]:
    """Let the time run: no input, so the interval is the display's."""
    quiet(page)
    page.locator("[data-ref=play]").click()
    figures = frames(page, lambda s: page.wait_for_timeout(100))
    page.locator("[data-ref=play]").click()
    return figures


def spread(values: list[float]) -> dict[str, float]:
    """Return number, median and 95th percentile."""
    return {"n": len(values), "p50": statistics.median(values), "p95": percentile(values, 95)}


def swing(seconds: float) -> float:
    """Return a triangle wave between −1 and 1, of two seconds' period."""
    return 4 * abs((seconds / 2 + 0.75) % 1 - 0.5) - 1


def gestures(browser: Browser, app: App, data: str) -> dict[str, Any]:
    """Drag a control point, scrub the time and play, with 16 and with 64 images."""
    figures = {}
    for images, budget in FRAME_BUDGET.items():
        with tab(browser) as page:
            visit(page, app, state(data, images))
            done = {
                "drag the curve": drag(page, "[data-ref=curve] .point >> nth=1", 20, 60),
                "scrub the time": drag(page, "[data-ref=time]", 120, 0),
                "play": play(page),
            }
        figures |= {f"{k}, {images} images": {"budget": budget, **f} for k, f in done.items()}
    return figures


def choose(page: Page, menu: str, option: str) -> float:
    """Choose from one of Streamlit's menus: ms from Enter to the frame with the new picture."""
    box = page.get_by_role("combobox", name=menu)
    box.click()
    page.wait_for_timeout(300)  # the menu is built when it is first touched
    box.fill(option)
    focused = '[role="option"][data-focused="true"]'
    page.locator(focused).filter(has_text=option).wait_for(state="attached")
    box.press("Enter")
    page.wait_for_function("() => rgdiffWatch.enter && rgdiffWatch.changes.length")
    waited = page.evaluate("() => rgdiffWatch.changes[0] - rgdiffWatch.enter")
    quiet(page)
    return waited


def controls(browser: Browser, app: App, data: str) -> dict[str, Any]:
    """Choose every option of the menus, some rounds over; the first round only warms up."""
    with tab(browser) as page:
        visit(page, app, state(data, 16))
        quiet(page)
        page.locator(PICTURE).evaluate(WATCH)
        figures: dict[str, Any] = {}
        for menu, options in MENUS.items():
            first = [choose(page, menu, option) for option in options]
            again = [choose(page, menu, o) for _ in range(ROUNDS) for o in options]
            figures[menu] = {
                "budget": CONTROL_BUDGET,
                "first_use_worst": max(first),
                **spread(again),
                "by_option": {
                    o: statistics.median(again[i :: len(options)]) for i, o in enumerate(options)
                },
            }
    return figures


def first_picture(browser: Browser) -> dict[str, Any]:
    """Restart the server several times, and look at once."""
    since_start, since_up = [], []
    for _ in range(STARTS):
        with running_app() as app, tab(browser) as page:
            visit(page, app)
            since_start.append(1000 * (time.monotonic() - app.started))
            since_up.append(since_start[-1] - 1000 * app.up_after)
    return {
        "first picture, from the process' start": {"budget": FIRST_BUDGET, **spread(since_start)},
        "first picture, once the server answers": {"budget": FIRST_BUDGET, **spread(since_up)},
    }


def switches(browser: Browser, app: App) -> dict[str, Any]:
    """Go from page to page by the menu in the sidebar."""
    with tab(browser) as page:
        visit(page, app)
        quiet(page)
        times: dict[str, list[float]] = {"Spectra": [], "Noising": []}
        for _ in range(SWITCHES + 1):
            for name in times:
                began = time.monotonic()
                page.locator('[data-testid="stSidebarNavLink"]').filter(has_text=name).click()
                if name == "Noising":
                    page.wait_for_function(PAINTED)
                else:
                    page.wait_for_selector(SPECTRA, state="attached")
                times[name].append(1000 * (time.monotonic() - began))
                page.wait_for_timeout(1500)
    return {
        f"switch to {name}": {"budget": SWITCH_BUDGET, "first": each[0], **spread(each[1:])}
        for name, each in times.items()
    }


def memory(browser: Browser, data: str) -> dict[str, Any]:
    """Open sessions one after another, each with a seed of its own, and keep them open."""
    with running_app() as app, ExitStack() as opened:
        every = []
        for seed in range(SESSIONS):
            page = opened.enter_context(tab(browser))
            visit(page, app, state(data, 16, seed))
            quiet(page)
            every.append(app.memory())
    return {
        "budget": MEMORY_BUDGET,
        "mib": every,
        "ratio": every[-1] / every[0],
    }


def main() -> None:
    """Measure, print the tables and write the JSON."""
    before = machine()
    cached = {info.name for info in available() if info.cached}
    data = "cifar10" if "cifar10" in cached else "photographs"
    with chromium() as browser:
        figures: dict[str, Any] = {"data": data, "waits": first_picture(browser)}
        with running_app() as app:
            figures["frames"] = gestures(browser, app, data)
            figures["controls"] = controls(browser, app, data)
            figures["waits"] |= switches(browser, app)
        figures["memory"] = memory(browser, data)
    rows = []
    for name, each in figures["frames"].items():
        for what in ("cost", "interval"):
            rows.append([f"{name}: {what}", *line(each[what], each["budget"])])
    rows += [
        [name, *line(e, e["budget"])]
        for name, e in (figures["controls"] | figures["waits"]).items()
    ]
    print(table(["ms", "n", "p50", "p95", "budget", "p95 / budget"], rows))
    used = figures["memory"]
    one, many = used["mib"][0], used["mib"][-1]
    print(f"\nmemory: {one:.0f} MiB with 1 session, {many:.0f} with {SESSIONS}:")
    print(f"{used['ratio']:.2f} × (budget {MEMORY_BUDGET})")
    write("browser", before, figures)


def line(figure: dict[str, float], budget: float) -> list[str | float]:
    """Return a row's figures: the 95th percentile against the budget."""
    return [figure["n"], figure["p50"], figure["p95"], budget, figure["p95"] / budget]


if __name__ == "__main__":
    no_options(__doc__)
    main()
