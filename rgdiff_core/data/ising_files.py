"""Spins of the Ising model that others made, from files of arrays, as a data set.

Spins are ±1, or 0 and 1 for down and up, of any integer, boolean or float type. What a file says
of its temperature is not believed: the energy is compared with Kaufman's of the same lattice.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rgdiff_core.data import array_files, field_store, quota
from rgdiff_core.data.ensemble_files import check_numbers, chosen, existing, layout
from rgdiff_core.data.field_sets import ImportedIsingSet, check_sites
from rgdiff_core.data.phi4 import training_share
from rgdiff_core.files.untrusted import Header, reading
from rgdiff_core.lattice.conventions import Numbers
from rgdiff_core.lattice.gamma import MIN_SAMPLES, means
from rgdiff_core.lattice.ising import Ising, energy_density
from rgdiff_core.statistics import Estimate

__all__ = ["BroughtSpins", "bring_spins", "holds_spins"]

SUSPICIOUS = 4  # standard errors


@dataclass(frozen=True)
class BroughtSpins:
    """Spins that were imported.

    Attributes:
        spec: What they are said to be; its name is that of the data set.
        energy: E/V as measured, None for too few configurations.
        warning: A sentence where it is not the energy of that temperature, else None.
    """

    spec: ImportedIsingSet
    energy: Estimate | None
    warning: str | None


def holds_spins(path: str | Path, array: str | None = None) -> bool:
    """Tell whether the configurations of a file are integers; False where it cannot be told."""
    try:
        place = existing(path)
        with reading(str(place), "an array of spins"):
            headers = array_files.survey(place).headers
            return headers[chosen(headers, array, _check_spins)].dtype.kind in "iub"
    except ValueError:
        return False


def bring_spins(
    path: str | Path,
    beta: float | None = None,
    n_chains: int | None = None,
    *,
    array: str | None = None,
) -> BroughtSpins:
    """Import spins from a .npz, .npy or .h5 file, and keep them as a data set.

    Arguments:
        path: The file, with an array (n, L, L), (n, 1, L, L) or (chains, n, L, L), those of one
            chain side by side.
        beta: β, where the file gives neither it nor a temperature, or another one.
        n_chains: Number of chains; by default what shape or file say, else 1.
        array: Name of the array, where several could be the spins.

    Raises:
        ValueError: When the file cannot be read or holds no spins, its temperature is unknown, or
            the quota of what is brought is passed; the sentence names the file.
        DataUnavailable: When the copy cannot be written.
    """
    place = existing(path)
    with reading(str(place), "an array of spins"):
        contents = array_files.survey(place)
        name = chosen(contents.headers, array, _check_spins)
        told = Numbers(contents.numbers_of(name))
        chains, n, size = layout(contents.headers[name].shape)
        given = told.get("n_chains") if n_chains is None else n_chains
        if chains is not None and given not in (None, chains):
            raise ValueError(f"n_chains = {given:g}, but its array is one of {chains} chains")
        model = Ising(_beta(told) if beta is None else beta, size)
        values = array_files.read(place, contents, [name])[name].reshape(n, size, size)
        spins = _spins(values)
        count = float(given or chains or 1)
        if not count.is_integer():
            raise ValueError(f"n_chains = {count:g} must be a whole number")
        digest = hashlib.sha256(spins.data).hexdigest()
        spec = ImportedIsingSet(model, n, int(count), place.name[:60], digest)
    quota.check(spec.bytes, spec.name)
    found = torch.from_numpy(spins)
    field_store.keep(spec, spec.records(found, training_share(n, spec.n_chains)))
    return _judged(spec, found)


def _judged(spec: ImportedIsingSet, spins: torch.Tensor) -> BroughtSpins:
    """Compare the energy of spins with the exact one."""
    n, exact = spec.n_samples, spec.model.energy_density
    if n < (2 if spec.n_chains == n else MIN_SAMPLES):
        return BroughtSpins(spec, None, None)
    (energy,) = means(energy_density(spins)[:, None], spec.n_chains)
    off = abs(energy.value - exact) > SUSPICIOUS * energy.error
    warning = (
        f"the spins do not belong to β = {spec.model.beta:g}: their energy is {energy} per site, "
        f"and exactly {exact:.5g} there."
    )
    return BroughtSpins(spec, energy, warning if off else None)


def _beta(told: Numbers) -> float:
    beta, temperature = told.get("beta"), told.get("temperature")
    if beta is not None:
        return beta
    if temperature is None:
        raise ValueError("it does not say its temperature; give beta")
    if temperature <= 0:
        raise ValueError(f"its temperature is {temperature:g}; one above 0 is needed")
    return 1 / temperature


def _check_spins(header: Header) -> None:
    if header.dtype.kind not in "iubf":
        raise ValueError(f"it holds an array of {header.dtype}; integers are needed")
    check_numbers(header.shape)
    check_sites(math.prod(header.shape[:-2]), header.shape[-1])


def _spins(values: np.ndarray) -> np.ndarray:
    """Return spins ±1, int8."""
    spins = 2 * (values > 0).astype(np.int8) - 1
    for down in (-1, 0):
        if bool(((values == 1) | (values == down)).all()):
            return spins
    wrong = values[(values != 1) & (values != -1)].flat[0]
    raise ValueError(f"it holds the value {wrong}; spins are −1 and 1, or 0 and 1")
