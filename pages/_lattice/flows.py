"""The flows of the Lattice page: which there are, and following an ensemble in the background."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st
import torch
from torch import Tensor

from pages._lattice import ensembles
from pages._shared import jobs, plots
from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.colors import Color, Matched, White
from rgdiff_core.lattice.gamma import chain_lengths
from rgdiff_core.process import ProcessSpec
from rgdiff_core.renormalization import (
    BlockSpin,
    Decimation,
    Flow,
    Measurement,
    MomentumShell,
    Noising,
    Step,
    follow,
)
from rgdiff_core.schedules import Cosine, Cutoff, LinearBeta, Schedule, SigmoidKernel

__all__ = [
    "COLORS",
    "FLOWS",
    "SCHEDULES",
    "FlowChoice",
    "again",
    "begin",
    "flow",
    "nearest",
    "seeded",
    "track",
]

LINE, PREFIX = "measuring", "flow/"
MAX_SITES = 2**21  # of the configurations that are followed
MIN_CONFIGURATIONS = 24  # configurations; chains stay whole, so it may be a few more than the most

FLOWS = ("block spin", "decimation", "momentum shell", "white noise", "matched noise")
COLORS: Mapping[str, str] = dict(
    zip(FLOWS, (plots.BLUE, plots.GREY, plots.GREEN, plots.ORANGE, plots.PURPLE), strict=True)
)
SCHEDULES: Mapping[str, Schedule] = {
    "moving cutoff": Cutoff(SigmoidKernel(0.1)),
    "linear β (DDPM)": LinearBeta(),
    "cosine": Cosine(),
}
_NOISES: Mapping[str, Color] = {"white noise": White(), "matched noise": Matched()}


@dataclass(frozen=True)
class FlowChoice:
    """Which flow.

    Attributes:
        name: One of `FLOWS`.
        eta: η of the rescaling; noise has none.
        schedule: One of `SCHEDULES`, of noise.
    """

    name: str
    eta: float = 0.0
    schedule: str = next(iter(SCHEDULES))


def flow(id: str, way: FlowChoice) -> Flow:
    """Return a flow for an ensemble; raises `ValueError` where it does not exist."""
    if way.name in _NOISES:
        return _noising(id, way.name, way.schedule)
    kinds = {"block spin": BlockSpin, "decimation": Decimation, "momentum shell": MomentumShell}
    return kinds[way.name](way.eta)


@st.cache_resource(max_entries=16, show_spinner="Measuring the variances …")
def _noising(id: str, noise: str, schedule: str) -> Noising:
    fields = ensembles.ensemble(id).configurations
    spec = ProcessSpec(BasisSpec("fourier"), _NOISES[noise], SCHEDULES[schedule])
    return Noising.fit(fields, spec)


def seeded() -> torch.Generator:
    """Return the source of the noise, the same every time."""
    return torch.Generator().manual_seed(0)


def nearest(steps: tuple[Step, ...], factor: float) -> Step:
    """Return the step whose b is nearest to a factor, in proportion."""
    return min(steps, key=lambda step: abs(step.factor / factor - 1))


def track(id: str, way: FlowChoice) -> jobs.Task | None:
    """Return the measurements along a flow, done or under way; None where none were begun."""
    return jobs.find(_key(id, way))


def begin(id: str, way: FlowChoice) -> jobs.Task:
    """Queue the measurements along a flow."""
    (fields, chains), chosen = _some(id), flow(id, way)

    def work(task: jobs.Task) -> list[Measurement]:
        total = len(chosen.steps(fields.shape[-1]))
        found: list[Measurement] = []
        task.progress(0, total, way.name)
        with task.interruptible():
            for each in follow(chosen, fields, chains, generator=seeded()):
                found.append(replace(each, fields=each.fields[:0]))  # they would fill the memory
                task.live = list(found)
                task.progress(len(found), total, way.name)
        return found

    return jobs.begin(LINE, _key(id, way), "Following the flow", work)


def again(id: str, way: FlowChoice) -> None:
    """Queue the measurements along a flow that were cancelled."""
    jobs.forget(_key(id, way))
    begin(id, way)


def _key(id: str, way: FlowChoice) -> str:
    schedule = way.schedule if way.name in _NOISES else ""
    eta = 0.0 if way.name in _NOISES else way.eta
    return f"{PREFIX}{id}/{way.name}/{eta}/{schedule}"


def _some(id: str) -> tuple[Tensor, int]:
    """Return configurations of an ensemble, as many whole chains as can be followed quickly, and
    the number of chains.
    """
    ensemble = ensembles.ensemble(id)
    fields = ensemble.configurations
    lengths = chain_lengths(len(fields), ensemble.n_chains)
    most = max(MIN_CONFIGURATIONS, MAX_SITES // fields.shape[-1] ** 2)
    chains = n = 0
    for length in lengths:
        if n >= MIN_CONFIGURATIONS and n + length > most:
            break
        chains, n = chains + 1, n + length
    return fields[:n], chains
