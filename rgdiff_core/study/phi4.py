"""The study of φ⁴: cells in order of importance, each resumable.

For one theory: the truth; the search, alike in every arm; the final runs, `seeds` of each arm;
samplers by number of steps; and, where the budget names the theory, arms that isolate one choice
and the map of local schedules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.lattice import Estimate, Phi4
from rgdiff_core.noises import OneProcess
from rgdiff_core.process import Process
from rgdiff_core.schedules import Schedule
from rgdiff_core.spec import from_dict, to_dict
from rgdiff_core.study import measures
from rgdiff_core.study.arms import ARMS, LADDER, LANDSCAPE, LRS, Arm, config
from rgdiff_core.study.budget import Budget
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.training import Fields, fields, trained
from rgdiff_core.study.truth import Truth, lattice_of, measure, truth_from
from rgdiff_core.training import TrainConfig
from rgdiff_core.weights import load_model, save_model

__all__ = ["PHASES", "Study"]

SEARCH_SEED, SEARCH_FIELDS = 1000, 1000
Cell = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """The study of one theory.

    Arguments:
        data: the data set.
        budget: of all of it.
        cells: where results are kept.
    """

    data: str
    budget: Budget
    cells: Cells

    @property
    def action(self) -> Phi4:
        """The theory's action."""
        return lattice_of(self.data)[0]

    def fields(self) -> Fields:
        """Return what models are judged on."""
        return fields(self.data, self.budget.train, self.budget.test)

    def truth_cell(self) -> Cell:
        """Return the cell of log Z, ⟨S⟩ and the susceptibility."""
        sizes = {"log_z": self.budget.log_z, "reference": self.budget.reference}
        return self.cells.have(
            "truth", {"data": self.data} | sizes, lambda: measure(self.data, **sizes)
        )

    @property
    def truth(self) -> Truth:
        """log Z, ⟨S⟩ and the susceptibility, from elsewhere than any model."""
        return truth_from(self.truth_cell()["result"])

    def config(
        self, arm: Arm, schedule: Schedule, steps: int, lr: float, seed: int
    ) -> TrainConfig:
        """Return a training config within the budget."""
        b = self.budget
        return config(
            arm,
            schedule,
            self.data,
            network=b.network,
            steps=steps,
            batch=b.batch,
            lr=lr,
            seed=seed,
            limit=b.train,
        )

    # -- the search ------------------------------------------------------------------------------

    def search(self, arm: Arm) -> list[Cell]:
        """Return the cells of an arm's search: all schedules at one learning rate, then the best
        of them at the other rates.
        """
        found = [self._candidate(arm, i, LRS[0]) for i in range(len(arm.choices))]
        best = min(found, key=_score)["result"]["choice"]
        return found + [self._candidate(arm, best, lr) for lr in LRS[1:]]

    def best(self, arm: Arm) -> tuple[Schedule, float, str]:
        """Return what the search chose: schedule, learning rate, the schedule's title."""
        found = min(self.search(arm), key=_score)["result"]
        choice = arm.choices[found["choice"]]
        return choice.schedule, found["lr"], choice.title

    def _candidate(self, arm: Arm, choice: int, lr: float) -> Cell:
        chosen = arm.choices[choice]
        made = self.config(arm, chosen.schedule, self.budget.search_steps, lr, SEARCH_SEED)

        def compute() -> Cell:
            *_, last = trained(made)
            x = self.fields().validation[:SEARCH_FIELDS]
            bound = self._bound(last.model, made, x)
            return {
                "arm": arm.name,
                "choice": choice,
                "schedule": chosen.title,
                "lr": lr,
                "bound": _estimate(bound.nll),
                "gain": _estimate(bound.nll - bound.free),
            }

        name = f"search-{arm.name}-{choice}-{lr:g}"
        inputs = {"config": to_dict(made), "sizes": [SEARCH_FIELDS, self.budget.draws]}
        return self.cells.have(name, inputs, compute)

    # -- the final runs --------------------------------------------------------------------------

    def run(self, arm: Arm, seed: int) -> Cell:
        """Return the cell of a final run."""
        schedule, lr, title = self.best(arm)
        b, name = self.budget, f"run-{arm.name}-{seed}"
        made = self.config(arm, schedule, b.steps, lr, seed)
        sizes = {
            "checkpoints": b.checkpoints,
            "test": b.test,
            "draws": b.draws,
            "flow": [b.flow_steps, b.flow_test, b.flow_samples],
        }

        def compute() -> Cell:
            x, action = self.fields().test, self.action
            points = []
            for point in trained(made, b.checkpoints):
                # all but the last are only a curve
                seen = x if point.step == made.steps else x[: b.test // 4]
                bound = self._bound(point.model, made, seen)
                distance = self._distance(bound.nll, seen)
                points.append({"step": point.step, "loss": point.loss, "bound_kl": distance})
            model = point.model
            some = x[: b.flow_test]
            nll, drawn = measures.flow(
                model, _process(model, made), action, some, b.flow_samples, b.flow_steps, seed
            )
            save_model(model, self.cells.path(name, ".safetensors"))
            kept = {"bound": bound.nll, "free": bound.free, "flow": nll}
            save_file(kept, self.cells.path(name, ".values.safetensors"))
            return {
                "arm": arm.name,
                "seed": seed,
                "schedule": title,
                "lr": lr,
                "parameters": sum(p.numel() for p in model.network.parameters()),
                "points": points,
                "bound": _estimate(bound.nll),
                "bound_kl": self._distance(bound.nll, x),
                "gain": bound.gain.tolist(),
                "gaussian_kl": self._distance(bound.free, x),
                "flow": _estimate(nll),
                "flow_kl": self._distance(nll, some),
                "flow_less_bound": _estimate(nll - bound.nll[: b.flow_test]),
                "quality": drawn,
                "reverse_kl": self._reverse(drawn),
            }

        inputs = {"config": to_dict(made), "sizes": sizes, "truth": self.truth_cell()["result"]}
        return self.cells.have(name, inputs, compute)

    def values(self, arm: Arm, seed: int) -> dict[str, Tensor]:
        """Return what a final run's cell keeps for every held-out configuration."""
        self.run(arm, seed)
        return load_file(self.cells.path(f"run-{arm.name}-{seed}", ".values.safetensors"))

    def _bound(self, model: NetworkDenoiser, made: TrainConfig, x: Tensor) -> measures.Bound:
        """Return the bound; arms of one seed see the same noise, and other seeds other noise."""
        return measures.bound(model, _process(model, made), x, self.budget.draws, made.seed)

    def _distance(self, nll: Tensor, x: Tensor) -> dict[str, float]:
        """Return KL(p|q) = ⟨nll − S⟩ − log Z, nats: value, its error with and without log Z's."""
        less, log_z = Estimate.of(nll - self.action(x.double())), self.truth.log_z
        error = (less.error**2 + log_z.error**2) ** 0.5
        return {"value": less.value - log_z.value, "error": error, "paired_error": less.error}

    def _reverse(self, drawn: Cell) -> dict[str, float]:
        """Return KL(q|p) = log Z − ⟨log w⟩_q, nats."""
        log_z, low = self.truth.log_z, drawn["mean_log_w"]
        error = (low["error"] ** 2 + log_z.error**2) ** 0.5
        return {"value": log_z.value - low["value"], "error": error}

    # -- samplers by number of steps -------------------------------------------------------------

    def samplers(self, arm: Arm, seed: int, steps: int) -> Cell:
        """Return the cell of what so many steps of the samplers draw from a final run's model."""
        b, done = self.budget, self.run(arm, seed)
        made = from_dict(done["inputs"]["config"])

        def compute() -> Cell:
            if not isinstance(made, TrainConfig):
                raise ValueError(f"the cell of {arm.name} holds no training config.")
            model = load_model(self.cells.path(f"run-{arm.name}-{seed}", ".safetensors"))
            rows = measures.plain_numbers(
                model,
                _process(model, made),
                self.action,
                self.truth.susceptibility,
                steps,
                (b.plain, b.weighed),
                seed,
            )
            for row in rows:
                if row.get("mean_log_w"):
                    row["reverse_kl"] = self._reverse(row)
            return {"arm": arm.name, "seed": seed, "rows": rows}

        inputs = {"run": done["inputs"], "sizes": [b.plain, b.weighed, steps]}
        return self.cells.have(f"samplers-{arm.name}-{seed}-{steps}", inputs, compute)

    # -- arms that isolate one choice, and the map of schedules ----------------------------------

    def rung(self, arm: Arm, seed: int) -> Cell:
        """Return the cell of an arm of the ladder: its first schedule, the first rate."""
        name = f"ladder-{arm.name}-{seed}"
        return self._short(name, arm, arm.choices[0].schedule, self.budget.ladder_steps, seed)

    def place(self, color: str, index: int) -> Cell:
        """Return the cell of a schedule of the map, with "white" or "matched" noise."""
        name, arm = f"landscape-{color}-{index}", ARMS[f"{color}-component"]
        return self._short(name, arm, LANDSCAPE[index][2], self.budget.landscape_steps, 0)

    def _short(self, name: str, arm: Arm, schedule: Schedule, steps: int, seed: int) -> Cell:
        made = self.config(arm, schedule, steps, LRS[0], seed)

        def compute() -> Cell:
            *_, last = trained(made)
            x = self.fields().test
            bound = self._bound(last.model, made, x)
            return {
                "seed": seed,
                "bound_kl": self._distance(bound.nll, x),
                "gain": bound.gain.tolist(),
            }

        inputs = {"config": to_dict(made), "sizes": [self.budget.test, self.budget.draws]}
        return self.cells.have(name, inputs | {"truth": self.truth_cell()["result"]}, compute)


def _truth(study: Study) -> None:
    study.truth_cell()


def _runs(study: Study) -> None:
    for arm in ARMS.values():
        study.search(arm)
    for seed in range(study.budget.seeds):
        for arm in ARMS.values():
            study.run(arm, seed)


def _samplers(study: Study) -> None:
    for seed in range(study.budget.seeds):
        for steps in study.budget.evaluations:
            for arm in ARMS.values():
                study.samplers(arm, seed, steps)


def _ladder(study: Study) -> None:
    if study.data in study.budget.ladder:
        for seed in range(study.budget.ladder_seeds):
            for arm in LADDER:
                study.rung(arm, seed)


def _landscape(study: Study) -> None:
    if study.data in study.budget.landscape:
        for index in range(len(LANDSCAPE)):
            for color in ("white", "matched"):
                study.place(color, index)


PHASES: dict[str, Callable[[Study], None]] = {
    "truth": _truth,
    "runs": _runs,
    "samplers": _samplers,
    "ladder": _ladder,
    "landscape": _landscape,
}


def _score(cell: Cell) -> float:
    return cell["result"]["bound"]["value"]


def _source(made: TrainConfig) -> OneProcess:
    if not isinstance(made.noise, OneProcess):
        raise ValueError("an arm is trained on one process.")
    return made.noise


def _process(model: NetworkDenoiser, made: TrainConfig) -> Process:
    source = _source(made)
    return Process(model.basis, source.color, source.schedule, model.modes)


def _estimate(values: Tensor) -> dict[str, float]:
    found = Estimate.of(values)
    return {"value": found.value, "error": found.error}
