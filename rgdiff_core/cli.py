"""The command line, `rgdiff`: a table of subcommands."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rgdiff_core import data
from rgdiff_core.terminal import bar

__all__ = ["Command", "main"]


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        name: The words that call it, as "data list".
        help: One sentence.
        options: Adds the options to its parser.
        run: Does the work and returns what `--json` prints, and the lines that a person reads.
    """

    name: str
    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a subcommand has to say: a value for programs, lines for people."""

    value: object
    lines: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, 1 for an error, 130 when stopped."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser(words).parse_args(words)
    try:
        outcome = chosen.run(chosen)
    except (ValueError, data.DataUnavailable, OSError) as error:
        print(f"rgdiff: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rgdiff: stopped.", file=sys.stderr)
        return 130
    if os.environ.get("RANK", "0") != "0":  # of several processes one speaks
        return 0
    if chosen.json:
        print(json.dumps(outcome.value, ensure_ascii=False))
    else:
        print("\n".join(outcome.lines))
    return 0


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; only the subcommand that is called gets its options, for to know them is
    to import what it needs.
    """
    parser = argparse.ArgumentParser(
        prog="rgdiff", description="The laboratory for RG-inspired diffusion models."
    )
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
        if command.name.split() == [*words[: len(path) + 1]]:
            command.options(leaf)
        leaf.add_argument("--json", action="store_true", help="print one line of JSON")
        leaf.set_defaults(run=command.run)
    return parser


def _no_options(parser: argparse.ArgumentParser) -> None:
    del parser


def _list(chosen: argparse.Namespace) -> Outcome:
    del chosen
    sets = data.available()
    lines = [
        f"{item.name:18} {'×'.join(map(str, item.shape)):10} "
        f"{'cached' if item.cached else '-':7} {item.description}"
        for item in sets
    ]
    return Outcome([asdict(item) for item in sets], lines)


def _fetch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="see `rgdiff data list`")


def _fetch(chosen: argparse.Namespace) -> Outcome:
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
    return Outcome(reports, lines)


def _generate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="FILE.npz", help="where the fields are written")
    parser.add_argument("--m2", type=float, default=-4.0, help="bare mass squared (default -4)")
    parser.add_argument("--lam", type=float, default=6.975, help="coupling λ (default 6.975)")
    parser.add_argument("--size", type=int, default=6, help="lattice size L, 2 to 256 (default 6)")
    parser.add_argument("--n", type=int, default=1000, help="number of fields (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default 0)")


def _generate(chosen: argparse.Namespace) -> Outcome:
    import numpy as np
    import torch

    from rgdiff_core import lattice

    if chosen.out.suffix != ".npz":
        raise ValueError(f"{chosen.out} does not end in .npz.")
    action = lattice.Phi4(chosen.m2, chosen.lam)
    generator = torch.Generator().manual_seed(chosen.seed)

    def report(done: int, total: int) -> None:
        bar(done, total, f"Generating {chosen.n} φ⁴ configurations")

    run = lattice.hmc(action, chosen.size, chosen.n, generator=generator, progress=report)
    np.savez_compressed(chosen.out, images=run.configurations.numpy())
    summary = {
        "file": str(chosen.out),
        "acceptance": run.acceptance,
        "exp_delta_h": asdict(run.exp_delta_h),
        "tau_int": asdict(run.tau_int),
    }
    lines = [
        f"{chosen.n} configurations {chosen.size}×{chosen.size} in {chosen.out}",
        f"acceptance {run.acceptance:.3f}, ⟨exp(−ΔH)⟩ = {run.exp_delta_h}, "
        f"τ_int(|M|) = {run.tau_int} trajectories",
    ]
    return Outcome(summary, lines)


def _train_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.training import commands

    commands.train_options(parser)


def _train(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.training import commands

    return Outcome(*commands.run_train(chosen))


def _pretrain_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core import pretrain

    pretrain.pretrain_options(parser)


def _pretrain(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core import pretrain

    return Outcome(*pretrain.run_pretrain(chosen))


def _sample_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core import drawing

    drawing.sample_options(parser)


def _sample(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core import drawing

    return Outcome(*drawing.run_sample(chosen))


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.search import commands

    commands.sweep_options(parser)


def _sweep(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.search import commands

    return Outcome(*commands.run_sweep(chosen))


RUNS = {
    "list": "List all runs.",
    "show": "Show one run and its config.",
    "submit": "Queue a run; it starts where there is room.",
    "pause": "Stop a run after a checkpoint.",
    "resume": "Let a stopped run go on.",
    "cancel": "Stop a run for good.",
    "rename": "Give a run another title.",
    "delete": "Delete a run that does not run, and its folder.",
    "log": "Show the end of what a run's worker printed.",
    "follow": "Show a run's points as they come, until it ends.",
    "path": "Print a run's folder.",
}


def _runs_command(word: str, help: str) -> Command:
    """Return a subcommand of `rgdiff runs`, which is imported when it is called."""

    def options(parser: argparse.ArgumentParser) -> None:
        from rgdiff_core.training.runs import commands

        commands.COMMANDS[word].options(parser)

    def run(chosen: argparse.Namespace) -> Outcome:
        from rgdiff_core.training.runs import commands

        return Outcome(*commands.COMMANDS[word].run(chosen))

    return Command(f"runs {word}", help, options, run)


GROUPS = {
    "data": "Data sets: list them, fetch them, generate lattice configurations.",
    "runs": "Training runs: queue them, watch them, stop them, let them go on.",
}

COMMANDS = (
    Command("data list", "List the data sets and which are on this machine.", _no_options, _list),
    Command("data fetch", "Bring data sets into the cache.", _fetch_options, _fetch),
    Command(
        "data generate",
        "Generate φ⁴ configurations by hybrid Monte Carlo.",
        _generate_options,
        _generate,
    ),
    Command("train", "Train a model from a config.", _train_options, _train),
    Command("sample", "Draw fields from a model.", _sample_options, _sample),
    Command(
        "sweep",
        "Search for a better process for a model and a number of steps.",
        _sweep_options,
        _sweep,
    ),
    Command(
        "pretrain",
        "Train, evaluate and install a model of pretrained/.",
        _pretrain_options,
        _pretrain,
    ),
    *(_runs_command(word, help) for word, help in RUNS.items()),
)


if __name__ == "__main__":
    sys.exit(main())
