"""A model against its theory on the Lattice page: log Z, weights, Metropolis, HMC beside it."""

import json
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st
import torch

import rgdiff_core as rg
from pages._lattice import model_menu
from pages._lattice.state import Theory
from pages._sampling import models
from pages._sampling.setting import Setting
from pages._shared import jobs
from pages._shared.jobs import STAGES
from pages._shared.observables import SYMBOLS
from pages._shared.plots import bracketed
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.evaluation.lattice.efficiency import (
    Efficiency,
    model_efficiency,
    monte_carlo_efficiency,
)
from rgdiff_core.evaluation.lattice.report import LatticeReport, ObservableRow, evaluate_lattice
from rgdiff_core.terminal import duration
from rgdiff_core.training.models import open_model

__all__ = ["draw"]

LINE, PREFIX = "measuring", "model/"
COUNTS = (128, 256, 512, 1024, 2048)
TRUTHS = (10_000, 20_000, 50_000, 100_000)
TIMED_CHAINS, TIMED_TRAJECTORIES = 64, 1000
CRITICALITY = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "criticality.json"


@dataclass(frozen=True, eq=False)
class ModelMeasurement:
    """What was measured.

    Attributes:
        report: Of the model.
        speed: Of hybrid Monte Carlo for the same theory.
    """

    report: LatticeReport
    speed: Efficiency


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw the choice of a model, and what is measured of it."""
    del listed, info
    st.header("How good is a model, against the theory itself?")
    st.markdown(
        "Samples of a model come with their density q, so they can be weighted with $e^{-S}/q$, "
        "and the distance from the truth is a number of nats, once log Z is known: here by two "
        "methods independent of the model."
    )
    menu = model_menu.listed()
    if not menu:
        st.info(
            "There is no model of a φ⁴ theory on this machine: train one on the Training page.",
            icon=":material/rocket_launch:",
        )
        return
    first, second, third = st.columns([3, 1, 1])
    model = model_menu.choose(
        first,
        menu,
        theory,
        "model",
        "Pretrained models, runs that were trained here, and the Gaussian with the spectrum of a "
        "data set.",
    )
    n = second.selectbox(
        "Samples",
        COUNTS,
        COUNTS.index(256),
        key="model-samples",
        bind="query-params",
        help="Samples for the weights, and as many fresh configurations for KL(p‖q).",
    )
    truth = third.selectbox(
        "HMC",
        TRUTHS,
        TRUTHS.index(20_000),
        key="model-truth",
        bind="query-params",
        help="HMC configurations to compare with; a fifth of them at each node of the "
        "thermodynamic integration.",
    )
    if model is not None:
        _measurement(model, n, truth)


def _measurement(model: str, n: int, truth: int) -> None:
    """Draw the button that measures a model, and how far that is or what it found."""
    try:
        version = models.version(model)
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    key = f"{PREFIX}{model}/{version}/{n}/{truth}"
    task = jobs.find(key)
    busy = task is not None and task.waited_for
    if jobs.missing(key):
        st.button(
            "Measure",
            type="primary",
            icon=":material/straighten:",
            on_click=lambda: _begin(key, model, n, truth),
            help="In the background, with progress; it can be cancelled.",
        )
    st.fragment(_progress, run_every=1.0 if busy else None)(key, busy)
    _benchmark()


def _begin(key: str, model: str, n: int, truth: int) -> None:
    jobs.begin(LINE, key, "Measuring", partial(_measure, model, n, truth))


def _measure(model: str, n: int, truth: int, task: jobs.Task) -> ModelMeasurement:
    kind, _, name = model.partition("/")
    setting = models.fitted(Setting(model))
    source = models.load(setting)
    color, schedule = setting.side.color, setting.side.schedule
    if kind != "free":
        noise = open_model(name).noise
        color, schedule = noise.color, noise.schedule
    denoiser = source.denoiser
    action = rg.data.action_of(source.data)
    if action is None:
        raise ValueError(f"{name} is not of a lattice theory.")
    stages = list(STAGES)

    def progress(what: str, done: int, total: int) -> None:
        stage = f"{stages.index(what) + 1} of {len(stages)}, {STAGES[what]}"
        if task.live != what:
            task.live, task.done = what, done + 1  # another stage: the time left begins again
        task.progress(done, total, stage)

    with task.interruptible():
        report = evaluate_lattice(
            denoiser,
            rg.Process(denoiser.basis, color, schedule, denoiser.modes),
            action,
            n,
            generator=torch.Generator().manual_seed(0),
            n_held_out=n,
            n_truth=truth,
            progress=progress,
        )
        speed = monte_carlo_efficiency(
            action,
            report.size,
            TIMED_TRAJECTORIES,
            TIMED_CHAINS,
            torch.Generator().manual_seed(0),
            progress=partial(progress, "speed"),
        )
    return ModelMeasurement(report, speed)


def _progress(key: str, busy: bool) -> None:
    task = jobs.find(key)
    if task is None:
        st.info(
            "Press **Measure**: for a 6×6 model it takes a minute or two.",
            icon=":material/rocket_launch:",
        )
        return
    jobs.watch([key], "model", busy)
    if isinstance(task.result, ModelMeasurement):
        _report(task.result)


def _report(judged: ModelMeasurement) -> None:
    report = judged.report
    quality = report.quality
    columns = st.columns(5)
    for column, title, value, about in (
        (columns[0], "ESS", quality.ess, "Effective sample size, of 1 for a perfect model."),
        (columns[1], "KL(q‖p), nats", report.reverse_kl, "With the independent log Z; 0 is best."),
        (columns[2], "KL(p‖q), nats", report.forward_kl, "On fresh configurations of HMC."),
        (columns[3], "Metropolis acceptance", report.acceptance, "Acceptance of the chain."),
        (columns[4], "Metropolis τ", report.tau_int, "In proposals; ½ for independent samples."),
    ):
        column.metric(title, bracketed(value), help=about)
    left, right = st.columns([2, 1], gap="large")
    with left:
        _rows(report)
    with right:
        _log_z(report)
        _speed(judged)


def _rows(report: LatticeReport) -> None:
    st.markdown("**Observables**")
    st.dataframe([_line(row) for row in report.observables], hide_index=True, width="stretch")
    st.caption(
        "After each number of the model: by how many standard errors it differs from HMC. "
        "Reweighted and Metropolis are exact within errors for every model whose q covers the "
        "theory; the bare samples are not. "
        f"{report.positive.value:.0%} of the samples have M > 0, ½ if both wells are "
        "sampled equally."
    )


def _line(row: ObservableRow) -> dict[str, str]:
    ways = zip(
        ("samples", "reweighted", "Metropolis"),
        (row.samples, row.reweighted, row.metropolis),
        row.deviations,
        strict=True,
    )
    cells = {
        way: f"{bracketed(found)}, {off:+.1f} σ" if math.isfinite(off) else bracketed(found)
        for way, found, off in ways
    }
    return {"": SYMBOLS.get(row.name, row.name)} | cells | {"HMC": bracketed(row.hmc)}


def _log_z(report: LatticeReport) -> None:
    found = report.log_z
    st.markdown(
        "**log Z**\n\n| | nats |\n|:--|--:|\n"
        f"| of the model's weights | {bracketed(found.model)} |\n"
        f"| thermodynamic integration | {bracketed(found.thermodynamic)} |\n"
        f"| annealed importance sampling | {bracketed(found.annealed)} |\n"
        f"| the last two together | {bracketed(found.independent)} |"
    )
    if found.annealed is None:
        st.caption(
            "Annealed importance sampling: effective sample size too small for an estimate."
        )


def _speed(judged: ModelMeasurement) -> None:
    report = judged.report
    weights, chain = model_efficiency(report.quality, report.seconds["samples"])
    rows = {
        "the model, reweighted": weights,
        "the model, Metropolis": chain,
        "HMC": judged.speed,
    }
    lines = [f"| {title} | {bracketed(each.per_second)} |" for title, each in rows.items()]
    st.markdown("| independent samples per second | |\n|:--|--:|\n" + "\n".join(lines))
    took = ", ".join(f"{what} {duration(s)}" for what, s in report.seconds.items())
    st.caption(
        f"Measured here and now, on this machine: {took}. HMC by τ of |M|, with "
        f"{TIMED_CHAINS} chains, after {judged.speed.before:.1f} s of thermalization; what the "
        "model's training took comes on top."
    )


def _benchmark() -> None:
    """Draw the committed comparison near the critical point, where it is there."""
    rows = _committed()
    if rows:
        with st.expander("On the way to criticality", expanded=True):
            st.dataframe(rows, hide_index=True, width="stretch")
            st.caption(
                "Independent samples per second of one core, from `benchmarks/criticality.py`: "
                "models, and HMC with and without Wolff clusters, on the "
                "models' lattices and on the critical line as L grows."
            )


def _committed() -> list[dict[str, str | float]]:
    try:
        told = json.loads(CRITICALITY.read_text(encoding="utf-8"))["figures"]
        lines = [
            (name, f"{way}, {by}", found)
            for name, model in told["models"].items()
            for way, ways in model.items()
            if isinstance(ways, dict)
            for by, found in ways.items()
        ]
        lines += [
            (f"critical line, {size}", f"HMC, {by}", found)
            for size, ways in told["critical line, hybrid Monte Carlo"].items()
            for by, found in ways.items()
        ]
        return [
            {
                "theory": name,
                "way": way,
                "independent samples/s": float(f"{found['per_second']['value']:.4g}"),
                "error": float(f"{found['per_second']['error']:.2g}"),
            }
            for name, way, found in lines
            if isinstance(found, dict) and "per_second" in found
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # not there, or of another release
