"""A model and a process by the words of a command line."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from rgdiff_core import data
from rgdiff_core.colors import Color, Matched
from rgdiff_core.data import ImageSet
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.devices import device_of, device_option
from rgdiff_core.networks import LatticeNet
from rgdiff_core.noises import OneProcess
from rgdiff_core.presets import PRESETS
from rgdiff_core.process import Process
from rgdiff_core.schedules import Cutoff, Schedule, SigmoidKernel
from rgdiff_core.spec import Spec, from_dict, from_json
from rgdiff_core.training import TrainConfig, runs
from rgdiff_core.training.config import parse_config
from rgdiff_core.weights import (
    list_pretrained,
    load_model,
    load_pretrained,
    pretrained_folder,
    read_metadata,
)

__all__ = [
    "Opened",
    "hastened",
    "model_options",
    "open_model",
    "placed",
    "process_from",
    "process_options",
    "spec_from",
]

S = TypeVar("S", bound=Spec)
DEFAULT = OneProcess(Matched(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0))


@dataclass(frozen=True, eq=False)
class Opened:
    """A model that was asked for by name.

    Attributes:
        name: What it was asked for by.
        denoiser: The model.
        data: The name of its data set, "" where its file does not say.
        noise: The process that it was trained on, or one that suits a universal model.
        own: Whether it was trained on that one process.
    """

    name: str
    denoiser: NetworkDenoiser
    data: str
    noise: OneProcess
    own: bool = False

    def images(self, split: str, chosen: str | None = None) -> ImageSet:
        """Return its data set, or another; raises `ValueError` where none is known."""
        name = chosen or self.data
        if not name:
            raise ValueError(f"{self.name} does not say what its data are: use --data NAME.")
        found = data.load(name, split)
        shape = tuple(found.images.shape[1:])
        if shape != self.denoiser.basis.shape:
            raise ValueError(
                f"the images of {name} have shape {shape}, those of {self.name} "
                f"{self.denoiser.basis.shape}."
            )
        return found


def open_model(name: str) -> Opened:
    """Return the model of a pretrained name, a run's id, or a path that ends in .safetensors.

    Raises `ValueError` with one sentence where there is none.
    """
    if name.endswith(".safetensors"):
        path = Path(name)
        told = read_metadata(path)
        return _opened(name, load_model(path), told.get("data", ""), _config(told))
    for each in list_pretrained():
        if each.name == name:
            model = load_pretrained(name)
            told = read_metadata(pretrained_folder() / name / "model.safetensors")
            return _opened(name, model, each.data, _config(told))
    config = next((run.config for run in runs.list_runs() if run.id == name), None)
    if config is None:
        known = ", ".join(each.name for each in list_pretrained())
        raise ValueError(
            f"{name!r} is no pretrained model ({known or 'none on this machine'}), no run with a "
            f"config, and no .safetensors file."
        )
    return _opened(name, load_model(runs.model_path(name)), config.data, config)


def _opened(name: str, denoiser: NetworkDenoiser, data: str, config: TrainConfig | None) -> Opened:
    if config is not None and isinstance(config.noise, OneProcess):
        return Opened(name, denoiser, data, config.noise, own=True)
    return Opened(name, denoiser, data, DEFAULT)


def _config(metadata: Mapping[str, str]) -> TrainConfig | None:
    """Return the config that a model's file keeps, None where it keeps none that is known."""
    try:
        return parse_config(metadata["config"], "the config of the model")
    except (KeyError, ValueError):
        return None


def placed(opened: Opened, device: str) -> NetworkDenoiser:
    """Return the model on a device; "auto" takes a GPU where there is one and it is worth its way.

    A lattice network on the CPU is set to compute on one thread, where it is fastest.
    """
    small = isinstance(opened.denoiser.spec.network, LatticeNet)
    place = device_of("cpu" if device == "auto" and small else device)
    if place.type == "cpu" and small:
        torch.set_num_threads(1)
    try:
        return opened.denoiser.to(place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"the device {device!r} can't be used: {reason}.") from None


def hastened(model: NetworkDenoiser, precision: str, compiled: bool) -> NetworkDenoiser:
    """Return the model, its network computing in bfloat16 or compiled (on a GPU with CUDA graphs).

    All around the network keeps its precision.
    """
    model.autocast = torch.bfloat16 if precision == "bf16" else None
    if compiled:
        on_gpu = model.modes_variance.device.type == "cuda"
        model.network.compile(mode="reduce-overhead" if on_gpu else "default")
    return model


def model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and where it computes."""
    parser.add_argument(
        "model", metavar="MODEL", help="a pretrained name, a run's id, or a .safetensors file"
    )
    device_option(parser)
    parser.add_argument(
        "--precision", choices=("32", "bf16"), default="32", help="of the network (default 32)"
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


def process_from(chosen: argparse.Namespace, opened: Opened) -> Process:
    """Return the process that the options name, in the model's basis.

    Raises `ValueError` with one sentence where the options or the model do not fit.
    """
    model, color, schedule = opened.denoiser, opened.noise.color, opened.noise.schedule
    modes = model.modes
    if chosen.process in PRESETS:
        color, schedule = PRESETS[chosen.process].color, PRESETS[chosen.process].schedule
    elif chosen.process is not None:
        read = Process.from_json(Path(chosen.process).read_text(encoding="utf-8"))
        color, schedule = read.color, read.schedule
    color = spec_from(chosen.color, Color) if chosen.color else color
    schedule = spec_from(chosen.schedule, Schedule) if chosen.schedule else schedule
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
