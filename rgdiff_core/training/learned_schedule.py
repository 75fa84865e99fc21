"""A noise schedule that is learned while the weights are.

The bound does not depend on a schedule between its ends, but the variance of its estimate does. So
every few steps of the weights the table of γ takes a gradient step on that variance, with the
averaged weights as they are: two stochastic descents in turn, each on its own objective.

References:
    Kingma et al., Variational diffusion models, 2107.00630, section 5.1 and appendix I.2; Sahoo
    et al., Diffusion models with learned adaptive noise, 2312.13236.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rgdiff_core.bases import Basis
from rgdiff_core.bases.modes import Modes
from rgdiff_core.colors import Color, Matched, check_still
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import hosted
from rgdiff_core.process import Process
from rgdiff_core.schedules import LinearGamma, Schedule
from rgdiff_core.schedules.kernels import MAX_POINTS
from rgdiff_core.schedules.learned import MAX_SCALES
from rgdiff_core.search.gradient import BETAS, Draw, set_gradients
from rgdiff_core.search.learned import GammaParameters, second_moment, table_of
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import check_range, check_whole
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import (
    FixedProcess,
    FixedProcessSampler,
    NoiseSampler,
    NoiseSource,
)

__all__ = ["LearnedProcess"]

TIMES, IMAGES = 8, 32  # of an estimate of the gradient


@dataclass(frozen=True)
class LearnedProcess(NoiseSource):
    """One process, whose schedule is learned with the weights between the ends of the first.

    Held-out losses along a run are those of the schedule at its start, and so comparable. Classes
    are not used: the schedule is that of the unconditional model.

    Arguments:
        color: S.
        start: γ_k(t) at the start, without jumps.
        scales: knots of scale, equally spaced, 1 to 32; 1 for a schedule that treats all
            components alike. A `LearnedGamma` keeps its own.
        points: knots of time, equally spaced, 2 to 64.
        rate: of Adam.
        every: steps of the weights for one of the schedule, 1 to 10,000.
    """

    color: Color = Matched()
    start: Schedule = LinearGamma(-9.0, 6.0)
    scales: int = 1
    points: int = 17
    rate: float = 0.02
    every: int = 4

    def __post_init__(self) -> None:
        check_whole("scales", self.scales, 1, MAX_SCALES)
        check_whole("points", self.points, 2, MAX_POINTS)
        check_range("rate", self.rate, 0, 10, low_open=True)
        check_whole("every", self.every, 1, 10_000)
        check_still(self.color, "a learned schedule")
        table_of(self.start, self.scales, self.points)

    def sampler(self, basis: Basis, modes: Modes, objective: Objective, seed: int) -> NoiseSampler:
        """Return the sampler; raises `ValueError` where the process does not fit the modes."""
        return _Sampler(self, basis, modes, objective, seed)


class _Sampler(FixedProcessSampler):
    def __init__(
        self,
        source: LearnedProcess,
        basis: Basis,
        modes: Modes,
        objective: Objective,
        seed: int,
    ) -> None:
        self.source, self.basis = source, basis
        table = GammaParameters(table_of(source.start, source.scales, source.points))
        self.table = table.to(hosted(modes.scale).device)
        self.adam = torch.optim.Adam(self.table.parameters(), lr=source.rate, betas=BETAS)
        process = Process(basis, source.color, self.table.schedule(), modes)
        super().__init__(process, modes, objective, seed)

    def adapt(self, model: Denoiser, images: Tensor, step: int) -> None:
        if step % self.source.every:
            return
        generator = torch.Generator().manual_seed(fold_in(self.seed, step, 2))
        moment = second_moment(TIMES)
        draw = Draw.of(moment, self.process, images, IMAGES, generator)
        set_gradients(moment, model, self.process, self.table, draw)
        gradient = self.table.logits.grad
        if gradient is not None and gradient.isfinite().all():
            self.adam.step()
            self._follow()

    def learned(self) -> FixedProcess:
        return FixedProcess(self.source.color, self.table.schedule())

    def tensors(self) -> dict[str, Tensor]:
        state = self.adam.state_dict()["state"].get(0, {})
        found = {"logits": self.table.logits.detach(), **state}
        return {name: value.clone() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        state = {name: value for name, value in tensors.items() if name != "logits"}
        with torch.no_grad():
            self.table.logits.copy_(tensors["logits"])
        if state:
            groups = self.adam.state_dict()["param_groups"]
            self.adam.load_state_dict({"state": {0: state}, "param_groups": groups})
        self._follow()

    def _follow(self) -> None:
        """Draw from the present table from now on."""
        process = Process(self.basis, self.source.color, self.table.schedule(), self.modes)
        super().__init__(process, self.modes, self.objective, self.seed)
