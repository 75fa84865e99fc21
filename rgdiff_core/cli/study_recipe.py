"""`rgdiff study recipe`."""

import argparse
from pathlib import Path

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.options import resuming_options
from rgdiff_core.evaluation.features import load_features
from rgdiff_core.evaluation.features.extraction import NAMES
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.images.distances_drawn import LEAST
from rgdiff_core.study.images.recipe import RecipeBudget, cell
from rgdiff_core.study.images.recipe_arms import ARMS, BASE, SIZES, arm, on
from rgdiff_core.study.images.recipe_report import lines, restore, rows, write
from rgdiff_core.training.state import tune_malloc

__all__ = ["recipe_options", "run_recipe"]

WORK = Path("runs/study-recipe")


def recipe_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study recipe`."""
    parser.add_argument("--data", default="cifar10", metavar="NAME", help="default: cifar10")
    parser.add_argument(
        "--arms",
        nargs="+",
        default=list(ARMS),
        metavar="ARM",
        help=f"of {', '.join(ARMS)}, or several as one, as in muon+larger; default: all",
    )
    parser.add_argument(
        "--base", default=BASE, metavar="ARM", help="what the arms change; default: base"
    )
    parser.add_argument(
        "--size", choices=tuple(SIZES), default="full", help="size of the networks; default: full"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--steps",
        type=int,
        help="of training, alike in every arm; default: as many as the core-minutes allow",
    )
    length.add_argument(
        "--core-minutes",
        type=float,
        default=45.0,
        help="core-minutes of training for each; default 45",
    )
    parser.add_argument("--batch", type=int, default=64, help="images per step; default 64")
    parser.add_argument("--images", type=int, default=512, help="held-out images; default 512")
    parser.add_argument(
        "--samples",
        type=int,
        default=600,
        help="samples of CIFAR-10 that are classified; 0 for none; default 600",
    )
    parser.add_argument(
        "--features",
        choices=NAMES,
        default="",
        help="compare samples with held-out images in the features of this network; default: none",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], metavar="SEED", help="default: 0"
    )
    resuming_options(parser, "arms", str(WORK))


@resumable()
def run_recipe(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Train and judge the arms, one by one; return what to print as JSON, and lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    check_range("core-minutes", chosen.core_minutes, 0, 10_000, low_open=True)
    check_whole("images", chosen.images, 16, 10_000)
    if chosen.samples != 0:
        least = LEAST if chosen.features else 2
        check_whole("samples", chosen.samples, least, 100_000)
    if chosen.steps is not None:
        check_whole("steps", chosen.steps, 1, 10_000_000)
    if chosen.features:
        load_features(chosen.features)  # refuses what is missing before anything is trained
    base, until = arm(chosen.base), end_of(chosen.minutes)
    arms = [base, *(on(base, arm(name)) for name in chosen.arms)]
    torch.set_num_threads(1)
    tune_malloc()
    cells = Cells(chosen.work or WORK, printer(chosen), until)
    path, complete, found = chosen.out / f"recipe-{chosen.data}.json", True, {}
    chosen.out.mkdir(parents=True, exist_ok=True)
    restore(path, cells)
    budget = RecipeBudget(
        chosen.data,
        chosen.size,
        chosen.steps,
        chosen.core_minutes,
        chosen.batch,
        chosen.images,
        chosen.samples,
        chosen.features,
        chosen.seeds,
        base,
        list(dict.fromkeys(arms)),
    )
    try:
        for seed in chosen.seeds:
            for name in budget.arms:
                done = cell(cells, name, seed, budget)
                found.setdefault(name, []).append(done)
                write(path, budget, found)
    except OutOfTimeError:
        complete = False
    table = rows(found, base)
    state = "complete" if complete else "stopped; rerun to continue"
    return {"file": str(path), "complete": complete, "arms": table}, [*lines(table), state]


COMMANDS: Entries = {"recipe": Entry(recipe_options, run_recipe)}
