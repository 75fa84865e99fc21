"""The principal components of a basis in files of their own, small enough for any repository.

Rows are written as 16-bit whole numbers in units of their largest entry, some rows to a file, and
made orthonormal again when they are read: what rounding has changed of them is of order 1e-6.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rgdiff_core.bases.pca import MAX_PCA_DIMENSION
from rgdiff_core.files.atomic import write_tensors

__all__ = ["read_vectors", "write_vectors"]

PART = 12 << 20  # bytes of a file, at most
STEPS = 32_767


def write_vectors(vectors: Tensor, folder: Path) -> dict[str, str]:
    """Write an orthonormal matrix (D, D) into files basis-0.safetensors, …; return the SHA-256 of
    each by name.
    """
    d = len(vectors)
    unit = vectors.abs().amax(1, keepdim=True) / STEPS
    rounded = (vectors / unit).round().to(torch.int16).cpu()
    rows = max(1, PART // (2 * d))
    files: dict[str, str] = {}
    for number, first in enumerate(range(0, d, rows)):
        chosen = slice(first, first + rows)
        part = {"rows": rounded[chosen].contiguous(), "unit": unit[chosen].cpu().contiguous()}
        name = f"basis-{number}.safetensors"
        write_tensors(folder / name, part)
        files[name] = _digest(folder / name)
    return files


def read_vectors(folder: Path, files: Any) -> Tensor:
    """Return the matrix (D, D), float32, from its files.

    Arguments:
        files: what `write_vectors` returned.

    Raises `ValueError` where a file is missing or is not what was written.
    """
    if not isinstance(files, dict) or not files:
        raise ValueError("the model does not say which files its basis is in.")
    parts = []
    for name, digest in files.items():
        path = folder / name
        if path.name != name or not path.is_file():
            raise ValueError(f"the model's basis is in a file {name!r}, which is missing.")
        if _digest(path) != digest:
            raise ValueError(f"{name} is damaged: its SHA-256 is not that in the model's file.")
        parts.append(_rows(path))
        if sum(map(len, parts)) > MAX_PCA_DIMENSION:
            raise ValueError(f"the model's basis has more than {MAX_PCA_DIMENSION} rows.")
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError("the rows of the model's basis differ in length.")
    return _orthonormal(torch.cat(parts))


def _rows(path: Path) -> Tensor:
    """Return the rows in a file; shapes are known before anything is read."""
    try:
        with safe_open(path, "pt") as file:
            kinds = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(kind.get_shape()) for name, kind in kinds.items()}
            rows = shapes.get("rows", ())
            if len(rows) != 2 or shapes != {"rows": rows, "unit": (rows[0], 1)}:
                raise ValueError(f"{path.name} does not hold rows of a basis.")
            if max(rows) > MAX_PCA_DIMENSION:
                raise ValueError(f"{path.name} holds {rows[0]} rows of {rows[1]} numbers.")
            return file.get_tensor("rows").float() * file.get_tensor("unit").float()
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a safetensors file: {error}.") from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _orthonormal(v: Tensor) -> Tensor:
    """Return the orthonormal matrix near to one that almost is, by a step of Newton and Schulz."""
    if v.shape[0] != v.shape[1]:
        raise ValueError(f"a basis has as many rows as columns, got {tuple(v.shape)}.")
    return 1.5 * v - 0.5 * (v @ v.T) @ v
