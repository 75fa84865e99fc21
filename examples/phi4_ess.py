"""How good is a pretrained model of φ⁴? Weights of its samples against the exact action."""

import argparse

import rgdiff_core as rg
from rgdiff_core.evaluation import quality

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--samples", type=int, default=256)
chosen = parser.parse_args()

action = rg.lattice.Phi4(m2=-4.0, lam=6.975)
model = rg.load_pretrained("phi4-6x6")
process = rg.Process(
    model.basis, rg.colors.Matched(), rg.schedules.LinearGamma(-9.0, 6.0), model.modes
)
found = quality(model, process, action, chosen.samples, steps=12)
print(f"effective sample size: {found.ess}")
print(f"log Z:                 {found.log_z}")
print(f"KL(q|p) in nats:       {found.reverse_kl}")
print(f"susceptibility:        {found.susceptibility}, reweighted {found.reweighted}")
