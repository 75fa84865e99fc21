"""The command line, `rgdiff`: a table of subcommands."""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from rgdiff_core import data, extensions
from rgdiff_core.cli import numbers
from rgdiff_core.cli.base import Entry, said
from rgdiff_core.cli.interrupts import INTERRUPTED, STOPPED, interruptible

__all__ = ["COMMANDS", "Command", "main"]

LONG = 300
"""Characters of a word in an error that are printed: it may be what was typed."""


# Former spellings, which results name.
FORMER_COMMANDS: dict[tuple[str, ...], list[str]] = {("study", "ladder"): ["study", "ablation"]}


class Command(NamedTuple):
    """One subcommand.

    Attributes:
        name: The words that call it, as "data list".
        help: One sentence.
        module: The module of this package whose `COMMANDS` hold it, imported when it is called.
    """

    name: str
    help: str
    module: str

    def entry(self) -> Entry:
        """Import and return its options and its work."""
        module = import_module(f"{__package__}.{self.module}")
        return module.COMMANDS[self.name.split()[-1]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 for an error, 130 when stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    words[:2] = FORMER_COMMANDS.get(tuple(words[:2]), words[:2])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may be no text
            stream.reconfigure(errors="backslashreplace")
    try:
        with interruptible():
            extensions.load()
            chosen = _parser(words).parse_args(words)
            value, lines = chosen.command.entry().run(chosen)
    except (ValueError, data.DataUnavailable, OSError) as error:
        print(f"rgdiff: {_line(said(error))}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "rgdiff_core":
            raise
        print(
            f"rgdiff: this needs {error.name}, which is not installed: pip install 'rgdiff[app]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED
    if os.environ.get("RANK", "0") != "0":  # of several processes one speaks
        return 0
    return _say(json.dumps(value, ensure_ascii=False) if chosen.json else "\n".join(lines))


def _say(text: str) -> int:
    """Print a result and return the exit status: 1 where nobody reads it to its end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # as behind `head`; else Python complains again as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        super().error(_line(message))


def _line(text: str) -> str:
    """Return a text on one line, of very long words the ends."""
    words = " ".join(text.splitlines()).split(" ")
    half = LONG // 2
    return " ".join(w if len(w) <= LONG else f"{w[:half]}…{w[-half:]}" for w in words)


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the subcommand that is called gets its options, since to know them
    is to import what it needs.
    """
    parser = _Parser(prog="rgdiff", description="The laboratory for RG-inspired diffusion models.")
    groups: dict[str, argparse._SubParsersAction] = {}
    top = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        *path, word = command.name.split()
        level = top
        if path:
            if path[0] not in groups:
                group = top.add_parser(path[0], help=GROUPS[path[0]], description=GROUPS[path[0]])
                groups[path[0]] = group.add_subparsers(metavar="COMMAND", required=True)
            level = groups[path[0]]
        leaf = level.add_parser(word, help=command.help, description=command.help)
        leaf.register("type", int, numbers.whole)
        leaf.register("type", float, numbers.finite)
        if command.name.split() == [*words[: len(path) + 1]]:
            command.entry().options(leaf)
        leaf.add_argument("--json", action="store_true", help="print one line of JSON")
        leaf.set_defaults(command=command)
    return parser


GROUPS = {
    "data": "Data sets: list, fetch, add and delete them; make and move lattice configurations.",
    "features": "Feature networks for Fréchet and kernel distances.",
    "lattice": "φ⁴ on the lattice: scan its phase diagram, grow fields.",
    "runs": "Training runs: queue them, watch them, stop them, continue them.",
    "study": "Matched noise and component-wise schedules against standard diffusion.",
}

COMMANDS = (
    Command("data list", "List the data sets and which are on this machine.", "data"),
    Command("data fetch", "Bring data sets into the cache.", "data"),
    Command("data add", "Make a folder of pictures, or a file of arrays, a data set.", "own_data"),
    Command("data delete", "Delete own images, generated fields or an ensemble.", "own_data"),
    Command(
        "data generate",
        "Generate φ⁴ configurations by Hamiltonian Monte Carlo (HMC).",
        "ensembles",
    ),
    Command("data ising", "Generate configurations of the Ising model.", "fields"),
    Command(
        "data gaussian",
        "Generate Gaussian random fields with a chosen spectrum.",
        "fields",
    ),
    Command("data import", "Import lattice configurations that were made elsewhere.", "ensembles"),
    Command(
        "data export",
        "Write lattice configurations with all that is known of them into a file.",
        "ensembles",
    ),
    Command(
        "lattice scan", "Scan the phase diagram of φ⁴ and find the critical coupling.", "lattice"
    ),
    Command(
        "lattice grow", "Draw finer fields, given the long-wavelength (coarse) modes.", "grow"
    ),
    Command("train", "Train a model from a config.", "train"),
    Command("sample", "Draw fields from a model.", "sample"),
    Command(
        "evaluate",
        "Measure how good a model is, with errors: against its theory, or in bits.",
        "evaluate",
    ),
    Command("sweep", "Search for a better process for a model and a number of steps.", "sweep"),
    Command("pretrain", "Train, evaluate and install a model of pretrained/.", "pretrain"),
    Command(
        "study phi4",
        "Carry out the comparison on φ⁴; it continues where it was stopped.",
        "study_phi4",
    ),
    Command(
        "study cifar10",
        "Compare models of CIFAR-10 and their processes; it continues where it was stopped.",
        "study_cifar10",
    ),
    Command(
        "study ablation",
        "Go from standard diffusion of images to ours, a choice at a time; it can be resumed.",
        "study_ablation",
    ),
    Command(
        "study distances",
        "Inception distances (FID, KID) of a model's samples by guidance; it can be resumed.",
        "study_distances",
    ),
    Command(
        "study recipe",
        "Compare training recipes at equal core-minutes; it can be resumed.",
        "study_recipe",
    ),
    Command(
        "study schedules",
        "Measure what few steps cost a perfect denoiser of φ⁴; it can be resumed.",
        "study_schedules",
    ),
    Command(
        "study sizes",
        "Measure one model on lattices of many sizes, beside Monte Carlo; it can be resumed.",
        "study_sizes",
    ),
    Command(
        "study cost", "Compute the cost per site of larger lattices, in closed form.", "study_cost"
    ),
    Command("study report", "Print the tables of a comparison.", "study_phi4"),
    Command(
        "features train",
        "Train the feature network for Fréchet and kernel distances.",
        "features",
    ),
    Command(
        "features check",
        "Measure the distances between training and test images, a floor for samples.",
        "features",
    ),
    Command(
        "features pack-inception",
        "Copy the Inception network with weights in half precision.",
        "features",
    ),
    Command("runs list", "List all runs.", "runs"),
    Command("runs show", "Show one run and its config.", "runs"),
    Command("runs submit", "Queue a run; it starts where there is room.", "runs"),
    Command("runs pause", "Stop a run after a checkpoint.", "runs"),
    Command("runs resume", "Continue a stopped run.", "runs"),
    Command("runs cancel", "Stop a run for good.", "runs"),
    Command("runs rename", "Give a run another title.", "runs"),
    Command("runs delete", "Delete a run that does not run, and its folder.", "runs"),
    Command("runs log", "Show the end of what a run's worker printed.", "runs"),
    Command("runs follow", "Show a run's points as they come, until it ends.", "runs"),
    Command("runs path", "Print a run's folder.", "runs"),
)
