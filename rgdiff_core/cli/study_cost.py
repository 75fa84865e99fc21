"""`rgdiff study cost`: the cost per site of larger lattices, for Gaussian data in closed form."""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.files.atomic import write_text
from rgdiff_core.study.lattice.cost import GAMMA, STEPS, WAYS, evaluations
from rgdiff_core.study.report import versions

__all__ = ["cost_options", "run_cost"]

FILE = "cost-gaussian.json"
USUAL = [8, 16, 32, 64, 128, 256]


def cost_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study cost`."""
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=int,
        default=USUAL,
        metavar="L",
        help=f"powers of two; default {' '.join(map(str, USUAL))}",
    )
    parser.add_argument(
        "--bound",
        type=float,
        default=1e-3,
        help="bound on the KL divergence per site, in nats; default 0.001",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), metavar="FOLDER", help="default: results"
    )


def run_cost(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Compute the costs; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    torch.set_num_threads(1)
    sizes = sorted(set(chosen.sizes))
    rows: list[dict[str, Any]] = [
        {"way": way, "size": size, "steps": kind}
        | {"evaluations": evaluations(way, size, chosen.bound, kind)}
        for size in sizes
        for way in WAYS
        for kind in STEPS
    ]
    options = f"--sizes {' '.join(map(str, sizes))} --bound {chosen.bound:g}"
    found = {"command": f"rgdiff study cost {options}"} | versions()
    found |= {"bound": chosen.bound, "gamma": GAMMA, "rows": rows}
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / FILE
    write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    lines = [
        f"{row['size']:>4}  {row['way']:<8} {row['evaluations']:6.1f} evaluations per site, "
        f"{STEPS[row['steps']]}"
        for row in rows
    ]
    return {"file": str(path), "rows": rows}, [*lines, str(path)]


COMMANDS: Entries = {"cost": Entry(cost_options, run_cost)}
