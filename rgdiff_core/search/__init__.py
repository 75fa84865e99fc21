"""Search: better schedules and time grids for a denoiser that is there already."""

from rgdiff_core.search.gradient import Progress, improve
from rgdiff_core.search.grids import optimal_times
from rgdiff_core.search.held_out import Comparison, compare, step_bound
from rgdiff_core.search.learned import learn, one_draw
from rgdiff_core.search.space import Space
from rgdiff_core.search.sweep import Sweep, Trial, best, open_study, run, trials

__all__ = [
    "Comparison",
    "Progress",
    "Space",
    "Sweep",
    "Trial",
    "best",
    "compare",
    "improve",
    "learn",
    "one_draw",
    "open_study",
    "optimal_times",
    "run",
    "step_bound",
    "trials",
]
