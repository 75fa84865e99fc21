"""Train a universal model of lattice φ⁴, then draw from it with two schedules that it never chose.

`python examples/five_minute_training.py --steps 200` is a quick try.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import rgdiff_core as rg
from rgdiff_core.training import PRESETS, train

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=PRESETS["phi4-10min"].config.steps)
parser.add_argument("--out", type=Path, default=Path("runs/example"))
chosen = parser.parse_args()

config = replace(PRESETS["phi4-10min"].config, steps=chosen.steps)
outcome = train(config, chosen.out)
print(f"{outcome.state} after {outcome.step} steps")

model = rg.load_model(chosen.out / "checkpoint" / "model.safetensors")
fields = rg.data.load(config.data, "test").images
truth = rg.lattice.observables(fields, n_chains=len(fields))["susceptibility"]
print(f"susceptibility of the test set: {truth}")
for width in (0.05, 0.5):
    schedule = rg.schedules.Cutoff(rg.schedules.SigmoidKernel(width=width))
    process = rg.Process(model.basis, rg.colors.Matched(), schedule, model.modes)
    samples = rg.sample(model, process, 512, steps=20, seed=0)
    found = rg.lattice.observables(samples, n_chains=len(samples))["susceptibility"]
    print(f"samples behind a cutoff of width {width}: {found}")
