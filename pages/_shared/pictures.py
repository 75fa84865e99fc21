"""Fields as pictures: colours, grids, films."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from skimage.util import montage
from torch import Tensor

from pages._shared.labdata import colormap_of, diverging_colors
from rgdiff_core.data import ImageSet

__all__ = ["film", "grid", "png"]


def grid(x: Tensor, source: ImageSet, *, columns: int, scale: int = 4) -> np.ndarray:
    """Return fields (n, C, H, W) as one picture, uint8 (height, width, 3), each pixel `scale`
    wide.
    """
    share = ((x - source.low) / (source.high - source.low)).clamp(0, 1)
    if colormap_of(source.name, x.shape[1]) == "diverging":
        table = torch.from_numpy(diverging_colors()).to(torch.float32) / 255
        share = table[(share[:, 0] * 255).round().long()].movedim(-1, 1)
    elif share.shape[1] != 3:
        share = share[:, :1].expand(-1, 3, -1, -1)
    share = share.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    rows = -(-len(x) // columns)
    sheet = montage(
        share.movedim(1, -1).numpy(),
        grid_shape=(rows, columns),
        padding_width=scale,
        fill=(1.0, 1.0, 1.0),
        channel_axis=-1,
    )
    return np.round(sheet * 255).astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    return iio.imwrite("<bytes>", picture, extension=".png")


def film(pictures: Sequence[np.ndarray], kind: str, frames_per_second: int = 20) -> bytes:
    """Return pictures as a film: kind "gif" or "mp4"."""
    frames = np.stack([_even(p) for p in pictures])
    if kind == "gif":
        file = io.BytesIO()
        duration = 1000 / frames_per_second
        iio.imwrite(file, frames, extension=".gif", duration=duration, loop=0)
        return file.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        iio.imwrite(path, frames, fps=frames_per_second, codec="libx264", macro_block_size=1)
        return path.read_bytes()


def _even(picture: np.ndarray) -> np.ndarray:
    """Cut a picture to even sides, as video codecs want them."""
    height, width = (n - n % 2 for n in picture.shape[:2])
    return picture[:height, :width]
