"""Options that name a model, a process or a device."""

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from rgdiff_core.colors import Color
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.devices import device_of
from rgdiff_core.presets import PRESETS
from rgdiff_core.process import Process
from rgdiff_core.schedules import Schedule
from rgdiff_core.spec import Spec, from_dict, from_json
from rgdiff_core.training.models import LoadedModel, open_model

__all__ = [
    "device_option",
    "accelerated",
    "model_options",
    "open_chosen",
    "to_device",
    "process_from",
    "process_options",
    "resuming_options",
    "spec_from",
    "study_options",
    "theories_option",
]


S = TypeVar("S", bound=Spec)
PRECISIONS = {"auto": "auto", "32": "float32", "bf16": "bfloat16"}


def to_device(opened: LoadedModel, device: str) -> NetworkDenoiser:
    """Return the model on a device; "auto" takes a GPU where there is one and it is worth its way.

    A network that is fastest on one thread of the CPU is set to compute there.
    """
    small = opened.denoiser.spec.network.one_thread
    place = device_of("cpu" if device == "auto" and small else device)
    if place.type == "cpu" and small:
        torch.set_num_threads(1)
    try:
        return opened.denoiser.to(place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"the device {device!r} can't be used: {reason}.") from None


def accelerated(model: NetworkDenoiser, precision: str, compiled: bool) -> NetworkDenoiser:
    """Return the model, its network computing in a given precision or compiled (on a GPU with CUDA
    graphs).

    All around the network keeps its precision.

    Arguments:
        precision: "auto" for the fastest on the model's device, "32" or "bf16".
    """
    model.set_precision(PRECISIONS[precision])
    if compiled:
        on_gpu = model.modes_variance.device.type == "cuda"
        model.network.compile(mode="reduce-overhead" if on_gpu else "default")
    return model


def study_options(
    parser: argparse.ArgumentParser, budgets: Iterable[str], cost: str, work: str
) -> None:
    """Add the options that the resumable studies have in common.

    Arguments:
        budgets: by name; the default is "full".
        cost: what the full one takes, in words.
        work: where cells are kept by default, in words.
    """
    parser.add_argument(
        "--budget", choices=tuple(budgets), default="full", help=f"default: full, {cost}"
    )
    resuming_options(parser, "cells, models and samples", work)


def theories_option(
    parser: argparse.ArgumentParser, theories: Iterable[str], what: str = ""
) -> None:
    """Add the option that chooses theories, by default all of them.

    Arguments:
        theories: their names.
        what: words before the names in the help.
    """
    names = tuple(theories)
    parser.add_argument(
        "--theories",
        nargs="+",
        choices=names,
        default=list(names),
        metavar="NAME",
        help=f"{what}of {', '.join(names)} (default: all)",
    )


def resuming_options(parser: argparse.ArgumentParser, kept: str, work: str) -> None:
    """Add the options of a command that can be resumed.

    Arguments:
        kept: what is in its folder, in words.
        work: that folder by default, in words.
    """
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help=f"where {kept} are kept; what is finished there is not computed again (default: "
        f"{work})",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), metavar="FOLDER", help="default: results"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        help="stop starting new cells after this many minutes; rerun to continue",
    )


def coupling_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the couplings of a model along a line of them."""
    for name, symbol in (("mass2", "m²"), ("coupling", "λ")):
        parser.add_argument(
            f"--{name}",
            type=float,
            metavar="X",
            help=f"{symbol} of the fields, for a model along a line of couplings (default: the "
            "middle of the line)",
        )


def model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and where it computes."""
    parser.add_argument(
        "model", metavar="MODEL", help="a pretrained name, a run's id, or a .safetensors file"
    )
    coupling_options(parser)
    device_option(parser)
    parser.add_argument(
        "--precision",
        choices=tuple(PRECISIONS),
        default="auto",
        help="precision of the network (default auto: bf16 where this machine is faster with it, "
        "as measured at the start)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the network: for many samples or steps"
    )


def process_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a process."""
    parser.add_argument(
        "--process",
        metavar="FILE.json",
        help=f"a process, as exported and as sweeps write it; or a preset: {', '.join(PRESETS)}",
    )
    for name, example in (("schedule", "Cosine"), ("color", "White")):
        parser.add_argument(
            f"--{name}",
            metavar="SPEC",
            help=f"another {name}: JSON, a file with JSON, or a kind with its defaults, as "
            f"{example} (default: what the model was trained on, or matched noise with a sigmoid "
            "cutoff)",
        )


def process_from(chosen: argparse.Namespace, opened: LoadedModel) -> Process:
    """Return the process that the options name, in the model's basis.

    Raises a one-line `ValueError` where the options or the model do not fit.
    """
    model, color, schedule = opened.denoiser, opened.noise.color, opened.noise.schedule
    modes = model.modes
    if chosen.process in PRESETS:
        color, schedule = PRESETS[chosen.process].color, PRESETS[chosen.process].schedule
    elif chosen.process is not None:
        read = Process.from_json(Path(chosen.process).read_text(encoding="utf-8"))
        color, schedule = read.color, read.schedule
    color = color if chosen.color is None else spec_from(chosen.color, Color)
    if chosen.schedule is not None:
        schedule = spec_from(chosen.schedule, Schedule)
    return Process(model.basis, color, schedule, modes)


def spec_from(text: str, kind: type[S]) -> S:
    """Return the spec that is given as JSON, as a file with JSON, or by its kind's name."""
    if text.lstrip().startswith("{"):
        spec = from_json(text)
    elif text.endswith(".json"):
        spec = from_json(Path(text).read_text(encoding="utf-8"))
    else:
        spec = from_dict({"kind": text})
    if not isinstance(spec, kind):
        raise ValueError(f"{type(spec).__name__} is not a {kind.__name__}.")
    return spec


def device_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--device`."""

    def checked(name: str) -> str:
        try:
            device_of(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return name

    parser.add_argument(
        "--device",
        type=checked,
        default="auto",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:1 and so on, or mps; auto takes a CUDA GPU where there is one "
        "(default: auto)",
    )


def open_chosen(chosen: argparse.Namespace) -> LoadedModel:
    """Return the model that the options name, at the couplings that they name.

    Raises a one-line `ValueError` where there is none, and for couplings that the model was
    not trained for.
    """
    opened = open_model(chosen.model)
    m2, lam = chosen.mass2, chosen.coupling
    if m2 is None and lam is None:
        return opened
    line = opened.denoiser.line
    if line is None:
        raise ValueError(f"{opened.name} is not conditioned on couplings: leave them out.")
    return replace(opened, denoiser=opened.denoiser.at(*line.complete(m2, lam)))
