"""The command line, `rgdiff`: a table of subcommands."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from rgdiff_core import data, options
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
        leaf.register("type", int, options.whole)
        leaf.register("type", float, options.finite)
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


DATA = {
    "add": "Make a folder of pictures, or a file of arrays, a data set.",
    "delete": "Delete own images or a stored ensemble.",
    "generate": "Generate φ⁴ configurations by hybrid Monte Carlo.",
    "import": "Import lattice configurations that were made elsewhere.",
    "export": "Write lattice configurations with all that is known of them into a file.",
}


def _data_command(word: str, help: str) -> Command:
    """Return a subcommand of `rgdiff data`, which is imported when it is called."""

    def options(parser: argparse.ArgumentParser) -> None:
        from rgdiff_core.data import commands

        commands.COMMANDS[word][0](parser)

    def run(chosen: argparse.Namespace) -> Outcome:
        from rgdiff_core.data import commands

        return Outcome(*commands.COMMANDS[word][1](chosen))

    return Command(f"data {word}", help, options, run)


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


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.evaluation import commands

    commands.evaluate_options(parser)


def _evaluate(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.evaluation import commands

    return Outcome(*commands.run_evaluate(chosen))


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.search import commands

    commands.sweep_options(parser)


def _sweep(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.search import commands

    return Outcome(*commands.run_sweep(chosen))


def _scan_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.lattice import commands

    commands.scan_options(parser)


def _scan(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.lattice import commands

    return Outcome(*commands.run_scan(chosen))


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


def _study_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.study import commands

    commands.study_options(parser)


def _study(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.study import commands

    return Outcome(*commands.run_phi4(chosen))


def _cifar10_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.study import image_commands

    image_commands.cifar10_options(parser)


def _cifar10(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.study import image_commands

    return Outcome(*image_commands.run_cifar10(chosen))


def _ladder_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.study import image_ladder

    image_ladder.ladder_options(parser)


def _ladder(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.study import image_ladder

    return Outcome(*image_ladder.run_ladder(chosen))


def _report_options(parser: argparse.ArgumentParser) -> None:
    from rgdiff_core.study import commands

    commands.report_options(parser)


def _report(chosen: argparse.Namespace) -> Outcome:
    from rgdiff_core.study import commands

    return Outcome(*commands.run_report(chosen))


FEATURES = {
    "train": "Train the network whose features images are compared by.",
    "check": "Measure the distances between training and test images, a floor for samples.",
    "pack-inception": "Copy the Inception network with weights in half precision.",
}


def _features_command(word: str, help: str) -> Command:
    """Return a subcommand of `rgdiff features`, which is imported when it is called."""

    def options(parser: argparse.ArgumentParser) -> None:
        from rgdiff_core.evaluation.features import commands

        commands.COMMANDS[word][0](parser)

    def run(chosen: argparse.Namespace) -> Outcome:
        from rgdiff_core.evaluation.features import commands

        return Outcome(*commands.COMMANDS[word][1](chosen))

    return Command(f"features {word}", help, options, run)


GROUPS = {
    "data": "Data sets: list, fetch, add and delete them; make and move lattice configurations.",
    "features": "Networks whose features images are compared by.",
    "lattice": "φ⁴ on the lattice: scan its phase diagram.",
    "runs": "Training runs: queue them, watch them, stop them, let them go on.",
    "study": "Matched noise and component-wise schedules against standard diffusion.",
}

COMMANDS = (
    Command("data list", "List the data sets and which are on this machine.", _no_options, _list),
    Command("data fetch", "Bring data sets into the cache.", _fetch_options, _fetch),
    *(_data_command(word, help) for word, help in DATA.items()),
    Command(
        "lattice scan",
        "Scan the phase diagram of φ⁴ and find the critical coupling.",
        _scan_options,
        _scan,
    ),
    Command("train", "Train a model from a config.", _train_options, _train),
    Command("sample", "Draw fields from a model.", _sample_options, _sample),
    Command(
        "evaluate",
        "Measure how good a model is, with errors: against its theory, or in bits.",
        _evaluate_options,
        _evaluate,
    ),
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
    Command(
        "study phi4",
        "Carry out the comparison on φ⁴; it goes on where it was stopped.",
        _study_options,
        _study,
    ),
    Command(
        "study cifar10",
        "Compare models of CIFAR-10 and their processes; it goes on where it was stopped.",
        _cifar10_options,
        _cifar10,
    ),
    Command(
        "study ladder",
        "Go from standard diffusion of images to ours, a choice at a time; it can be resumed.",
        _ladder_options,
        _ladder,
    ),
    Command("study report", "Print the tables of a comparison.", _report_options, _report),
    *(_features_command(word, help) for word, help in FEATURES.items()),
    *(_runs_command(word, help) for word, help in RUNS.items()),
)


if __name__ == "__main__":
    sys.exit(main())
