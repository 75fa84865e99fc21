"""`rgdiff study distances`: FID and KID of a model's samples."""

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.guidance import strength
from rgdiff_core.cli.numbers import finite
from rgdiff_core.cli.options import resuming_options
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.denoisers.guidance import in_basis
from rgdiff_core.evaluation.features import load_features
from rgdiff_core.evaluation.features.extraction import NAMES
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import reading
from rgdiff_core.pretraining.images import OWN, PROCESSES
from rgdiff_core.sampling import GRIDS, METHODS
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.images.distances import (
    FREE,
    LEAST,
    NULL,
    DistanceStudy,
    Drawn,
    Led,
    lines,
)
from rgdiff_core.study.report import read_results, versions
from rgdiff_core.training import runs
from rgdiff_core.training.models import LoadedModel, open_model
from rgdiff_core.training.state import tune_malloc

__all__ = ["distances_options", "run_distances"]

WORK = Path("runs/study-distances")
MODEL, WHITE = "cifar10-conditional", "white noise, linear log-SNR"
USUAL = Drawn()


def distances_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff study distances`."""
    parser.add_argument(
        "--model",
        default=MODEL,
        help=f"of images 3×32×32: pretrained, a run or a file; default {MODEL}",
    )
    parser.add_argument(
        "--process",
        nargs="+",
        default=[],
        choices=tuple(PROCESSES),
        help=f"of a universal model; default: {WHITE}",
    )
    parser.add_argument(
        "--features",
        choices=NAMES,
        default=USUAL.features,
        help=f"the network; default {USUAL.features}, an optional extra",
    )
    parser.add_argument("--n", type=int, default=USUAL.n, help=f"samples; default {USUAL.n}")
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        default=list(USUAL.steps),
        metavar="N",
        help="of the sampler, each in turn; default: 16",
    )
    parser.add_argument(
        "--method",
        nargs="+",
        default=[],
        choices=tuple(METHODS),
        help="of the sampler, each in turn; default: the usual one of the process",
    )
    parser.add_argument(
        "--grid",
        nargs="+",
        default=list(USUAL.grids),
        choices=GRIDS,
        help="of the sampler's times, each in turn; default: logsnr",
    )
    parser.add_argument(
        "--guidance",
        type=_led,
        nargs="+",
        default=list(USUAL.guidance),
        metavar="S",
        help="scales of the guidance by class, several with commas for scales from coarse to "
        "fine; any for no class, any:S for no class and another guide; default: any 1 1.5 2",
    )
    parser.add_argument(
        "--guide",
        nargs="+",
        default=[NULL],
        metavar="GUIDE",
        help=f"{NULL}: the model without the class (default); {FREE}: the free theory; or a "
        "weaker MODEL of the same data; each in turn",
    )
    parser.add_argument(
        "--guidance-interval",
        type=finite,
        nargs=2,
        action="append",
        metavar=("LOW", "HIGH"),
        help="guide only where the log-SNR is in it (default: everywhere); given more than once, "
        "each in turn",
    )
    parser.add_argument("--seed", type=int, default=USUAL.seed, help="default 0")
    resuming_options(parser, "features", str(WORK))


def _led(word: str) -> Led:
    """Return what a word says of guidance; raises `ArgumentTypeError`."""
    scale = "1" if word == "any" else word.removeprefix("any:")
    try:
        return Led(strength(scale), by_class=not word.startswith("any"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _once(chosen: Sequence[Any]) -> tuple[Any, ...]:
    """Return what was chosen, each of it once."""
    return tuple(dict.fromkeys(chosen))


@resumable()
def run_distances(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Carry out the study; return what to print as JSON, and the lines for people. What the file
    holds of the same weights beside that stays there.

    Raises a one-line `ValueError` for options that do not fit, and where the network is missing.
    """
    drawn = Drawn(
        n=chosen.n,
        steps=_once(chosen.steps),
        guidance=_once(chosen.guidance),
        seed=chosen.seed,
        features=chosen.features,
        methods=_once(chosen.method or [None]),
        grids=_once(chosen.grid),
        guides=_once(chosen.guide),
        intervals=_once([*map(tuple, chosen.guidance_interval or ())]) or USUAL.intervals,
    )
    until, opened = end_of(chosen.minutes), open_model(chosen.model)
    _check(opened, drawn)
    known = {OWN: opened.trained_on} if opened.trained_on else PROCESSES
    titles = _once(chosen.process) or (OWN if opened.trained_on else WHITE,)
    for title in titles:
        if title not in known:
            raise ValueError(f"process = {title!r}, but {chosen.model} knows {', '.join(known)}.")
    load_features(drawn.features)  # refuses what is missing before anything is drawn
    torch.set_num_threads(1)
    tune_malloc()
    model = opened.denoiser.set_precision("auto")
    work = chosen.work or WORK / Path(chosen.model).stem
    cells = Cells(work, printer(chosen), until)
    processes, digest = {title: known[title].on(model) for title in titles}, _digest(chosen.model)
    guides = {name: _guide(name, model) for name in drawn.guides if name not in (NULL, FREE)}
    study = DistanceStudy(cells, drawn, model, digest, processes, opened.data, guides)
    study.check()
    complete = False
    with suppress(OutOfTimeError):
        study.compute()
        complete = True
    command = _command(chosen, drawn)
    own = {"model": chosen.model, "images": opened.images_seen}
    rows = [row | {"command": command} | (own if row["weights"] else {}) for row in study.rows()]
    found = {"command": command, "features": drawn.features, "data": opened.data}
    found |= {"complete": complete}
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / f"distances-{opened.data}.json"
    state = "complete" if complete else "stopped; rerun to continue"
    if rows or not path.is_file():  # what was measured before is worth more than nothing
        found |= {"rows": [*_others(path, found, rows), *rows]} | versions()
        write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return {"file": str(path), "complete": complete}, [*lines(rows), f"{state}: {path}"]


def _check(opened: LoadedModel, drawn: Drawn) -> None:
    """Raise `ValueError` for a model that draws no images 3×32×32, and too few real ones."""
    shape = opened.denoiser.basis.shape
    if shape != (3, 32, 32) or not opened.data:
        raise ValueError(f"{opened.name} draws fields {shape}; images (3, 32, 32) are needed.")
    for split in ("test", "train"):
        count = len(opened.images(split).images)
        if drawn.n > count:
            raise ValueError(
                f"n = {drawn.n} is outside [{LEAST}, {count}]: {opened.data} has {count:,} "
                f"{split} images."
            )


def _others(
    path: Path, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of a file that are of the same features, and of other weights or settings
    than the new ones; none of a file that is damaged.
    """
    try:
        with reading(path):
            kept = read_results(path)
            if any(kept[key] != found[key] for key in ("features", "data")):
                return []
            new = [_setting(row) for row in rows]
            return [row for row in kept["rows"] if _setting(row) not in new]
    except (OSError, ValueError):
        return []


def _setting(row: Mapping[str, Any]) -> list[Any]:
    """Return what a row is of."""
    keys = ("way", "weights", "process", "steps", "method", "grid", "n")
    return [row[key] for key in keys]


def _guide(name: str, model: Denoiser) -> tuple[Denoiser, str]:
    """Return a guide and a digest of its file; raises `ValueError` for one of other data."""
    guide = open_model(name).denoiser.set_precision("auto")
    in_basis(guide, model.basis)
    return guide, _digest(name)


def _digest(name: str) -> str:
    """Return a digest of the file of a model that `open_model` opens."""
    if name.endswith(".safetensors"):
        return sha256(Path(name))
    path = pretrained_folder() / name / "model.safetensors"
    return sha256(path if path.is_file() else runs.model_path(name))


def _command(chosen: argparse.Namespace, drawn: Drawn) -> str:
    """Return the command line of the study, without where things are on this machine."""
    scales = " ".join(each.typed for each in drawn.guidance)
    steps = " ".join(map(str, drawn.steps))
    words = f"rgdiff study distances --model {chosen.model} --n {drawn.n} --steps {steps}"
    words += f" --guidance {scales}"
    if chosen.process:
        words += " ".join([" --process", *(f"'{each}'" for each in chosen.process)])
    words += " ".join([" --method", *chosen.method]) if chosen.method else ""
    words += " ".join([" --grid", *drawn.grids]) if drawn.grids != USUAL.grids else ""
    words += " ".join([" --guide", *drawn.guides]) if drawn.guides != USUAL.guides else ""
    for low, high in filter(None, drawn.intervals):
        words += f" --guidance-interval {low:g} {high:g}"
    words += f" --features {drawn.features}" if drawn.features != USUAL.features else ""
    return words + (f" --seed {drawn.seed}" if drawn.seed else "")


COMMANDS: Entries = {"distances": Entry(distances_options, run_distances)}
