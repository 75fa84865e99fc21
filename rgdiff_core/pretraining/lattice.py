"""Pretrained models: train, evaluate, write the card, install. One command makes each of them.

`pretrained/<name>/config.toml` is the config; the command writes `model.safetensors`, `card.json`
with all numbers and `card.md` for people beside it, and the file's SHA-256 into `index.json`.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rgdiff_core import data
from rgdiff_core.colors import FreeTheory
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.files import (
    load_model,
    pretrained_folder,
    read_metadata,
    save_model,
    sha256,
    weights_type,
)
from rgdiff_core.evaluation import FlowMetrics, HeldOutMetrics, held_out, quality
from rgdiff_core.files.atomic import WriteError, replacing, write_text
from rgdiff_core.lattice import Phi4, hmc, observables
from rgdiff_core.presets import PRESETS
from rgdiff_core.pretraining.blocks import BlockCard, block_card, block_markdown
from rgdiff_core.pretraining.cards import CardHead
from rgdiff_core.pretraining.images import CardBudget, ImageCard, image_card, image_markdown
from rgdiff_core.pretraining.lines import LineCard, line_card, line_markdown
from rgdiff_core.pretraining.scan import GOOD, Scanner, told
from rgdiff_core.pretraining.sheet import renew_sheet
from rgdiff_core.process import Process
from rgdiff_core.sampling.growth import by_blocks
from rgdiff_core.schedules import LinearGamma
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import duration
from rgdiff_core.training import TrainConfig, load_config, train
from rgdiff_core.training.models import config_of, tried_processes
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.runs.folder import read_config, read_status

__all__ = ["Card", "PROCESSES", "markdown", "pretrain"]

# All of the literature but those in wavelets, columns and with jumps, and but linear log-SNR and
# the exploding ones, which lead through white noise as cosine does.
PRESET_NAMES = (
    "rg-cutoff",
    "ddpm",
    "cosine",
    "flow-matching",
    "equal-snr",
    "gud-soft",
    "inverse-heat",
    "blurring",
    "inverse-rg",
    "carosso",
    "polchinski",
    "flicker",
    "blue",
)
PROCESSES: Mapping[str, FixedProcess] = {  # of the card's scan
    **tried_processes(-9.0, 6.0),
    "noise of the free theory with m² = 0.3, linear log-SNR −9 to 7": FixedProcess(
        FreeTheory(0.3), LinearGamma(-9.0, 7.0)
    ),
    **{
        f"preset {PRESETS[name].title}": FixedProcess(PRESETS[name].color, PRESETS[name].schedule)
        for name in PRESET_NAMES
    },
}
HMC_SAMPLES = 200_000
MAX_BYTES = 34 << 20  # of a file in pretrained/
Say = Callable[[str], None]


@dataclass(frozen=True)
class Card(CardHead):
    """All that is known of a pretrained lattice model.

    Attributes:
        best: the process, by name, of the largest effective sample size in the scan.
        scan: quality by process, few samples each.
        quality: of the best process, many samples.
        held_out: on the test split, with the best process.
        hmc: susceptibility from a fresh hybrid Monte Carlo run.
        gaussian_nll: of the free theory on the same configurations.
        grids: as of `Scan`.
    """

    best: str
    scan: Mapping[str, FlowMetrics]
    quality: FlowMetrics
    held_out: HeldOutMetrics
    hmc: Estimate
    gaussian_nll: Estimate
    grids: Mapping[str, str] = field(default_factory=dict)


def pretrain(
    name: str,
    work: Path,
    *,
    samples: int = 512,
    scan_samples: int = 64,
    steps: int = 16,
    images: CardBudget | None = None,
    device: str = "auto",
    unfinished: bool = False,
    say: Say = print,
) -> Card | BlockCard | LineCard | ImageCard:
    """Train the model of `pretrained/<name>/config.toml`, evaluate it and install it.

    Arguments:
        work: the run folder; an unfinished run in it goes on, a finished one is evaluated.
        samples: drawn for the card's numbers; half as many at each of several couplings.
        scan_samples: drawn in the scan over processes.
        steps: of the integrator of the density; half as many along a line of couplings. Of a
            model of blocks, those of the sampler.
        images: what a model of images is measured on; the three above are for lattices.
        device: of the training.
        unfinished: whether a run that is not at its end is taken as it stands, and not gone on
            with.

    Raises `ValueError` where there is no such config, training fails, or a file gets too large.
    """
    home = pretrained_folder() / name
    if Path(name).name != name or not (home / "config.toml").is_file():
        raise ValueError(f"there is no {home / 'config.toml'}.")
    config = load_config(home / "config.toml")
    action = data.action_of(config.data)
    kept = work / "checkpoint" / "model.safetensors"
    if unfinished:
        if read_config(work) != config or not kept.is_file():
            raise ValueError(f"{work} holds no checkpoint of a run of {name}.")
    else:
        _finish(config, work, device)
    say(f"trained {read_metadata(kept).get('step', config.steps)} steps")
    config = config_of(read_metadata(kept)) or config  # with the schedule, if it was learned
    model = load_model(kept)
    try:
        if model.line is not None:
            less = samples // 2, scan_samples, steps // 2  # there are many couplings
            card = line_card(name, config, model, work, PROCESSES, less, say)
            text = line_markdown(card)
        elif action is None:
            return _install_images(name, config, model, home, work, images or CardBudget(), say)
        elif by_blocks(model):
            card = block_card(name, config, action, model, work, steps, say)
            text = block_markdown(card, action)
        else:
            card = _evaluate(name, config, action, work, (samples, scan_samples, steps), say)
            text = markdown(card, action)
        extra = {"data": config.data, "name": name, "config": config.to_json()}
        save_model(model, home / "model.safetensors", extra)
        _write_card(card, text, home)
    except WriteError as error:
        raise OSError(f"{error}; the model is kept in {work}.") from error
    return card


def _finish(config: TrainConfig, work: Path, device: str) -> None:
    """Train to the end, unless that is done."""
    status = read_status(work)
    if status is not None and status.state == "finished" and read_config(work) == config:
        return
    outcome = train(config, work, resume=True, device=device)
    if outcome.state != "finished":
        why = outcome.message or "The same command goes on."
        raise ValueError(f"training is {outcome.state} at step {outcome.step}. {why}")


def _install_images(
    name: str,
    config: TrainConfig,
    model: NetworkDenoiser,
    home: Path,
    work: Path,
    budget: CardBudget,
    say: Say,
) -> ImageCard:
    """Install a model of images with 16-bit weights, and evaluate what was installed.

    A run whose own file has 16-bit weights already is installed as it is.
    """
    path, own = home / "model.safetensors", work / "checkpoint" / "model.safetensors"
    if weights_type(own) == torch.bfloat16:
        with replacing(path) as part:
            shutil.copyfile(own, part)
    else:
        made = read_metadata(work / "checkpoint" / "model.safetensors")
        kept = {key: made[key] for key in ("step", "started_from") if key in made}
        extra = {"data": config.data, "name": name, "config": config.to_json()} | kept
        save_model(model, path, extra, dtype=torch.bfloat16, split=True)
    for each in sorted(home.glob("*.safetensors")):
        if each.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{each.name} has {each.stat().st_size >> 20} MiB; a pretrained model's file has "
                f"at most {MAX_BYTES >> 20}: use a smaller network."
            )
    card = image_card(name, config, load_model(path), work, budget, say)
    _write_card(card, image_markdown(card), home)
    renew_sheet(name, budget.device)
    return card


def _write_card(card: Card | BlockCard | ImageCard | LineCard, markdown: str, home: Path) -> None:
    """Write what is known of a model beside it, and enter it in the index."""
    write_text(home / "card.json", json.dumps(asdict(card), indent=1, ensure_ascii=False) + "\n")
    write_text(home / "card.md", markdown)
    _index(card, home / "model.safetensors")


def _evaluate(
    name: str,
    config: TrainConfig,
    action: Phi4,
    work: Path,
    budget: tuple[int, int, int],
    say: Say,
) -> Card:
    n, few, steps = budget
    model = load_model(work / "checkpoint" / "model.safetensors")
    test = data.load(config.data, "test")
    x, chains = test.images[:n], None if test.chains is None else test.chains[:n]
    generator = torch.Generator().manual_seed(config.seed)
    scan = Scanner(model, PROCESSES, action, few, steps, generator, say).scan()
    best = scan.best
    process, grid = PROCESSES[best].on(model), scan.grid(best)
    measured = quality(model, process, action, n, steps, generator, grid=grid)
    say(f"{best}, {n} samples: ESS {measured.ess}")
    held = held_out(model, process, action, x, steps, measured.log_z, grid=grid, chains=chains)
    say(f"held out: {held.nll} nats, {held.forward_kl} above the entropy")
    free = _gaussian_nll(model, process, x, chains)
    size = x.shape[-1]
    reference = hmc(action, size, HMC_SAMPLES, generator=generator, thinning=4)
    return Card(
        **CardHead.fields_of(name, config, model, work),
        best=best,
        scan=scan.found,
        grids=scan.grids,
        quality=measured,
        held_out=held,
        hmc=observables(reference.configurations, n_chains=reference.n_chains)["susceptibility"],
        gaussian_nll=free,
    )


def _gaussian_nll(
    model: Any, process: Process, x: torch.Tensor, chains: torch.Tensor | None
) -> Estimate:
    from rgdiff_core.denoisers import GaussianDenoiser

    log_density = GaussianDenoiser(model.basis, model.modes).log_density(x, 0.0, process)
    return Estimate.of(-log_density.cpu().double(), chains)


def _index(card: Card | BlockCard | LineCard | ImageCard, model: Path) -> None:
    path = pretrained_folder() / "index.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    entry = {"name": card.name, "title": card.title, "data": card.data, "sha256": sha256(model)}
    kept = [each for each in entries if each["name"] != card.name]
    ordered = sorted([*kept, entry], key=lambda each: each["name"])
    write_text(path, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def markdown(card: Card, action: Phi4) -> str:
    """Write a card for people."""
    q, held = card.quality, card.held_out
    rows = "\n".join(
        f"| {told(title, each, card.grids)} | {each.ess} | {each.reverse_kl} | "
        f"{each.susceptibility} |"
        for title, each in card.scan.items()
    )
    gap = card.gaussian_nll.value - held.entropy.value
    lowest, worst = min(card.scan.items(), key=lambda each: each[1].ess.value)
    return f"""# {card.name}: {card.title}

A universal denoiser in the Fourier basis: one network for every schedule and every colour.

- **Data**: φ⁴ at m² = {action.m2:g}, λ = {action.lam:g}, `{card.data}`, generated by hybrid Monte
  Carlo; 20,000 configurations to train on.
- **Budget**: {card.parameters:,} parameters, {card.all_steps}, {duration(card.train_s)} on
  {card.device}; the seed is in `config.toml`.
- **Command**: `{card.command}`

Over the {len(card.scan)} processes of the scan below the effective sample size is at least
{worst.ess}, with *{lowest}*. The other numbers are for the probability flow of the best process,
*{card.best}*, integrated with {q.nfe} evaluations, in equal steps of the log-SNR. What had less
than {GOOD:g} was measured again, on the time grid and with the evaluations that are named, chosen
on other samples, and stands here where that was better. Errors are one standard error. All numbers
are in `card.json`.

| quantity | value |
|:--|:--|
| effective sample size, {q.n} samples | {q.ess} |
| KL(q\\|p) in nats | {q.reverse_kl} |
| log Z from the weights | {q.log_z} |
| held-out NLL in nats, {held.n} configurations | {held.nll} |
| the same for the free theory | {card.gaussian_nll} |
| entropy ⟨S⟩ + log Z, the least possible | {held.entropy} |
| KL(p\\|q) in nats | {held.forward_kl} |
| share of the free theory's distance that is left | {held.forward_kl.value / gap:.1%} |
| susceptibility of the samples | {q.susceptibility} |
| the same, reweighted | {q.reweighted} |
| the same, hybrid Monte Carlo | {card.hmc} |

The scan, {next(iter(card.scan.values())).n} samples each:

| process | ESS | KL(q\\|p) | susceptibility |
|:--|:--|:--|:--|
{rows}
"""
