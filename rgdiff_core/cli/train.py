"""`rgdiff train`: what its options are and what it does."""

import argparse
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.options import device_option
from rgdiff_core.terminal import duration
from rgdiff_core.training.config import TrainConfig, load_config, override, settings
from rgdiff_core.training.presets import PRESETS
from rgdiff_core.training.records import Status
from rgdiff_core.training.timing import measure
from rgdiff_core.training.trainer import Outcome, train

__all__ = ["config_from", "config_options", "run_train", "train_options", "weights_option"]

NAME = 22  # characters that a field's name has in a list
INDENT, WIDTH = NAME + 2, 79


def config_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a config."""
    names = ", ".join(PRESETS)
    parser.add_argument("config", metavar="CONFIG", help=f"a .toml or .json file, or: {names}")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="change a field of the config, as lr=3e-4 or model.network=unet-1m; all are below",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _fields()


def _fields() -> str:
    """Return the fields of a config and what they are, one after another."""
    told = [
        textwrap.fill(
            f"{name:<{NAME}}{each.help}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * INDENT,
        )
        for name, each in settings().items()
    ]
    return "\n".join(["fields:", *told])


def config_from(chosen: argparse.Namespace) -> TrainConfig:
    """Return the config that the options name; raises a one-line `ValueError`."""
    if chosen.config in PRESETS:
        return override(PRESETS[chosen.config].config, chosen.overrides)
    path = Path(chosen.config)
    if not path.is_file():
        known = ", ".join(PRESETS)
        raise ValueError(f"{chosen.config!r} is neither a file nor one of {known}.")
    return load_config(path, chosen.overrides)


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a model to start from."""
    parser.add_argument(
        "--from",
        dest="weights",
        type=Path,
        metavar="FILE",
        help="start from the weights of a .safetensors model of the same network",
    )


def train_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff train`."""
    config_options(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on from its last checkpoint")
    weights_option(parser)
    device_option(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="take a few steps and say how long it would take"
    )


def run_train(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Train, or measure; return what to print as JSON, and the lines for people.

    Raises `ValueError` where the run fails, so that the exit status is 1.
    """
    config = config_from(chosen)
    if chosen.dry_run:
        timing = measure(config, chosen.device)
        lines = [
            f"{timing.parameters:,} parameters, {1000 * timing.step_s:.1f} ms per step on "
            f"{timing.device}: {duration(timing.total_s)} for {config.steps:,} steps."
        ]
        return {"config": config.to_json()} | asdict(timing), lines
    if chosen.resume and chosen.out is None:
        raise ValueError("--resume needs --out FOLDER, the run to go on with.")
    if chosen.resume and not (chosen.out / "config.json").is_file():
        raise ValueError(f"{chosen.out} holds no run to go on with: leave --resume out to begin.")
    if chosen.resume and chosen.weights is not None:
        raise ValueError("--resume goes on with a run and --from begins one: give one of them.")
    folder = chosen.out or Path("runs") / time.strftime(f"{config.data}-%Y%m%d-%H%M%S")
    outcome = train(
        config,
        folder,
        resume=chosen.resume,
        weights=chosen.weights,
        device=chosen.device,
        on_point=_show,
    )
    if outcome.state == "failed":
        raise ValueError(outcome.message)
    return asdict(outcome) | {"folder": str(folder)}, [_summary(outcome, folder)]


def _summary(outcome: Outcome, folder: Path) -> str:
    return f"{outcome.state} at step {outcome.step}: {folder / 'checkpoint' / 'model.safetensors'}"


def _show(row: Mapping[str, Any], status: Status) -> None:
    """Write a line for each point of the curves: over itself on a terminal."""
    if "held_out" in row:
        text = f"step {row['step']}: held-out gain {row['held_out']['gain']:+.5f}"
        print(f"\r\033[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)
        return
    left = duration(status.eta_s or 0)
    gain = "–" if row["gain"] is None else f"{row['gain']:+.5f}"  # no step on the home lattice
    text = (
        f"{100 * status.step / status.steps:3.0f} %  step {status.step}  loss {row['loss']:.4f}  "
        f"gain {gain}  {row['images_per_s']:.0f} images/s  {left} left"
    )
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


COMMANDS: Entries = {"train": Entry(train_options, run_train)}
