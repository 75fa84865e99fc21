"""Ensembles as single files: .npz and .h5, our own and those made elsewhere.

Both hold the arrays by name and one JSON text of all the rest, `about`; both carry checksums, of
zip and of HDF5, which are verified as they are read. Our own files are read back bit for bit.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rgdiff_core.data import store
from rgdiff_core.lattice import Estimate, History, Phi4
from rgdiff_core.lattice.chains import MAX_SITES, SIZES
from rgdiff_core.lattice.ensembles import (
    MAX_HISTORY,
    MAX_SAMPLES,
    Ensemble,
    EnsembleSpec,
    ImportedSpec,
)
from rgdiff_core.spec import check_whole, from_dict, load_json, to_dict

__all__ = ["SUFFIXES", "check_ending", "export", "open_file"]

VERSION = 1
SUFFIXES = (".npz", ".h5", ".hdf5")
FIELDS = ("configurations", "images", "cfgs")
"""Names that the array of configurations may have."""

SERIES = ("magnetization", "action")
NUMBERS = ("m2", "lam", "n_chains")
MAX_TEXT = 2**16

Arrays = dict[str, np.ndarray]


def export(ensemble: Ensemble, path: str | Path) -> Path:
    """Write an ensemble with all that is known of it into a .npz or .h5 file.

    Others find `images` (n, 1, L, L) there, those of one chain side by side, and the numbers
    `m2`, `lam` and `n_chains`; `open_file` and `bring` read everything back bit for bit.

    Returns:
        The path.

    Raises:
        ValueError: For another ending.
        OSError: When the file cannot be written.
    """
    place = Path(path).expanduser()
    write = _write_npz if check_ending(place) == ".npz" else _write_h5
    spec = ensemble.spec
    about: dict[str, Any] = {
        "version": VERSION,
        "spec": to_dict(spec),
        "acceptance": ensemble.acceptance,
        "step_size": ensemble.step_size,
        "seconds": ensemble.seconds,
    }
    arrays = {"images": ensemble.configurations.cpu().numpy()}
    if ensemble.exp_delta_h is not None:
        about["exp_delta_h"] = [ensemble.exp_delta_h.value, ensemble.exp_delta_h.error]
    if ensemble.history is not None:
        about["thermalization"] = ensemble.history.thermalization
        arrays |= {name: getattr(ensemble.history, name).cpu().numpy() for name in SERIES}
    numbers = {"m2": spec.m2, "lam": spec.lam, "n_chains": spec.n_chains}
    write(place, arrays, numbers, json.dumps(about))
    place.chmod(0o644)  # a temporary file is for its owner alone
    return place


def open_file(
    path: str | Path, action: Phi4 | None = None, n_chains: int | None = None
) -> Ensemble:
    """Read an ensemble from a .npz or .h5 file.

    The configurations are an array called configurations, images or cfgs, (n, L, L) or
    (n, 1, L, L), float32 or float64. A file made elsewhere may give numbers called m2, lam and
    n_chains, as arrays in .npz and as attributes or datasets in .h5.

    Arguments:
        path: The file.
        action: The theory, where the file does not name it or names another one.
        n_chains: Number of chains; by default what the file says, else 1.

    Raises:
        ValueError: When the file cannot be read, is damaged, names no action, or passes a bound;
            the sentence names the file.
    """
    place = Path(path).expanduser()
    read = _read_npz if check_ending(place) == ".npz" else _read_h5
    if not place.is_file():
        raise ValueError(f"{place} does not exist.")
    try:
        arrays, numbers, text = read(place)
        if not np.isfinite(next(iter(arrays.values()))).all():
            raise ValueError("it holds a value that is not a finite number")
        if text is None:
            return _foreign(place, arrays, numbers, action, n_chains)
        if action is not None or n_chains is not None:
            raise ValueError("it was made by rgdiff and says itself what it is")
        return _own(arrays, text)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        detail = str(error).rstrip(".") or type(error).__name__
        raise ValueError(f"{place} cannot be read as an ensemble: {detail}.") from error


def _own(arrays: Arrays, text: str) -> Ensemble:
    about = load_json(text)
    if about["version"] != VERSION:
        raise ValueError(f"its version is {about['version']}, not {VERSION}")
    spec = from_dict(about["spec"])
    if not isinstance(spec, EnsembleSpec | ImportedSpec):
        raise ValueError(f"it holds a {type(spec).__name__}")
    phi = torch.from_numpy(arrays["images"])
    shape = (spec.n_samples, 1, spec.size, spec.size)
    if phi.shape != shape:
        raise ValueError(f"it holds an array of shape {tuple(phi.shape)}, not {shape}")
    history = None
    if all(name in arrays for name in SERIES):
        magnetization, actions = (torch.from_numpy(arrays[name]) for name in SERIES)
        history = History(magnetization, actions, int(about["thermalization"]))
        length = len(actions)
        if not (magnetization.shape == actions.shape == (length, spec.n_chains)):
            raise ValueError("its history is not that of its chains")
        check_whole("thermalization", history.thermalization, 0, length - 1)
    weight = about.get("exp_delta_h")
    return Ensemble(
        spec=spec,
        configurations=phi,
        acceptance=about["acceptance"],
        exp_delta_h=None if weight is None else Estimate(*weight),
        step_size=about["step_size"],
        history=history,
        seconds=about["seconds"],
    )


def _foreign(
    place: Path,
    arrays: Arrays,
    numbers: Mapping[str, float],
    action: Phi4 | None,
    n_chains: int | None,
) -> Ensemble:
    if action is None:
        if "m2" not in numbers or "lam" not in numbers:
            raise ValueError("it does not say its couplings; give m2 and lam")
        action = Phi4(numbers["m2"], numbers["lam"])
    array = next(iter(arrays.values()))
    # In the byte order of this machine.
    array = np.ascontiguousarray(array, dtype=f"f{array.dtype.itemsize}")
    array = array[:, None] if array.ndim == 3 else array
    chains = float(numbers.get("n_chains", 1) if n_chains is None else n_chains)
    if not chains.is_integer():
        raise ValueError(f"n_chains = {chains:g} must be a whole number")
    spec = ImportedSpec(
        m2=action.m2,
        lam=action.lam,
        size=array.shape[-1],
        n_samples=len(array),
        n_chains=int(chains),
        source=place.name[:80],
        digest=hashlib.sha256(array.data).hexdigest(),
    )
    return Ensemble(spec, torch.from_numpy(array))


def check_ending(place: Path) -> str:
    """Return the ending of a file's name; raises `ValueError` where it is none of `SUFFIXES`."""
    ending = place.suffix.lower()
    if ending not in SUFFIXES:
        raise ValueError(f"{place} does not end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    return ending


def _check_fields(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse what are no configurations before they are unpacked."""
    if len(shape) == 4 and shape[1] == 1:
        shape = (shape[0], *shape[2:])
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(
            f"it holds an array of shape {shape}; (n, L, L) or (n, 1, L, L) is needed"
        )
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise ValueError(f"it holds an array of {dtype}; float32 or float64 is needed")
    n, size, _ = shape
    if not SIZES[0] <= size <= SIZES[1] or n > MAX_SAMPLES or n * size**2 > MAX_SITES:
        raise ValueError(
            f"it holds an array of shape {shape}; L from {SIZES[0]} to {SIZES[1]}, at most "
            f"{MAX_SAMPLES} configurations and {MAX_SITES} sites are allowed"
        )


def _check_series(shape: tuple[int, ...], dtype: np.dtype) -> None:
    if len(shape) != 2 or shape[0] * shape[1] > 8 * MAX_HISTORY or dtype != np.float64:
        raise ValueError(f"it holds a history of shape {shape} and {dtype}")


def _check_number(shape: tuple[int, ...], dtype: np.dtype) -> None:
    if shape != () or dtype.kind not in "iuf":
        raise ValueError(f"a number in it has shape {shape} and {dtype}")


def _fields_name(names: list[str]) -> str:
    for name in FIELDS:
        if name in names:
            return name
    raise ValueError(f"none of its arrays is called {', '.join(FIELDS[:-1])} or {FIELDS[-1]}")


def _write_npz(place: Path, arrays: Arrays, numbers: Mapping[str, float], about: str) -> None:
    entries = {**arrays, **{name: np.array(value) for name, value in numbers.items()}}
    store.replace(
        place, lambda file: np.savez(file, allow_pickle=False, about=np.array(about), **entries)
    )


def _read_npz(place: Path) -> tuple[Arrays, dict[str, float], str | None]:
    with zipfile.ZipFile(place) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        own = "about" in names
        fields = _fields_name(names)
        checks = {fields: _check_fields}
        checks |= {name: _check_series for name in SERIES if own and name in names}
        scalars = {name: _check_number for name in NUMBERS if name in names}
        for name, check in (checks | scalars).items():
            check(*_header(archive, name))
        if own and _header(archive, "about")[1].itemsize > 4 * MAX_TEXT:
            raise ValueError("its description is too long")
    with np.load(place, allow_pickle=False) as opened:
        arrays = {name: opened[name] for name in checks}
        numbers = {name: float(opened[name]) for name in scalars}
        return arrays, numbers, str(opened["about"]) if own else None


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype of an array without reading it."""
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_2_0
        if version == (1, 0):
            read = np.lib.format.read_array_header_1_0
        shape, _, dtype = read(member)
    return shape, dtype


def _write_h5(place: Path, arrays: Arrays, numbers: Mapping[str, float], about: str) -> None:
    import h5py

    def write(file: Any) -> None:
        with h5py.File(file, "w") as opened:
            for name, array in arrays.items():
                # Checksums need chunks.
                opened.create_dataset(name, data=array, chunks=True, fletcher32=True)
            opened.attrs.update(numbers)
            opened.attrs["about"] = about

    store.replace(place, write)


def _read_h5(place: Path) -> tuple[Arrays, dict[str, float], str | None]:
    import h5py

    file: Any = h5py.File(place)  # its types do not tell groups from arrays
    with file as opened:
        about = opened.attrs.get("about")
        names = [name for name, item in opened.items() if isinstance(item, h5py.Dataset)]
        fields = _fields_name(names)
        checks = {fields: _check_fields}
        checks |= {name: _check_series for name in SERIES if about is not None and name in names}
        for name, check in checks.items():
            check(opened[name].shape, opened[name].dtype)
        arrays = {name: opened[name][()] for name in checks}
        places = (opened.attrs, opened[fields].attrs, opened)
        numbers = {
            name: _number(next(place for place in places if name in place)[name])
            for name in NUMBERS
            if any(name in place for place in places)
        }
        return arrays, numbers, None if about is None else str(about)


def _number(value: Any) -> float:
    array = np.asarray(value)
    _check_number(array.shape, array.dtype)
    return float(array)
