"""Bases that are fitted to data, kept in the cache: principal components take seconds to find."""

import hashlib
from contextlib import suppress
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from rgdiff_core.bases import Basis, PCABasis
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.files.atomic import replacing
from rgdiff_core.files.cache import cache_folder
from rgdiff_core.files.stored import reading

__all__ = ["fitted_basis"]

KEPT = 4  # files, of up to 64 MiB each


def fitted_basis(spec: BasisSpec, images: Tensor) -> Basis:
    """Return the basis of a choice for images (N, C, H, W), as `BasisSpec.build` does.

    Principal components are kept on disk under a digest of the images, and read from there the
    next time; a file that is missing or damaged is rewritten.

    Raises `ValueError` as `BasisSpec.build`.
    """
    if spec.name != "pca":
        return spec.build(images)
    path = cache_folder() / "bases" / f"pca-{_digest(spec, images)}.safetensors"
    with suppress(OSError, ValueError), reading(path):
        tensors = load_file(path)
        shape = (images.shape[1], images.shape[2], images.shape[3])
        return PCABasis(shape, tensors["vectors"], channels=tensors.get("channels"))
    basis = spec.build(images)
    with suppress(OSError):
        _keep(path, basis)
    return basis


def _digest(spec: BasisSpec, images: Tensor) -> str:
    described = f"{spec.to_json()} {tuple(images.shape)} {images.dtype}"
    digest = hashlib.sha256(described.encode())
    digest.update(images.contiguous().cpu().numpy().data)
    return digest.hexdigest()[:32]


def _keep(path: Path, basis: Basis) -> None:
    """Write a basis, and delete the oldest of too many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: each.contiguous() for name, each in basis.state_dict().items()}
    kept = {name: tensors[name] for name in ("vectors", "channels") if name in tensors}
    with replacing(path) as part:
        save_file(kept, part)
    every = sorted(path.parent.glob("pca-*.safetensors"), key=lambda each: each.stat().st_mtime)
    for old in every[:-KEPT]:
        old.unlink(missing_ok=True)
