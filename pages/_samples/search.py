"""Searches on the Samples page: work in the background that is watched, stopped and taken over."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import rgdiff_core as rg
from pages._shared.process_choice import MAX_POINTS
from pages._shared.sampling.draw import process
from pages._shared.sampling.models import Source, load
from pages._shared.sampling.setting import Setting
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

__all__ = ["Search", "begin", "gradient", "sweep"]

BATCH_VALUES = 1 << 16  # of all images of a round
HELD_OUT = 1000  # images that the result is judged on
HELD_OUT_VALUES = 1 << 18
STUDIED = 256  # images or samples of a trial
COLORS = ("white", "matched", "free", "power")  # those of the page's menu

_pool = ThreadPoolExecutor(1, "search")


@dataclass(eq=False)
class Search:
    """A search in the background.

    Attributes:
        setting: Where it started.
        total: Rounds or trials in all.
        states: What has been found until now, one after another.
        found: The colour and the schedule of the best.
        comparison: Start and end on held-out images, once it has ended.
        error: Why it failed.
        done: Whether it has ended.
        taken: Whether the editor has the result.
        shown: Whether the page has drawn its end.
        stop: Set to end it.
        known: How many states are of earlier searches.
        began: When its turn came, by `time.monotonic`.
    """

    setting: Setting
    total: int
    states: list[Progress | Trial] = field(default_factory=list)
    found: tuple[Color, Schedule] | None = None
    comparison: Comparison | None = None
    error: str = ""
    done: bool = False
    taken: bool = False
    shown: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    known: int = 0
    began: float = 0.0

    @property
    def eta_s(self) -> float | None:
        """Return the seconds left, None where nothing is known of them yet."""
        new = len(self.states) - self.known
        if new < 1:
            return None
        return (time.monotonic() - self.began) / new * max(0, self.total - len(self.states))


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
    return begin(Search(setting, rounds + 1), source, states)


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
    search = Search(setting, count)
    search.states += [each for each in trials(study) if each.value is not None]
    search.known = len(search.states)
    search.total += search.known

    def keep() -> None:
        least = best(study)
        if least is not None and least.color and least.schedule:
            search.found = (least.color, least.schedule)

    def states() -> Iterator[Trial]:
        for trial in run(study, source.denoiser, images, count=count, action=action):
            keep()
            yield trial

    keep()
    return begin(search, source, states())


def begin(search: Search, source: Source, states: Iterator[Progress] | Iterator[Trial]) -> Search:
    """Put a search into the queue; one runs at a time."""
    few = max(2, min(HELD_OUT, HELD_OUT_VALUES // source.denoiser.basis.scale[0].numel()))

    def work() -> None:
        search.began = time.monotonic()
        try:
            for state in states:
                search.states.append(state)
                if isinstance(state, Progress):
                    search.found = (search.setting.side.color, state.schedule)
                if search.stop.is_set():
                    break
            if search.found is not None:
                held_out = rg.data.load(source.data, "test", few).images
                before, model = process(search.setting, source), source.denoiser
                after = rg.Process(before.basis, *search.found, before.modes)
                steps = search.setting.steps
                search.comparison = compare(model, before, after, held_out, steps, draws=2)
        except Exception as error:  # the thread has nobody to raise it to; the page shows it
            search.error = str(error)
        finally:
            search.done = True

    _pool.submit(work)
    return search
