"""Quality numbers of a setting: computed in the background, with progress, and stopped at will."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st
import torch

import rgdiff_core as rg
from pages._sampling.draw import process
from pages._sampling.models import Source, load
from pages._sampling.setting import Request, Setting
from pages._shared import jobs, plots
from pages._shared.jobs import Task
from rgdiff_core.evaluation import FlowMetrics, held_out_bits, quality

__all__ = ["draw"]

LINE = "quality"
SAMPLES = (64, 256, 1024)
FLOW_STEPS = 8  # of the flow whose density is known, four evaluations each
IMAGES = 64  # held-out images that the bound is averaged over


def _key(setting: Setting, n: int, seed: int) -> str:
    same = Setting(setting.model, setting.side, couplings=setting.couplings)
    request = Request(same, n, seed)
    return f"{LINE}/{request.to_json()}{load(setting).version}"


def _measure(setting: Setting, n: int, seed: int, task: Task) -> list[tuple[str, str]]:
    """Return names and values for a table."""
    source = load(setting)
    forward, generator = process(setting, source), torch.Generator().manual_seed(seed)
    action, model, report = source.action, source.denoiser, task.progress
    with task.interruptible():
        if action is None:
            return _bound(source, forward, generator, task)
        return _of_lattice(
            quality(model, forward, action, n, FLOW_STEPS, generator, progress=report)
        )


def _of_lattice(found: FlowMetrics) -> list[tuple[str, str]]:
    return [
        ("ESS", plots.bracketed(found.ess)),
        ("KL(q‖p), nats", plots.bracketed(found.reverse_kl)),
        ("log Z", plots.bracketed(found.log_z)),
        ("Metropolis acceptance", plots.bracketed(found.acceptance)),
        ("Metropolis τ_int", plots.bracketed(found.tau_int)),
        ("χ, of the samples", plots.bracketed(found.susceptibility)),
        ("χ, reweighted", plots.bracketed(found.reweighted)),
    ]


def _bound(
    source: Source, forward: rg.Process, generator: torch.Generator, task: Task
) -> list[tuple[str, str]]:
    held_out = rg.data.load(source.data, "test", IMAGES)
    bits = held_out_bits(
        source.denoiser, forward, held_out, generator=generator, progress=task.progress
    )
    return [("bits/dim (upper bound)", plots.bracketed(bits))]


def draw(columns: Sequence[tuple[str, Setting]], seed: int) -> None:
    """Draw the button that measures, and what was measured, for some named settings."""
    lattice = load(columns[0][1]).action is not None
    st.markdown("**Quality**")
    st.caption(
        "The probability flow of the process has a density q, so its samples can be "
        "weighted with e^{−S}/q: the effective sample size is 1 for a perfect model. This "
        "metric does not depend on sampler, steps, class, guidance or zoom."
        if lattice
        else "A bound on the bits per dimension of held-out images, of any class and without "
        "guidance: lower is better."
    )
    left, right, _ = st.columns([1, 1, 2], vertical_alignment="bottom")
    n, button = SAMPLES[0], right if lattice else left
    if lattice:
        n = left.selectbox(
            "Samples for the weights", SAMPLES, 1, key="samples-weighed", help="How many samples."
        )
    keys = {name: _key(setting, n, seed) for name, setting in columns}

    def begin() -> None:
        for name, setting in columns:
            if jobs.missing(keys[name]):
                jobs.begin(LINE, keys[name], name, partial(_measure, setting, n, seed))

    button.button(
        "Measure",
        icon=":material/straighten:",
        on_click=begin,
        disabled=not any(map(jobs.missing, keys.values())),
        help="In the background; the page stays usable, and it can be cancelled.",
    )
    busy = any((task := jobs.find(key)) and task.waited_for for key in keys.values())
    st.fragment(_show, run_every=0.7 if busy else None)(keys, busy)


def _show(keys: Mapping[str, str], busy: bool) -> None:
    jobs.watch(list(dict.fromkeys(keys.values())), "quality", busy)
    tasks = {name: jobs.find(key) for name, key in keys.items()}
    found = {name: task.result for name, task in tasks.items() if task and task.result}
    if found:
        rows = [name for name, _ in next(iter(found.values()))]
        head = f"| | {' | '.join(found)} |\n|:--|{'--:|' * len(found)}\n"
        values = {name: dict(pairs) for name, pairs in found.items()}
        lines = [
            f"| {row} | {' | '.join(values[name].get(row, '–') for name in found)} |"
            for row in rows
        ]
        st.markdown(head + "\n".join(lines))
