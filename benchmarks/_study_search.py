"""Whether a schedule that was optimized for N steps beats the best preset, on φ⁴ 6×6.

For each pretrained model and N, with nothing retrained. The presets are the processes of the cards
and those of the literature that a lattice in the Fourier basis can have; each gets the best of
four time grids (uniform, log-SNR, angle, shortest path), chosen on other images or noise than it
is judged on, just as what was searched. The shortest path is itself a search: for one kernel and
colour, to choose the times on a straight Λ(t) is to choose the curve Λ(t) at equal times. So the
best preset on the first three grids, which have names, is given too. Two questions:

- the shell sampler, through the bound: KL(p|q_N) ≤ bound − (⟨S⟩ + log Z), paired on held-out
  configurations;
- N-step deterministic samplers, exactly, through the determinant of their map: ESS and KL(q_N|p),
  paired on the same noise.

`python benchmarks/_study_search.py [model …] [--steps N …]`; minutes for each N on a quiet
machine, so that `make bench` leaves it out.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch
from _report import machine, table, write
from torch import Tensor

import rgdiff_core as rg
from rgdiff_core.colors import Color, Matched, White
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.denoisers.files import pretrained_folder
from rgdiff_core.lattice import Phi4
from rgdiff_core.likelihood import sampler_density
from rgdiff_core.likelihood.densities import free_log_density
from rgdiff_core.presets import PRESETS
from rgdiff_core.pretraining.lattice import PROCESSES
from rgdiff_core.process import Process
from rgdiff_core.sampling import GRIDS
from rgdiff_core.schedules import Cutoff, SigmoidKernel
from rgdiff_core.search import Space, Sweep, improve, open_study, optimal_times, run, step_bound
from rgdiff_core.spec import to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.training.state import tune_malloc

MODELS, STEPS = ("phi4-6x6", "phi4-6x6-broken"), (5, 10, 20)
METHODS = ("interaction",)  # a pilot had DPM-Solver++(2M) and DDIM behind it everywhere
ROUNDS, BATCH, TRIALS, TRIAL_SAMPLES = 120, 64, 24, 32
CHOICE = 128  # images on which grids and presets are chosen by the bound
FEW, SOME, MANY = 8, 64, 256  # samples in the rounds of the choice by KL(q|p), and for the result
DRAWS = 2
UNFIT = ("columns", "haar", "wsgm", "gud-soft")  # made for other bases
Grid = str | tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Arm:
    """A process with its time grid and, for deterministic samplers, its method."""

    title: str
    process: Process
    grid: Grid = "uniform"
    method: str = "interaction"


@dataclass(frozen=True, eq=False)
class Lattice:
    """A pretrained model, its data, and what is known exactly."""

    name: str
    model: Denoiser
    action: Phi4
    log_z: Estimate
    train: Tensor
    test: Tensor

    def process(self, color: Color, schedule: rg.schedules.Schedule) -> Process:
        """Return a process in the model's basis."""
        return Process(self.model.basis, color, schedule, self.model.modes)


def opened(name: str) -> Lattice:
    """Return a pretrained model of a lattice; log Z is that of its card."""
    card = json.loads((pretrained_folder() / name / "card.json").read_text(encoding="utf-8"))
    log_z = Estimate(**card["quality"]["log_z"])
    action = rg.data.action_of(name)
    if action is None:
        raise ValueError(f"{name} is no lattice.")
    train, test = (rg.data.load(name, split).images for split in ("train", "test"))
    return Lattice(name, rg.load_pretrained(name), action, log_z, train, test)


def presets(lattice: Lattice) -> dict[str, Process]:
    """Return all presets that fit."""
    chosen = {name: (p.color, p.schedule) for name, p in PROCESSES.items()}
    for name, preset in PRESETS.items():
        if preset.basis.name in ("pixel", "fourier") and not name.endswith(UNFIT):
            chosen[name] = (preset.color, preset.schedule)
    return {name: lattice.process(*pair) for name, pair in chosen.items()}


def gridded(lattice: Lattice, processes: Mapping[str, Process], steps: int) -> list[Arm]:
    """Return processes on every grid."""
    arms, images = [], lattice.train[CHOICE : 2 * CHOICE]
    for title, process in processes.items():
        best = optimal_times(lattice.model, process, images, steps, 64)
        arms += [Arm(f"{title}; {name}", process, name) for name in GRIDS]
        arms.append(Arm(f"{title}; shortest path", process, best))
    return arms


def bound(lattice: Lattice, arm: Arm, steps: int, x: Tensor, draws: int, seed: int) -> Tensor:
    """Return the N-step bound of each configuration, nats above the free theory."""
    return step_bound(lattice.model, arm.process, x, steps, grid=arm.grid, draws=draws, seed=seed)


def weighed(lattice: Lattice, arm: Arm, steps: int, n: int, seed: int) -> Tensor:
    """Return log q + S + log Z of n samples: its mean is KL(q|p). Where the sampler's map is seen
    to fold it is infinite, for then q is more than what was computed.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = sampler_density(
        lattice.model, arm.process, n, steps, arm.method, generator, grid=arm.grid
    )
    if drawn.folded:
        return torch.full((n,), math.inf, dtype=torch.float64)
    return drawn.log_density.double() + lattice.action(drawn.x.double()) + lattice.log_z.value


def by_gradient(lattice: Lattice, steps: int) -> dict[str, Process]:
    """Return what the search by gradient finds from white and from matched noise."""
    found = {}
    for color in (White(), Matched()):
        start = lattice.process(color, Cutoff(SigmoidKernel(0.3), gamma_max=6.0))
        *_, last = improve(
            lattice.model, start, lattice.train, steps, rounds=ROUNDS, batch=BATCH, seed=1
        )
        title = f"gradient, {type(color).__name__.lower()} noise"
        found[title] = lattice.process(color, last.schedule)
    return found


def by_trials(lattice: Lattice, steps: int, objective: str) -> dict[str, Process]:
    """Return the best four of a sweep."""
    images = TRIAL_SAMPLES if objective == "kl" else 2 * CHOICE
    sweep = Sweep(objective, steps, Space(), images, seed=3)
    study = open_study("study", sweep, lattice.name, storage="sqlite:///:memory:")
    tried = run(study, lattice.model, lattice.train, count=TRIALS, action=lattice.action)
    complete = [trial for trial in tried if trial.value is not None]
    return {
        f"trial {trial.number}": lattice.process(trial.color, trial.schedule)
        for trial in sorted(complete, key=lambda trial: trial.value or 0.0)[:4]
        if trial.color and trial.schedule
    }


def by_bound(
    lattice: Lattice, steps: int, known: Sequence[Arm], tuned: Sequence[Arm]
) -> dict[str, Any]:
    """Compare for the shell sampler: KL(p|q_N), from above, on the same configurations."""

    @cache
    def worth(arm: Arm) -> float:
        return float(bound(lattice, arm, steps, lattice.train[:CHOICE], 1, 11).mean())

    arms = {role: min(some, key=worth) for role, some in _roles(known, tuned).items()}
    free = -free_log_density(lattice.model, lattice.test).double()
    rest = free - lattice.action(lattice.test.double()) - lattice.log_z.value
    values = {
        role: rest + bound(lattice, arm, steps, lattice.test, DRAWS, 12)
        for role, arm in arms.items()
    }
    return _figures(arms, values) | {"log_z_error": lattice.log_z.error}


def by_density(
    lattice: Lattice, steps: int, known: Sequence[Arm], tuned: Sequence[Arm]
) -> dict[str, Any]:
    """Compare deterministic samplers: KL(q_N|p) and ESS, on the same noise.

    Arms are chosen by KL(q|p), in two rounds: few samples of all, more of the best eight; of
    these, the best whose map does not fold.
    """

    @cache
    def worth(arm: Arm, n: int) -> float:
        value = float(weighed(lattice, arm, steps, n, 21 + n).mean())
        return value if math.isfinite(value) else math.inf

    def chosen(some: Sequence[Arm]) -> Arm:
        smooth = [arm for arm in some if arm.process.schedule.continuous]
        best = sorted(smooth, key=lambda arm: worth(arm, FEW))[:8]
        best = sorted(best, key=lambda arm: worth(arm, SOME))
        # folds may show in many samples only
        return next((arm for arm in best if worth(arm, MANY) < math.inf), best[0])

    arms = {role: chosen(some) for role, some in _roles(known, tuned).items()}
    values = {role: weighed(lattice, arm, steps, MANY, 23) for role, arm in arms.items()}
    found = _figures(arms, values)
    last = values["searched"]
    for role, each in values.items():
        found[role]["ess"] = asdict(_ess(each))
        found[role]["ess_change"] = asdict(_difference(each, last))
    return found


def _roles(known: Sequence[Arm], tuned: Sequence[Arm]) -> dict[str, Sequence[Arm]]:
    """Return who competes: presets on named grids, presets on any grid, what was searched."""
    named = [arm for arm in known if isinstance(arm.grid, str)]
    return {"preset, named grid": named, "preset": known, "searched": tuned}


def _figures(arms: Mapping[str, Arm], values: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what each arm is, its KL, and how much less the searched one has, paired."""
    last = values["searched"]
    return {
        role: {
            "title": arm.title,
            "color": to_dict(arm.process.color),
            "schedule": to_dict(arm.process.schedule),
            "grid": arm.grid,
            "kl": asdict(Estimate.of(values[role])),
            "change": asdict(Estimate.of(last - values[role])),
        }
        for role, arm in arms.items()
    }


def _finite(found: Any) -> Any:
    """Return figures with None for what is no number, as JSON has it: the arm folds."""
    if isinstance(found, dict):
        return {key: _finite(value) for key, value in found.items()}
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _share(values: Tensor) -> float:
    w = torch.softmax(-values, 0)
    return float(1 / ((w**2).sum() * len(w)))


def _jackknifed(parts: list[Tensor]) -> list[float]:
    """Return the effective sample size without each of 32 blocks."""
    return [_share(torch.cat(parts[:i] + parts[i + 1 :])) for i in range(len(parts))]


def _ess(values: Tensor) -> Estimate:
    left = torch.tensor(_jackknifed(list(values.chunk(32))))
    return Estimate(_share(values), float(left.std(correction=0) * (len(left) - 1) ** 0.5))


def _difference(first: Tensor, second: Tensor) -> Estimate:
    one, other = (torch.tensor(_jackknifed(list(v.chunk(32)))) for v in (first, second))
    error = (other - one).std(correction=0) * (len(one) - 1) ** 0.5
    return Estimate(_share(second) - _share(first), float(error))


def main(models: tuple[str, ...], counts: tuple[int, ...]) -> None:
    """Run the study, print a table after each comparison, write the JSON."""
    torch.set_num_threads(1)
    tune_malloc()
    before = machine()
    for name in models:
        lattice, figures = opened(name), {}
        for steps in counts:
            known = gridded(lattice, presets(lattice), steps)
            descended = gridded(lattice, by_gradient(lattice, steps), steps)
            for what, objective, judge in (
                ("shell, KL(p|q) at most", "bound", by_bound),
                ("deterministic, KL(q|p)", "kl", by_density),
            ):
                tuned = gridded(lattice, by_trials(lattice, steps, objective), steps)
                found = judge(lattice, steps, known, descended + tuned)
                figures[f"{steps} steps, {what}"] = found
                print(_told(f"{name}, {steps} steps", what, found), flush=True)
                figures["budget"] = {"rounds": ROUNDS, "trials": TRIALS, "samples": TRIAL_SAMPLES}
                write(f"search-{name}", before, _finite(figures))


def _told(name: str, what: str, found: Mapping[str, Any]) -> str:
    rows = []
    for role, arm in found.items():
        if not isinstance(arm, dict):
            continue
        names = [n for n in ("kl", "change", "ess", "ess_change") if n in arm]
        rows.append([f"{role}: {arm['title']}", *(str(Estimate(**arm[n])) for n in names)])
    head = [name, what, "searched less this", "ESS", "searched less this"]
    return table(head[: len(rows[0])], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each sweep")
    parser.add_argument("--samples", type=int, default=TRIAL_SAMPLES, help="of a trial by KL(q|p)")
    chosen = parser.parse_args()
    TRIALS, TRIAL_SAMPLES = chosen.trials, chosen.samples
    main(tuple(chosen.models), tuple(chosen.steps))
