"""What samplers do where a schedule jumps, for data that are not Gaussian."""

import pytest
import torch
from torch import Tensor

from rgdiff_core import Denoiser, Marginal, Modes, Posterior, Process, colors, sample, schedules
from rgdiff_core.bases import PixelBasis

HARD = schedules.Cutoff(schedules.HardKernel())


def test_at_a_jump_the_shell_step_is_gaussian_and_others_have_no_variance():
    """What the warnings say: two wells, at 4 and at 32 steps."""
    basis = PixelBasis((1, 1, 1)).double()
    modes = Modes(basis.scale, torch.zeros_like(basis.scale), torch.ones_like(basis.scale))
    model = TwoWells(basis, modes)
    process = Process(basis, colors.White(), HARD, modes).double()
    for steps in (4, 32):
        x = sample(model, process, 4000, steps, "shell", torch.Generator().manual_seed(0))
        kurtosis = float((x**4).mean() / (x**2).mean() ** 2)
        assert float((x**2).mean()) == pytest.approx(1, abs=0.1)
        assert kurtosis == pytest.approx(3, abs=0.4)  # of the data it is 1.18
        with pytest.warns(UserWarning, match="variance"):
            lost = sample(model, process, 400, steps, "ancestral")
        assert float(lost.var()) < 1e-6


class TwoWells(Denoiser):
    """The exact posterior mean of ±0.95 with a spread of 0.31: variance one, far from Gaussian."""

    def posterior(self, c: Tensor, marginal: Marginal) -> Posterior:
        a, s2, m, v = marginal.alpha, marginal.std**2, 0.95, 1 - 0.95**2
        total = a**2 * v + s2
        chance = torch.sigmoid(2 * a * m * c / total)
        means = [sign * m + a * v / total * (c - a * sign * m) for sign in (1, -1)]
        mean = chance * means[0] + (1 - chance) * means[1]
        spread = v * s2 / total + chance * (1 - chance) * (means[0] - means[1]) ** 2
        return Posterior(mean, spread.expand(mean.shape))
