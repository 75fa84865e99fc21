"""`rgdiff lattice grow`: finer fields drawn, given the long-wavelength (coarse) modes."""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.options import coupling_options, open_chosen
from rgdiff_core.data.ensemble_files import open_file
from rgdiff_core.denoisers.modes_line import measured_modes
from rgdiff_core.files.atomic import check_place, replacing
from rgdiff_core.lattice import HMC, Phi4, observables
from rgdiff_core.sampling.growth import OCTAVE, by_blocks, checked_side, coarse_fields, grow
from rgdiff_core.spec import check_whole
from rgdiff_core.training.models import LoadedModel, fields_of, theory_of

__all__ = ["grow_options", "run_grow"]

MODEL = "phi4-8x8-critical"


def grow_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff lattice grow`."""
    parser.add_argument(
        "model",
        nargs="?",
        default=MODEL,
        metavar="MODEL",
        help="a universal (any-schedule) lattice model: pretrained, a run or a file; default "
        f"{MODEL}",
    )
    coupling_options(parser)
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="grow the long-wavelength modes of this data set, on half its side; default: of the "
        "model's own data",
    )
    parser.add_argument(
        "--fields",
        type=Path,
        metavar="FILE",
        help="grow the blocked fields of a file instead, .npz, .npy or .h5",
    )
    parser.add_argument("--levels", type=int, default=1, help="octaves; default 1")
    parser.add_argument("--n", type=int, default=64, help="fields; default 64")
    parser.add_argument("--steps", type=int, default=12, help="sampler steps; default 12")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument(
        "--spectrum",
        type=int,
        default=1000,
        metavar="N",
        help="fields of the short runs that give the spectra of the larger lattices; default 1000",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the fields there, as .npy")


def run_grow(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Grow fields; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    check_whole("n", chosen.n, 2, 100_000)
    check_whole("levels", chosen.levels, 1, 8)
    check_whole("spectrum", chosen.spectrum, 32, 10**6)
    check_whole("seed", chosen.seed, 0, 2**62)
    if chosen.out is not None and chosen.out.suffix != ".npy":
        raise ValueError(f"{chosen.out} does not end in .npy.")
    check_place(chosen.out)
    loaded = open_chosen(chosen)
    action = theory_of(loaded.denoiser, loaded.data)
    if action is None:
        raise ValueError(f"{chosen.model} is no model of one lattice theory.")
    torch.set_num_threads(1)
    coarse = _coarse(chosen, loaded, action)[: chosen.n]
    start = checked_side(coarse, chosen.levels)
    sides = [start * OCTAVE ** (level + 1) for level in range(chosen.levels)]
    generator = torch.Generator().manual_seed(chosen.seed)
    line, settings = loaded.denoiser.line, HMC(cluster=1)
    needless = by_blocks(loaded.denoiser) and len(sides) == 1
    modes = [
        measured_modes(line, action, side, chosen.spectrum, generator, settings=settings)
        for side in ([] if needless else sides)
    ]
    found = grow(
        loaded.denoiser, coarse, chosen.levels, generator, modes=modes, steps=chosen.steps
    )
    if chosen.out is not None:
        with replacing(chosen.out) as part, part.open("wb") as file:
            np.save(file, found.numpy())
    measures = observables(found, n_chains=len(found))
    value = {"size": sides[-1], "n": len(found)}
    value |= {name: each.to_dict() for name, each in measures.items()}
    end = sides[-1]
    lines = [f"{len(found)} fields, {start}×{start} → {end}×{end}"]
    lines += [f"{name:>26}: {x.value:.4g} ± {x.error:.2g}" for name, x in measures.items()]
    return value, lines if chosen.out is None else [*lines, f"written: {chosen.out}"]


def _coarse(chosen: argparse.Namespace, loaded: LoadedModel, action: Phi4) -> Tensor:
    """Return the blocked fields of the model's theory, (n, 1, L, L)."""
    if chosen.fields is not None:
        if chosen.data is not None:
            raise ValueError("--data and --fields are two sources of fields: give one of them.")
        found = open_file(chosen.fields)
        _check_theory(str(chosen.fields), found.spec.action, action)
        return found.configurations.float()
    name = chosen.data or loaded.data
    _check_theory(name, theory_of(loaded.denoiser, name), action)
    images = fields_of(loaded.denoiser, name, "test").images
    return coarse_fields(images, blocks=by_blocks(loaded.denoiser))


def _check_theory(name: str, theory: Phi4 | None, action: Phi4) -> None:
    """Raise `ValueError` where fields are of another theory than the model."""
    if theory is None:
        raise ValueError(f"{name!r} holds no fields of one lattice theory.")
    if theory != action:
        raise ValueError(
            f"{name!r} holds fields at m² = {theory.m2:g}, λ = {theory.lam:g}, the model is of "
            f"m² = {action.m2:g}, λ = {action.lam:g}: fields of the same theory are needed."
        )


COMMANDS: Entries = {"grow": Entry(grow_options, run_grow)}
