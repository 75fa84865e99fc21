"""Damaged files of every kind: each is read, or refused in one sentence.

RGDIFF_FUZZ sets how many inputs are tried.
"""

import io
import os
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from rgdiff_core.data import arrays, pictures
from rgdiff_core.files.untrusted import Refused

COUNT = int(os.environ.get("RGDIFF_FUZZ", "300"))
BATCHES = 10
SIDE = 24
NUMBERS = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF]


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def written(save: Callable, *unnamed: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, *unnamed, **named)
    return file.getvalue()


def sources() -> dict[str, bytes]:
    """Make a sound file of each kind."""
    chance = np.random.default_rng(0)
    colour = Image.fromarray(chance.integers(0, 256, (SIDE, SIDE + 8, 3), dtype=np.uint8))
    grey, palette = colour.convert("L"), colour.convert("P")
    field = Image.fromarray(chance.random((SIDE, SIDE), dtype=np.float32))
    wide = Image.fromarray(chance.integers(0, 2**16, (SIDE, SIDE), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    images = chance.integers(0, 256, (6, 8, 8), dtype=np.uint8)
    more = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    return {
        "grey.png": saved(grey, "PNG"),
        "palette.png": saved(palette, "PNG", transparency=bytes(range(256))),
        "wide.png": saved(wide, "PNG"),
        "moving.png": saved(colour, "PNG", **more),
        "colour.jpg": saved(colour, "JPEG", exif=exif),
        "progressive.jpg": saved(colour, "JPEG", progressive=True),
        "cmyk.jpg": saved(colour.convert("CMYK"), "JPEG"),
        "still.gif": saved(palette, "GIF"),
        "moving.gif": saved(colour, "GIF", **more),
        "colour.bmp": saved(colour, "BMP"),
        "palette.bmp": saved(palette, "BMP"),
        "colour.webp": saved(colour, "WEBP"),
        "moving.webp": saved(colour, "WEBP", lossless=True, **more),
        "plain.tif": saved(colour, "TIFF", exif=exif),
        "stack.tif": saved(colour, "TIFF", **more),
        "float.tif": saved(field, "TIFF"),
        "wide.tif": saved(wide, "TIFF"),
        "lzw.tif": saved(colour, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(field, "TIFF", compression="tiff_deflate"),
        "jpeg.tif": saved(colour, "TIFF", compression="jpeg"),
        "group4.tif": saved(grey.convert("1"), "TIFF", compression="group4"),
        "stack.npy": written(np.save, images),
        "floats.npy": written(np.save, chance.random((6, 8, 8))),
        "stored.npz": written(np.savez, images, np.arange(6)),
        "deflated.npz": written(np.savez_compressed, images=images, labels=np.arange(6)),
    }


SOURCES = sources()


def damage(content: bytes, chance: np.random.Generator) -> bytes:
    """Cut, flip bits, overwrite, or put numbers at the edge into a file, once or several times."""
    damaged = bytearray(content)
    for _ in range(int(chance.integers(1, 4))):
        size = len(damaged)
        near = int(chance.integers(0, min(size, 160) if chance.random() < 0.6 else size))
        kind = chance.integers(0, 7)
        if kind == 0:
            del damaged[int(chance.integers(0, size)) :]
        elif kind == 1:
            for place in chance.integers(0, size, int(chance.integers(1, 20))):
                damaged[place] ^= 1 << int(chance.integers(0, 8))
        elif kind == 2:
            damaged[near] ^= 1 << int(chance.integers(0, 8))
        elif kind == 3:
            number = NUMBERS[int(chance.integers(0, len(NUMBERS)))]
            order = "little" if chance.random() < 0.5 else "big"
            damaged[near : near + 4] = number.to_bytes(4, order)
        elif kind == 4:
            length = int(chance.integers(1, 32))
            damaged[near : near + length] = chance.bytes(length)
        elif kind == 5:
            del damaged[near : near + int(chance.integers(1, 32))]
        else:
            damaged[near:near] = damaged[near : near + int(chance.integers(1, 64))]
        damaged = damaged or bytearray(b"\0")
    return bytes(damaged)


def attempt(name: str, content: bytes) -> str | None:
    """Read a file; return the sentence that refuses it, None where it is read."""
    try:
        if name.endswith(arrays.SUFFIXES):
            arrays.read(name, io.BytesIO(content))
        else:
            pictures.read(name, io.BytesIO(content), 8, lambda picture: None)
    except Refused as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", SOURCES)
def test_sound_files_are_read(name):
    assert attempt(name, SOURCES[name]) is None


@pytest.mark.filterwarnings("ignore")  # as on a server, where what a decoder warns of goes on
@pytest.mark.parametrize("batch", range(BATCHES))
def test_damaged_files_are_read_or_refused_in_a_sentence(batch):
    refused = 0
    for number in range(batch, COUNT, BATCHES):
        chance = np.random.default_rng(number)
        name = list(SOURCES)[number % len(SOURCES)]
        sentence = attempt(name, damage(SOURCES[name], chance))
        if sentence is not None:
            refused += 1
            assert "\n" not in sentence and sentence.endswith("."), (number, sentence)
            assert len(sentence) < 600, (number, sentence)
    assert refused > 0
