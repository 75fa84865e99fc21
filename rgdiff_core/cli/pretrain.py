"""`rgdiff pretrain`."""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.options import device_option
from rgdiff_core.devices import device_of
from rgdiff_core.pretraining.blocks import BlockCard
from rgdiff_core.pretraining.images import CardBudget, ImageCard
from rgdiff_core.pretraining.lattice import Card, pretrain
from rgdiff_core.pretraining.lines import LineCard
from rgdiff_core.pretraining.rescan import rescan
from rgdiff_core.pretraining.scan import GOOD
from rgdiff_core.pretraining.sheet import renew_sheet
from rgdiff_core.spec import check_whole
from rgdiff_core.terminal import duration

__all__ = ["pretrain_options", "run_pretrain"]


def pretrain_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff pretrain`."""
    parser.add_argument("name", metavar="NAME", help="a folder of pretrained/ with a config.toml")
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="the run folder (default: runs/pretrain-NAME); an unfinished run in it goes on",
    )
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="take an unfinished run as it stands at its last checkpoint, and do not go on",
    )
    parser.add_argument(
        "--sheet",
        action="store_true",
        help="models of images: only draw the stored samples of the installed model again",
    )
    parser.add_argument(
        "--rescan",
        action="store_true",
        help="lattice models: only measure the processes of the installed card again whose "
        f"effective sample size is below {GOOD:g}, on other time grids",
    )
    parser.add_argument(
        "--samples", type=int, default=512, help="samples for the card (default 512)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=16,
        help="lattice models: steps of the integrator of the density (default 16)",
    )
    usual = CardBudget()
    parser.add_argument(
        "--images",
        type=int,
        default=usual.images,
        help=f"models of images: held-out images for bits/dim (default {usual.images})",
    )
    parser.add_argument(
        "--flow",
        type=int,
        default=usual.flow,
        help="models of images: held-out images for the probability flow (default none)",
    )
    device_option(parser)
    parser.add_argument(
        "--scan-samples",
        type=int,
        default=64,
        help="samples for each process of the scan (default 64)",
    )


def run_pretrain(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Make a pretrained model; return what to print as JSON, and the lines for people."""
    for name in ("samples", "scan_samples", "images"):
        check_whole(name, getattr(chosen, name), 2, 1_000_000)
    check_whole("flow", chosen.flow, 0, 1_000_000)
    check_whole("steps", chosen.steps, 2, 1000)
    start = time.monotonic()
    if chosen.sheet:
        path = renew_sheet(chosen.name, str(device_of(chosen.device)))
        return {"sheet": str(path)}, [str(path)]
    if chosen.rescan:
        torch.set_num_threads(1)  # small networks wait for one another on several
        scan = rescan(chosen.name, chosen.scan_samples, chosen.steps, _say(chosen))
        worst = min(scan.found, key=lambda title: scan.found[title].ess.value)
        ess = scan.found[worst].ess
        line = f"{chosen.name}: ESS at least {ess} of {len(scan.found)} processes, with {worst}"
        return asdict(scan), [line]
    work = chosen.work or Path("runs") / f"pretrain-{Path(chosen.name).name}"
    card = pretrain(
        chosen.name,
        work,
        samples=chosen.samples,
        scan_samples=chosen.scan_samples,
        steps=chosen.steps,
        images=_image_budget(chosen),
        device=chosen.device,
        unfinished=chosen.unfinished,
        say=_say(chosen),
    )
    took = duration(time.monotonic() - start)
    return asdict(card), [f"{card.name}: {_figure(card)}, in {took}"]


def _say(chosen: argparse.Namespace) -> Callable[[str], None]:
    return lambda text: None if chosen.json else print(text, flush=True)


def _figure(card: Card | BlockCard | LineCard | ImageCard) -> str:
    """Return the number that a card is looked at for."""
    if isinstance(card, BlockCard):
        last = card.rows[-1]
        return f"⟨φ²⟩ off by {last.percent('phi2')} % at {last.side}×{last.side}"
    if isinstance(card, ImageCard):
        return f"at most {card.report.bits} bits/dim with {card.best}"
    if isinstance(card, LineCard):
        worst = min((row.quality.ess for row in card.rows), key=lambda ess: ess.value)
        between = "between the couplings that it was trained on"
        return f"ESS {worst} or more {between}, with {card.best}"
    return f"ESS {card.quality.ess} with {card.best}"


def _image_budget(chosen: argparse.Namespace) -> CardBudget:
    return CardBudget(
        images=chosen.images,
        scan_images=min(CardBudget().scan_images, chosen.images),
        samples=chosen.samples,
        guided=min(CardBudget().guided, chosen.samples),
        flow=chosen.flow,
        device=str(device_of(chosen.device)),
    )


COMMANDS: Entries = {"pretrain": Entry(pretrain_options, run_pretrain)}
