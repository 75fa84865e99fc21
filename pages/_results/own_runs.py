"""Your own runs, evaluated as the arms of the study were, beside them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

import rgdiff_core as rg
from pages._results import cifar10, provenance
from pages._results import studies as results_studies
from pages._results.studies import Found
from pages._results.verdict import MEASURE
from pages._sampling import models
from pages._sampling.setting import Setting
from pages._shared import jobs, tables
from pages._shared.jobs import STAGES
from rgdiff_core.study import own
from rgdiff_core.study.lattice.verdict import combined_error
from rgdiff_core.training import runs
from rgdiff_core.training.models import open_model
from rgdiff_core.training.runs import Run

__all__ = ["draw"]

LINE, PREFIX = "measuring", "results/"
EFFORT, SEED = own.Effort(), 0
LATTICE: Mapping[str, tuple[str, str]] = {  # title and format of a metric
    "kl": ("KL(p‖q), nats", "%.4f"),
    "flow_kl": ("KL(p‖q), flow", "%.4f"),
    "reverse_kl": ("KL(q‖p)", "%.4f"),
    "ess": ("ESS", "%.4f"),
    "acceptance": ("acceptance", "%.4f"),
    "susceptibility_percent": ("χ error, %", "%.2f"),
}
WORDS = {
    "perfect denoiser": "comparing with a perfect denoiser",
    "bound": "bound on the bits",
    "samples": "drawing samples",
}


def draw(studies: Mapping[str, Found]) -> None:
    """Draw the runs, what evaluates them, and their numbers beside the study's."""
    st.markdown(
        "*Evaluate* measures a run as the methods of the study were measured: "
        "on held-out data, in the background. Its numbers are kept in the run's folder."
    )
    try:
        known = [run for run in runs.list_runs() if run.config and not run.missing]
    except (ValueError, OSError) as error:
        st.error(str(error), icon=":material/error:")
        return
    listed = [(run, version) for run in known if (version := _version(run)) is not None]
    if not listed:
        st.info(
            "There is no trained run on this machine yet: train one on the Training page.",
            icon=":material/rocket_launch:",
        )
        return
    _evaluate(listed)
    names = dict.fromkeys(run.config.data for run, _ in listed if run.config)
    for name in names:
        _beside(name, [pair for pair in listed if _data(pair[0]) == name], studies.get(name))


def _data(run: Run) -> str:
    return run.config.data if run.config else ""


def _version(run: Run) -> str | None:
    """Return what tells apart a run's models, None where it has none yet."""
    try:
        return models.version(f"run/{run.id}")
    except (ValueError, OSError):
        return None


def _key(run: Run, version: str) -> str:
    return f"{PREFIX}{run.id}/{version}"


def _evaluate(listed: Sequence[tuple[Run, str]]) -> None:
    """Draw the choice of a run, the button, and how far the work is."""
    versions = {run.id: version for run, version in listed}
    titles = {run.id: f"{run.title} · {_data(run)} · {run.state}" for run, _ in listed}
    by_id = {run.id: run for run, _ in listed}
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    chosen = left.selectbox(
        "Run",
        list(titles),
        key="results-run",
        format_func=lambda each: titles.get(each) or str(each),
    )
    tasks = {id: jobs.find(_key(by_id[id], version)) for id, version in versions.items()}
    busy = tuple(id for id, task in tasks.items() if task is not None and task.waited_for)
    run = by_id[chosen] if chosen in by_id else listed[0][0]
    right.button(
        "Evaluate",
        type="primary",
        icon=":material/straighten:",
        width="stretch",
        disabled=run.id in busy,
        on_click=lambda: _begin(run, versions[run.id]),
        help="In the background, with progress; it can be cancelled. A 6×6 model takes a minute "
        "or two, a model of images several on a CPU.",
    )
    keys = tuple(_key(by_id[id], version) for id, version in versions.items())
    st.fragment(jobs.watch, run_every=1.0 if busy else None)(keys, "results", bool(busy))
    lattice = rg.data.is_lattice(_data(run))
    more = f" --truth {EFFORT.truth}" if lattice else ""
    words = f"rgdiff evaluate {run.id} --n {EFFORT.samples}{more} --seed {SEED}"
    kl = ", and the denoiser's distance from a perfect one" if lattice else ""
    st.caption(f"`{words}` measures the same{kl}.")


def _begin(run: Run, version: str) -> None:
    work = partial(_measure, run.id, _data(run), version)
    jobs.begin(LINE, _key(run, version), f"Evaluating {run.title}", work)


def _measure(run_id: str, data: str, version: str, task: jobs.Task) -> bool:
    """Evaluate a run, and keep what was found in its folder."""
    source = models.load(Setting(f"run/{run_id}"))
    noise, denoiser = open_model(run_id).noise, source.denoiser

    def progress(what: str, done: int, total: int) -> None:
        if task.live != what:
            task.live, task.done = what, done + 1  # another stage: the time left begins again
        task.progress(done, total, WORDS.get(what) or STAGES.get(what, what))

    process = noise.on(denoiser)
    with task.interruptible():
        found = own.evaluate_own(denoiser, process, data, EFFORT, SEED, progress=progress)
    own.keep(runs.run_folder(run_id), found, version)
    return True


def _beside(name: str, listed: Sequence[tuple[Run, str]], study: Found | None) -> None:
    """Draw the runs of a data set, and the study's arms below them."""
    lattice = rg.data.is_lattice(name)
    columns = LATTICE if lattice else cifar10.COLUMNS
    mine = [_kept(run, version) for run, version in listed]
    rows = [
        _line(f"yours · {run.title}", run.state, found, columns)
        for (run, _), found in zip(listed, mine, strict=True)
    ]
    if study is not None:
        with results_studies.shown(study):
            rows += _arms(study, lattice, columns)
    titles = {info.name: info.title for info in rg.data.available()}
    st.header(results_studies.title_of(study) if study else titles.get(name, name))
    known = [metric for metric in columns if any(row[metric] is not None for row in rows)]
    shown = ["run", "from", *(k for metric in known for k in (metric, f"{metric}_error"))]
    rows = [{k: v for k, v in row.items() if k in shown} for row in rows]
    config = {"run": st.column_config.TextColumn("run or method", width=265, pinned=True)}
    for metric in known:
        config |= tables.columns(metric, *columns[metric])
    tables.table(rows, config)
    provenance.download(name, "runs", rows)
    st.caption(
        "Your numbers are those of one run, with the errors of the held-out fields; the study's "
        "are means over seeds. Estimates of a KL divergence near zero may fall below it."
        if lattice
        else "Your run used fewer images and samples; compare the errors, in brackets.",
        help=MEASURE if lattice else None,
    )
    if not any(mine):
        st.caption("None of your runs on these data has been evaluated yet: press **Evaluate**.")


def _kept(run: Run, version: str) -> Found | None:
    """Return a run's evaluation; where its file is damaged a sentence says so."""
    try:
        return own.kept(runs.run_folder(run.id), version)
    except (ValueError, OSError) as error:
        st.warning(str(error), icon=":material/error:")
        return None


def _arms(study: Found, lattice: bool, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _line(
            arm["title"] if lattice else results_studies.label(arm),
            "study",
            _measured(study, arm, lattice),
            columns,
        )
        for arm in study["arms"]
        if lattice or arm["headline"]
    ]


def _measured(study: Found, arm: Found, lattice: bool) -> Found:
    """Return an arm's numbers; a lattice's last sampler gives its susceptibility."""
    if not lattice:
        return arm
    mine = [row for row in study["samplers"] if row["arm"] == arm["name"]]
    first = [row for row in mine if row["method"] == mine[0]["method"]]
    last = max(first, key=lambda row: row["nfe"], default=None)
    chi = {"susceptibility_percent": last["susceptibility_percent"]} if last else {}
    metrics = arm["metrics"] | chi
    return {"metrics": {k: m | {"error": combined_error(m)} for k, m in metrics.items()}}


def _line(
    title: str, source: str, found: Found | None, columns: Mapping[str, Any]
) -> dict[str, Any]:
    metrics = found["metrics"] if found else {}
    row: dict[str, Any] = {"run": title, "from": source}
    for metric in columns:
        row |= tables.pair(metric, metrics.get(metric))
    return row
