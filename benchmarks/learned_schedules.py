"""Learned noise schedules on φ⁴: the variance of the bound from one random time, and few steps.

For each pretrained model, in white noise: linear log-SNR against tables of γ learned
between the same ends on the training set, all alike or by scale, from the variance of the one-time
estimate or from the bound in 8 and 16 steps. Then networks from scratch with equal seeds, once in
linear log-SNR and once with a schedule that is learned with the weights (the loss is the bound's
in both), each judged with its own schedule. Judged on the test set, the bounds in pairs of the
same images and noise; errors are standard errors over images, whose draws are averaged first,
those of variances from the images' fourth moments.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from _report import machine, table, write
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.colors import White
from rgdiff_core.denoisers import Denoiser, ModelSpec
from rgdiff_core.denoisers.files import read_metadata
from rgdiff_core.networks import NETWORKS
from rgdiff_core.process import Process
from rgdiff_core.schedules import LearnedGamma, LinearGamma, Schedule
from rgdiff_core.search import learn, one_draw, step_bound
from rgdiff_core.spec import to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.learned_schedule import LearnedProcess
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.models import config_of
from rgdiff_core.training.noise_levels import FixedProcess, NoiseSource
from rgdiff_core.training.state import tune_malloc

MODELS = ("phi4-6x6", "phi4-6x6-broken")
STEPS = (8, 16)
LINEAR = LinearGamma(-9.0, 6.0)
ROUNDS, IMAGES, DRAWS = 120, 2048, 4
RATE = 0.1
TRAINING = 2000
BATCH, TIMES = 32, 16  # in each round


def variance(values: Tensor) -> Estimate:
    """Return the variance of values (draws, images) with its standard error over images."""
    return Estimate.of(((values - values.mean()) ** 2).mean(0))


def learned(
    model: Denoiser, process: Process, images: Tensor, rounds: int
) -> dict[str, LinearGamma | LearnedGamma]:
    """Return the schedules that are compared, by what they were learned from."""
    aims = [("variance", "variance", TIMES), *((f"L_{n}", "bound", n) for n in STEPS)]
    found: dict[str, LinearGamma | LearnedGamma] = {"linear log-SNR": LINEAR}
    for title, objective, steps in aims:
        for kind, scales in (("all alike", 1), ("by scale", 5)):
            states = learn(
                model,
                process,
                images,
                steps=steps,
                objective=objective,
                scales=scales,
                rounds=rounds,
                batch=BATCH,
                rate=RATE,
                seed=1,
            )
            *_, last = states
            found[f"{title}, {kind}"] = last.schedule
    return found


def from_scratch(name: str, steps: int, images: Tensor) -> dict[str, dict[str, Tensor]]:
    """Train with and without learning the schedule; return what both are worth, as `judged`."""
    linear = FixedProcess(White(), LINEAR)
    sources: dict[str, NoiseSource] = {
        "trained, linear log-SNR": linear,
        "trained, learned, all alike": LearnedProcess(White(), LINEAR),
        "trained, learned, by scale": LearnedProcess(White(), LINEAR, scales=5),
    }
    found: dict[str, dict[str, Tensor]] = {}
    for title, source in sources.items():
        config = TrainConfig(
            data=name,
            noise=source,
            model=ModelSpec(NETWORKS["lattice-small"]),
            objective=Objective(weighting="elbo"),
            steps=steps,
            evaluations=1,
            previews=0,
        )
        with TemporaryDirectory() as folder:
            train(config, folder, device="cpu")
            path = Path(folder) / "checkpoint" / "model.safetensors"
            model, made = rg.load_model(path), config_of(read_metadata(path))
        noise = made.noise if made is not None else source
        if not isinstance(noise, FixedProcess):
            raise TypeError(f"{title}: the model does not carry its process.")
        found[title] = judged(
            model, Process(model.basis, White(), noise.schedule, model.modes), images
        )
    return found


def judged(model: Denoiser, process: Process, images: Tensor) -> dict[str, Tensor]:
    """Return what a schedule is worth: one-time estimates (DRAWS, N), and bounds in few steps,
    (N,).
    """
    drawn = one_draw(model, process, images.repeat(DRAWS, 1, 1, 1), seed=11)
    return {"one time": drawn.reshape(DRAWS, -1)} | {
        f"{n} steps": step_bound(model, process, images, n, draws=DRAWS, seed=12) for n in STEPS
    }


def compared(name: str, rounds: int, images: int) -> dict[str, Any]:
    """Return all figures of one model."""
    model = rg.load_pretrained(name)
    train, test = (rg.data.load(name, part).images for part in ("train", "test"))
    test = test[:images]
    schedules = learned(model, _process(model, LINEAR), train, rounds)
    values = {
        title: judged(model, _process(model, schedule), test)
        for title, schedule in schedules.items()
    }
    figures = weighed(values)
    for title, schedule in schedules.items():
        figures[title]["schedule"] = to_dict(schedule)
    print(_told(name, figures), flush=True)
    return figures


def weighed(values: dict[str, dict[str, Tensor]]) -> dict[str, Any]:
    """Return the figures of several schedules or models; changes are to the first, in pairs."""
    first = next(iter(values.values()))
    figures: dict[str, Any] = {}
    for title, each in values.items():
        figures[title] = {
            "one-time mean": asdict(Estimate.of(each["one time"].mean(0))),
            "one-time variance": asdict(variance(each["one time"])),
        }
        for steps in (f"{n} steps" for n in STEPS):
            change = Estimate.of(each[steps] - first[steps])
            bound = Estimate.of(each[steps])
            figures[title][steps] = {"bound": asdict(bound), "change": asdict(change)}
    return figures


def _process(model: Denoiser, schedule: Schedule) -> Process:
    return Process(model.basis, White(), schedule, model.modes)


def _told(name: str, found: dict[str, Any]) -> str:
    def text(figure: dict[str, Any]) -> str:
        return f"{figure['value']:.4f} ± {figure['error']:.4f}"

    rows = [
        [
            title,
            text(each["one-time mean"]),
            text(each["one-time variance"]),
            *(text(each[f"{n} steps"][what]) for n in STEPS for what in ("bound", "change")),
        ]
        for title, each in found.items()
    ]
    heads = [head for n in STEPS for head in (f"L_{n}", "less linear's")]
    return table([name, "one-time mean", "its variance", *heads], rows) + "\n"


def main(models: tuple[str, ...], rounds: int, images: int, steps: int) -> None:
    """Learn, compare, print a table for each model and colour, and write the JSON."""
    torch.set_num_threads(1)
    tune_malloc()
    before = machine()
    figures: dict[str, Any] = {
        "rounds": rounds,
        "images": images,
        "draws": DRAWS,
        "training steps": steps,
    }
    for name in models:
        figures[name] = compared(name, rounds, images)
        test = rg.data.load(name, "test").images[:images]
        trained = weighed(from_scratch(name, steps, test))
        print(_told(name, trained), flush=True)
        figures[f"{name}, from scratch"] = trained
        write("learned-schedules", before, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--steps", type=int, default=TRAINING, help="of the networks from scratch")
    chosen = parser.parse_args()
    main(tuple(chosen.models), chosen.rounds, chosen.images, chosen.steps)
