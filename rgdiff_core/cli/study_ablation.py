"""`rgdiff study ablation`."""

import argparse
import json
from pathlib import Path

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.files.atomic import write_text
from rgdiff_core.spec import check_whole
from rgdiff_core.study.cells import Cells, resumable
from rgdiff_core.study.images.ablation import (
    ABLATION,
    AblationBudget,
    cell,
    compared,
    lines,
    row,
)
from rgdiff_core.study.report import versions
from rgdiff_core.training.state import tune_malloc

__all__ = ["ablation_options", "run_ablation"]


def ablation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study ablation`."""
    parser.add_argument("--data", default="cifar10", metavar="NAME", help="default: cifar10")
    parser.add_argument(
        "--models",
        nargs="+",
        choices=tuple(ABLATION),
        default=list(ABLATION),
        metavar="MODEL",
        help=f"{', '.join(ABLATION)}; default: all",
    )
    parser.add_argument(  # its former name
        "--rungs", nargs="+", choices=tuple(ABLATION), dest="models", help=argparse.SUPPRESS
    )
    parser.add_argument("--steps", type=int, default=2000, help="training steps; default 2000")
    parser.add_argument("--batch", type=int, default=32, help="images per step; default 32")
    parser.add_argument(
        "--points", type=int, default=4, help="evaluations during training; default 4"
    )
    parser.add_argument("--width", type=int, default=16, help="channels of the U-Net; default 16")
    parser.add_argument("--images", type=int, default=512, help="held-out images; default 512")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], metavar="SEED", help="default: 0"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/study-ablation"), metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="FOLDER")


@resumable()
def run_ablation(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Carry it out; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    check_whole("points", chosen.points, 1, 100)
    check_whole("images", chosen.images, 16, 10_000)
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    tune_malloc()
    cells = Cells(chosen.work, printer(chosen))
    budget = AblationBudget(
        chosen.data, chosen.steps, chosen.batch, chosen.points, chosen.width, chosen.images
    )
    made = {
        (name, seed): cell(cells, name, seed, budget)
        for seed in chosen.seeds  # so that what is stopped has all models with the first seeds
        for name in chosen.models
    }
    rows = compared(
        [row(name, [made[name, seed] for seed in chosen.seeds]) for name in chosen.models]
    )
    found = {
        "command": f"rgdiff study ablation --data {chosen.data} --steps {chosen.steps} --batch "
        f"{chosen.batch} --points {chosen.points} --width {chosen.width} --images "
        f"{chosen.images} --seeds {' '.join(map(str, chosen.seeds))} --models "
        f"{' '.join(chosen.models)}",
        **versions(),
        "seeds": chosen.seeds,
        "models": rows,
    }
    path = chosen.out / f"ablation-{chosen.data}.json"
    write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return found, [*lines(rows), str(path)]


COMMANDS: Entries = {"ablation": Entry(ablation_options, run_ablation)}
