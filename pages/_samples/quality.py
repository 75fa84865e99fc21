"""Quality numbers of a setting: computed in the background, with progress, and stopped at will."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import streamlit as st
import torch

import rgdiff_core as rg
from pages._shared import plots
from pages._shared.sampling.draw import process
from pages._shared.sampling.models import Source, load
from pages._shared.sampling.setting import Request, Setting
from rgdiff_core.evaluation import FlowMetrics, held_out_bits, quality
from rgdiff_core.statistics import Estimate

__all__ = ["draw"]

SAMPLES = (64, 256, 1024)
FLOW_STEPS = 8  # of the flow whose density is known, four evaluations each
IMAGES = 64  # held-out images that the bound is averaged over
KEPT = 32


class MeasurementStopped(Exception):
    """The user has stopped the measurement."""


@dataclass(eq=False)
class QualityTask:
    """A measurement in the background."""

    future: Future[list[tuple[str, str]]]
    stop: threading.Event = field(default_factory=threading.Event)
    share: float = 0.0

    def progress(self, done: int, total: int) -> None:
        """Note how far it is, and raise `MeasurementStopped` where nobody waits any more."""
        self.share = done / max(1, total)
        if self.stop.is_set():
            raise MeasurementStopped


_pool = ThreadPoolExecutor(1, "quality")
_tasks: OrderedDict[str, QualityTask] = OrderedDict()
_lock = threading.Lock()


def _key(setting: Setting, n: int, seed: int) -> str:
    same = Setting(setting.model, setting.side, couplings=setting.couplings)
    request = Request(same, n, seed)
    return request.to_json() + load(setting).version


def _begin(setting: Setting, n: int, seed: int) -> None:
    task = QualityTask(Future())

    def run() -> None:
        try:
            task.future.set_result(_measure(setting, n, seed, task))
        except BaseException as error:
            task.future.set_exception(error)

    with _lock:
        _tasks[_key(setting, n, seed)] = task
        while len(_tasks) > KEPT:
            _tasks.popitem(last=False)[1].stop.set()
    _pool.submit(run)


def _measure(setting: Setting, n: int, seed: int, task: QualityTask) -> list[tuple[str, str]]:
    """Return names and values for a table."""
    task.progress(0, 1)
    source = load(setting)
    forward, generator = process(setting, source), torch.Generator().manual_seed(seed)
    action = source.action
    if action is None:
        return _bound(source, forward, generator, task)
    model, report = source.denoiser, task.progress
    found = quality(model, forward, action, n, FLOW_STEPS, generator, progress=report)
    return _of_lattice(found)


def _of_lattice(found: FlowMetrics) -> list[tuple[str, str]]:
    return [
        ("ESS", _write(found.ess)),
        ("KL(q‖p), nats", _write(found.reverse_kl)),
        ("log Z", _write(found.log_z)),
        ("Metropolis acceptance", _write(found.acceptance)),
        ("Metropolis τ_int", _write(found.tau_int)),
        ("χ, of the samples", _write(found.susceptibility)),
        ("χ, reweighted", _write(found.reweighted)),
    ]


def _bound(
    source: Source, forward: rg.Process, generator: torch.Generator, task: QualityTask
) -> list[tuple[str, str]]:
    held_out = rg.data.load(source.data, "test", IMAGES)
    bits = held_out_bits(
        source.denoiser, forward, held_out, generator=generator, progress=task.progress
    )
    return [("bits/dim, at most", _write(bits))]


def _write(value: Estimate) -> str:
    return plots.with_error(value.value, value.error)


def draw(columns: Sequence[tuple[str, Setting]], seed: int) -> None:
    """Draw the button that measures, and what was measured, for some named settings."""
    lattice = load(columns[0][1]).action is not None
    st.markdown("**Quality**")
    st.caption(
        "The probability flow of the process has a density q, so its samples can be weighed "
        "against e^{−S}: the effective sample size is 1 for a perfect model. The sampler, its "
        "steps, class, guidance and the zoom play no part here."
        if lattice
        else "A bound on the bits per dimension of held-out images, of any class and without "
        "guidance: the less, the better."
    )
    left, right, _ = st.columns([1, 1, 2], vertical_alignment="bottom")
    n, button = SAMPLES[0], right if lattice else left
    if lattice:
        n = left.selectbox(
            "Samples for the weights", SAMPLES, 1, key="samples-weighed", help="How many samples."
        )
    missing = [setting for _, setting in columns if _key(setting, n, seed) not in _tasks]

    def begin() -> None:
        for setting in missing:
            _begin(setting, n, seed)

    button.button(
        "Measure",
        icon=":material/straighten:",
        on_click=begin,
        disabled=not missing,
        help="In the background; the page stays usable, and it can be cancelled.",
    )
    told = [(name, _key(setting, n, seed)) for name, setting in columns]
    waiting = any(key in _tasks and not _tasks[key].future.done() for _, key in told)
    st.fragment(_show, run_every=0.7 if waiting else None)(told, waiting)


def _show(told: Sequence[tuple[str, str]], waiting: bool) -> None:
    found: dict[str, list[tuple[str, str]]] = {}
    busy = False
    for name, key in told:
        task = _tasks.get(key)
        if task is None:
            continue
        if not task.future.done():
            busy = True
            bar, button = st.columns([4, 1], vertical_alignment="center")
            bar.progress(task.share, f"{name}: {task.share:.0%}")
            button.button("Cancel", key=f"samples-stop-{name}", on_click=task.stop.set)
            continue
        error = task.future.exception()
        if error is None:
            found[name] = task.future.result()
        elif isinstance(error, MeasurementStopped):
            _tasks.pop(key, None)
        else:
            st.warning(f"{name}: {error}", icon=":material/info:")
    if waiting and not busy:
        st.rerun()
    if found:
        rows = [name for name, _ in next(iter(found.values()))]
        head = f"| | {' | '.join(found)} |\n|:--|{'--:|' * len(found)}\n"
        values = {name: dict(pairs) for name, pairs in found.items()}
        lines = [
            f"| {row} | {' | '.join(values[name].get(row, '–') for name in found)} |"
            for row in rows
        ]
        st.markdown(head + "\n".join(lines))
