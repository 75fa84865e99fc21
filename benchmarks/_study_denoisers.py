"""Which denoiser learns most of φ⁴ at an equal budget, and whether one model serves all schedules.

Not a benchmark of speed: arms of a comparison, each trained with the same data, network, steps,
batch, learning rate and seeds, and evaluated on the same held-out configurations with the same
noise. The figure is the gain of the evidence bound over the free theory in nats,
½∫ Σ_k gain_k d log V_k, at several processes. `python benchmarks/_study_denoisers.py [steps]`;
it takes an hour, so `make bench` leaves it out.
"""

import statistics
import sys
from collections.abc import Mapping
from dataclasses import replace

import torch
from _report import machine, table, write
from torch import Tensor

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Matched, White
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import LatticeNet
from rgdiff_core.schedules import Cutoff, LinearGamma, SigmoidKernel
from rgdiff_core.seeds import fold_in
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.losses import Objective, denoising_loss
from rgdiff_core.training.noise_levels import FixedProcess, NoiseSource
from rgdiff_core.training.state import TrainingData, TrainState, prepare, tune_malloc
from rgdiff_core.training.trainer import fabric_for

STEPS, SEEDS, DRAWS = 2000, 3, 8
DATA = ("phi4-6x6", "phi4-6x6-broken")
PROCESSES: Mapping[str, NoiseSource] = {
    "white, linear": FixedProcess(White(), LinearGamma(-9.0, 6.0)),
    "matched, linear": FixedProcess(Matched(), LinearGamma(-9.0, 6.0)),
    "white, cutoff": FixedProcess(White(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0)),
    "matched, cutoff": FixedProcess(Matched(), Cutoff(SigmoidKernel(0.3), gamma_max=6.0)),
}
BASE = TrainConfig(
    basis=BasisSpec(momentum="lattice"),
    model=ModelSpec(LatticeNet(24, 3), c_out="variance"),
    batch=128,
    lr=6e-3,
    ema=0.998,
)
ARMS: Mapping[str, TrainConfig] = {
    "universal, V": BASE,
    "universal, √V": replace(BASE, model=replace(BASE.model, c_out="std")),
    "universal, V, scaled field": replace(
        BASE, model=replace(BASE.model, network_input="whitened")
    ),
    **{f"only {name}": replace(BASE, noise=noise) for name, noise in PROCESSES.items()},
}


def trained(config: TrainConfig) -> tuple[TrainState, TrainingData]:
    """Train a config in this process and return the learner and what it learnt from."""
    learner, batches, learned = prepare(config, fabric_for("cpu"))
    for step in range(config.steps):
        learner.learn(batches.draw(step))
    return learner, learned


@torch.no_grad()
def gain(learner: TrainState, learned: TrainingData, source: NoiseSource) -> Tensor:
    """Return the gain over the free theory for each held-out configuration, nats."""
    objective = Objective("elbo", "importance")
    sampler = source.sampler(learned.basis, learned.modes, objective, 99)
    total = torch.zeros(len(learned.test))
    for draw in range(DRAWS):
        generator = torch.Generator().manual_seed(fold_in(99, draw))
        noise = torch.randn(learned.test.shape, generator=generator)
        batch = sampler.draw(draw, len(learned.test))
        terms = denoising_loss(learner.average, learned.test, batch, noise)
        variance = learner.average.gaussian(noise, batch.marginal).variance
        total += (batch.weight * variance * terms.gain).sum((1, 2, 3))
    return total / DRAWS


def main(steps: int) -> None:
    """Train all arms, print the gains as mean ± standard error over seeds, write the JSON."""
    torch.set_num_threads(1)
    tune_malloc()
    before, figures = machine(), {}
    for data in DATA:
        found: dict[str, dict[str, list[float]]] = {}
        for arm, config in ARMS.items():
            names = [arm.removeprefix("only ")] if arm.startswith("only") else list(PROCESSES)
            for seed in range(SEEDS):
                learner, learned = trained(replace(config, data=data, steps=steps, seed=seed))
                for name in names:
                    value = float(gain(learner, learned, PROCESSES[name]).mean())
                    found.setdefault(arm, {}).setdefault(name, []).append(value)
            print(data, arm, {k: _write(v) for k, v in found[arm].items()}, flush=True)
        figures[data] = found
        rows = [
            [a, *(_write(v[n]) if n in v else "" for n in PROCESSES)] for a, v in found.items()
        ]
        print(table([data, *PROCESSES], rows))
    write("denoisers", before, {"steps": steps, "seeds": SEEDS, "nats": figures})


def _write(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)
