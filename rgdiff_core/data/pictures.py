"""Picture files as squares of one size: every pixel format is read right or refused by name.

Grey stays one channel whatever the container: red, green and blue that agree are grey. 16 bits
are reduced to 8, floats stay floats. Where a file has several frames each is a picture. A large
picture is unpacked whole, but all that follows is done on strips of it, so that a picture takes
little more memory than its pixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from rgdiff_core.files.untrusted import Refused, max_bytes, reading

__all__ = ["ROUNDING", "SUFFIXES", "Frames", "Picture", "check_range", "check_side", "read"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

SIDES = (4, 256)

MAX_PIXELS = 64_000_000
MAX_DECODED = 2**29
"""Pixels of all frames of one file."""

COST = {"JPEG": 2, "MPO": 2, "WEBP": 16}
"""Bytes that a pixel takes while it is read, by format; others 8, 12 when they are animated, and 8
for progressive JPEG, which cannot be shrunk as it is read.
"""

ROUNDING = 1e-3
"""How far floats may pass -1 and 1, or 0 and 1, by rounding."""

GREY = 1
"""Levels of 255 by which the channels of grey may differ; lossy formats round."""

REDUCED = 4
"""A picture is shrunk by blocks to no less than so many times its side, and then resized."""

STRIP = 2**20
"""Pixels of a strip."""

ORIENTATION = 0x0112
SUBFILE, BITS, PHOTOMETRIC, SAMPLE = 254, 258, 262, 339
"""Tags of TIFF."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame.

    Attributes:
        pixels: (1 or 3, side, side), uint8 from black to white, or float32 as in the file.
        bits: Of a pixel in the file where they are not 8, else 0.
    """

    pixels: np.ndarray
    bits: int = 0


@dataclass(frozen=True)
class Frames:
    """How many frames of a file were read, and how many previews were left out."""

    read: int
    left_out: int


def read(name: str, file: Path | IO[bytes], side: int, take: Callable[[Picture], None]) -> Frames:
    """Read all frames of a picture file: turned upright, cropped to the central square, resized.

    Arguments:
        name: What the sentences call the file.
        file: Its path or content.
        side: Side of the square in pixels.
        take: Called with each frame.

    Raises:
        Refused: When the file cannot be read, passes a limit, or has pixels of a format that has
            no certain meaning as a picture.
    """
    taken, left_out, pixels = 0, 0, 0
    with reading(name, "an image"), _open(file) as opened:
        for index in _places(name, opened, side):
            if _is_preview(opened, index):
                left_out += 1
                continue
            pixels += _check_pixels(name, opened)
            if pixels > MAX_DECODED:
                raise Refused(
                    f"{name} has more than {taken} frames of {opened.width}×{opened.height}; at "
                    f"most {MAX_DECODED} pixels in all are allowed."
                )
            opened.load()
            take(_square(name, opened, side))
            taken += 1
    return Frames(taken, left_out)


def check_side(side: int) -> int:
    """Return the side of square images; raises `Refused` unless it is even, from 4 to 256."""
    low, high = SIDES
    if isinstance(side, bool) or not isinstance(side, int) or side % 2 or not low <= side <= high:
        raise Refused(f"size = {side} is not an even whole number from {low} to {high}.")
    return side


def check_range(name: str, low: float, high: float) -> None:
    """Refuse floats that are neither in [0, 1] nor in [-1, 1], but for rounding.

    Raises:
        Refused: Naming the range.
    """
    if not np.isfinite([low, high]).all():
        raise Refused(f"{name} holds a value that is not a finite number.")
    if low < -1 - ROUNDING or high > 1 + ROUNDING:
        raise Refused(
            f"{name} has values from {low:g} to {high:g}; floats are in [0, 1] or in [-1, 1]."
        )


def _open(file: Path | IO[bytes]) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("it is damaged, or of no known format") from None


def _places(name: str, opened: Image.Image, side: int) -> Iterator[int]:
    """Go from frame to frame."""
    _check_pixels(name, opened)
    opened.draft(None, (2 * REDUCED * side, 2 * REDUCED * side))
    for index in count():
        try:
            opened.seek(index)
        except EOFError:
            return
        yield index


def _is_preview(opened: Image.Image, index: int) -> bool:
    """Say whether a frame shows another one smaller, or masks it."""
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return bool(int(opened.tag_v2.get(SUBFILE, 0)) & 0b101)
    return opened.format == "MPO" and index > 0


def _check_pixels(name: str, opened: Image.Image) -> int:
    """Return the number of pixels of a frame; refuse too many before they are unpacked."""
    cost = COST.get(opened.format or "", 12 if getattr(opened, "is_animated", False) else 8)
    cost = max(cost, 8) if opened.info.get("progressive") else cost
    allowed = min(MAX_PIXELS, max_bytes() // cost)
    pixels = opened.width * opened.height
    if pixels > allowed:
        raise Refused(
            f"{name} has {opened.width}×{opened.height} pixels; at most {allowed} are allowed."
        )
    return pixels


def _square(name: str, opened: Image.Image, side: int) -> Picture:
    """Return the frame that is unpacked as a picture."""
    flatten, bits = _flattening(name, opened)
    edge = min(opened.size)
    # Cropped first: the filter would otherwise reach for pixels beyond the square.
    left, top = (opened.width - edge) // 2, (opened.height - edge) // 2
    factor = max(1, edge // (REDUCED * side))
    rows = factor * max(1, STRIP // (edge * factor))
    canvas, low, high = None, np.inf, -np.inf
    for start in range(0, edge, rows):
        stop = min(start + rows, edge)
        strip = flatten(opened.crop((left, top + start, left + edge, top + stop)))
        if strip.mode == "F":
            values = np.asarray(strip)
            low, high = min(low, values.min()), max(high, values.max())
        if canvas is None:
            shrunk = -(-edge // factor)
            canvas = Image.new(strip.mode, (shrunk, shrunk))
        canvas.paste(strip.reduce(factor) if factor > 1 else strip, (0, start // factor))
    if canvas is None:
        raise Refused(f"{name} has no pixels.")
    square = canvas.resize(
        (side, side), Image.Resampling.LANCZOS, box=(0, 0, edge / factor, edge / factor)
    )
    square.getexif()[ORIENTATION] = opened.getexif().get(ORIENTATION, 1)
    pixels = np.asarray(ImageOps.exif_transpose(square)).reshape(side, side, -1)
    if square.mode == "F":
        check_range(name, float(low), float(high))
        pixels = pixels.clip(low, high)
    elif np.ptp(pixels, axis=-1).max() <= GREY:
        pixels = pixels[..., pixels.shape[-1] // 2, None]
    return Picture(pixels.transpose(2, 0, 1), bits)


def _flattening(
    name: str, opened: Image.Image
) -> tuple[Callable[[Image.Image], Image.Image], int]:
    """Return what turns strips of a frame into L, RGB or F, and the bits of a pixel if not 8."""
    tags = getattr(opened, "tag_v2", {})
    inverted = tags.get(PHOTOMETRIC) == 0
    if 2 in tags.get(SAMPLE, ()) or opened.mode in ("I", "LAB", "HSV"):
        kind = "signed or 32-bit integers" if opened.mode in ("I", "L") else opened.mode
        raise Refused(
            f"{name} holds pixels that are {kind}; grey, colour and palettes of 8 or 16 bits are "
            "read, and floats in [0, 1] or [-1, 1]."
        )
    if opened.mode == "F":
        if inverted:
            raise Refused(f"{name} holds floats of which 0 is white; 0 must be black.")
        return lambda strip: strip, 32
    if opened.mode.startswith("I;16"):
        bits = int(tags.get(BITS, (16,))[0])
        clear = opened.info.get("transparency")
        return lambda strip: _eight_bits(strip, bits, inverted, clear), bits
    if opened.mode in ("1", "L") and not opened.has_transparency_data:
        return lambda strip: strip.convert("L"), 0
    if opened.has_transparency_data or opened.mode in ("La", "RGBa"):
        return _on_white, 0
    return lambda strip: strip.convert("RGB"), 0


def _eight_bits(strip: Image.Image, bits: int, inverted: bool, clear: int | None) -> Image.Image:
    """Return the upper eight bits of grey; one value may be transparent, which is white."""
    values = np.asarray(strip).astype(np.uint16)
    levels = (values >> (bits - 8)).astype(np.uint8)
    if inverted:
        levels = 255 - levels
    if clear is not None:
        levels = np.where(values == clear, np.uint8(255), levels)
    return Image.fromarray(levels)


def _on_white(strip: Image.Image) -> Image.Image:
    if strip.mode == "La":
        strip = strip.convert("LA")
    over = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
