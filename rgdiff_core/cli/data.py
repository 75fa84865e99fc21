"""`rgdiff data list` and `fetch`."""

import argparse
import time
from dataclasses import asdict

from rgdiff_core import data
from rgdiff_core.cli.base import Entries, Entry, no_options
from rgdiff_core.terminal import bar

__all__ = ["COMMANDS"]


def _list(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    del chosen
    sets = data.available()
    lines = [
        f"{item.name:18} {'×'.join(map(str, item.shape)):10} "
        f"{'cached' if item.cached else '-':7} {item.description}"
        for item in sets
    ]
    return [asdict(item) for item in sets], lines


def _fetch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="see `rgdiff data list`")


def _fetch(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    reports, lines = [], []
    for name in chosen.names:
        start = time.perf_counter()
        sets = {split: data.load(name, split, progress=bar) for split in ("train", "test")}
        counts = {split: len(item.images) for split, item in sets.items()}
        source = sets["train"].source
        seconds = round(time.perf_counter() - start, 3)
        reports.append({"name": name, "images": counts, "source": source, "seconds": seconds})
        lines.append(f"{name}: {counts['train']} + {counts['test']} images, {seconds:.1f} s.")
        lines.append(f"  {source}")
    return reports, lines


COMMANDS: Entries = {"list": Entry(no_options, _list), "fetch": Entry(_fetch_options, _fetch)}
