"""Cards of pretrained models of images: what they were trained on, and how good they are."""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from rgdiff_core import data
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.evaluation import (
    ClassAgreement,
    ImageReport,
    SampleMetrics,
    class_agreement,
    evaluate_images,
    image_bound,
)
from rgdiff_core.evaluation.features import load_features
from rgdiff_core.evaluation.features.network import Classifier
from rgdiff_core.evaluation.images.classes import named
from rgdiff_core.pretraining.cards import CardHead
from rgdiff_core.process import Process
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import duration
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.models import tried_processes
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = ["CardBudget", "ImageCard", "image_card", "image_markdown"]

Say = Callable[[str], None]
GUIDANCE = (1.0, 1.5, 2.0, 3.0)
GUIDED = 2.0  # guidance at which processes are compared
SHEET = "samples.png"  # beside the card: see `sheet`
OWN = "the process that it was trained on"
PROCESSES = tried_processes(-11.0, 6.0)


@dataclass(frozen=True)
class CardBudget:
    """What a card is measured on.

    Attributes:
        images: held-out ones for the bound of the best process.
        scan_images: held-out ones for the bound of each process.
        draws: noise levels for each.
        samples: drawn with the best process.
        steps: of the sampler.
        flow: held-out images for the probability flow.
        device: its name.
        guided: samples of a model with classes at each scale of GUIDANCE.
        guided_steps: of their sampler.
    """

    images: int = 512
    scan_images: int = 128
    levels_per_image: int = 8
    samples: int = 256
    steps: int = 50
    flow: int = 0
    device: str = "cpu"
    guided: int = 200
    guided_steps: int = 16


@dataclass(frozen=True)
class ImageCard(CardHead):
    """All that is known of a pretrained model of images.

    Attributes:
        evaluated_on: the device of the numbers.
        best: the process, by name, of the least bits per dimension in the scan.
        scan: bits per dimension by process, on few images.
        report: of the best process.
        classes: of a model of CIFAR-10 with classes, how many samples are of the class asked for.
        real_classes: the same of held-out images.
        class_scan: the same of samples of each process of the scan, at guidance GUIDED.
    """

    evaluated_on: str
    best: str
    scan: Mapping[str, Estimate]
    report: ImageReport
    classes: tuple[ClassAgreement, ...] = ()
    real_classes: Estimate | None = None
    class_scan: Mapping[str, Estimate] = field(default_factory=dict)


def image_card(
    name: str,
    config: TrainConfig,
    model: NetworkDenoiser,
    work: Path,
    budget: CardBudget,
    say: Say,
) -> ImageCard:
    """Evaluate a model and return its card.

    Arguments:
        work: its run's folder.
    """
    model = model.to(budget.device)
    if torch.device(budget.device).type == "cuda":
        model.autocast = torch.bfloat16
    processes = {title: each.on(model) for title, each in tried_on(config).items()}
    few = data.load(config.data, "test").images[: budget.scan_images]
    scan: dict[str, Estimate] = {}
    for title, process in processes.items():
        scan[title] = image_bound(model, process, few, budget.levels_per_image).estimate
        say(f"{title}: at most {scan[title]} bits/dim")
    best = min(scan, key=lambda title: scan[title].value)
    report = evaluate_images(
        model,
        processes[best],
        config.data,
        budget.samples,
        budget.steps,
        config.seed,
        images=budget.images,
        levels_per_image=budget.levels_per_image,
        flow=budget.flow,
    )
    say(f"{best}: at most {report.bits} bits/dim")
    classes, real, class_scan = _classes(config, model, processes, best, budget, say)
    head = CardHead.fields_of(name, config, model, work, _title(config))
    return ImageCard(
        **head,
        evaluated_on=_device(budget.device, model.autocast),
        best=best,
        scan=scan,
        report=report,
        classes=classes,
        real_classes=real,
        class_scan=class_scan,
    )


def tried_on(config: TrainConfig) -> Mapping[str, FixedProcess]:
    """Return the processes, by title, that a model is tried on."""
    return {OWN: config.noise} if isinstance(config.noise, FixedProcess) else PROCESSES


def _classes(
    config: TrainConfig,
    model: NetworkDenoiser,
    processes: Mapping[str, Process],
    best: str,
    budget: CardBudget,
    say: Say,
) -> tuple[tuple[ClassAgreement, ...], Estimate | None, dict[str, Estimate]]:
    """Return how many samples of the best process are of the class asked for, how many held-out
    images, and how many samples of every process.
    """
    if config.data != "cifar10" or not model.num_classes:
        return (), None, {}
    classifier = load_features("cifar10", budget.device)
    if not isinstance(classifier, Classifier):
        return (), None, {}

    def agreement(title: str, guidance: tuple[float, ...]) -> tuple[ClassAgreement, ...]:
        sizes = budget.guided, budget.guided_steps, config.seed
        found = class_agreement(model, processes[title], classifier, guidance, *sizes)
        for each in found:
            say(f"{title}, guidance {each.guidance:g}: {each.share} are named the class asked for")
        return found

    found = agreement(best, GUIDANCE)
    shares = {each.guidance: each.share for each in found}
    scan = {
        title: shares[GUIDED] if title == best else agreement(title, (GUIDED,))[0].share
        for title in processes
    }
    test = data.load("cifar10", "test")
    real = None if test.labels is None else named(classifier, test.images, test.labels)
    return found, real, scan if len(scan) > 1 else {}


def _title(config: TrainConfig) -> str:
    """Return what tells a model from others of the same data."""
    of = next(item.title for item in data.available() if item.name == config.data)
    if config.class_conditional:
        of = f"{of} by class"
    if config.model.reference == "isotropic":
        return f"{of}, standard diffusion"
    kind = "one process" if isinstance(config.noise, FixedProcess) else "universal"
    basis = "" if config.basis.name == "fourier" else f", {config.basis.title.lower()}"
    return f"{of}, {kind}{basis}"


def _device(device: str, autocast: torch.dtype | None) -> str:
    cuda = torch.device(device).type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"{device}, {platform.machine()}"
    return name if autocast is None else f"{name}, network in bfloat16"


def image_markdown(card: ImageCard) -> str:
    """Return the card for people."""
    report = card.report
    universal = len(card.scan) > 1
    batch = json.loads(card.config)["batch"]
    kind = (
        "A universal denoiser: one network for every schedule and every colour in its basis."
        if universal
        else "A denoiser that was trained on one process."
    )
    return f"""# {card.name}: {card.title}

{kind}

![Sixteen samples]({SHEET})

- **Data**: `{card.data}`; numbers are for its test split, which training has not seen.
- **Budget**: {card.parameters:,} parameters, {card.all_steps} of
  {batch:,} images, {duration(card.train_s)} on {card.device}; all else is in `config.toml`.
- **Command**: `{card.command}`
- **Evaluated** on {card.evaluated_on}; weights in this file have 16 bits.

Numbers are for *{card.best}*; errors are one standard error. All numbers are in `card.json`.

| bits per dimension | value |
|:--|:--|
| bound, {report.images} images, {report.levels_per_image} noise levels each | {report.bits} |
| the free theory, exact | {report.free_bits} |
{_decoded_rows(report)}\
{_flow_row(report)}{_class_rows(report)}
{_samples(report)}{_named(card)}{_scan(card)}"""


def _scan(card: ImageCard) -> str:
    """Return the table of the processes that were tried."""
    heads, rule = "| process | bits/dim |", "|:--|:--|"
    if card.class_scan:
        heads, rule = f"{heads} named at guidance {GUIDED:g} |", f"{rule}:--|"
    rows = [f"| {title} | {bits} |" for title, bits in card.scan.items()]
    if card.class_scan:
        rows = [f"{row} {card.class_scan[t]} |" for row, t in zip(rows, card.scan, strict=True)]
    lines = "\n".join((heads, rule, *rows))
    classes = ", and how many samples are named the class asked for" if card.class_scan else ""
    return f"""
By process, the bound on few images{classes}:

{lines}
"""


def _flow_row(report: ImageReport) -> str:
    return "" if report.flow_bits is None else f"| probability flow | {report.flow_bits} |\n"


def _decoded_rows(report: ImageReport) -> str:
    if report.decoded_bits is None:
        return ""
    return f"""| bound, grey values decoded and not dequantized | {report.decoded_bits} |
| the free theory, likewise | {report.free_decoded_bits} |
"""


def _class_rows(report: ImageReport) -> str:
    rows = (
        ("bound, given the class of each image", report.class_bits),
        ("probability flow, given the class", report.class_flow_bits),
    )
    return "".join(f"| {name} | {bits} |\n" for name, bits in rows if bits is not None)


def _samples(report: ImageReport) -> str:
    """Return the table of what is drawn, beside real images."""
    if report.samples is None:
        return ""
    floor = {} if report.floor is None else _figures(report.floor)
    rows = "\n".join(
        f"| {name} | {value} | {floor.get(name, '–')} |"
        for name, value in _figures(report.samples).items()
    )
    turns = f", the {report.num_classes} classes in turn" if report.num_classes else ""
    return f"""{report.samples.n} samples in {report.steps} steps of {report.method}{turns}, and \
as many training images in their place:

| quantity | samples | training images |
|:--|:--|:--|
{rows}

Features are those of a classifier of CIFAR-10 that comes with the product: distances in them are
not the FID of the literature.
"""


def _named(card: ImageCard) -> str:
    """Return the table of how many samples are of the class that was requested."""
    if not card.classes:
        return ""
    rows = "\n".join(f"| {each.guidance:g} | {each.share} |" for each in card.classes)
    return f"""
Share of {card.classes[0].n} samples, the classes in turn, whose class the classifier of the
product names; of held-out images it names {card.real_classes}:

| guidance scale | named the class asked for |
|:--|:--|
{rows}
"""


def _figures(found: SampleMetrics) -> dict[str, Estimate]:
    figures = {
        "error of the spectrum, rms of log P/P_data": found.spectrum_error,
        "power in the finest third of scales, relative": found.sharpness,
        "distance of colours, grey values": found.color_error,
    }
    figures |= {f"Fréchet distance, {name} features": x for name, x in found.frechet.items()}
    return figures | {f"kernel distance, {name} features": x for name, x in found.kernel.items()}
