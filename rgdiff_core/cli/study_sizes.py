"""`rgdiff study sizes`: one model on lattices of many sizes, beside hybrid Monte Carlo."""

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.options import resuming_options
from rgdiff_core.files.atomic import write_text
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.lattice.sizes import MODELS, SIZES, Numbers, SizeStudy
from rgdiff_core.study.lattice.sizes_cost import compute_cost
from rgdiff_core.study.lattice.sizes_relaxed import compute_relaxed
from rgdiff_core.study.lattice.sizes_steps import compute_steps
from rgdiff_core.study.lattice.sizes_summary import lines, summary
from rgdiff_core.study.report import versions
from rgdiff_core.training.state import tune_malloc

__all__ = ["run_sizes", "sizes_options"]

FILE = "sizes-phi4.json"
WORK = Path("runs/study-sizes")
USUAL = Numbers()


def sizes_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study sizes`."""
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=SIZES, default=list(SIZES), help="default: all"
    )
    parser.add_argument(
        "--models",
        nargs="+",
        default=list(MODELS),
        metavar="MODEL",
        help=f"pretrained, a run or a file; default: {' '.join(MODELS)}",
    )
    parser.add_argument(
        "--away",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="models that are measured away from the critical line; default: none",
    )
    for name, text in (
        (
            "reference",
            "fields of HMC (Hamiltonian Monte Carlo) at 16×16, fewer on larger lattices",
        ),
        ("samples", "fields of a model, likewise"),
        ("weighed", "model fields that are reweighted at 8×8, a quarter at 16×16; 0 for none"),
        ("steps", "sampler steps"),
    ):
        usual = getattr(USUAL, name)
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"{text}; default {usual}")
    resuming_options(parser, "cells", str(WORK))


@resumable()
def run_sizes(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Carry out the study; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    numbers = Numbers(chosen.reference, chosen.samples, chosen.weighed, chosen.steps)
    until = end_of(chosen.minutes)
    torch.set_num_threads(1)
    tune_malloc()
    chosen.out.mkdir(parents=True, exist_ok=True)
    study = SizeStudy(Cells(chosen.work or WORK, printer(chosen), until), numbers)
    sizes, away = tuple(sorted(set(chosen.sizes))), tuple(dict.fromkeys(chosen.away))
    models = tuple(dict.fromkeys(chosen.models))
    complete = False
    with suppress(OutOfTimeError):
        study.compute(sizes, models, away)
        compute_cost(study, sizes, models)
        compute_relaxed(study, sizes, models)
        compute_steps(study, sizes, models)
        complete = True
    command = _command(sizes, models, away, numbers)
    found = {"command": command, "numbers": asdict(numbers), "complete": complete}
    found |= versions() | summary(study, sizes, models, away)
    path = chosen.out / FILE
    write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    state = "complete" if complete else "stopped; rerun to continue"
    return {"file": str(path), "complete": complete}, [*lines(found), f"{state}: {path}"]


def _command(
    sizes: Sequence[int], models: Sequence[str], away: Sequence[str], numbers: Numbers
) -> str:
    """Return the command line of the study, without where things are on this machine."""
    options = [f"--{name} {value}" for name, value in asdict(numbers).items()]
    chosen = ["--sizes", *map(str, sizes), "--models", *models]
    chosen += ["--away", *away] if away else []
    return " ".join(["rgdiff study sizes", *chosen, *options])


COMMANDS: Entries = {"sizes": Entry(sizes_options, run_sizes)}
