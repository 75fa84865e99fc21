"""Searches on the Samples page: work in the background that is watched, stopped and taken over."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import rgdiff_core as rg
from pages._sampling.draw import process
from pages._sampling.models import Source, load
from pages._sampling.setting import Setting
from pages._shared import jobs
from pages._shared.jobs import Task
from pages._shared.process_choice import MAX_POINTS
from rgdiff_core.colors import Color
from rgdiff_core.schedules import Schedule
from rgdiff_core.search import (
    Comparison,
    Progress,
    Space,
    Sweep,
    Trial,
    best,
    compare,
    improve,
    open_study,
    run,
    trials,
)

__all__ = ["Search", "gradient", "sweep"]

BATCH_VALUES = 1 << 16  # of all images of a round
HELD_OUT = 1000  # images that the result is judged on
HELD_OUT_VALUES = 1 << 18
STUDIED = 256  # images or samples of a trial
COLORS = ("white", "matched", "free", "power")  # those of the page's menu
LINE = "search"

_numbers = itertools.count()


@dataclass(eq=False)
class Search:
    """A search in the background.

    Attributes:
        setting: Where it started.
        states: What has been found until now, one after another.
        found: The colour and the schedule of the best.
        comparison: Start and end on held-out images, once it has ended.
        taken: Whether the editor has the result.
        shown: Whether the page has drawn its end.
        task: The work itself.
    """

    setting: Setting
    states: list[Progress | Trial] = field(default_factory=list)
    found: tuple[Color, Schedule] | None = None
    comparison: Comparison | None = None
    taken: bool = False
    shown: bool = False
    task: Task = field(init=False)


def gradient(setting: Setting, rounds: int, points: int, shape: bool) -> Search:
    """Begin a search by gradient from a setting's schedule; `shape`: the kernel's number too.

    Raises `ValueError` where the schedule has no control points or no gradient.
    """
    source = load(setting)
    start, images = process(setting, source), source.images.images
    batch = max(2, min(64, BATCH_VALUES // images[0].numel()))
    states = improve(
        source.denoiser,
        start,
        images,
        setting.steps,
        rounds=rounds,
        points=min(points, MAX_POINTS),
        shape=shape,
        batch=batch,
    )
    return _begin(Search(setting), source, states, rounds + 1)


def sweep(setting: Setting, objective: str, count: int) -> Search:
    """Begin, or go on with, a sweep for a setting's model and number of steps.

    Raises `ValueError` where the database can't be used.
    """
    source = load(setting)
    images, action = source.images.images, source.action
    asked = Sweep(objective, setting.steps, Space(colors=COLORS), STUDIED)
    at = "".join(f"-{value:g}" for value in setting.couplings or ())
    name = f"page-{setting.model}{at}-{source.version[:8]}-{objective}-{setting.steps}"
    study = open_study(name, asked, setting.model)
    search = Search(setting, [each for each in trials(study) if each.value is not None])

    def keep() -> None:
        least = best(study)
        if least is not None and least.color and least.schedule:
            search.found = (least.color, least.schedule)

    def states() -> Iterator[Trial]:
        for trial in run(study, source.denoiser, images, count=count, action=action):
            keep()
            yield trial

    keep()
    return _begin(search, source, states(), count)


def _begin(
    search: Search,
    source: Source,
    states: Iterator[Progress] | Iterator[Trial],
    count: int,
) -> Search:
    """Put a search into the queue, for so many new states; one runs at a time."""
    total = len(search.states) + count

    def work(task: Task) -> Search:
        with task.interruptible():
            task.progress(len(search.states), total)
            for state in states:
                search.states.append(state)
                if isinstance(state, Progress):
                    search.found = (search.setting.side.color, state.schedule)
                task.progress(len(search.states), total, f"{len(search.states)} of {total}")
            if search.found is not None:
                task.progress(total, total, "now on held-out images")
                search.comparison = _compare(search, source, *search.found)
        return search

    search.task = jobs.begin(LINE, f"{LINE}/{next(_numbers)}", "Searching", work)
    return search


def _compare(search: Search, source: Source, color: Color, schedule: Schedule) -> Comparison:
    """Return start and result of a search on held-out images."""
    model, before = source.denoiser, process(search.setting, source)
    few = max(2, min(HELD_OUT, HELD_OUT_VALUES // model.basis.scale[0].numel()))
    held_out = rg.data.load(source.data, "test", few).images
    after = rg.Process(before.basis, color, schedule, before.modes)
    return compare(model, before, after, held_out, search.setting.steps, draws=2)
