"""Fields as pictures: colours, grids, films."""

import io
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache as cache_in_memory
from itertools import chain
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import plotly.colors
from PIL import Image
from skimage.util import montage
from torch import Tensor

from rgdiff_core.data import ImageSet

__all__ = ["colormap_of", "diverging_colors", "film", "grid", "pixels", "png", "sheet"]

LARGE = 300  # pixels of a side, from which a GIF is made at half the size


def pixels(x: Tensor, low: float, high: float, colormap: str) -> np.ndarray:
    """Return fields (n, C, H, W) as pictures, uint8 (n, H, W, 3); `colormap` as `colormap_of`."""
    share = (255 * ((x - low) / (high - low)).clamp(0, 1)).round().byte().numpy()
    if colormap == "diverging":
        return diverging_colors()[share[:, 0]]
    return np.moveaxis(share if colormap == "rgb" else share[:, :1].repeat(3, 1), 1, -1)


def grid(x: Tensor, source: ImageSet, *, columns: int, scale: int = 4) -> np.ndarray:
    """Return fields (n, C, H, W) as one enlarged picture, as `sheet` does."""
    tiles = pixels(x, source.low, source.high, colormap_of(source.name, x.shape[1]))
    return sheet(tiles, columns, scale)


def sheet(tiles: np.ndarray, columns: int, scale: int) -> np.ndarray:
    """Return pictures, uint8 (n, H, W, 3), as one enlarged picture, uint8 (height, width, 4), with
    nothing between them, on whatever background.
    """
    opaque = np.insert(tiles, 3, 255, axis=-1)
    return montage(
        opaque.repeat(scale, 1).repeat(scale, 2),
        grid_shape=(-(-len(tiles) // columns), columns),
        padding_width=scale,
        fill=(255, 255, 255, 0),
        channel_axis=-1,
    )


def png(picture: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    return iio.imwrite("<bytes>", picture, extension=".png")


def film(pictures: Iterable[np.ndarray], kind: str, frames_per_second: int = 20) -> bytes:
    """Return pictures as a film: kind "gif" or "mp4".

    The pictures are taken one by one as they are encoded; where that raises, all is given up.
    """
    frames = map(_even, pictures)
    if kind == "gif":
        return _gif(frames, 1000 // frames_per_second)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        _mp4(frames, path, frames_per_second)
        return path.read_bytes()


def _mp4(frames: Iterator[np.ndarray], path: Path, frames_per_second: int) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    encoder = imageio_ffmpeg.write_frames(
        path, (width, height), fps=frames_per_second, codec="libx264", macro_block_size=1
    )
    encoder.send(None)
    try:
        for frame in chain([first], frames):
            encoder.send(np.ascontiguousarray(frame))
    finally:
        encoder.close()


def _gif(frames: Iterator[np.ndarray], duration: int) -> bytes:
    """Return frames (H, W, 3), each shown for so many milliseconds, as a GIF; large ones at half
    their size, for noise does not compress.
    """
    first, *others = (
        Image.fromarray(frame[::step, ::step]).quantize(method=Image.Quantize.FASTOCTREE)
        for frame in frames
        for step in [2 if max(frame.shape[:2]) > LARGE else 1]
    )
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=duration, loop=0)
    return file.getvalue()


def _even(picture: np.ndarray) -> np.ndarray:
    """Cut a picture to even sides, as video codecs want them, in opaque colours."""
    height, width = (n - n % 2 for n in picture.shape[:2])
    return picture[:height, :width, :3]


MAX_VALUES = 64 * 3 * 32 * 32  # of all images together: bounds what travels to the browser


def colormap_of(data: str, channels: int) -> str:
    """Return how fields are coloured: "rgb", "gray", or "diverging" for lattice fields of either
    sign.
    """
    if channels == 3:
        return "rgb"
    return "diverging" if data.startswith(("phi4", "ising", "lattice-", "fields-")) else "gray"


@cache_in_memory
def diverging_colors() -> np.ndarray:
    """Return a colour-blind-safe diverging map, uint8 (256, 3), white in the middle."""
    shades = np.linspace(0, 1, 256).tolist()
    colors = plotly.colors.sample_colorscale("RdBu_r", shades, colortype="tuple")
    return np.round(255 * np.array(colors)).astype(np.uint8)
