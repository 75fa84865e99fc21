"""Coarse grids: what is saved in training and sampling, and a short paired training with them.

A network that may run on 16×16 and 8×8 pixels against the same on 32×32 alone, for several
processes of CIFAR-10. FLOPs are those of convolutions and matrix products by torch's counter, of
one image forward and backward on each grid, times how often training and a sampler of 25 uniform
steps use it. Seconds are the processor's, of steps in turn. The training is of one process and a
small network, with the same seeds, batches and noise: the arms are compared after equal steps and
after equal FLOPs, in pairs of the same held-out images and noise. It shows whether the network
learns on three grids at once what it learns on one in the first minutes; it does not show where
long runs of large networks end.
"""

import argparse
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from _report import machine, paired, table, write
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from rgdiff_core import data, sampling
from rgdiff_core.bases.modes import Modes
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched
from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.evaluation.images.bound import ImageBound, image_bound
from rgdiff_core.networks import UNet, parameter_count
from rgdiff_core.process import Process, white_noise
from rgdiff_core.schedules import Cutoff
from rgdiff_core.schedules.kernels import GaussianKernel
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.images.ablation import BEHIND, MATCHED, NARROW, WHITE
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.losses import NoiseBatch, Objective, denoising_loss
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.state import prepare, tune_malloc
from rgdiff_core.training.trainer import fabric_for

GAUSSIAN = FixedProcess(Matched(), Cutoff(GaussianKernel(), gamma_min=-9.0, gamma_max=6.0))
PROCESSES = {
    "white, linear log-SNR": WHITE,
    "white, Gaussian cutoff": BEHIND,
    "matched, sigmoid cutoff 0.3": MATCHED,
    "matched, sigmoid cutoff 0.1": NARROW,
    "matched, Gaussian cutoff": GAUSSIAN,
}
OBJECTIVES = {"uniform times": Objective(), "log-normal": Objective("edm", "lognormal")}
NETWORK = UNet(24, (1, 2, 2), 1, (8,), group_channels=12, head_channels=48)
SPEC = ModelSpec(NETWORK, coarse_grids=2)
FULL = replace(SPEC, coarse_grids=0)
SHAPE = (3, 32, 32)
TOLERANCES = (0.001, 0.01, 0.1)  # of the SNR
GRIDS, DRAWS, STEPS, BATCH, ROUNDS = 3, 4096, 25, 32, 3


def drawn(model: NetworkDenoiser) -> NetworkDenoiser:
    """Return the model with weights that are not zero."""
    for parameter in model.network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return model


def shares(model: NetworkDenoiser, batch: NoiseBatch) -> Tensor:
    """Return how large a part of noise levels runs on each grid, (GRIDS,)."""
    halvings = model.halvings(batch.marginal)
    return torch.bincount(halvings, minlength=GRIDS).double() / len(halvings)


def flops_by_grid(model: NetworkDenoiser) -> Tensor:
    """Return the FLOPs of one image, forward and backward, on each grid, (GRIDS,)."""
    counts = []
    for number in range(GRIDS):
        side = SHAPE[1] >> number
        state = torch.zeros(1, SPEC.features(SHAPE[0]))
        with FlopCounterMode(display=False) as counter:
            model.network(torch.randn(1, SHAPE[0], side, side), state).square().sum().backward()
        counts.append(counter.get_total_flops())
    model.network.zero_grad(set_to_none=True)
    return torch.tensor(counts, dtype=torch.float64)


def training_step(
    model: NetworkDenoiser, process: Process, batch: NoiseBatch, images: Tensor
) -> Any:
    """Return a call: the loss and its gradients."""
    noise = white_noise(images.shape, images)

    def step() -> None:
        model.network.zero_grad(set_to_none=True)
        denoising_loss(model, images, batch, noise).loss.backward()

    return step


def tolerances(modes: Modes, basis: Any) -> dict[str, Any]:
    """Return the bound, and the FLOPs by those of the full grid, by the tolerated SNR."""
    figures: dict[str, Any] = {}
    for snr in TOLERANCES:
        model = drawn(replace(SPEC, coarse_snr=snr).build(basis, modes))
        cost, figures[f"{snr:g}"] = flops_by_grid(model), {}
        for name, source in PROCESSES.items():
            process = Process(basis, source.color, source.schedule, modes)
            batch = source.sampler(basis, modes, Objective(), 0).draw(0, DRAWS)
            figures[f"{snr:g}"][name] = {
                "FLOPs, uniform times": float((shares(model, batch) * cost).sum() / cost[0]),
                "bound, bits/dim": model.coarse_bound(process) / (math.prod(SHAPE) * math.log(2)),
            }
    return figures


def saved(modes: Modes, basis: Any, images: Tensor) -> dict[str, Any]:
    """Return the shares of grids, FLOPs and seconds of all processes."""
    wrapped, plain = (drawn(spec.build(basis, modes)) for spec in (SPEC, FULL))
    cost = flops_by_grid(wrapped)
    figures: dict[str, Any] = {
        "parameters": parameter_count(wrapped.network),
        "network": repr(NETWORK),
        "coarse_snr": SPEC.coarse_snr,
        "GFLOP an image, forward and backward": (cost / 1e9).tolist(),
    }
    for name, source in PROCESSES.items():
        process = Process(basis, source.color, source.schedule, modes)
        bound = wrapped.coarse_bound(process)
        found: dict[str, Any] = {
            "bound, nats": bound,
            "bound, bits/dim": bound / math.prod(SHAPE) / math.log(2),
        }
        for title, objective in OBJECTIVES.items():
            sampler = source.sampler(basis, modes, objective, 0)
            used = shares(wrapped, sampler.draw(0, DRAWS))
            few = sampler.draw(1, BATCH)
            steps = {
                label: training_step(model, process, few, images[:BATCH])
                for label, model in (("full", plain), ("coarse", wrapped))
            }
            seconds = paired(steps, ROUNDS, time.process_time)
            found[f"training, {title}"] = {
                "share of 32×32, 16×16, 8×8": used.tolist(),
                "FLOPs": float((used * cost).sum() / cost[0]),
                "seconds": _ratio(seconds),
            }
        times = torch.tensor(
            sampling.time_grid(process, modes, STEPS, "uniform")[:-1], dtype=torch.float32
        )
        marginal = process.vp_marginal(times)
        used = shares(wrapped, NoiseBatch(marginal, marginal.alpha))
        runs = {
            label: lambda model=model, process=process: sampling.sample(
                model, process, 8, STEPS, "ddim", seed=0
            )
            for label, model in (("full", plain), ("coarse", wrapped))
        }
        found["sampling"] = {
            "share of 32×32, 16×16, 8×8": used.tolist(),
            "FLOPs": float((used * cost).sum() / cost[0]),
            "seconds": _ratio(paired(runs, 1, time.process_time)),
        }
        figures[name] = found
    return figures


def _ratio(seconds: dict[str, list[float]]) -> float:
    """Return the coarse arm's seconds by the full one's, the median over rounds."""
    return statistics.median(
        b / a for a, b in zip(seconds["full"], seconds["coarse"], strict=True)
    )


def config(spec: ModelSpec, steps: int, seed: int) -> TrainConfig:
    """Return the config of an arm of the training."""
    return TrainConfig(
        data="cifar10",
        basis=BasisSpec(decorrelate=True),
        noise=GAUSSIAN,
        model=spec,
        objective=Objective(),
        steps=steps,
        batch=BATCH,
        lr=2e-3,
        decay="constant",
        ema=0.99,
        seed=seed,
    )


def looks(made: TrainConfig, at: tuple[int, ...], held_out: Tensor) -> Iterator[dict[str, Any]]:
    """Train; yield after so many steps the bound on held-out images, and what was spent."""
    learner, batches, learned = prepare(made, fabric_for("cpu"))
    process = Process(learned.basis, GAUSSIAN.color, GAUSSIAN.schedule, learned.modes)
    seconds = 0.0
    for step in range(made.steps):
        start = time.process_time()
        learner.learn(batches.draw(step))
        seconds += time.process_time() - start
        if step + 1 in at:
            bound = image_bound(learner.finished(), process, held_out, 4)
            yield {"step": step + 1, "processor_seconds": seconds, "bound": bound}


def trained(steps: int, seeds: int, images: int, saving: float) -> dict[str, Any]:
    """Return the paired comparison of both arms."""
    held_out = data.load("cifar10", "test").images[:images]
    more = round(steps / saving)
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        (full,) = looks(config(FULL, steps, seed), (steps,), held_out)
        equal, longer = looks(config(SPEC, more, seed), (steps, more), held_out)
        for title, coarse in (("equal steps", equal), ("equal FLOPs", longer)):
            rows.append({"seed": seed, "compared at": title} | _compared(full, coarse))
            print(rows[-1], flush=True)
    return {"steps": steps, "batch": BATCH, "held-out images": images, "rows": rows}


def _compared(full: dict[str, Any], coarse: dict[str, Any]) -> dict[str, Any]:
    one, other = full["bound"], coarse["bound"]
    assert isinstance(one, ImageBound) and isinstance(other, ImageBound)
    return {
        "steps": [full["step"], coarse["step"]],
        "processor seconds": [full["processor_seconds"], coarse["processor_seconds"]],
        "free theory, bits/dim": float(one.free.mean()),
        "full, bits/dim": asdict(one.estimate),
        "coarse less full, bits/dim": asdict(Estimate.of(other.bits - one.bits)),
    }


def main(steps: int, seeds: int, images: int) -> None:
    """Measure, print the table, train, and write the JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tune_malloc()
    before = machine()
    train = data.load("cifar10", limit=5000).images
    basis = BasisSpec(decorrelate=True).build(train)
    modes = Modes.fit(basis, train)
    figures = {"by tolerated SNR": tolerances(modes, basis)}
    for snr, found in figures["by tolerated SNR"].items():
        print(f"SNR ≤ {snr}:", {name: tuple(each.values()) for name, each in found.items()})
    figures["saved"] = saved(modes, basis, train)
    rows = []
    for name in PROCESSES:
        found = figures["saved"][name]
        parts = [found[f"training, {title}"] for title in OBJECTIVES] + [found["sampling"]]
        rows.append(
            [name, *(p[w] for p in parts for w in ("FLOPs", "seconds")), found["bound, bits/dim"]]
        )
    heads = [
        f"{part} {what}"
        for part in ("uniform", "log-normal", "sampling")
        for what in ("FLOPs", "s")
    ]
    print(table(["coarse / full", *heads, "bound bits/dim"], rows), flush=True)
    write("coarse-grid", before, figures)
    if steps:
        saving = figures["saved"]["matched, Gaussian cutoff"]["training, uniform times"]["FLOPs"]
        figures["training"] = trained(steps, seeds, images, saving)
        write("coarse-grid", before, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=400, help="of the training; 0 for none")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--images", type=int, default=256)
    chosen = parser.parse_args()
    main(chosen.steps, chosen.seeds, chosen.images)
