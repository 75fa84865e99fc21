r"""Samplers: from noise to data, component by component.

`steps` says what a step is, `methods` has them, `grids` the times, `loop` the loop over them.

All work with χ/r, which preserves variance, from time t to the earlier s. A component that reaches
the schedule's least noise, that of t = 0, is finished: the step there goes to the data themselves
(γ = −∞), and nothing touches it afterwards. Nor are components touched whose γ does not change in
a step.
"""

from rgdiff_core.sampling.grids import GRIDS, angle, time_grid
from rgdiff_core.sampling.interface import Method
from rgdiff_core.sampling.loop import State, check_model, reverse, sample, trajectory, usual_method
from rgdiff_core.sampling.methods import (
    DDIM,
    METHODS,
    RK4,
    Ancestral,
    ColoredNoise,
    DPMpp2M,
    DPMpp2MSDE,
    EulerMaruyama,
    Heun,
    Interaction,
    PredictorCorrector,
    Shell,
)

__all__ = [
    "DDIM",
    "GRIDS",
    "METHODS",
    "RK4",
    "Ancestral",
    "ColoredNoise",
    "DPMpp2M",
    "DPMpp2MSDE",
    "EulerMaruyama",
    "Heun",
    "Interaction",
    "Method",
    "PredictorCorrector",
    "Shell",
    "State",
    "angle",
    "check_model",
    "sample",
    "time_grid",
    "trajectory",
    "reverse",
    "usual_method",
]
