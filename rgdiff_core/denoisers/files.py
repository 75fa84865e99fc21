"""Models as files: one safetensors file holds all of a learned denoiser.

The tensors are the network's weights; the metadata say in JSON what the model is (`ModelSpec`),
its basis and the modes of its data (at every point, where they are along a line of couplings), so
that the file needs no other to be used; "unit" is the d² of the training of a model that was moved
to another lattice. Files are read without executing anything that is in them.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from rgdiff_core.bases import Basis, PCABasis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.bases.serialize import (
    basis_from_dict,
    basis_to_dict,
    modes_from_dict,
    modes_to_dict,
)
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.denoisers.modes_line import ModesLine
from rgdiff_core.denoisers.pca_files import read_vectors, write_vectors
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.lattice.line import MAX_POINTS, CouplingLine
from rgdiff_core.spec import check_range, from_dict, load_json, to_dict

__all__ = [
    "Pretrained",
    "list_pretrained",
    "load_model",
    "load_pretrained",
    "pretrained_folder",
    "read_metadata",
    "save_model",
    "sha256",
    "weights_type",
]

FORMAT = "rgdiff-model-1"
DESCRIPTION = ("format", "model", "basis", "modes", "unit")  # what a model is
MAX_FILE = 1 << 30
MAX_HEADER = 1 << 26  # bytes; principal components may be among the metadata
MAX_ITEMS = 100_000  # of one text of the metadata
MAX_COMPONENTS = 3 * 512**2  # of the fields
MIN_UNIT, MAX_UNIT = 1e-12, 1e12  # of d²
FLOATS = ("F16", "BF16", "F32", "F64")


def save_model(
    model: NetworkDenoiser,
    path: str | Path,
    extra: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
    split: bool = False,
) -> None:
    """Write a model to one safetensors file, atomically.

    Arguments:
        extra: further metadata, text by name.
        dtype: of the weights in the file; default: as they are.
        split: whether principal components go into files of their own beside it, which have to
            stay with it; their SHA-256 are in its metadata.
    """
    path = Path(path)
    state = {
        name: value.detach().to("cpu", dtype or value.dtype).contiguous()
        for name, value in model.network.state_dict().items()
    }
    metadata = dict(extra or {}) | {
        "format": FORMAT,
        "model": json.dumps(to_dict(model.spec)),
        "basis": json.dumps(_basis_to_dict(model.basis, path.parent, split=split)),
        "modes": json.dumps(modes_to_dict(model.modes)),
    }
    if model.units is not None:
        metadata["unit"] = json.dumps(model.units.flatten().tolist())
    if model.modes_line is not None:
        along = [modes_to_dict(modes) for modes in model.modes_line.modes]
        metadata["line"] = json.dumps(along)
    write_tensors(path, state, metadata)


def _basis_to_dict(basis: Basis, folder: Path, *, split: bool) -> dict[str, Any]:
    if not split or not isinstance(basis, PCABasis):
        return basis_to_dict(basis)
    files = write_vectors(basis.vectors, folder)
    return basis_to_dict(basis, without=("vectors",)) | {"files": files}


def _basis_from_dict(described: Any, folder: Path) -> Basis:
    if not isinstance(described, dict) or "files" not in described:
        return basis_from_dict(described)
    known = {name: value for name, value in described.items() if name != "files"}
    return basis_from_dict(known, vectors=read_vectors(folder, described["files"]))


def read_metadata(path: str | Path) -> dict[str, str]:
    """Return a model file's metadata; raises a one-line `ValueError` where it is none."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no model file {path.name}.")
    if path.stat().st_size > MAX_FILE:
        raise ValueError(
            f"{path.name} has {path.stat().st_size >> 20} MiB; a model has at most "
            f"{MAX_FILE >> 20} MiB."
        )
    with path.open("rb") as start:
        header = int.from_bytes(start.read(8), "little")
    if header > min(MAX_HEADER, path.stat().st_size):
        raise ValueError(f"{path.name} is not a safetensors file: its header is too long.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} is not a safetensors file: {error}.") from None
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path.name} is a safetensors file, but not one of rgdiff's models.")
    for name, text in metadata.items():
        if text.count(",") > MAX_ITEMS:
            raise ValueError(f"{name[:40]!r} in {path.name} has more than {MAX_ITEMS} items.")
    return metadata


def weights_type(path: Path) -> torch.dtype | None:
    """Return the type of a model file's weights, None where they have several."""
    with safe_open(path, "pt") as file:
        found = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    return found.pop() if len(found) == 1 else None


def load_model(path: str | Path) -> NetworkDenoiser:
    """Read a model, on the CPU and in evaluation mode, with weights in float32.

    Its network computes in the type that is fastest there; `set_precision` chooses another, and
    measures again on another device.

    Its `card` has what else the file says: the data set and the config that it was trained with.

    Raises a one-line `ValueError` for a file that is no model, or whose weights do not fit
    what it says it is.
    """
    path = Path(path)
    metadata = read_metadata(path)
    try:
        described = [load_json(metadata[name]) for name in ("model", "basis", "modes")]
    except KeyError as error:
        raise ValueError(f"{path.name} does not say what its {error} is.") from None
    spec = from_dict(described[0])
    if not isinstance(spec, ModelSpec):
        raise ValueError(f"{path.name} describes a {type(spec).__name__}, not a model.")
    basis = _basis_from_dict(described[1], path.parent)
    if math.prod(basis.shape) > MAX_COMPONENTS:
        raise ValueError(f"{path.name} is of fields of shape {basis.shape}, which is too large.")
    modes = modes_from_dict(described[2], basis.shape)
    if spec.line is not None:
        modes = _modes_line(spec.line, metadata.get("line", "[]"), basis)
    try:
        with safe_open(path, "pt") as file:
            model = _load(file, path.name, spec, basis, modes, _units(metadata, spec))
    except SafetensorError as error:
        raise ValueError(f"{path.name} cannot be read: {error}.") from None
    model.card = _card(metadata)
    return model


def _card(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a model beside what it is, its config as a dictionary."""
    card = {name: value for name, value in dict(described).items() if name not in DESCRIPTION}
    with suppress(ValueError):
        card["config"] = load_json(str(card.get("config")))
    return card


def _modes_line(line: CouplingLine, text: str, basis: Basis) -> ModesLine:
    """Return the modes at the points of a line; raises `ValueError` where they do not fit it."""
    described = load_json(text)
    if not isinstance(described, list) or len(described) > MAX_POINTS:
        raise ValueError(
            f"the modes along a line of couplings must be a list of at most {MAX_POINTS}."
        )
    return ModesLine(line, tuple(modes_from_dict(each, basis.shape) for each in described))


def _units(metadata: Mapping[str, str], spec: ModelSpec) -> torch.Tensor | None:
    """Return d² of the training, None where it is that of the modes."""
    if "unit" not in metadata:
        return None
    told = load_json(metadata["unit"])
    count = 1 if spec.line is None else len(spec.line.points)
    if not isinstance(told, list) or len(told) != count:
        raise ValueError(f"the unit of a model must be a list of {count} numbers.")
    for value in told:
        check_range("unit", value, MIN_UNIT, MAX_UNIT)
    units = torch.tensor(told, dtype=torch.float64)
    return units.reshape((1, 1, 1) if spec.line is None else (-1, 1, 1, 1))


def _load(
    file: Any,
    name: str,
    spec: ModelSpec,
    basis: Basis,
    modes: Modes | ModesLine,
    units: torch.Tensor | None,
) -> NetworkDenoiser:
    """Return a model with the weights of an open file."""
    shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    # A network of another order of size is not even made.
    if 2 * sum(map(math.prod, shapes.values())) < spec.parameters(basis.shape):
        raise ValueError(f"the weights in {name} are not those of its network.")
    model = NetworkDenoiser(basis, modes, spec, units=units)
    wanted = model.network.state_dict()
    if set(shapes) != set(wanted):
        raise ValueError(f"the weights in {name} are not those of its network.")
    for key, place in wanted.items():
        if shapes[key] != tuple(place.shape):
            raise ValueError(f"{key} in {name} does not have the shape of its network.")
        if file.get_slice(key).get_dtype() not in FLOATS:
            raise ValueError(f"{key} in {name} does not hold floating-point numbers.")
    state = {key: file.get_tensor(key).to(place) for key, place in wanted.items()}
    for key, value in state.items():
        if not value.isfinite().all():
            raise ValueError(f"{key} in {name} is not finite.")
    model.network.load_state_dict(state)
    return model.eval().requires_grad_(False).set_precision("auto")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Pretrained:
    """A model that comes with the product.

    Attributes:
        name: What `load_pretrained` is given.
        title: What a person reads.
        data: The name of its data set.
        sha256: Of its file.
    """

    name: str
    title: str
    data: str
    sha256: str


def pretrained_folder() -> Path:
    """Return where pretrained models are: RGDIFF_PRETRAINED, else the folder of the repository, or
    the one inside the library where it was installed from a wheel.
    """
    chosen = os.environ.get("RGDIFF_PRETRAINED")
    if chosen:
        return Path(chosen)
    library = Path(__file__).resolve().parents[1]
    installed = library / "pretrained"
    return installed if installed.is_dir() else library.parent / "pretrained"


def list_pretrained() -> list[Pretrained]:
    """List the models of `pretrained/index.json` that are on this machine: a wheel has those of
    the lattice only.
    """
    folder = pretrained_folder()
    index = folder / "index.json"
    if not index.is_file():
        return []
    listed = load_json(index.read_text(encoding="utf-8"))
    try:
        models = [Pretrained(**entry) for entry in listed]
    except TypeError as error:
        raise ValueError(f"pretrained/index.json can't be read: {error}.") from None
    return [model for model in models if (folder / model.name).is_dir()]


def load_pretrained(name: str) -> NetworkDenoiser:
    """Load a pretrained model, offline, after its file has been checked.

    Raises `ValueError` for an unknown name, and for a file whose SHA-256 is not that of the
    index.
    """
    models = {model.name: model for model in list_pretrained()}
    if name not in models:
        known = ", ".join(models) or "none on this machine"
        raise ValueError(f"{name!r} is not a pretrained model; known are {known}.")
    path = pretrained_folder() / name / "model.safetensors"
    if not path.is_file():
        raise ValueError(f"the file of {name!r} is missing: {path}.")
    if sha256(path) != models[name].sha256:
        raise ValueError(f"the file of {name!r} is damaged: its SHA-256 is not that of the index.")
    model, card = load_model(path), path.with_name("card.json")
    if card.is_file():
        with suppress(TypeError, ValueError):
            model.card = {**model.card, **_card(load_json(card.read_text(encoding="utf-8")))}
    return model
