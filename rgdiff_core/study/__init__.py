"""The study: matched noise and component-wise schedules against standard diffusion, on φ⁴."""

from rgdiff_core.study.arms import ARMS, THEORIES, Arm
from rgdiff_core.study.budget import BUDGETS, Budget
from rgdiff_core.study.phi4 import Study
from rgdiff_core.study.summary import summary

__all__ = ["ARMS", "BUDGETS", "THEORIES", "Arm", "Budget", "Study", "summary"]
