"""How much a study may cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rgdiff_core.networks import LatticeNet, NetworkSpec
from rgdiff_core.spec import Spec

__all__ = ["BUDGETS", "LatticeBudget"]


@dataclass(frozen=True)
class LatticeBudget(Spec):
    """Steps, samples and seeds of a study.

    Attributes:
        network: the same in every arm.
        batch: of every training.
        seeds: of the final runs: 0, 1, ….
        steps: of a final run.
        checkpoints: parts of a final run after which the averaged weights are measured.
        search_steps: of a candidate in the search.
        ablation_steps: of the arms that isolate one choice.
        ablation_seeds: how many seeds each of these has.
        schedule_scan_steps: of the map of schedules.
        train: configurations; those of the training split beyond are the validation split.
        n_eval_fields: noised fields of the test split on which the denoiser's error is measured.
        search_n_eval_fields: those of the validation split, in the search.
        trajectories: of the Monte Carlo for the perfect denoiser.
        bound: held-out configurations for the bound.
        levels_per_image: noise levels for each of them.
        flow_steps: of the Runge–Kutta method for the density.
        flow_test: configurations with the exact density.
        flow_samples: samples with the exact density.
        evaluations: numbers of steps at which samplers are measured.
        n_observable_samples: samples for the susceptibility at each of them.
        n_ess_samples: samples for the effective sample size of those steps.
        log_z: configurations of hybrid Monte Carlo at each node of log Z.
        reference: configurations of hybrid Monte Carlo for ⟨S⟩ and the susceptibility.
        schedule_scan: theories that the map of schedules is made for.
        ablation: theories that the ablation is made for.
        schedules: of the map, in its order.
    """

    former_kinds: ClassVar[tuple[str, ...]] = ("Budget",)
    former_names: ClassVar[Mapping[str, str]] = {
        "judged": "n_eval_fields",
        "search_judged": "search_n_eval_fields",
        "draws": "levels_per_image",
        "plain": "n_observable_samples",
        "weighed": "n_ess_samples",
        "ladder": "ablation",
        "ladder_steps": "ablation_steps",
        "ladder_seeds": "ablation_seeds",
        "landscape": "schedule_scan",
        "landscape_steps": "schedule_scan_steps",
    }

    network: NetworkSpec = LatticeNet(24, 3)
    batch: int = 128
    seeds: int = 4
    steps: int = 4000
    checkpoints: int = 4
    search_steps: int = 600
    ablation_steps: int = 2000
    ablation_seeds: int = 3
    schedule_scan_steps: int = 1000
    train: int = 18_000
    n_eval_fields: int = 5000
    search_n_eval_fields: int = 2000
    trajectories: int = 200
    bound: int = 5000
    levels_per_image: int = 16
    flow_steps: int = 24
    flow_test: int = 512
    flow_samples: int = 512
    evaluations: tuple[int, ...] = (4, 8, 16, 32)
    n_observable_samples: int = 10_000
    n_ess_samples: int = 256
    log_z: int = 100_000
    reference: int = 400_000
    schedule_scan: tuple[str, ...] = ("phi4-6x6-critical", "phi4-6x6-broken")
    ablation: tuple[str, ...] = ("phi4-6x6-critical", "phi4-6x6-broken")
    schedules: int = 20


BUDGETS: Mapping[str, LatticeBudget] = {
    "full": LatticeBudget(),
    "machine": LatticeBudget(  # four hours of a processor in all
        seeds=3,
        steps=2400,
        search_steps=300,
        ablation_steps=800,
        ablation_seeds=2,
        schedule_scan_steps=500,
        n_eval_fields=3000,
        search_n_eval_fields=1500,
        trajectories=100,
        bound=1500,
        flow_steps=16,
        flow_test=32,
        flow_samples=64,
        evaluations=(4, 8, 16),
        n_observable_samples=4000,
        n_ess_samples=64,
    ),
    "hour": LatticeBudget(  # of one core that has nothing else to do
        seeds=3,
        steps=1000,
        search_steps=250,
        ablation_steps=600,
        ablation_seeds=2,
        schedule_scan_steps=250,
        n_eval_fields=3000,
        search_n_eval_fields=1000,
        trajectories=100,
        bound=1500,
        flow_steps=16,
        flow_test=32,
        flow_samples=64,
        evaluations=(4, 8, 16),
        n_observable_samples=3000,
        n_ess_samples=96,
    ),
    "tiny": LatticeBudget(
        network=LatticeNet(4, 1),
        batch=32,
        seeds=2,
        steps=20,
        checkpoints=2,
        search_steps=2,
        ablation_steps=2,
        ablation_seeds=1,
        schedule_scan_steps=1,
        n_eval_fields=64,
        search_n_eval_fields=32,
        trajectories=4,
        bound=64,
        levels_per_image=2,
        flow_steps=1,
        flow_test=8,
        flow_samples=8,
        evaluations=(4,),
        n_observable_samples=64,
        n_ess_samples=8,
        log_z=1000,
        reference=2000,
        schedules=2,
        schedule_scan=("phi4-6x6",),
        ablation=("phi4-6x6",),
    ),
}
