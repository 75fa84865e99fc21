"""The study: matched noise and component-wise schedules against standard diffusion, on φ⁴."""

from rgdiff_core.study.lattice.arms import ARMS, THEORIES, Arm
from rgdiff_core.study.lattice.budget import BUDGETS, LatticeBudget
from rgdiff_core.study.lattice.study import Study
from rgdiff_core.study.lattice.summary import summary

__all__ = ["ARMS", "BUDGETS", "THEORIES", "Arm", "LatticeBudget", "Study", "summary"]
