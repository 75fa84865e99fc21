"""A schedule of your own: small scales vanish first, and a pretrained model samples along it.

The model was trained without this schedule; it is conditioned on noise levels, not on the time.
"""

import argparse
from dataclasses import dataclass

from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.evaluation import quality
from rgdiff_core.schedules import Schedule
from rgdiff_core.spec import check_range


@dataclass(frozen=True)
class DelayedGamma(Schedule):
    """γ_k(t) = low + (high − low) t^{1 + delay (1 − k)}: the larger the scale, the later."""

    low: float = -9.0
    high: float = 6.0
    delay: float = 1.0

    def __post_init__(self) -> None:
        check_range("delay", self.delay, 0, 10)

    def gamma_at(self, t: Tensor, modes: rg.Modes) -> Tensor:
        """Return γ for times (*, 1, 1, 1); `modes.scale` is k, from 0 to 1."""
        return self.low + (self.high - self.low) * t ** (1 + self.delay * (1 - modes.scale))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--samples", type=int, default=128)
chosen = parser.parse_args()

action = rg.lattice.Phi4(m2=-4.0, lam=6.975)
model = rg.load_pretrained("phi4-6x6")
print("delay   effective sample size   KL(q|p) in nats")
for delay in (0.0, 0.5, 2.0):
    process = rg.Process(model.basis, rg.colors.Matched(), DelayedGamma(delay=delay), model.modes)
    found = quality(model, process, action, chosen.samples, steps=6)
    print(f"{delay:5}   {found.ess!s:>21}   {found.reverse_kl!s:>15}")
