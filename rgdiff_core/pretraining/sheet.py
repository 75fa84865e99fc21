"""The stored sheet of a pretrained model of images: a few samples, seen before any is drawn.

`pretrained/<name>/samples.png` holds them without gaps, row by row. It is made with the card, and
again by `rgdiff pretrain NAME --sheet`.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rgdiff_core.data import is_lattice
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.files import load_model, pretrained_folder, read_metadata
from rgdiff_core.evaluation.images.samples import draw_images
from rgdiff_core.files.atomic import replacing
from rgdiff_core.files.stored import read_json, reading
from rgdiff_core.pretraining.images import GUIDED, SHEET, tried_on
from rgdiff_core.process import Process
from rgdiff_core.training.models import config_of

__all__ = ["STEPS", "draw_sheet", "read_sheet", "renew_sheet", "write_sheet"]

COLUMNS = ROWS = 4
MAX_SIDE = 1024  # of a sheet in pixels
STEPS = 20


def draw_sheet(model: NetworkDenoiser, process: Process, seed: int = 0) -> Tensor:
    """Draw samples as grey values, uint8 (16, C, H, W), on the CPU; for a model with
    classes, one class after another, with guidance.
    """
    n, classes = COLUMNS * ROWS, model.num_classes
    return draw_images(
        model,
        process,
        n,
        STEPS,
        generator=torch.Generator().manual_seed(seed),
        class_labels=torch.arange(n) % classes if classes else None,
        guidance_scale=GUIDED if classes else 1.0,
    )


def write_sheet(path: Path, images: Tensor) -> None:
    """Write samples, uint8 (16, 1 or 3, H, W), as a PNG file; raises `OSError` where it can't."""
    _, channels, height, width = images.shape
    tiles = images.reshape(ROWS, COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = tiles.reshape(ROWS * height, COLUMNS * width, channels).numpy()
    with replacing(path) as part:
        Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(part, "PNG")


def read_sheet(path: Path) -> Tensor:
    """Return the samples of a stored sheet, uint8 (16, C, H, W).

    Raises:
        ValueError: where the file is damaged or not such a sheet, with a sentence that names it.
        FileNotFoundError: where there is none.
    """
    with reading(path), Image.open(path, formats=("PNG",)) as picture:
        columns, rows = picture.size
        if columns % COLUMNS or rows % ROWS or max(columns, rows) > MAX_SIDE:
            raise ValueError(f"{columns}×{rows} pixels are not 4×4 pictures of at most 256×256")
        if picture.mode not in ("L", "RGB"):
            raise ValueError(f"its pixels are {picture.mode}, neither grey nor red, green, blue")
        pixels = torch.from_numpy(np.array(picture))
    height, width, channels = rows // ROWS, columns // COLUMNS, 1 if pixels.ndim == 2 else 3
    tiles = pixels.reshape(ROWS, height, COLUMNS, width, channels).permute(0, 2, 4, 1, 3)
    return tiles.reshape(ROWS * COLUMNS, channels, height, width)


def renew_sheet(name: str, device: str) -> Path:
    """Draw the sheet of an installed model of images again, by the best process of its card, and
    return its path.

    Raises `ValueError` where there is no such model, or it is not a model of images with a card.
    """
    home = pretrained_folder() / name
    path, card = home / "model.safetensors", home / "card.json"
    if Path(name).name != name or not path.is_file() or not card.is_file():
        raise ValueError(f"there is no {path} with a card.json beside it.")
    best = read_json(card).get("best")
    config, model = config_of(read_metadata(path)), load_model(path).to(device)
    if config is None or is_lattice(config.data):
        raise ValueError(f"{path} is not a model of images.")
    sources = tried_on(config)
    if not isinstance(best, str) or best not in sources:
        raise ValueError(f"{card} names no process of the model as the best one, but {best!r}.")
    write_sheet(home / SHEET, draw_sheet(model, sources[best].on(model)))
    return home / SHEET
