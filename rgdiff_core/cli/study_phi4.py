"""`rgdiff study`: run the comparison, or print what it has found."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.cli.base import Entries, Entry, printer, said
from rgdiff_core.cli.options import study_options, theories_option
from rgdiff_core.data import store
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import reading
from rgdiff_core.spec import check_whole
from rgdiff_core.study.cells import Cells, end_of, resumable
from rgdiff_core.study.lattice.arms import THEORIES
from rgdiff_core.study.lattice.budget import BUDGETS
from rgdiff_core.study.lattice.executor import Execution, carried_out
from rgdiff_core.study.lattice.plan import plan
from rgdiff_core.study.lattice.study import Study
from rgdiff_core.study.lattice.summary import summary
from rgdiff_core.study.report import read_results, tables, versions
from rgdiff_core.training.state import tune_malloc

__all__ = ["phi4_options", "report_options", "run_phi4", "run_report"]


MAX_PROCESSES = 64
MAX_SEEDS = 100


def phi4_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study phi4`."""
    theories_option(parser, THEORIES, "data sets, ")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="cells that are computed at once, each by one thread (default: 1)",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="number of final trainings (default: the budget's)"
    )
    study_options(parser, BUDGETS, "hours on one core", "runs/study-BUDGET")


@resumable()
def run_phi4(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Run the study; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    check_whole("processes", chosen.processes, 1, MAX_PROCESSES)
    budget, command = BUDGETS[chosen.budget], f"rgdiff study phi4 --budget {chosen.budget}"
    if chosen.seeds is not None:
        check_whole("seeds", chosen.seeds, 1, MAX_SEEDS)
        budget, command = replace(budget, seeds=chosen.seeds), f"{command} --seeds {chosen.seeds}"
    torch.set_num_threads(1)
    tune_malloc()
    until = end_of(chosen.minutes)
    work, say = chosen.work or Path("runs") / f"study-{chosen.budget}", printer(chosen)
    studies = {
        name: Study(name, budget, Cells(work / name, say, until)) for name in chosen.theories
    }
    files: dict[str, Path] = {}
    chosen.out.mkdir(parents=True, exist_ok=True)

    def write(theory: str) -> None:
        found = summary(studies[theory])
        if found is not None:
            files[theory] = chosen.out / f"study-{theory}.json"
            whole = {"command": command} | versions() | found
            write_text(files[theory], json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
            _keep_models(studies[theory], found, chosen.out / "models" / theory)

    how = Execution(chosen.processes, until, say, write)
    complete = carried_out(plan(chosen.theories, budget), studies, how)
    for theory in studies:
        write(theory)
    state = "complete" if complete else "stopped; rerun to continue"
    made = list(map(str, files.values()))
    return {"files": made, "complete": complete}, [f"{state}: {', '.join(made)}"]


def _keep_models(study: Study, found: dict[str, Any], folder: Path) -> None:
    """Copy the model of each arm's first seed to where pages find it, ARM.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    for arm in found["arms"]:
        made = study.cells.path(f"run-{arm['name']}-{arm['seeds'][0]}", ".safetensors")
        content, place = made.read_bytes(), folder / f"{arm['name']}.safetensors"
        if not place.is_file() or place.read_bytes() != content:
            store.replace(place, lambda file, content=content: file.write(content))


def report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study report`."""
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE.json",
        help="default: those of φ⁴ in results",
    )


def run_report(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Print the tables of studies of φ⁴, with a sentence for each file that can't be read; raises
    `ValueError` where there is no other.
    """
    found, lines, problems = [], [], []
    for path in sorted(chosen.files or Path("results").glob("study-*.json")):
        try:
            results = read_results(path)
            if _is_lattice(results):
                with reading(path):
                    lines += tables(results)
                found.append(results)
            elif chosen.files:
                raise ValueError(f"{path} holds no results of `rgdiff study phi4`.")
        except (ValueError, OSError) as error:
            problems.append(said(error))
    if not found:
        missing = "there is no results/study-*.json: `rgdiff study phi4` makes them."
        raise ValueError(problems[0] if problems else missing)
    return found, [*lines, *problems]


def _is_lattice(found: dict[str, Any]) -> bool:
    return {"theory", "arms", "ablation"} <= set(found)


COMMANDS: Entries = {
    "phi4": Entry(phi4_options, run_phi4),
    "report": Entry(report_options, run_report),
}
