"""Cards of pretrained models of images: what they were trained on, and how good they are."""

import platform
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from rgdiff_core import data
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.evaluation import ImageReport, SampleMetrics, evaluate_images, image_bound
from rgdiff_core.schedules import Cutoff, LinearGamma
from rgdiff_core.schedules.kernels import SigmoidKernel
from rgdiff_core.spec import load_json
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import duration
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = ["CardBudget", "ImageCard", "image_card", "image_markdown"]

Say = Callable[[str], None]
LOW, HIGH = -11.0, 6.0
OWN = "the process that it was trained on"
PROCESSES: Mapping[str, FixedProcess] = {  # what a universal model of images is tried with
    f"{color} noise, {title}": FixedProcess(each, schedule)
    for color, each in (("white", White()), ("matched", Matched()))
    for title, schedule in (
        ("linear log-SNR", LinearGamma(LOW, HIGH)),
        (
            "sigmoid cutoff of width 0.3",
            Cutoff(SigmoidKernel(0.3), gamma_min=LOW, gamma_max=HIGH),
        ),
    )
}


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
    """

    images: int = 512
    scan_images: int = 128
    levels_per_image: int = 8
    samples: int = 256
    steps: int = 50
    flow: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class ImageCard:
    """All that is known of a pretrained model of images.

    Attributes:
        name: of the model.
        title: for people.
        data: name of the data set.
        command: that made it.
        config: its training config, JSON.
        parameters: of the network.
        steps: of its training.
        train_s: seconds that these took.
        device: on which.
        evaluated_on: the device of the numbers.
        best: the process, by name, of the least bits per dimension in the scan.
        scan: bits per dimension by process, on few images.
        report: of the best process.
    """

    name: str
    title: str
    data: str
    command: str
    config: str
    parameters: int
    steps: int
    train_s: float
    device: str
    evaluated_on: str
    best: str
    scan: Mapping[str, Estimate]
    report: ImageReport


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
    tried = {OWN: config.noise} if isinstance(config.noise, FixedProcess) else PROCESSES
    processes = {title: each.on(model) for title, each in tried.items()}
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
    status = load_json((work / "status.json").read_text(encoding="utf-8"))
    return ImageCard(
        name=name,
        title=_title(config),
        data=config.data,
        command=f"rgdiff pretrain {shlex.quote(name)}",
        config=config.to_json(),
        parameters=sum(p.numel() for p in model.network.parameters()),
        steps=config.steps,
        train_s=status["elapsed_s"],
        device=f"{status['device']}, {platform.machine()}",
        evaluated_on=_device(budget.device),
        best=best,
        scan=scan,
        report=report,
    )


def _title(config: TrainConfig) -> str:
    """Return what tells a model from others of the same data."""
    of = next(item.title for item in data.available() if item.name == config.data)
    if config.model.reference == "isotropic":
        kind = "standard diffusion"
    elif isinstance(config.noise, FixedProcess):
        kind = f"one process, {config.basis.name}"
    else:
        kind = f"universal, {config.basis.name}"
    return f"{of}, {kind}" + (", by class" if config.class_conditional else "")


def _device(device: str) -> str:
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, network in bfloat16"
    return f"{device}, {platform.machine()}"


def image_markdown(card: ImageCard) -> str:
    """Return the card for people."""
    report = card.report
    rows = "\n".join(f"| {title} | {bits} |" for title, bits in card.scan.items())
    universal = len(card.scan) > 1
    kind = (
        "A universal denoiser: one network for every schedule and every colour in its basis."
        if universal
        else "A denoiser that was trained on one process."
    )
    return f"""# {card.name}: {card.title}

{kind}

- **Data**: `{card.data}`; numbers are for its test split, which training has not seen.
- **Budget**: {card.parameters:,} parameters, {card.steps:,} steps, {duration(card.train_s)} on
  {card.device}; all else is in `config.toml`.
- **Command**: `{card.command}`
- **Evaluated** on {card.evaluated_on}; weights in this file have 16 bits.

Numbers are for *{card.best}*; errors are one standard error. All numbers are in `card.json`.

| bits per dimension | value |
|:--|:--|
| bound, {report.images} images, {report.levels_per_image} noise levels each | {report.bits} |
| the free theory, exact | {report.free_bits} |
{_flow_row(report)}{_class_rows(report)}
{_samples(report)}
The bound by process, on few images:

| process | bits/dim |
|:--|:--|
{rows}
"""


def _flow_row(report: ImageReport) -> str:
    return "" if report.flow_bits is None else f"| probability flow | {report.flow_bits} |\n"


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


def _figures(found: SampleMetrics) -> dict[str, Estimate]:
    figures = {
        "error of the spectrum, rms of log P/P_data": found.spectrum_error,
        "power in the finest third of scales, relative": found.sharpness,
        "distance of colours, grey values": found.color_error,
    }
    figures |= {f"Fréchet distance, {name} features": x for name, x in found.frechet.items()}
    return figures | {f"kernel distance, {name} features": x for name, x in found.kernel.items()}
