"""`rgdiff study`: run the comparison, or print what it has found."""

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.study.arms import THEORIES
from rgdiff_core.study.budget import BUDGETS
from rgdiff_core.study.cells import Cells, OutOfTimeError
from rgdiff_core.study.phi4 import PHASES, Study
from rgdiff_core.study.report import tables
from rgdiff_core.study.summary import summary
from rgdiff_core.training.checkpoint import write_text
from rgdiff_core.training.state import keep_memory

__all__ = ["ORDER", "report_options", "run_phi4", "run_report", "study_options"]

CRITICAL, BROKEN, SYMMETRIC, LARGE = THEORIES
ORDER: tuple[tuple[str, str], ...] = (  # what matters most comes first
    *((theory, phase) for theory in (CRITICAL, BROKEN) for phase in ("truth", "runs")),
    (CRITICAL, "ladder"),
    (CRITICAL, "flows"),
    (CRITICAL, "samplers"),
    (SYMMETRIC, "truth"),
    (SYMMETRIC, "runs"),
    (CRITICAL, "landscape"),
    (BROKEN, "flows"),
    (BROKEN, "samplers"),
    (BROKEN, "ladder"),
    (BROKEN, "landscape"),
    (SYMMETRIC, "flows"),
    (SYMMETRIC, "ladder"),
    (SYMMETRIC, "samplers"),
    (SYMMETRIC, "landscape"),
    (LARGE, "truth"),
    (LARGE, "runs"),
    (LARGE, "flows"),
    (LARGE, "samplers"),
)


@dataclass(frozen=True)
class Made:
    """What a call of the command has done.

    Attributes:
        files: results that were written.
        complete: whether no cell is missing.
    """

    files: tuple[Path, ...]
    complete: bool


def study_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study phi4`."""
    parser.add_argument(
        "--theories",
        nargs="+",
        choices=tuple(THEORIES),
        default=list(THEORIES),
        metavar="NAME",
        help=f"data sets, of {', '.join(THEORIES)} (default: all)",
    )
    parser.add_argument(
        "--budget", choices=tuple(BUDGETS), default="full", help="default: full, hours on one core"
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="where cells and models are kept; what is finished there is not computed again "
        "(default: runs/study-BUDGET)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), metavar="FOLDER", help="default: results"
    )
    parser.add_argument(
        "--minutes", type=float, help="begin no cell after so many; the same command goes on"
    )


def run_phi4(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Run the study; return what to print as JSON, and the lines for people."""
    torch.set_num_threads(1)
    keep_memory()
    until = None if chosen.minutes is None else time.monotonic() + 60 * chosen.minutes
    work = chosen.work or Path("runs") / f"study-{chosen.budget}"

    def say(text: str) -> None:
        if not chosen.json:
            print(text, flush=True)

    budget = BUDGETS[chosen.budget]
    studies = {
        name: Study(name, budget, Cells(work / name, say, until)) for name in chosen.theories
    }
    made = _carried_out(studies, chosen.out, chosen.budget)
    state = "complete" if made.complete else "stopped; the same command goes on"
    lines = [f"{state}: {', '.join(map(str, made.files))}"]
    return {"files": [str(path) for path in made.files], "complete": made.complete}, lines


def _carried_out(studies: dict[str, Study], out: Path, name: str) -> Made:
    """Compute what is missing, and write a theory's results after each of its phases."""
    out.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    complete = True
    for theory, phase in ORDER:
        if theory not in studies:
            continue
        study = studies[theory]
        try:
            PHASES[phase](study)
        except OutOfTimeError:
            complete = False
        found = summary(study)
        if found is not None:
            files[theory] = out / f"study-{theory}.json"
            whole = {"command": f"rgdiff study phi4 --budget {name}"} | versions() | found
            write_text(files[theory], json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    return Made(tuple(files.values()), complete)


def versions() -> dict[str, Any]:
    """Return what the numbers were computed with."""
    return {
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": f"{platform.machine()}, one thread",
    }


def report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study report`."""
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE.json", help="default: results/study-*.json"
    )


def run_report(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Print the tables of studies; raises `ValueError` where there is none."""
    files = chosen.files or sorted(Path("results").glob("study-*.json"))
    if not files:
        raise ValueError("there is no results/study-*.json: `rgdiff study phi4` makes them.")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return found, [line for each in found for line in tables(each)]
