"""Ensembles as single files: our own, .npz and .h5, and those made elsewhere, .npy as well.

Ours hold the arrays by name and one JSON text of all the rest, `about`; they carry checksums, of
zip and of HDF5, which are verified as they are read, and are read back bit for bit.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rgdiff_core.data import array_files, store
from rgdiff_core.data.array_files import ENDINGS, Contents
from rgdiff_core.files.untrusted import Header, reading
from rgdiff_core.lattice import History, Phi4
from rgdiff_core.lattice.chains import MAX_SITES, SIZES
from rgdiff_core.lattice.conventions import Numbers, field_factor
from rgdiff_core.lattice.ensembles import (
    MAX_HISTORY,
    MAX_SAMPLES,
    Ensemble,
    EnsembleSpec,
    ImportedSpec,
)
from rgdiff_core.spec import check_whole, from_dict, load_json, to_dict
from rgdiff_core.statistics import Estimate

__all__ = [
    "ENDINGS",
    "SUFFIXES",
    "arrays_in",
    "check_ending",
    "check_numbers",
    "chosen",
    "existing",
    "export",
    "layout",
    "open_file",
]

VERSION = 1
SUFFIXES = (".npz", ".h5", ".hdf5")
FIELDS = ("configurations", "images", "cfgs")
"""Names that the array of configurations may have."""

SERIES = ("magnetization", "action")
LISTED = 8

Arrays = dict[str, np.ndarray]
Check = Callable[[Header], None]


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
    path: str | Path,
    action: Phi4 | None = None,
    n_chains: int | None = None,
    *,
    array: str | None = None,
    convention: str | None = None,
    limit: int | None = None,
) -> Ensemble:
    """Read an ensemble from a .npz, .npy or .h5 file.

    The configurations are (n, L, L), (n, 1, L, L), (chains, n, L, L) or (chains, n, 1, L, L),
    float32 or float64. A file made elsewhere may give the couplings and the number of chains, as
    arrays in .npz and as attributes or data sets in .h5, by the usual names (`conventions`).

    Arguments:
        path: The file.
        action: The theory, where the file does not name it or names another one.
        n_chains: Number of chains; by default what shape or file say, else 1.
        array: Name of the array, where the file holds several that could be configurations.
        convention: That of the fields, lattice, half or hopping; by default hopping where the
            file gives κ, half where it gives g, else lattice.
        limit: Bytes that are read at most, by default as everywhere; for files of our own.

    Raises:
        ValueError: When the file cannot be read, is damaged, names no action, or passes a bound;
            the sentence names the file.
    """
    place = existing(path)
    with reading(str(place), "an ensemble"):
        contents = array_files.survey(place)
        if contents.about is not None:
            if any(each is not None for each in (action, n_chains, array, convention)):
                raise ValueError("it was made by rgdiff and says itself what it is")
            return _own(place, contents, contents.about, limit)
        name = chosen(contents.headers, array)
        told = Numbers(contents.numbers_of(name))
        action = told.action() if action is None else action
        if action is None:
            raise ValueError("it does not say its couplings; give m2 and lam, or kappa and lam")
        factor = field_factor(convention or told.convention, action)
        chains, _, _ = layout(contents.headers[name].shape)
        given = told.get("n_chains") if n_chains is None else n_chains
        if chains is not None and given not in (None, chains):
            raise ValueError(f"n_chains = {given:g}, but its array is one of {chains} chains")
        given = (1 if chains is None else chains) if given is None else given
        fields = array_files.read(place, contents, [name], limit)[name]
        return _foreign(place, fields, action, float(given), factor)


def arrays_in(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Return the arrays of a file that could be configurations: shapes by name.

    Of several, those whose name says that they are come alone.

    Raises:
        ValueError: As `open_file`.
    """
    place = existing(path)
    with reading(str(place), "an ensemble"):
        contents = array_files.survey(place)
        return {
            name: contents.headers[name].shape
            for name in _possible(contents.headers, _check_fields)
        }


def existing(path: str | Path) -> Path:
    """Return the path of a file; raises `ValueError` where there is none, or of another ending."""
    place = Path(path).expanduser()
    check_ending(place, ENDINGS)
    if not place.is_file():
        raise ValueError(f"{place} does not exist.")
    return place


def _own(place: Path, contents: Contents, text: str, limit: int | None) -> Ensemble:
    about = load_json(text)
    if about["version"] != VERSION:
        raise ValueError(f"its version is {about['version']}, not {VERSION}")
    spec = from_dict(about["spec"])
    if not isinstance(spec, EnsembleSpec | ImportedSpec):
        raise ValueError(f"it holds a {type(spec).__name__}")
    series = [name for name in SERIES if name in contents.headers]
    for name in series:
        _check_series(contents.headers[name])
    _check_fields(contents.headers["images"])
    arrays = array_files.read(place, contents, ["images", *series], limit)
    phi = torch.from_numpy(_finite(arrays["images"]))
    shape = (spec.n_samples, 1, spec.size, spec.size)
    if phi.shape != shape:
        raise ValueError(f"it holds an array of shape {tuple(phi.shape)}, not {shape}")
    history = None
    if len(series) == len(SERIES):
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
    place: Path, array: np.ndarray, action: Phi4, chains: float, factor: float
) -> Ensemble:
    if not chains.is_integer():
        raise ValueError(f"n_chains = {chains:g} must be a whole number")
    _, n, size = layout(array.shape)
    # In the byte order of this machine.
    fields = np.ascontiguousarray(array, f"f{array.dtype.itemsize}").reshape(n, 1, size, size)
    source = place.name[:60]
    if factor != 1:
        fields *= factor
        source += f", fields times {factor:.5g}"
    spec = ImportedSpec(
        m2=action.m2,
        lam=action.lam,
        size=size,
        n_samples=n,
        n_chains=int(chains),
        source=source,
        digest=hashlib.sha256(_finite(fields).data).hexdigest(),
    )
    return Ensemble(spec, torch.from_numpy(fields))


def layout(shape: tuple[int, ...]) -> tuple[int | None, int, int]:
    """Return the number of chains, where it is one of the dimensions, that of configurations in
    all, and L.
    """
    match shape:
        case (n, size, other) | (n, 1, size, other) if size == other:
            return None, n, size
        case (chains, n, size, other) | (chains, n, 1, size, other) if size == other:
            return chains, chains * n, size
    raise ValueError(
        f"it holds an array of shape {shape}; (n, L, L), (n, 1, L, L) or (chains, n, L, L) is "
        "needed"
    )


def _finite(array: np.ndarray) -> np.ndarray:
    # In parts, for the array may take most of the memory that is allowed.
    rows = 1 + 2**20 // array[0].size if len(array) else 1
    if not all(np.isfinite(array[i : i + rows]).all() for i in range(0, len(array), rows)):
        raise ValueError("it holds a value that is not a finite number")
    return array


def check_ending(place: Path, endings: tuple[str, ...] = SUFFIXES) -> str:
    """Return the ending of a file's name; raises `ValueError` where it is none of those given."""
    ending = place.suffix.lower()
    if ending not in endings:
        raise ValueError(f"{place} does not end in {', '.join(endings[:-1])} or {endings[-1]}.")
    return ending


def chosen(headers: Mapping[str, Header], array: str | None, check: Check | None = None) -> str:
    """Return the name of the array of configurations, which is then sure to be one.

    Arguments:
        headers: Of all arrays, by name.
        array: The name where it is known.
        check: Raises `ValueError` for what are no configurations; by default those of fields.
    """
    check = check or _check_fields
    if array is not None:
        name = array.strip("/")
        if name not in headers:
            raise ValueError(f"it holds no array called {name[:40]!r}, but {_list(headers)}")
        check(headers[name])
        return name
    possible = _possible(headers, check)
    if len(possible) == 1:
        return possible[0]
    if possible:
        several = _list({name: headers[name] for name in possible})
        raise ValueError(f"several of its arrays could be the configurations: {several}; name one")
    if len(headers) == 1:
        check(*headers.values())
    raise ValueError(f"none of its arrays is one of configurations: {_list(headers)}")


def _possible(headers: Mapping[str, Header], check: Check) -> list[str]:
    """Return which arrays could be configurations; where some are called so, the first of them."""
    called = [name for wanted in FIELDS for name in headers if name == wanted]
    called += [name for name in headers if name.rpartition("/")[2] in FIELDS]
    possible = [name for name in called or headers if _passes(headers[name], check)]
    return possible[:1] if called and called[0] in FIELDS else list(dict.fromkeys(possible))


def _passes(header: Header, check: Check) -> bool:
    try:
        check(header)
    except ValueError:
        return False
    return True


def _list(headers: Mapping[str, Header]) -> str:
    """Name arrays with their shapes, the first few."""
    words = [f"{name[:40]} {head.shape} {head.dtype}" for name, head in headers.items()]
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return (", ".join(words[:LISTED]) or "there is none") + more


def _check_fields(header: Header) -> None:
    """Refuse what are no configurations before they are unpacked."""
    shape, dtype = header.shape, header.dtype
    layout(shape)
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        hint = "; spins of the Ising model need beta" if dtype.kind in "iub" else ""
        raise ValueError(f"it holds an array of {dtype}; float32 or float64 is needed{hint}")
    check_numbers(shape)


def check_numbers(shape: tuple[int, ...]) -> None:
    """Raise `ValueError` for configurations that are too large or too many."""
    _, n, size = layout(shape)
    if not SIZES[0] <= size <= SIZES[1] or n > MAX_SAMPLES or n * size**2 > MAX_SITES:
        raise ValueError(
            f"it holds an array of shape {shape}; L from {SIZES[0]} to {SIZES[1]}, at most "
            f"{MAX_SAMPLES} configurations and {MAX_SITES} sites are allowed"
        )


def _check_series(header: Header) -> None:
    shape, dtype = header.shape, header.dtype
    if len(shape) != 2 or shape[0] * shape[1] > 8 * MAX_HISTORY or dtype != np.float64:
        raise ValueError(f"it holds a history of shape {shape} and {dtype}")


def _write_npz(place: Path, arrays: Arrays, numbers: Mapping[str, float], about: str) -> None:
    entries = {**arrays, **{name: np.array(value) for name, value in numbers.items()}}
    store.replace(
        place, lambda file: np.savez(file, allow_pickle=False, about=np.array(about), **entries)
    )


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
