"""Samples that follow the hand: from an input to the painted samples, in a real Chromium.

The Samples page draws 64 fields of φ⁴ 6×6 in 20 steps on the server while a script drags the
curve. The budget is 300 ms for such a draw on a CPU. Beside it stands the bare call in this
process, before the browser starts.
"""

import statistics
import sys
import time
from typing import Any

from _app import chromium, running_app, tab
from _report import ROOT, machine, no_options, paired, percentile, table, write
from playwright.sync_api import Page

sys.path.insert(0, str(ROOT))

import torch

import rgdiff_core as rg

MODEL, FIELDS, STEPS = "phi4-6x6", 64, 20
BUDGET = 300.0  # ms
GESTURE, EVERY = 10.0, 0.016  # seconds of dragging, and between two inputs
ROUNDS = 20


def bare() -> list[float]:
    """Return the milliseconds of the library's own call, on one thread."""
    torch.set_num_threads(1)
    model = rg.load_pretrained(MODEL)
    schedule = rg.schedules.Cutoff(rg.schedules.SigmoidKernel(0.3), gamma_max=6.0)
    process = rg.Process(model.basis, rg.colors.Matched(), schedule, model.modes)
    generator = torch.Generator().manual_seed(0)

    def call() -> None:
        rg.sample(model, process, FIELDS, STEPS, generator=generator)

    return [1000 * s for s in paired({"bare": call}, ROUNDS)["bare"]]


def drag(page: Page) -> list[dict[str, float]]:
    """Swing a point of the curve about; return when each draw was wanted, asked for, painted."""
    root = page.locator("[data-ref=root]")
    page.locator("[data-ref=add]").click()
    page.wait_for_timeout(5000)
    knob = page.locator(".point .knob").nth(1)
    knob.scroll_into_view_if_needed()
    box = knob.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    root.evaluate("(root) => { root.rgdiffDraws.length = 0; }")
    page.mouse.move(x, y)
    page.mouse.down()
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < GESTURE:
        swing = abs((seconds / 2) % 1 - 0.5) - 0.25
        page.mouse.move(x + 80 * swing, y + 160 * swing)
        page.wait_for_timeout(1000 * EVERY)
    page.mouse.up()
    return root.evaluate("(root) => root.rgdiffDraws.slice()")


def main() -> None:
    """Measure, print a table, write JSON."""
    before, alone = machine(), bare()
    with running_app() as app, chromium() as browser, tab(browser) as page:
        page.goto(f"{app.url}/samples")
        page.locator("[data-ref=canvasX][data-seq]").wait_for()
        page.wait_for_timeout(5000)
        draws = drag(page)
    waits: dict[str, list[float]] = {
        "the bare call": alone,
        "asked to painted": [d["painted"] - d["asked"] for d in draws],
        "input to painted": [d["painted"] - d["input"] for d in draws],
    }
    figures: dict[str, Any] = {
        name: {"n": len(v), "p50": statistics.median(v), "p95": percentile(v, 95)}
        for name, v in waits.items()
    }
    figures["draws per second"] = len(draws) / GESTURE
    figures["budget"] = BUDGET
    rows = [(name, f["p50"], f["p95"]) for name, f in figures.items() if isinstance(f, dict)]
    print(table(("ms", "p50", "p95"), rows))
    print(f"{figures['draws per second']:.1f} draws a second; budget {BUDGET:.0f} ms")
    write("live", before, figures)


if __name__ == "__main__":
    no_options(__doc__)
    main()
