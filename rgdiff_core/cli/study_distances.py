"""`rgdiff study distances`: FID and KID of a model's samples, by guidance."""

import argparse
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from rgdiff_core.cli.base import Entries, Entry, printer
from rgdiff_core.cli.options import resuming_options
from rgdiff_core.denoisers.files import pretrained_folder, sha256
from rgdiff_core.evaluation.features import load_features
from rgdiff_core.evaluation.features.extraction import NAMES
from rgdiff_core.files.atomic import write_text
from rgdiff_core.pretraining.images import OWN, PROCESSES
from rgdiff_core.study.cells import Cells, OutOfTimeError, end_of, resumable
from rgdiff_core.study.images.distances import LEAST, DistanceStudy, Drawn, lines
from rgdiff_core.study.report import versions
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
    parser.add_argument("--steps", type=int, default=USUAL.steps, help=f"default {USUAL.steps}")
    parser.add_argument(
        "--guidance",
        type=float,
        nargs="*",
        default=list(USUAL.guidance),
        metavar="S",
        help="scales at which classes are drawn; default: 1 1.5 2",
    )
    parser.add_argument("--seed", type=int, default=USUAL.seed, help="default 0")
    resuming_options(parser, "features", str(WORK))


@resumable()
def run_distances(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Carry out the study; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit, and where the network is missing.
    """
    guidance = tuple(dict.fromkeys(chosen.guidance))
    drawn = Drawn(chosen.n, chosen.steps, guidance, chosen.seed, chosen.features)
    until, opened = end_of(chosen.minutes), open_model(chosen.model)
    _check(opened, drawn)
    processes = {OWN: opened.trained_on} if opened.trained_on else PROCESSES
    title = chosen.process or (OWN if opened.trained_on else WHITE)
    if title not in processes:
        raise ValueError(f"process = {title!r}, but {chosen.model} knows {', '.join(processes)}.")
    load_features(drawn.features)  # refuses what is missing before anything is drawn
    torch.set_num_threads(1)
    tune_malloc()
    model = opened.denoiser.set_precision("auto")
    work = chosen.work or WORK / Path(chosen.model).stem
    cells = Cells(work, printer(chosen), until)
    process, digest = processes[title].on(model), sha256(_file(chosen.model))
    study = DistanceStudy(cells, drawn, model, digest, process, opened.data)
    complete = False
    with suppress(OutOfTimeError):
        study.compute()
        complete = True
    rows = list(study.rows())
    found = {"command": _command(chosen, drawn), "model": chosen.model} | asdict(drawn)
    found |= {"process": title, "data": opened.data, "complete": complete, "rows": rows}
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = chosen.out / f"distances-{opened.data}.json"
    state = "complete" if complete else "stopped; rerun to continue"
    if rows or not path.is_file():  # what was measured before is worth more than nothing
        write_text(path, json.dumps(found | versions(), ensure_ascii=False, indent=1) + "\n")
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


def _file(model: str) -> Path:
    """Return the file of a model that `open_model` opens."""
    if model.endswith(".safetensors"):
        return Path(model)
    path = pretrained_folder() / model / "model.safetensors"
    return path if path.is_file() else runs.model_path(model)


def _command(chosen: argparse.Namespace, drawn: Drawn) -> str:
    """Return the command line of the study, without where things are on this machine."""
    scales = " ".join(f"{scale:g}" for scale in drawn.guidance)
    words = f"rgdiff study distances --model {chosen.model} --n {drawn.n} --steps {drawn.steps}"
    words += f" --guidance {scales}" if drawn.guidance else " --guidance"
    words += f" --process '{chosen.process}'" if chosen.process else ""
    words += f" --features {drawn.features}" if drawn.features != USUAL.features else ""
    return words + (f" --seed {drawn.seed}" if drawn.seed else "")


COMMANDS: Entries = {"distances": Entry(distances_options, run_distances)}
