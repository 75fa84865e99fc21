"""`rgdiff study distances`: FID and KID of a model's samples."""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.guidance import open_guide, strength
from rgdiff_core.cli.model_names import model_digest, model_name, model_typed
from rgdiff_core.cli.numbers import finite
from rgdiff_core.cli.options import resuming_options
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.guidance import FREE, NULL, as_typed
from rgdiff_core.evaluation.features import load_features
from rgdiff_core.evaluation.features.extraction import NAMES
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import reading
from rgdiff_core.pretraining.images import OWN, PROCESSES
from rgdiff_core.sampling import GRIDS, METHODS
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.images.distances import DistanceStudy
from rgdiff_core.study.images.distances_drawn import LEAST, REAL, Drawn, GuidanceScale, lines
from rgdiff_core.study.report import read_results, versions
from rgdiff_core.training.models import LoadedModel, open_model
from rgdiff_core.training.state import tune_malloc

__all__ = ["distances_options", "run_distances"]

WORK = Path("runs/study-distances")
MODEL, WHITE = "cifar10-conditional", "white noise, linear log-SNR"
USUAL = Drawn()
ELSEWHERE = "Move it away, or choose another --out."


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
        "weaker MODEL of the same data, without the class; each in turn",
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


def _led(word: str) -> GuidanceScale:
    """Return what a word says of guidance; raises `ArgumentTypeError`."""
    scale = "1" if word == "any" else word.removeprefix("any:")
    try:
        return GuidanceScale(strength(scale), by_class=not word.startswith("any"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _once(chosen: Sequence[Any]) -> tuple[Any, ...]:
    """Return what was chosen, each of it once."""
    return tuple(dict.fromkeys(chosen))


@resumable()
def run_distances(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Carry out the study; return what to print as JSON, and the lines for people. What the file
    holds of other weights, settings and seeds stays there.

    Raises a one-line `ValueError` for options that do not fit, where the network is missing, and
    where the file is damaged or of other features.
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
    path = chosen.out / f"distances-{opened.data}.json"
    _known_rows(path, drawn.features)  # refuses a bad file before anything is drawn
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
    processes = {title: known[title].on(model) for title in titles}
    guides = _guides(drawn.guides, model)
    drawn, digest = replace(drawn, guides=tuple(guides)), model_digest(chosen.model)
    models = {name: guide for name, guide in guides.items() if guide is not None}
    study = DistanceStudy(cells, drawn, model, digest, processes, opened.data, models)
    study.check()
    complete = False
    with suppress(OutOfTimeError):
        study.compute()
        complete = True
    command = _command(chosen, drawn)
    own = {"model": model_name(chosen.model), "images": opened.images_seen}
    rows = [row | {"command": command} | (own if row["weights"] else {}) for row in study.rows()]
    found = {"command": command, "features": drawn.features, "data": opened.data}
    found |= {"complete": complete}
    chosen.out.mkdir(parents=True, exist_ok=True)
    state = "complete" if complete else "stopped; rerun to continue"
    if rows or not path.is_file():  # what was measured before is worth more than nothing
        others = _others(_known_rows(path, drawn.features), rows)
        found |= {"rows": [*others, *rows]} | versions()
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


def _known_rows(path: Path, features: str) -> list[dict[str, Any]]:
    """Return the rows of a file of results, none where there is no file.

    Raises a one-line `ValueError` for a damaged one, and one with rows of other features.
    """
    if not path.is_file():
        return []
    try:
        kept = read_results(path)
        with reading(path):
            rows = [dict(row) for row in kept["rows"]]
            for row in rows:
                _setting(row)
            there = kept["features"] if rows else features
    except ValueError as error:
        raise ValueError(f"{error} {ELSEWHERE}") from None
    if there != features:
        raise ValueError(f"{path} has distances of other features, {there}. {ELSEWHERE}")
    return rows


def _others(
    known: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return the known rows that are of other weights, settings or seeds than the new ones."""
    new = [_setting(row) for row in rows]
    return [row for row in known if _setting(row) not in new]


def _setting(row: Mapping[str, Any]) -> list[Any]:
    """Return what a row is of. Its way has the scale of the guidance, and its interval.

    Rows of earlier versions have no seed, which was 0 in what was kept, and no guide's weights.
    """
    keys = ("way", "process", "steps", "method", "grid", "n")
    setting = [row[key] for key in keys]
    if row["way"] == REAL:
        return setting
    return [*setting, row.get("weights"), row.get("guide_weights", ""), row.get("seed", 0)]


def _guides(words: Sequence[str], model: Denoiser) -> dict[str, tuple[Denoiser, str] | None]:
    """Return guides by name, those that are models with digests of their files, None for NULL and
    FREE. Different files have different names.
    """
    guides: dict[str, tuple[Denoiser, str] | None] = {}
    for word in words:
        if word in (NULL, FREE):
            guides[word] = None
            continue
        guide = open_guide(word, model).set_precision("auto"), model_digest(word)
        name = model_name(word)
        same = guides.get(name) or guide
        guides[name if same[1] == guide[1] else f"{name} {guide[1][:8]}"] = guide
    return guides


def _command(chosen: argparse.Namespace, drawn: Drawn) -> str:
    """Return the command line of the study, without where things are on this machine."""
    scales = " ".join(each.typed for each in drawn.guidance)
    steps = " ".join(map(str, drawn.steps))
    words = f"rgdiff study distances --model {model_typed(chosen.model)} --n {drawn.n}"
    words += f" --steps {steps} --guidance {scales}"
    if chosen.process:
        words += " ".join([" --process", *(f"'{each}'" for each in chosen.process)])
    words += " ".join([" --method", *chosen.method]) if chosen.method else ""
    words += " ".join([" --grid", *drawn.grids]) if drawn.grids != USUAL.grids else ""
    guides = _once([model_typed(each) for each in chosen.guide])
    words += " ".join([" --guide", *guides]) if guides != USUAL.guides else ""
    for interval in filter(None, drawn.intervals):
        words += " ".join([" --guidance-interval", *map(as_typed, interval)])
    words += f" --features {drawn.features}" if drawn.features != USUAL.features else ""
    return words + (f" --seed {drawn.seed}" if drawn.seed else "")


COMMANDS: Entries = {"distances": Entry(distances_options, run_distances)}
