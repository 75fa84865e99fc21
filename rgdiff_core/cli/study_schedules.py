"""`rgdiff study schedules`: what few steps cost a perfect denoiser, by process and theory."""

import argparse
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.options import resuming_options, theories_option
from rgdiff_core.files.atomic import write_text
from rgdiff_core.spec import check_whole
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.lattice.entrants import CASES
from rgdiff_core.study.lattice.schedule_summary import lines, summary
from rgdiff_core.study.lattice.schedules import Numbers, Schedules
from rgdiff_core.study.report import versions
from rgdiff_core.training.state import tune_malloc

__all__ = ["run_schedules", "schedules_options"]

FILE = "schedules-phi4.json"
WORK = Path("runs") / "study-schedules"
MAX_BATCHES = 10_000


def schedules_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study schedules`."""
    theories_option(parser, CASES)
    parser.add_argument(
        "--batches",
        type=int,
        default=Numbers().batches,
        metavar="N",
        help=f"batches of {Numbers().fields} fields per process; default {Numbers().batches}, "
        "about four hours on one core",
    )
    resuming_options(parser, "cells", str(WORK))


@resumable()
def run_schedules(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Run the study; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    check_whole("batches", chosen.batches, 1, MAX_BATCHES)
    until = end_of(chosen.minutes)
    torch.set_num_threads(1)
    tune_malloc()
    chosen.out.mkdir(parents=True, exist_ok=True)
    work, say = chosen.work or WORK, printer(chosen)

    # what was computed of other theories before stays in the file
    known = [name for name in CASES if name in chosen.theories or (work / name).is_dir()]
    cells = {name: Cells(work / name, say, until) for name in known}
    study = Schedules(cells, Numbers(batches=chosen.batches))
    with suppress(OutOfTimeError):
        for part in study.parts(chosen.theories):
            study.compute(*part)
    complete = study.complete(chosen.theories)
    found = {"command": _command(known, chosen.batches)} | versions() | summary(study)
    path = chosen.out / FILE
    write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    state = "complete" if complete else "stopped; rerun to continue"
    return {"file": str(path), "complete": complete}, [*lines(found), f"{state}: {path}"]


def _command(theories: Sequence[str], batches: int) -> str:
    some = [] if len(theories) == len(CASES) else ["--theories", *theories]
    return " ".join(["rgdiff study schedules", *some, f"--batches {batches}"])


COMMANDS: Entries = {"schedules": Entry(schedules_options, run_schedules)}
