"""Pixel formats and frames: a ramp comes out of every one of them, or a sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rgdiff_core.data import pictures
from rgdiff_core.files.untrusted import Refused

SIDE = 16
RAMP = np.linspace(0, 255, SIDE * SIDE).round().astype(np.uint8).reshape(SIDE, SIDE)
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def read(content: bytes, side: int = SIDE) -> list[np.ndarray]:
    found: list[pictures.Picture] = []
    pictures.read("a.png", io.BytesIO(content), side, found.append)
    return [each.pixels for each in found]


def tiff(
    pixels: np.ndarray, bits: int, order: str = "<", photometric: int = 1, sample: int = 1
) -> bytes:
    """Write a grey TIFF of one strip by hand."""
    height, width = pixels.shape
    data = pixels.tobytes()
    fields = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: photometric,
        273: 8 + 2 + 12 * 10 + 4,
        277: 1,
        278: height,
        279: len(data),
        339: sample,
    }
    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(struct.pack(order + "HHII", t, 4, 1, v) for t, v in fields.items())
    return head + struct.pack(order + "IH", 8, len(fields)) + entries + bytes(4) + data


def png16(colour_type: int, channels: np.ndarray) -> bytes:
    """Write a PNG of 16 bits by hand: grey with opacity 4, red, green and blue 2."""
    height, width = channels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


GREY = Image.fromarray(RAMP)
WIDE = RAMP.astype(np.uint16) * 257
OPAQUE = np.full_like(WIDE, 65535)
GREYS = {
    "L": saved(GREY, "PNG"),
    "LA": saved(GREY.convert("LA"), "PNG"),
    "P": saved(GREY.convert("P"), "PNG"),
    "RGB": saved(GREY.convert("RGB"), "PNG"),
    "RGBA": saved(GREY.convert("RGBA"), "PNG"),
    "BMP": saved(GREY.convert("RGB"), "BMP"),
    "GIF": saved(GREY.convert("RGB"), "GIF"),
    "WebP": saved(GREY, "WEBP", lossless=True),
    "TIFF, CMYK": saved(GREY.convert("RGB").convert("CMYK"), "TIFF"),
    "TIFF, white is 0": tiff(255 - RAMP, 8, photometric=0),
    "I;16": tiff(WIDE, 16),
    "I;16B": tiff(WIDE.astype(">u2"), 16, ">"),
    "I;16, white is 0": tiff(65535 - WIDE, 16, photometric=0),
    "PNG, 16 bits": saved(Image.fromarray(WIDE), "PNG"),
    "PNG, 16 bits, opacity": png16(4, np.stack([WIDE, OPAQUE], axis=-1)),
    "PNG, 16 bits, RGB": png16(2, np.stack([WIDE] * 3, axis=-1)),
}
LOSSY = {
    "JPEG": saved(GREY, "JPEG", quality=95),
    "JPEG, RGB": saved(GREY.convert("RGB"), "JPEG", quality=95),
    "JPEG, CMYK": saved(GREY.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "WebP": saved(GREY, "WEBP", quality=95),
    "TIFF, YCbCr": saved(GREY.convert("RGB").convert("YCbCr"), "TIFF"),
}


@pytest.mark.parametrize("form", GREYS)
def test_grey_is_the_ramp_in_one_channel_whatever_the_container(form):
    (pixels,) = read(GREYS[form])
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, RAMP[None])


@pytest.mark.parametrize("form", LOSSY)
def test_grey_of_lossy_formats_is_one_channel_too(form):
    (pixels,) = read(LOSSY[form])
    assert pixels.shape == (1, SIDE, SIDE)
    assert np.abs(pixels[0].astype(int) - RAMP).max() <= 12


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_colour_stays_colour(mode):
    (pixels,) = read(saved(Image.fromarray(COLOUR).convert(mode), "TIFF"))
    np.testing.assert_array_equal(pixels, COLOUR.transpose(2, 0, 1))


@pytest.mark.parametrize("low", [0.0, -1.0])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_are_read_as_they_are(low, order):
    field = np.linspace(low, 1, SIDE * SIDE).reshape(SIDE, SIDE)
    (pixels,) = read(tiff(field.astype(f"{order}f4"), 32, order, sample=3))
    np.testing.assert_array_equal(pixels[0], field.astype(np.float32))


def test_twelve_bits_reach_white():
    packed = np.full((SIDE, SIDE * 3 // 2), 255, np.uint8)
    width, written = (struct.pack("<HHII", 256, 4, 1, n) for n in (SIDE, SIDE * 3 // 2))
    (pixels,) = read(tiff(packed, 12).replace(written, width))
    assert (pixels == 255).all()


FIELD = np.linspace(-3, 3, SIDE * SIDE).reshape(SIDE, SIDE).astype("<f4")
REFUSED = [
    (tiff(FIELD, 32, sample=3), r"a\.png has values from -3 to 3; floats are in \[0, 1\] or in"),
    (tiff(np.full_like(FIELD, np.nan), 32, sample=3), "not a finite number"),
    (tiff(np.full_like(FIELD, 0.5), 32, photometric=0, sample=3), "floats of which 0 is white"),
    (tiff(RAMP.astype("<u4"), 32), "pixels that are signed or 32-bit integers"),
    (tiff(RAMP.astype("<i2"), 16, sample=2), "pixels that are signed or 32-bit integers"),
    (tiff(RAMP.astype("i1"), 8, sample=2), "pixels that are signed or 32-bit integers"),
    (saved(Image.new("LAB", (SIDE, SIDE)), "TIFF"), "pixels that are LAB"),
    (b"", "cannot be read as an image"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "of no known format"),
    (GREYS["L"][:50], "cannot be read as an image"),
    (saved(Image.new("1", (6000, 6000)), "PNG"), r"6000×6000 pixels; at most 33554432 are"),
    (saved(Image.new("RGB", (4200, 4200)), "WEBP"), "4200×4200 pixels; at most 16777216 are"),
]


@pytest.mark.parametrize(("content", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_pixels_without_a_certain_meaning_are_refused_in_a_sentence(content, says):
    with pytest.raises(Refused, match=says) as caught:
        read(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["TIFF", "GIF", "PNG", "WEBP"])
def test_every_frame_is_a_picture(form):
    levels = (0, 60, 120, 180)
    frames = [Image.fromarray(np.full((SIDE, SIDE), level, np.uint8)) for level in levels]
    options = {"lossless": True} if form == "WEBP" else {}
    found = read(saved(frames[0], form, save_all=True, append_images=frames[1:], **options))
    assert [pixels.shape for pixels in found] == [(1, SIDE, SIDE)] * 4
    assert [int(pixels.mean()) for pixels in found] == list(levels)


def test_the_second_view_of_a_camera_is_left_out():
    content = saved(GREY, "MPO", save_all=True, append_images=[Image.new("L", (4, 4))])
    frames = pictures.read("a.jpg", io.BytesIO(content), SIDE, lambda picture: None)
    assert frames == pictures.Frames(1, 1)


def test_previews_are_left_out():
    preview = Image.fromarray(np.zeros((4, 4), np.uint8))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    content = saved(GREY, "TIFF", save_all=True, append_images=[preview])
    found: list[pictures.Picture] = []
    frames = pictures.read("a.tif", io.BytesIO(content), SIDE, found.append)
    assert frames == pictures.Frames(1, 1)
    np.testing.assert_array_equal(found[0].pixels[0], RAMP)


def test_a_large_picture_is_its_blocks_means():
    large = np.kron(COLOUR, np.ones((100, 100, 1), np.uint8))
    (pixels,) = read(saved(Image.fromarray(large), "PNG"))
    assert np.abs(pixels.astype(int) - COLOUR.transpose(2, 0, 1)).max() <= 24
    np.testing.assert_array_equal(pixels[:, 1:-1, 1:-1].shape, (3, SIDE - 2, SIDE - 2))


def test_frames_together_have_a_limit(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_DECODED", 3 * SIDE * SIDE)
    frames = [Image.fromarray(np.full((SIDE, SIDE), 60 * i, np.uint8)) for i in range(4)]
    with pytest.raises(Refused, match=r"more than 3 frames of 16×16; at most 768 pixels in all"):
        read(saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_a_transparent_palette_takes_little_more_than_its_pixels():
    content = saved(Image.new("P", (4000, 4000)), "PNG", transparency=bytes(256))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory()
    (pixels,) = read(content)
    assert (pixels == 255).all()
    assert memory() - before < 80  # 15 MiB of palette, 60 of colour, and twice that when blended


def memory() -> float:
    """Return the peak of the memory that this process has held, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
