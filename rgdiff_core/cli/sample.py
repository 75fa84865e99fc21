"""`rgdiff sample`: draw fields from a model and write them to a file."""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.guidance import guidance_from, guidance_options
from rgdiff_core.cli.options import (
    accelerated,
    model_options,
    open_chosen,
    process_from,
    process_options,
    to_device,
)
from rgdiff_core.denoisers import GuidanceCurve
from rgdiff_core.files.atomic import check_place, replacing
from rgdiff_core.process import Process
from rgdiff_core.sampling import GRIDS, METHODS, State, sample, usual_method
from rgdiff_core.search import optimal_times
from rgdiff_core.seeds import MAX_SEED, STREAMS, streams
from rgdiff_core.spec import check_whole
from rgdiff_core.terminal import bar
from rgdiff_core.training.models import LoadedModel

__all__ = ["run_sample", "sample_options"]

SUFFIXES = (".npz", ".png")
BEST_IMAGES = 512  # that the best grid is found on
TOGETHER = 1 << 22  # values in one batch


def sample_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff sample`."""
    model_options(parser)
    process_options(parser)
    guidance_options(parser)
    parser.add_argument("--n", type=int, default=64, help="number of fields (default 64)")
    parser.add_argument("--steps", type=int, default=20, help="sampler steps (default 20)")
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=None,
        help="default: dpmpp_2m, or shell for a discontinuous schedule",
    )
    parser.add_argument(
        "--grid",
        default="uniform",
        help=f"times: {', '.join(GRIDS)}, best (found on the model's data), or numbers that fall "
        "from 1 to 0, as 1,0.5,0 (default uniform)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="field i is the same for equal seeds, however many are drawn (default 0)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("samples.npz"),
        metavar="FILE",
        help=".npz for the numbers, labels, couplings; .png for a picture (default samples.npz)",
    )


def run_sample(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Draw and write; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    if chosen.out.suffix not in SUFFIXES:
        raise ValueError(f"{chosen.out} ends neither in .npz nor in .png.")
    check_place(chosen.out)
    check_whole("n", chosen.n, 1, STREAMS)
    check_whole("seed", chosen.seed, 0, MAX_SEED)
    opened = open_chosen(chosen)
    model = accelerated(to_device(opened, chosen.device), chosen.precision, chosen.compile)
    process = process_from(chosen, opened)
    guidance = guidance_from(chosen, model)
    method = chosen.method or usual_method(process)
    grid = _grid(chosen.grid, chosen.steps, opened, process)
    steps = chosen.steps if isinstance(grid, str) else len(grid) - 1
    together = max(1, TOGETHER // math.prod(model.basis.shape))
    parts, start = [], time.perf_counter()
    for done in range(0, max(chosen.n, 1), together):
        here = min(together, chosen.n - done)

        def report(state: State, done: int = done, here: int = here) -> None:
            count = done * steps + here * state.step
            bar(count, chosen.n * steps, f"{count // steps} of {chosen.n} fields")

        random = streams(chosen.seed, here, done)
        guided = guidance.of(model, done, here)
        x = sample(guided, process, here, steps, method, random, report, grid=grid)
        parts.append(x.cpu())
    seconds = time.perf_counter() - start
    x, labels = torch.cat(parts), guidance.labels(0, chosen.n)
    arrays = {"images": x.numpy()}
    if labels is not None:
        arrays["labels"] = labels.numpy()
    if model.couplings is not None:  # as `rgdiff data import` reads them
        arrays |= {
            name: np.array(g) for name, g in zip(("m2", "lam"), model.couplings, strict=True)
        }
    if chosen.out.suffix == ".npz":
        with replacing(chosen.out) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    else:
        _picture(x, opened, chosen.out)
    report_of = {
        "file": str(chosen.out),
        "n": len(x),
        "steps": steps,
        "method": method,
        "grid": grid,
        "seed": chosen.seed,
        "classes": [model.class_names[each] for each in guidance.classes],
        "couplings": model.couplings,
        "guidance": list(guidance.scale.values)
        if isinstance(guidance.scale, GuidanceCurve)
        else guidance.scale,
        "guidance_interval": guidance.interval,
        "guide": chosen.guide,
        "color": process.color.to_json(),
        "schedule": process.schedule.to_json(),
        "seconds": round(seconds, 3),
    }
    at = "" if model.couplings is None else " at m² = {:g}, λ = {:g}".format(*model.couplings)
    line = f"{len(x)} fields{at} in {seconds:.2f} s, {steps} steps of {method}: {chosen.out}"
    return report_of, [line]


def _grid(text: str, steps: int, opened: LoadedModel, process: Process) -> str | tuple[float, ...]:
    if text in GRIDS:
        return text
    if text == "best":
        images = opened.images("train").images[:BEST_IMAGES]
        return optimal_times(opened.denoiser, process, images, steps, max(128, steps))
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"grid = {text!r} is not one of {', '.join(GRIDS)}, best, and no numbers."
        ) from None


def _picture(x: Tensor, opened: LoadedModel, path: Path) -> None:
    """Write fields side by side, from the darkest to the brightest value of the data."""
    import imageio.v3 as iio
    from torchvision.utils import make_grid

    low, high = float(x.min()), float(x.max())
    if opened.data:
        known = opened.images("train")
        low, high = known.low, known.high
    share = ((x - low) / (high - low)).clamp(0, 1)
    large = share.repeat_interleave(4, -1).repeat_interleave(4, -2)
    tiles = make_grid(large, max(1, round(len(x) ** 0.5)), 4, pad_value=1)
    pixels = (255 * tiles).round().byte().movedim(0, -1).numpy()
    with replacing(path) as part:
        part.write_bytes(iio.imwrite("<bytes>", pixels, extension=".png"))


COMMANDS: Entries = {"sample": Entry(sample_options, run_sample)}
