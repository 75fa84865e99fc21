"""`rgdiff study ablation`: from standard diffusion of images to ours, a choice or two at a time.

Small networks, one budget, and the bound on held-out images as training goes on: what each choice
is worth, and whether that lasts. With several seeds errors are over seeds: images and noise are
the same for all, so that they are no part of what differs between two steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rgdiff_core import data
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.evaluation import image_bound
from rgdiff_core.networks import NETWORKS, UNet
from rgdiff_core.schedules import Cutoff, LinearGamma
from rgdiff_core.schedules.kernels import GaussianKernel, SigmoidKernel
from rgdiff_core.spec import to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.images.study import pair
from rgdiff_core.study.lattice.training import trained
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = ["AblationBudget", "ABLATION", "AblationStep"]

WHITE = FixedProcess(White(), LinearGamma(-12.0, 5.0))
MATCHED = FixedProcess(Matched(), Cutoff(SigmoidKernel(0.3), gamma_min=-9.0, gamma_max=6.0))
SCALAR = FixedProcess(Matched(), LinearGamma(-9.0, 6.0))
NARROW = FixedProcess(Matched(), Cutoff(SigmoidKernel(0.1), gamma_min=-9.0, gamma_max=6.0))
BEHIND = FixedProcess(White(), Cutoff(GaussianKernel(), gamma_min=-12.0, gamma_max=5.0))
STANDARD = ModelSpec(
    NETWORKS["unet-0.3m"], network_input="whitened", conditioning="time", reference="isotropic"
)
SPECTRUM = replace(STANDARD, reference="spectrum")
OURS = ModelSpec(NETWORKS["unet-0.3m"])
SIMPLE, UNIT = Objective("simple"), Objective()


@dataclass(frozen=True)
class AblationStep:
    """A model and what it is trained on.

    Attributes:
        title: what people read.
        model: as of a training config.
        objective: as of a training config.
        noise: as of a training config.
    """

    title: str
    model: ModelSpec
    objective: Objective
    noise: FixedProcess


ABLATION: dict[str, AblationStep] = {
    "standard": AblationStep("standard diffusion", STANDARD, SIMPLE, WHITE),
    "ours": AblationStep("white noise, our denoiser and loss", OURS, UNIT, WHITE),
    "simple": AblationStep(
        "white noise, our denoiser, noise-prediction loss", OURS, SIMPLE, WHITE
    ),
    "white-gaussian": AblationStep(
        "white noise, Gaussian cutoff, noise-prediction loss", OURS, SIMPLE, BEHIND
    ),
    "matched": AblationStep("matched noise, sigmoid cutoff of width 0.3", OURS, UNIT, MATCHED),
    "matched-simple": AblationStep("matched noise, noise-prediction loss", OURS, SIMPLE, MATCHED),
    "matched-scalar": AblationStep("matched noise, linear log-SNR (EqualSNR)", OURS, UNIT, SCALAR),
    "matched-scalar-simple": AblationStep(
        "matched noise, linear log-SNR, noise-prediction loss", OURS, SIMPLE, SCALAR
    ),
    "spectrum": AblationStep(
        "standard, that corrects the data's Gaussian", SPECTRUM, SIMPLE, WHITE
    ),
    "unit": AblationStep(
        "… with the loss in units of the posterior variance", SPECTRUM, UNIT, WHITE
    ),
    "mean": AblationStep(
        "… with the Gaussian posterior's mean as input",
        replace(SPECTRUM, network_input="posterior_mean"),
        UNIT,
        WHITE,
    ),
    "matched-scaled": AblationStep(
        "matched noise, with the whitened field as input",
        replace(OURS, network_input="whitened"),
        UNIT,
        MATCHED,
    ),
    "matched-narrow": AblationStep(
        "matched noise, sigmoid cutoff of width 0.1", OURS, UNIT, NARROW
    ),
}


@dataclass(frozen=True)
class AblationBudget:
    """The data, the training and the judging of every step of the ablation."""

    data: str
    steps: int
    batch: int
    points: int
    width: int
    images: int


def cell(cells: Cells, name: str, seed: int, chosen: AblationBudget) -> dict[str, Any]:
    made = _config(ABLATION[name], seed, chosen)
    inputs = {"config": to_dict(made), "points": chosen.points, "images": chosen.images}
    return cells.read_or_compute(
        f"{chosen.data}-{name}-{seed}", inputs, lambda: {"points": list(_points(made, chosen))}
    )


def row(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a step for the file: of several seeds means, each with its error over seeds."""
    runs = [cell["result"]["points"] for cell in found]
    return {
        "name": name,
        "title": ABLATION[name].title,
        "config": found[0]["inputs"]["config"],
        "points": [_mean(points) for points in zip(*runs, strict=True)],
        "runs": runs,
        "seconds": sum(cell["seconds"] for cell in found),
    }


def _mean(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a point of all seeds; of one alone the error is that over images."""
    bits = points[0]["bits"]
    if len(points) > 1:
        values = torch.tensor([point["bits"]["value"] for point in points], dtype=torch.float64)
        bits = pair(Estimate.of(values))
    return {"step": points[0]["step"], "bits": bits, "free_bits": points[0]["free_bits"]}


def compared(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to the points of all rows how many bits they have more than the first row, by pairs of
    the same seed; nothing where there is one seed.
    """
    first = _bits_of(rows[0])
    if len(first) < 2:
        return list(rows)
    return [
        row
        | {
            "points": [
                point | {"less_first": pair(Estimate.of(more))}
                for point, more in zip(row["points"], (_bits_of(row) - first).T, strict=True)
            ]
        }
        for row in rows
    ]


def _bits_of(row: dict[str, Any]) -> torch.Tensor:
    """Return bits per dimension, (seeds, points)."""
    runs = [[point["bits"]["value"] for point in run] for run in row["runs"]]
    return torch.tensor(runs, dtype=torch.float64)


def _config(step: AblationStep, seed: int, chosen: AblationBudget) -> TrainConfig:
    network = UNet(chosen.width, (1, 2, 2), 1, (8,))
    return TrainConfig(
        data=chosen.data,
        basis=BasisSpec(decorrelate=True),
        noise=step.noise,
        model=replace(step.model, network=network),
        objective=step.objective,
        steps=chosen.steps,
        batch=chosen.batch,
        lr=2e-3,
        decay="constant",  # so that the points along the way count
        ema=0.995,
        seed=seed,
        precision="auto",
    )


def _points(made: TrainConfig, chosen: AblationBudget) -> Iterator[dict[str, Any]]:
    """Yield steps and bits per dimension of the averaged model, each with its error."""
    test = data.load(made.data, "test").images[: chosen.images]
    for point in trained(made, chosen.points):
        model, source = point.model, made.noise
        if not isinstance(source, FixedProcess):
            raise ValueError("a step is trained on one process.")
        found = image_bound(model, source.on(model), test, 8)
        yield {
            "step": point.step,
            "bits": pair(found.estimate),
            "free_bits": pair(Estimate.of(found.free)),
            "gain": found.gain.tolist(),
        }


def lines(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['title']}: "
        + ", ".join(f"{p['step']:,} steps {p['bits']['value']:.3f}" for p in row["points"])
        for row in rows
    ]
