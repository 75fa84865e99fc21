"""Black-box sweeps over processes, with Optuna.

A study lives in a database, SQLite by default: it can be left and resumed, and several machines
can work on one that they all reach. A trial is a process; what it is worth is the N-step bound,
on the same images and noise for every trial, or, for lattices, how well samples of an N-step
deterministic sampler, weighed with their density q, fit the action: see
`likelihood.sampler_density`.

References:
    Akiba et al., 1907.10902 (Optuna); Bergstra et al., NeurIPS 2011 (the TPE sampler).
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from platformdirs import user_data_path
from torch import Tensor

from rgdiff_core.colors import Color
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import doubled
from rgdiff_core.evaluation import quality
from rgdiff_core.lattice import Phi4
from rgdiff_core.likelihood import FoldedError, sampler_density
from rgdiff_core.likelihood.discrete import MAX_FIELDS
from rgdiff_core.process import Process
from rgdiff_core.sampling import METHODS
from rgdiff_core.schedules import Schedule
from rgdiff_core.search.held_out import step_bound
from rgdiff_core.search.space import Space
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import Spec, check_whole, from_json
from rgdiff_core.statistics import Estimate

if TYPE_CHECKING:
    import optuna

__all__ = [
    "OBJECTIVES",
    "Sweep",
    "Trial",
    "best",
    "default_storage",
    "open_study",
    "run",
    "trials",
]

Judge = Callable[[Process], Iterator[Estimate]]

OBJECTIVES: Mapping[str, Literal["minimize", "maximize"]] = {
    "bound": "minimize",
    "kl": "minimize",
    "ess": "maximize",
}
PARTS = 4  # after each part of the images a trial may be given up
MAX_IMAGES = {"bound": 1_000_000, "kl": PARTS * MAX_FIELDS, "ess": MAX_FIELDS}
FIRST_TRIALS = 10  # drawn at random, and none of them given up


@dataclass(frozen=True)
class Sweep(Spec):
    """What is searched for.

    Arguments:
        objective: "bound" for the N-step bound in nats above the free theory; for lattices, "kl"
            for KL(q|p) − log Z = ⟨log q + S⟩ in nats, or "ess" for the effective sample size.
        steps: N of the sampler, uniform in t, 1 to 1000.
        space: what is chosen from.
        images: on which a trial is judged, 8 to 1,000,000, or samples that it draws for that: at
            most 400,000 for "kl" and 100,000 for "ess".
        seed: of images and noise, the same for all trials.
        method: the deterministic sampler that "kl" and "ess" judge.
    """

    objective: str = "bound"
    steps: int = 10
    space: Space = Space()
    images: int = 512
    seed: int = 0
    method: str = "interaction"

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            known = ", ".join(OBJECTIVES)
            raise ValueError(f"objective = {self.objective!r} is not one of {known}.")
        check_whole("steps", self.steps, 1, 1000)
        check_whole("images", self.images, 8, MAX_IMAGES[self.objective])
        smooth = [name for name, method in METHODS.items() if method.ode]
        if self.method not in smooth:
            raise ValueError(f"method = {self.method!r} is not one of {', '.join(smooth)}.")
        if self.objective != "bound" and "hard" in self.space.kernels:
            raise ValueError(f"{self.method!r} can't take a hard kernel: leave 'hard' out.")


@dataclass(frozen=True)
class Trial:
    """One process that was tried.

    Attributes:
        number: From 0, in the order of the study.
        state: "complete", "pruned" (given up), "fail" or "running".
        value: What it is worth; None unless complete.
        error: Its standard error.
        seconds: How long it took; None while it runs.
        color: Of the process; None where a trial ended before it had one.
        schedule: Of the process, likewise.
        parameters: What was drawn, by name.
    """

    number: int
    state: str
    value: float | None
    error: float | None
    seconds: float | None
    color: Color | None
    schedule: Schedule | None
    parameters: Mapping[str, Any]


def default_storage() -> str:
    """Return the database URL of sweeps: RGDIFF_SWEEPS, else SQLite in the user's data folder."""
    chosen = os.environ.get("RGDIFF_SWEEPS")
    if chosen:
        return chosen
    folder = user_data_path("rgdiff", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'sweeps.db'}"


def open_study(
    name: str, sweep: Sweep, model: str, *, storage: str | None = None, seed: int = 0
) -> "optuna.Study":
    """Return the study of this name, a new one where there is none.

    Arguments:
        model: what the model is called; a study is of one model and one sweep.
        storage: a database URL, as "sqlite:///file.db" or "postgresql://…"; default:
            `default_storage()`.
        seed: of the choices; machines that share a study take different ones.

    Raises `ValueError` where the database can't be used, or the study is of something else.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or default_storage()
    try:
        study = optuna.create_study(
            storage=url.replace("{", "{{").replace("}", "}}"),  # for Optuna a template
            study_name=name,
            direction=OBJECTIVES[sweep.objective],
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(FIRST_TRIALS),
        )
        known = len(study.get_trials(deepcopy=False))
    except (SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"the database {url!r} can't be used: {reason}.") from None
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=FIRST_TRIALS, seed=fold_in(seed, known) % 2**32
    )
    about = {"sweep": sweep.to_json(), "model": model}
    for key, value in about.items():
        stored = study.user_attrs.get(key, value)
        if stored != value:
            raise ValueError(f"the study {name!r} has {key} = {stored}; give this one a new name.")
        study.set_user_attr(key, value)
    return study


def run(
    study: "optuna.Study",
    model: Denoiser,
    images: Tensor,
    *,
    count: int,
    action: Phi4 | None = None,
) -> Iterator[Trial]:
    """Return an iterator over new trials as they end; to cancel it is to stop iterating.

    A trial that an exception ends (Ctrl+C too) is marked as failed; those before it are kept.

    Arguments:
        images: of the data, (n, C, H, W), of which the sweep takes its number.
        count: how many new trials, 1 to 1,000,000.
        action: of the lattice, which "kl" and "ess" need.
    """
    check_whole("trials", count, 1, 1_000_000)
    sweep = Sweep.from_json(study.user_attrs["sweep"])
    if sweep.objective == "bound":
        judge = _by_bound(model, images, sweep)
    elif action is None:
        raise ValueError(f"objective = {sweep.objective!r} is for lattices: use 'bound'.")
    else:
        judge = (_by_kl if sweep.objective == "kl" else _by_ess)(model, action, sweep)
    return _run(study, model, sweep, judge, count)


def _run(
    study: "optuna.Study", model: Denoiser, sweep: Sweep, judge: Judge, count: int
) -> Iterator[Trial]:
    from optuna.trial import TrialState

    for _ in range(count):
        trial = study.ask()
        try:
            color, schedule = sweep.space.draw(trial)
            trial.set_user_attr("color", color.to_json())
            trial.set_user_attr("schedule", schedule.to_json())
            process = Process(model.basis, color, schedule, model.modes)
            found = _judged(trial, judge(process))
        except FoldedError:
            found = Estimate(math.nan, math.nan)  # a failed trial, and the sweep goes on
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise
        if found is None:
            study.tell(trial, state=TrialState.PRUNED)
        elif math.isfinite(found.value):
            trial.set_user_attr("error", found.error)
            study.tell(trial, found.value)
        else:
            study.tell(trial, state=TrialState.FAIL)
        yield _trial(study.get_trials(deepcopy=False)[trial.number])


def _judged(trial: "optuna.Trial", estimates: Iterator[Estimate]) -> Estimate | None:
    """Return the last of the estimates, None where the trial is given up before."""
    found = None
    for part, found in enumerate(estimates):
        trial.report(found.value, part)
        if part < PARTS - 1 and trial.should_prune():
            return None
    return found


def _by_bound(model: Denoiser, images: Tensor, sweep: Sweep) -> Judge:
    """Return what judges by the N-step bound, on more and more of the same images."""
    chance = torch.Generator().manual_seed(sweep.seed)
    chosen = images[torch.randperm(len(images), generator=chance)[: sweep.images]]

    def judge(process: Process) -> Iterator[Estimate]:
        values = torch.empty(0, dtype=torch.float64)
        for part, x in enumerate(chosen.chunk(PARTS)):
            seed = fold_in(sweep.seed, part)
            values = torch.cat((values, step_bound(model, process, x, sweep.steps, seed=seed)))
            yield Estimate.of(values)

    return judge


def _by_kl(model: Denoiser, action: Phi4, sweep: Sweep) -> Judge:
    """Return what judges by ⟨log q + S⟩, on more and more samples from the same noise."""

    def judge(process: Process) -> Iterator[Estimate]:
        values = torch.empty(0, dtype=torch.float64)
        for part in range(PARTS):
            generator = torch.Generator().manual_seed(fold_in(sweep.seed, part))
            drawn = sampler_density(
                model, process, sweep.images // PARTS, sweep.steps, sweep.method, generator
            )
            if drawn.folded:
                raise FoldedError(sweep.steps)
            energy = doubled(drawn.log_density) + action(doubled(drawn.x))
            values = torch.cat((values, energy.cpu()))
            yield Estimate.of(values)

    return judge


def _by_ess(model: Denoiser, action: Phi4, sweep: Sweep) -> Judge:
    """Return what judges by the effective sample size."""

    def judge(process: Process) -> Iterator[Estimate]:
        generator = torch.Generator().manual_seed(sweep.seed)
        n, steps, method = sweep.images, sweep.steps, sweep.method
        yield quality(model, process, action, n, steps, generator, method=method).ess

    return judge


def trials(study: "optuna.Study") -> list[Trial]:
    """Return all trials of a study, in order."""
    return [_trial(each) for each in study.get_trials(deepcopy=False)]


def best(study: "optuna.Study") -> Trial | None:
    """Return the best complete trial of a study, None where there is none."""
    complete = [each for each in trials(study) if each.value is not None]
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    return min(complete, key=lambda each: sign * (each.value or 0.0), default=None)


def _trial(frozen: "optuna.trial.FrozenTrial") -> Trial:
    attributes = frozen.user_attrs
    complete = frozen.state.name == "COMPLETE"
    color, schedule = (
        from_json(attributes[n]) if n in attributes else None for n in ("color", "schedule")
    )
    return Trial(
        number=frozen.number,
        state=frozen.state.name.lower(),
        value=frozen.value if complete else None,
        error=attributes.get("error"),
        seconds=None if frozen.duration is None else frozen.duration.total_seconds(),
        color=color if isinstance(color, Color) else None,
        schedule=schedule if isinstance(schedule, Schedule) else None,
        parameters=frozen.params,
    )
