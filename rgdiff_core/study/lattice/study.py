"""The study of φ⁴: cells in order of importance, each resumable.

For one theory: the truth; the search, alike in every arm; the final runs; samplers by number of
steps; and, where the budget names the theory, arms that isolate one choice and a map of schedules.
"""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from filelock import FileLock
from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.files import load_model, save_model
from rgdiff_core.files.atomic import write_tensors
from rgdiff_core.lattice import Phi4
from rgdiff_core.likelihood.densities import free_log_density
from rgdiff_core.process import Process
from rgdiff_core.schedules import Schedule
from rgdiff_core.spec import from_dict, to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import Cells
from rgdiff_core.study.lattice import measures
from rgdiff_core.study.lattice.arms import ARMS, LRS, SCHEDULE_SCAN, Arm, config
from rgdiff_core.study.lattice.budget import LatticeBudget
from rgdiff_core.study.lattice.distance import (
    Reference,
    bound,
    distance,
    ends,
    kept_reference,
    reference,
)
from rgdiff_core.study.lattice.reference_values import (
    ReferenceValues,
    lattice_of,
    measure,
    reference_values_from,
)
from rgdiff_core.study.lattice.search import (
    FINALISTS,
    SEARCH_SEED,
    TRIAL_SEEDS,
    finalists,
    mean_score,
    score,
)
from rgdiff_core.study.lattice.training import Fields, NotFiniteError, fields, trained
from rgdiff_core.training import TrainConfig
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

__all__ = ["Study"]

MODES = {"modes": "lattice"}  # what mean and variances are: symmetrized
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
    budget: LatticeBudget
    cells: Cells
    # The search's cells once they are read: every later cell asks for all those of its arm.
    _searched: dict[Any, Cell] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def action(self) -> Phi4:
        """The theory's action."""
        return lattice_of(self.data)[0]

    def fields(self) -> Fields:
        """Return what models are judged on."""
        return fields(self.data, self.budget.train)

    def reference_values_cell(self) -> Cell:
        """Return the cell of log Z, ⟨S⟩ and the susceptibility."""
        sizes = {"log_z": self.budget.log_z, "reference": self.budget.reference}
        return self.cells.read_or_compute(
            "truth", {"data": self.data} | sizes, lambda: measure(self.data, **sizes)
        )

    @property
    def reference_values(self) -> ReferenceValues:
        """log Z, ⟨S⟩ and the susceptibility, from elsewhere than any model."""
        return reference_values_from(self.reference_values_cell()["result"])

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
        """Return the cells of an arm's search: all schedules at one learning rate, the best of
        them at the other rates, and the finalists for longer, each with several seeds.
        """
        return self._short_trials(arm) + [c for cells in self.finals(arm) for c in cells]

    def _short_trials(self, arm: Arm) -> list[Cell]:
        return self._schedules(arm) + [self.tuned(arm, lr) for lr in LRS[1:]]

    def finals(self, arm: Arm) -> list[list[Cell]]:
        """Return the cells of each finalist, one for each seed."""
        return [
            [self.longer(arm, place, seed) for seed in TRIAL_SEEDS] for place in range(FINALISTS)
        ]

    def _schedules(self, arm: Arm) -> list[Cell]:
        return [self.candidate(arm, i, LRS[0]) for i in range(len(arm.choices))]

    def tuned(self, arm: Arm, lr: float) -> Cell:
        """Return the cell of the search's best schedule at another learning rate."""
        best = min(self._schedules(arm), key=score)["result"]["choice"]
        return self.candidate(arm, best, lr)

    def longer(self, arm: Arm, place: int, seed: int) -> Cell:
        """Return the cell of one of the `finalists`, trained half as long as a final run: what a
        schedule that ends early lacks is small beside what a short training has not learnt yet.
        """
        choice, lr = finalists(self._schedules(arm), self._short_trials(arm))[place]
        return self.candidate(arm, choice, lr, self.budget.steps // 2, seed)

    def best(self, arm: Arm) -> tuple[Schedule, float, str]:
        """Return what the search chose: schedule, learning rate, the schedule's title."""
        found = min(self.finals(arm), key=mean_score)[0]["result"]
        choice = arm.choices[found["choice"]]
        return choice.schedule, found["lr"], choice.title

    def candidate(
        self, arm: Arm, choice: int, lr: float, steps: int | None = None, seed: int = SEARCH_SEED
    ) -> Cell:
        """Return the cell of a schedule and a learning rate, of a short trial without a number of
        steps; where the loss did not stay finite its distance is None.
        """
        key = (arm.name, choice, lr, steps, seed)
        if key not in self._searched:
            self._searched[key] = self._candidate(arm, choice, lr, steps, seed)
        return self._searched[key]

    def _candidate(self, arm: Arm, choice: int, lr: float, steps: int | None, seed: int) -> Cell:
        chosen, kind = arm.choices[choice], "search" if steps is None else "trial"
        steps = steps or self.budget.search_steps
        made = self.config(arm, chosen.schedule, steps, lr, seed)

        def compute() -> Cell:
            of = {"arm": arm.name, "choice": choice, "schedule": chosen.title, "lr": lr}
            try:
                *_, last = trained(made)
            except NotFiniteError:
                return of | {"kl": None}
            each, _ = distance(last.model, self._reference(made, "validation"))
            return of | {"kl": Estimate.of(each).to_dict()}

        name = f"{kind}-{arm.name}-{choice}-{lr:g}"
        if seed != SEARCH_SEED:
            name += f"-{seed}"
        sizes = [self.budget.search_n_eval_fields, self.budget.trajectories]
        inputs = {"config": to_dict(made), "sizes": sizes} | MODES
        cell = self._whole(self.cells.read_or_compute(name, inputs, compute), made, "validation")
        return cell | {"result": cell["result"] | {"steps": steps, "seed": seed}}

    # -- the final runs --------------------------------------------------------------------------

    def run(self, arm: Arm, seed: int) -> Cell:
        """Return the cell of a final run."""
        schedule, lr, title = self.best(arm)
        b, name = self.budget, f"run-{arm.name}-{seed}"
        made = self.config(arm, schedule, b.steps, lr, seed)
        sizes = {
            "checkpoints": b.checkpoints,
            "judged": [b.n_eval_fields, b.trajectories],
            "bound": [b.bound, b.levels_per_image],
        }

        def compute() -> Cell:
            x = self.fields().test
            points, known = [], None
            for point in trained(made, b.checkpoints):
                known = known or self._reference(made, "test")
                model, process = point.model, _process(point.model, made)
                each, table = distance(model, known)
                limit = bound(model, process, x[: b.bound], b.levels_per_image, seed)
                row = {"step": point.step, "loss": point.loss, "table": table.tolist()}
                for quantity, values in (("kl", each), ("nll", limit.nll)):
                    row[quantity] = self.estimate(values).to_dict()
                points.append(row | {"bound_kl": self._above(limit.nll, x[: b.bound])})
            told = {"data": self.data, "config": made.to_json()}
            save_model(model, self.cells.path(name, ".safetensors"), told)
            write_tensors(self.cells.path(name, ".values.safetensors"), {"kl": each})
            return {
                "arm": arm.name,
                "seed": seed,
                "schedule": title,
                "lr": lr,
                "parameters": sum(p.numel() for p in model.network.parameters()),
                "points": points,
                **{name: points[-1][name] for name in ("kl", "nll", "bound_kl", "table")},
                "gaussian_kl": self._above(-free_log_density(model, x).double(), x),
            }

        known = self.reference_values_cell()["result"]
        inputs = {"config": to_dict(made), "sizes": sizes, "truth": known} | MODES
        return self._whole(self.cells.read_or_compute(name, inputs, compute), made, "test")

    def flow(self, arm: Arm, seed: int) -> Cell:
        """Return the cell of the density of a final run's probability flow."""
        b, done = self.budget, self.run(arm, seed)
        sizes = [b.flow_steps, b.flow_test, b.flow_samples, measures.FLOW_GRID]

        def compute() -> Cell:
            model, process = self._trained(done)
            x = self.fields().test[: b.flow_test]
            nll, drawn = measures.flow(
                model, process, self.action, x, b.flow_samples, b.flow_steps, seed
            )
            found = {"flow_kl": self._above(nll, x), "flow_nll": self.estimate(nll).to_dict()}
            return {"arm": arm.name, "seed": seed} | found | drawn

        inputs = {"run": done["inputs"], "sizes": sizes}
        cell = self.cells.read_or_compute(f"flow-{arm.name}-{seed}", inputs, compute)
        # in the cell it is that by the model's own log Z, which misses a lost mode
        other = {"reverse_kl": self._reverse(cell["result"])}
        return cell | {"result": cell["result"] | other}

    def _trained(self, done: Cell) -> tuple[NetworkDenoiser, Process]:
        """Return the model of a final run's cell, and its process."""
        made = from_dict(done["inputs"]["config"])
        if not isinstance(made, TrainConfig):
            raise ValueError(f"the cell {done['name']} holds no training config.")
        model = load_model(self.cells.path(done["name"], ".safetensors"))
        return model, _process(model, made)

    def values(self, arm: Arm, seed: int) -> dict[str, Tensor]:
        """Return what a final run's cell keeps for every held-out configuration."""
        self.run(arm, seed)
        return load_file(self.cells.path(f"run-{arm.name}-{seed}", ".values.safetensors"))

    # -- noised fields and a perfect denoiser's estimate of them --------------------------------

    def validation_reference(self, arm: Arm, choice: int) -> Reference:
        """Return those that a schedule of an arm is judged on in the search."""
        made = self.config(arm, arm.choices[choice].schedule, 1, LRS[0], 0)
        return self._reference(made, "validation")

    def run_reference(self, arm: Arm) -> Reference:
        """Return those that an arm's final runs are judged on."""
        return self._reference(self.config(arm, self.best(arm)[0], 1, LRS[0], 0), "test")

    def ablation_reference(self, arm: Arm) -> Reference:
        """Return those that an arm of the ablation is judged on."""
        return self._reference(self.config(arm, arm.choices[0].schedule, 1, LRS[0], 0), "test")

    def _reference(self, made: TrainConfig, split: str) -> Reference:
        """Return fields of the validation or test split that the config's process has noised; they
        are kept, for several models have one process.
        """
        b, search = self.budget, split == "validation"
        count, seed = (b.search_n_eval_fields, SEARCH_SEED) if search else (b.n_eval_fields, 0)
        of = [_source(made).to_json(), b.train, b.trajectories, count, seed, MODES]
        digest = sha256(json.dumps(of).encode()).hexdigest()[:12]
        path = self.cells.path(f"reference-{digest}", ".safetensors")
        found = kept_reference(path)
        if found is not None:
            return found
        self.cells.begin(path.stem)
        with FileLock(path.with_suffix(".lock")):  # one process computes, others wait for it
            found = kept_reference(path)
            if found is None:
                learner, *_ = prepare(made, fabric_for("cpu"))
                x = getattr(self.fields(), split)[:count]
                process, modes = _process(learner.model, made), learner.model.modes
                found = reference(process, modes, self.action, x, b.trajectories, seed)
                write_tensors(path, found.tensors)
        return found

    def _ends(self, made: TrainConfig, split: str) -> Cell:
        """Return the cell of what lies beyond the ends of a config's schedule."""
        b, noise = self.budget, _source(made)
        inputs = {
            "noise": to_dict(noise),
            "split": split,
            "sizes": [b.train, b.n_eval_fields, b.trajectories],
        } | MODES

        def compute() -> Cell:
            learner, *_ = prepare(made, fabric_for("cpu"))
            x, model = getattr(self.fields(), split)[: b.n_eval_fields], learner.model
            process = _process(model, made)
            each, table = ends(process, model.modes, self.action, x, b.trajectories, 0)
            kl = self.estimate(each) if split == "test" else Estimate.of(each)
            return {"kl": kl.to_dict(), "table": table.tolist()}

        digest = sha256(noise.to_json().encode()).hexdigest()[:12]
        return self.cells.read_or_compute(f"ends-{split}-{digest}", inputs, compute)

    def _whole(self, cell: Cell, made: TrainConfig, split: str) -> Cell:
        """Return a cell whose distances hold what lies beyond its schedule's ends, too."""
        if cell["result"]["kl"] is None:
            return cell
        beyond = self._ends(made, split)["result"]
        return cell | {"result": measures.with_ends(cell["result"], beyond)}

    def _above(self, nll: Tensor, x: Tensor) -> dict[str, float]:
        """Return KL(p|q) = ⟨nll − S⟩ − log Z, nats, of fields x."""
        less, log_z = self.estimate(nll - self.action(x.double())), self.reference_values.log_z
        error = (less.error**2 + log_z.error**2) ** 0.5
        return {"value": less.value - log_z.value, "error": error}

    def estimate(self, values: Tensor) -> Estimate:
        """Return the mean of what the first test fields have, with the error of their chains."""
        chains = self.fields().chains
        return Estimate.of(values, None if chains is None else chains[: len(values)])

    def _reverse(self, drawn: Cell) -> dict[str, float | None]:
        """Return KL(q|p) = log Z − ⟨log w⟩_q, nats, None where a weight is not finite."""
        log_z, low = self.reference_values.log_z, drawn["mean_log_w"]
        if low["value"] is None:
            return {"value": None, "error": None}
        error = (low["error"] ** 2 + log_z.error**2) ** 0.5
        return {"value": log_z.value - low["value"], "error": error}

    # -- samplers by number of steps -------------------------------------------------------------

    def samplers(self, arm: Arm, seed: int, steps: int) -> Cell:
        """Return the cell of what so many steps of the samplers draw from a final run's model."""
        b, done = self.budget, self.run(arm, seed)

        def compute() -> Cell:
            model, process = self._trained(done)
            chi = self.reference_values.susceptibility
            counts = b.n_observable_samples, b.n_ess_samples
            rows = measures.plain_numbers(model, process, self.action, chi, steps, counts, seed)
            for row in rows:
                if row.get("mean_log_w"):
                    row["reverse_kl"] = self._reverse(row)
            return {"arm": arm.name, "seed": seed, "rows": rows}

        inputs = {"run": done["inputs"], "sizes": [b.n_observable_samples, b.n_ess_samples, steps]}
        return self.cells.read_or_compute(f"samplers-{arm.name}-{seed}-{steps}", inputs, compute)

    # -- arms that isolate one choice, and the map of schedules ----------------------------------

    def ablation_step(self, arm: Arm, seed: int) -> Cell:
        """Return the cell of an arm of the ablation: its first schedule, the first rate."""
        name = f"ablation-{arm.name}-{seed}"
        return self._short(name, arm, arm.choices[0].schedule, self.budget.ablation_steps, seed)

    def place(self, color: str, index: int) -> Cell:
        """Return the cell of a schedule of the map, with "white" or "matched" noise."""
        name, arm = f"schedule_scan-{color}-{index}", ARMS[f"{color}-component"]
        return self._short(name, arm, SCHEDULE_SCAN[index][2], self.budget.schedule_scan_steps, 0)

    def _short(self, name: str, arm: Arm, schedule: Schedule, steps: int, seed: int) -> Cell:
        made = self.config(arm, schedule, steps, LRS[0], seed)

        def compute() -> Cell:
            *_, last = trained(made)
            each, table = distance(last.model, self._reference(made, "test"))
            return {"seed": seed, "kl": self.estimate(each).to_dict(), "table": table.tolist()}

        b = self.budget
        inputs = {"config": to_dict(made), "sizes": [b.n_eval_fields, b.trajectories]} | MODES
        return self._whole(self.cells.read_or_compute(name, inputs, compute), made, "test")


def _source(made: TrainConfig) -> FixedProcess:
    if not isinstance(made.noise, FixedProcess):
        raise ValueError("an arm is trained on one process.")
    return made.noise


def _process(model: NetworkDenoiser, made: TrainConfig) -> Process:
    return _source(made).on(model)
