"""Record `docs/images`: a drag of Λ(t) on the Noising page, and a picture of every page.

`python docs/record.py http://localhost:8501`, with the app running there, a run that is finished
and an ensemble whose flow was followed, and Chromium installed.
"""

import argparse
import io
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
OUT = IMAGES / "drag.gif"
PICTURES: Mapping[str, tuple[str, Literal["light", "dark"]]] = {  # name: address, theme
    "noising": ("", "light"),
    "compare": ("?tour=2", "dark"),
    "spectra": ("spectra", "light"),
    "lattice": ("lattice?view=RG+flow", "light"),
    "samples": ("samples", "light"),
    "training": ("training", "light"),
    "results": ("results", "light"),
}
SETTLED = 30_000  # milliseconds in which a page has drawn all that it computes
FRAMES, MILLISECONDS, COLOURS, WIDTH = 36, 90, 96, 720
WINDOW = {"width": 1280, "height": 720}
CLIP = {"x": 310, "y": 84, "width": 960, "height": 560}


def frames(page: Page) -> list[Image.Image]:
    """Drag the second point of the curve down and up again, and return a picture of each step."""
    knob = page.locator("[data-ref=curve] .point .knob").nth(1)
    box = knob.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    found = []
    for frame in range(FRAMES):
        down = 45 * math.sin(2 * math.pi * frame / FRAMES)
        page.mouse.move(x + down / 3, y + down, steps=2)
        page.wait_for_timeout(60)
        shot = Image.open(io.BytesIO(page.screenshot(clip=CLIP))).convert("RGB")
        size = (WIDTH, round(WIDTH * shot.height / shot.width))
        found.append(shot.resize(size, Image.Resampling.LANCZOS))
    page.mouse.up()
    return found


def main() -> None:
    """Open the pages, record, and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where the app runs")
    chosen = parser.parse_args()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=WINDOW, reduced_motion="reduce")  # no film at the start
        page.set_default_timeout(120_000)
        page.goto(chosen.url)
        page.locator("[data-ref=canvasA][data-source=exact]").wait_for()
        made = frames(page)
        for name, (address, theme) in PICTURES.items():
            shown = browser.new_page(viewport=WINDOW, reduced_motion="reduce", color_scheme=theme)
            shown.goto(f"{chosen.url.rstrip('/')}/{address}")
            shown.wait_for_timeout(SETTLED)
            shown.screenshot(path=IMAGES / f"{name}.png")
            shown.close()
        browser.close()
    palette = made[0].quantize(COLOURS)
    first, *rest = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in made)
    first.save(
        OUT, save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, optimize=True
    )
    print(f"{OUT}: {OUT.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
