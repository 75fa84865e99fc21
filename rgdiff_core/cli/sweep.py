"""`rgdiff sweep`: search for a better process from the command line."""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.options import (
    model_options,
    open_chosen,
    process_from,
    process_options,
    spec_from,
    to_device,
)
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.files.atomic import check_place, write_text
from rgdiff_core.files.stored import MAX_NUMBER
from rgdiff_core.process import Process
from rgdiff_core.sampling import METHODS
from rgdiff_core.search.gradient import improve
from rgdiff_core.search.held_out import Comparison, compare
from rgdiff_core.search.space import COLORS, FAMILIES, KERNELS, Space
from rgdiff_core.search.sweep import OBJECTIVES, Sweep, Trial, best, open_study, run, trials
from rgdiff_core.seeds import MAX_SEED
from rgdiff_core.spec import check_range, check_whole, to_dict
from rgdiff_core.terminal import bar, duration
from rgdiff_core.training.models import LoadedModel, theory_of
from rgdiff_core.training.state import tune_malloc

__all__ = ["run_sweep", "sweep_options"]

HELD_OUT = 2000  # images that the result is judged on
MENUS = {"families": FAMILIES, "kernels": KERNELS, "colors": COLORS}


def sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff sweep`."""
    model_options(parser)
    process_options(parser)
    parser.add_argument(
        "--search",
        choices=("bound", "sweep"),
        default="bound",
        help="bound: the path and the kernel's width by the gradient of the N-step bound, from "
        "the process given (default); sweep: whole processes by trial and error",
    )
    parser.add_argument("--steps", type=int, default=10, help="N of the sampler (default 10)")
    parser.add_argument("--data", metavar="NAME", help="another data set than the model's")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the process there")
    parser.add_argument("--seed", type=int, default=0, help="default 0; one for each machine")
    bound = parser.add_argument_group("--search bound")
    bound.add_argument("--rounds", type=int, default=200, help="gradient steps (default 200)")
    bound.add_argument("--points", type=int, help="control points of Λ(t) (default N + 1)")
    bound.add_argument("--batch", type=int, default=64, help="images per step (default 64)")
    bound.add_argument("--rate", type=float, default=0.05, help="learning rate (default 0.05)")
    bound.add_argument("--keep-kernel", action="store_true", help="keep the kernel's width")
    sweep = parser.add_argument_group("--search sweep")
    sweep.add_argument(
        "--trials", type=int, default=100, help="number of new trials (default 100)"
    )
    sweep.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="start no trial after SECONDS"
    )
    sweep.add_argument("--objective", choices=OBJECTIVES, default="bound", help="default: bound")
    sweep.add_argument(
        "--images", type=int, default=512, help="images or samples per trial (default 512)"
    )
    sweep.add_argument(
        "--method",
        choices=METHODS,
        default="interaction",
        help="the sampler that kl and ess judge (default interaction)",
    )
    sweep.add_argument(
        "--study",
        metavar="NAME",
        help="an existing study is continued (default: MODEL-OBJECTIVE-STEPS)",
    )
    sweep.add_argument(
        "--storage",
        metavar="URL",
        help="the database, as sqlite:///FILE, or postgresql://… that several machines reach "
        "(default: RGDIFF_SWEEPS, or a file in the user's data folder)",
    )
    sweep.add_argument("--space", metavar="SPEC", help="what is chosen from, a Space as JSON")
    for name, known in MENUS.items():
        sweep.add_argument(f"--{name}", metavar="A,B", help=f"only these: {', '.join(known)}")


def run_sweep(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Search; return what to print as JSON, and the lines for people.

    Ctrl+C ends the search early, with what has been found until then, which is not compared.

    Raises a one-line `ValueError` for options that do not fit.
    """
    check_whole("seed", chosen.seed, 0, MAX_SEED)
    check_whole("trials", chosen.trials, 1, 1_000_000)
    if chosen.timeout is not None:
        check_range("timeout", chosen.timeout, 0, MAX_NUMBER)
    opened = open_chosen(chosen)
    model, start = to_device(opened, chosen.device), process_from(chosen, opened)
    tune_malloc()
    if chosen.out is not None and chosen.out.suffix != ".json":
        raise ValueError(f"{chosen.out} does not end in .json.")
    check_place(chosen.out)
    by_gradient = chosen.search == "bound"
    search = _by_gradient if by_gradient else _by_trials
    found = search(chosen, opened, model, start)
    lines, process = found.lines, found.process.to_json()
    if chosen.out is not None:
        write_text(chosen.out, process + "\n")
        lines = [*lines, f"written: {chosen.out}"]
    value = {"process": json.loads(process), "steps": chosen.steps, "held_out": None}
    if found.interrupted:
        lines = [*lines, "interrupted: not compared on held-out images"]
        return value | found.details, lines
    held_out = opened.images("test", chosen.data).images[:HELD_OUT]
    comparison = compare(model, start, found.process, held_out, chosen.steps)
    value["held_out"] = asdict(comparison)
    return value | found.details, [*lines, *_compared(comparison, chosen.steps)]


@dataclass(frozen=True)
class _Found:
    """What a search has found, to its end or until Ctrl+C."""

    process: Process
    details: dict[str, Any]
    lines: list[str]
    interrupted: bool


def _by_gradient(
    chosen: argparse.Namespace, opened: LoadedModel, model: Denoiser, start: Process
) -> _Found:
    states = improve(
        model,
        start,
        opened.images("train", chosen.data).images,
        chosen.steps,
        rounds=chosen.rounds,
        points=chosen.points,
        shape=not chosen.keep_kernel,
        batch=chosen.batch,
        rate=chosen.rate,
        seed=chosen.seed,
    )
    schedule, rounds, interrupted = start.schedule, 0, False
    try:
        for state in states:
            schedule, rounds = state.schedule, state.round
            change, left = state.change, duration(state.eta_s)
            text = f"{change.value:+.4f} ± {change.error:.4f} nats, {left} left"
            bar(state.round, state.rounds, text)
    except KeyboardInterrupt:
        interrupted = True
    found = Process(start.basis, start.color, schedule, start.modes)
    lines = [f"{rounds} rounds", schedule.to_json()]
    return _Found(found, {"rounds": rounds}, lines, interrupted)


def _by_trials(
    chosen: argparse.Namespace, opened: LoadedModel, model: Denoiser, start: Process
) -> _Found:
    space = Space() if chosen.space is None else spec_from(chosen.space, Space)
    named = {name: getattr(chosen, name) for name in MENUS}
    only = {name: tuple(text.split(",")) for name, text in named.items() if text is not None}
    space = Space.from_json(json.dumps(to_dict(space) | only))
    sweep = Sweep(chosen.objective, chosen.steps, space, chosen.images, method=chosen.method)
    name = chosen.study or f"{Path(opened.name).stem}-{chosen.objective}-{chosen.steps}"
    study = open_study(name, sweep, opened.name, storage=chosen.storage, seed=chosen.seed)
    images = opened.images("train", chosen.data).images
    action = theory_of(opened.denoiser, chosen.data or opened.data)
    began, done, interrupted = time.monotonic(), 0, False
    try:
        new = run(study, model, images, count=chosen.trials, action=action)
        for done, trial in enumerate(new, 1):
            passed = time.monotonic() - began
            left = passed / done * (chosen.trials - done)
            if chosen.timeout is not None:
                left = min(left, max(0.0, chosen.timeout - passed))
            bar(done, chosen.trials, f"{_line(trial)}  {duration(left)} left")
            if chosen.timeout is not None and passed > chosen.timeout:
                break
    except KeyboardInterrupt:
        interrupted = True
    every, least = trials(study), best(study)
    if least is None or least.color is None or least.schedule is None:
        raise ValueError(f"the study {name!r} has no complete trial yet.")
    found = Process(start.basis, least.color, least.schedule, start.modes)
    complete = sorted(
        (each for each in every if each.value is not None),
        key=lambda each: each.value or 0.0,
        reverse=OBJECTIVES[sweep.objective] == "maximize",
    )
    details = {"study": name, "best": least.number, "trials": [_plain(each) for each in every]}
    lines = [f"{name}: {done} new trials, {len(every)} in all; the best:"]
    lines = [*lines, *map(_line, complete[:5]), least.schedule.to_json()]
    return _Found(found, details, lines, interrupted)


def _plain(trial: Trial) -> dict[str, Any]:
    specs = {
        "color": trial.color and json.loads(trial.color.to_json()),
        "schedule": trial.schedule and json.loads(trial.schedule.to_json()),
    }
    names = ("number", "state", "value", "error", "seconds")
    return (
        {name: getattr(trial, name) for name in names}
        | specs
        | {"parameters": dict(trial.parameters)}
    )


def _line(trial: Trial) -> str:
    value = trial.state if trial.value is None else f"{trial.value:.4f}"
    kinds = [type(spec).__name__ for spec in (trial.color, trial.schedule)]
    kernel = type(getattr(trial.schedule, "kernel", None)).__name__.removesuffix("Kernel")
    named = f" {kernel}" if kernel != "NoneType" else ""
    return f"trial {trial.number}: {value}  {kinds[0]}, {kinds[1]}{named}"


def _compared(found: Comparison, steps: int) -> list[str]:
    return [
        f"{steps}-step bound on {found.n} held-out images, nats above the free theory:",
        f"  before {found.before}",
        f"  after  {found.after}",
        f"  change {found.change}",
    ]


COMMANDS: Entries = {"sweep": Entry(sweep_options, run_sweep)}
