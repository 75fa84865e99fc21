"""`rgdiff study cifar10`: compare pretrained models of images and their processes."""

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.options import device_option, study_options
from rgdiff_core.denoisers.files import pretrained_folder, read_metadata
from rgdiff_core.devices import device_of
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import reading
from rgdiff_core.spec import from_dict
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.images.arms import MODELS
from rgdiff_core.study.images.budget import BUDGETS
from rgdiff_core.study.images.phases import PHASES, Task
from rgdiff_core.study.images.study import ImageStudy
from rgdiff_core.study.images.summary import checked, image_summary, joined
from rgdiff_core.study.report import read_results

__all__ = ["cifar10_options", "run_cifar10"]

Say = Callable[[str], None]


def cifar10_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study cifar10`."""
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help=f"files of models, of {', '.join(MODELS)} (default: those of pretrained/); one whose "
        "file is missing is left out",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=list(MODELS),
        choices=tuple(MODELS),
        metavar="NAME",
        help="compute these models alone; the file's results of the others are kept; only models "
        "that are computed together with standard diffusion have differences to it",
    )
    parser.add_argument("--data", default="cifar10", metavar="NAME", help="default: cifar10")
    study_options(parser, BUDGETS, "for one GPU", "runs/study-cifar10-BUDGET")
    device_option(parser)
    parser.add_argument(
        "--features",
        nargs="*",
        choices=("cifar10", "inception"),
        default=["cifar10"],
        help="networks whose features samples are compared in (default: cifar10)",
    )


@resumable()
def run_cifar10(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Run the study; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    until = end_of(chosen.minutes)
    device = str(device_of(chosen.device))
    work, say = chosen.work or Path("runs") / f"study-cifar10-{chosen.budget}", printer(chosen)
    study = ImageStudy(
        _files(chosen.models, chosen.only, say),
        BUDGETS[chosen.budget],
        Cells(work, say, until),
        device,
        chosen.data,
        tuple(chosen.features),
    )
    words, path = f"rgdiff study cifar10 --budget {chosen.budget}", _path(study, chosen.out)
    known = None
    if set(chosen.only) != set(MODELS):
        words += f" --only {' '.join(chosen.only)}"
        known = _known(path, study) if path.is_file() else None
    said = {"command": words, "machine": study.machine} | _versions()
    made = _carried_out(study, chosen.out, said, known)
    complete = made["finished"]
    state = "complete" if complete else "stopped; rerun to continue"
    lines = [*made["complete"]["failed"], f"{state}: {path}"]
    return {"file": str(path), "complete": complete}, lines


def _path(study: ImageStudy, out: Path) -> Path:
    return out / f"study-{study.data}.json"


def _known(path: Path, study: ImageStudy) -> dict[str, Any]:
    """Return the results of a file; raises `ValueError` for a damaged one, another budget and
    other features.
    """
    with reading(path):
        known = checked(read_results(path))
        budget, features = from_dict(known["budget"]), _features(known)
    if budget != study.budget:
        raise ValueError(f"{path} was made with another budget.")
    if features is not None and features != set(study.networks):
        theirs, ours = (" and ".join(sorted(x)) or "none" for x in (features, study.networks))
        raise ValueError(f"{path} compares samples by features of {theirs}, not of {ours}.")
    return known


def _features(known: dict[str, Any]) -> set[str] | None:
    """Return the feature networks of results, None where no images were compared yet."""
    start = "frechet_"
    if known["floor"] is None:
        return None
    names = known["floor"]["metrics"]
    return {name.removeprefix(start) for name in names if name.startswith(start)}


def _carried_out(
    study: ImageStudy, out: Path, said: dict[str, Any], known: dict[str, Any] | None
) -> dict[str, Any]:
    """Compute what is missing, and write the results after each phase, beside those of other
    models where they are known; return this run's own.
    """
    out.mkdir(parents=True, exist_ok=True)
    finished, failed, found = True, [], {}
    for name, phase in PHASES.items():
        try:
            failed += _run(name, phase(study), study.cells.say)
        except OutOfTimeError:
            finished = False
        state = {
            "finished": finished and not failed,
            "unfinished": [] if finished else list(study.files),
        }
        found = said | state | image_summary(study, out, failed)
        whole = found if known is None else joined(known, found)
        write_text(_path(study, out), json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    return found


def _run(name: str, tasks: Iterator[Task], say: Say) -> list[str]:
    """Compute the cells of a phase; return a sentence for each that failed.

    What one of them does not survive, a full memory for one, is no reason to lose the others.
    """
    failed = []
    while True:
        what = name
        try:
            what, compute = next(tasks)
            compute()
        except StopIteration:
            return failed
        except (RuntimeError, ValueError) as error:
            failed.append(f"{what}: {' '.join(str(error).split())[:300]}")
            say(failed[-1])


def _files(words: list[str], only: list[str], say: Say) -> dict[str, Path]:
    """Return the models that are there, of those to be computed, in the order of MODELS."""
    names = [name for name in MODELS if name in only]
    files = {name: pretrained_folder() / name / "model.safetensors" for name in names}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or name not in names:
            raise ValueError(f"{word!r} is not NAME=FILE with a name of {', '.join(names)}.")
        files[name] = Path(path)
    for name, path in files.items():
        if not path.is_file():
            say(f"{name} is left out: there is no {path}")
    found = {name: path for name, path in files.items() if path.is_file()}
    if not found:
        raise ValueError("there is none of the models: train them, or name files with --models.")
    for path in found.values():
        read_metadata(path)
    return found


def _versions() -> dict[str, Any]:
    """Return what the numbers were put together with."""
    return {"versions": {"python": platform.python_version(), "torch": torch.__version__}}


COMMANDS: Entries = {"cifar10": Entry(cifar10_options, run_cifar10)}
