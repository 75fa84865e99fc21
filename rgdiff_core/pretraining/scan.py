"""How good a lattice model is with each of several processes, on a time grid that suits them.

The flow's integrator takes equal steps of the log-SNR, which suit most schedules. Where the
effective sample size comes out below 0.95, that may be the integrator's fault: then all grids are
tried on a few samples with the same noise, and the best is measured on new ones. It counts where
it is better by two standard errors.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.evaluation import FlowMetrics, quality
from rgdiff_core.evaluation.lattice.quality import FLOW_GRID
from rgdiff_core.lattice import Phi4
from rgdiff_core.sampling import GRIDS
from rgdiff_core.training.noise_levels import FixedProcess

__all__ = ["GOOD", "Say", "Scan", "Scanner", "told"]

GOOD = 0.95  # effective sample size from which on no other grid is tried
EVALUATIONS = 4  # of a step of the integrator
TRIED, NOISE = 16, 7  # samples of each grid, and their seed
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scan:
    """Quality by process.

    Attributes:
        found: by title.
        grids: by title, of those that were measured again.
    """

    found: Mapping[str, FlowMetrics]
    grids: Mapping[str, str]

    @property
    def best(self) -> str:
        """The title of the largest effective sample size."""
        return max(self.found, key=lambda title: self.found[title].ess.value)

    def grid(self, title: str) -> str:
        """Return the grid that a process was measured on."""
        return self.grids.get(title, FLOW_GRID)


@dataclass(frozen=True, eq=False)
class Scanner:
    """Measures a model with each of several processes.

    Attributes:
        model: of lattice fields.
        processes: by title.
        action: the theory.
        n: samples of each.
        steps: of the integrator.
        generator: of the samples' noise.
        say: is told what is found.
    """

    model: NetworkDenoiser
    processes: Mapping[str, FixedProcess]
    action: Phi4
    n: int
    steps: int
    generator: torch.Generator
    say: Say

    def scan(self) -> Scan:
        """Measure the model with each process."""
        found = {}
        for title in self.processes:
            found[title] = self._quality(title, FLOW_GRID)
            self.say(f"{title}: ESS {found[title].ess}")
        return self.again(Scan(found, {}))

    def again(self, scan: Scan) -> Scan:
        """Try other grids where the effective sample size is too small."""
        found, grids = dict(scan.found), dict(scan.grids)
        for title, metrics in scan.found.items():
            if metrics.ess.value >= GOOD:
                continue
            grid = self._best_grid(title)
            if grid == scan.grid(title) and metrics.nfe >= EVALUATIONS * self.steps:
                continue
            again = self._quality(title, grid)
            self.say(f"{title}, grid {grid}: ESS {again.ess}")
            if again.ess.deviation(metrics.ess) > 2:
                found[title], grids[title] = again, grid
        return Scan(found, grids)

    def _best_grid(self, title: str) -> str:
        """Return the grid of the largest effective sample size, of few samples."""

        def ess(grid: str) -> float:
            few = replace(self, n=TRIED, generator=torch.Generator().manual_seed(NOISE))
            return few._quality(title, grid).ess.value

        return max((FLOW_GRID, *(grid for grid in GRIDS if grid != FLOW_GRID)), key=ess)

    def _quality(self, title: str, grid: str) -> FlowMetrics:
        process, sizes = self.processes[title].on(self.model), (self.n, self.steps)
        return quality(self.model, process, self.action, *sizes, self.generator, grid=grid)


def told(title: str, metrics: FlowMetrics, grids: Mapping[str, str]) -> str:
    """Return what a process is called in a table, with its grid where that was chosen."""
    if title not in grids:
        return title
    return f"{title}, grid *{grids[title]}*, {metrics.nfe} evaluations"
