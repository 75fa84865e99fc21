"""Long work of the pages: in the background, in a queue, stopped from any tab."""

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import streamlit as st
from torch.overrides import TorchFunctionMode

from pages._shared.lanes import Cancelled, Interruptible
from rgdiff_core.data import DataUnavailable
from rgdiff_core.terminal import duration

__all__ = ["Task", "bar", "begin", "find", "forget", "listed", "missing", "watch"]

KEPT = 64
SENTENCE = 300  # characters
LEAVE = 5.0  # seconds that work has to end in as the process does


@dataclass(eq=False)
class Task:
    """Work in the background.

    Attributes:
        key: What it is found by.
        title: What a person reads.
        done: Parts that are done.
        total: Parts in all.
        text: What is being done.
        live: What the work shows on the way.
        result: What the work returned.
        error: Why it failed, in a sentence.
        ended: Whether it is over, in whichever way.
        stop: Set to end it.
        began: When its turn came, by `time.monotonic`; None while it waits.
        first: What was done already when it began.
    """

    key: str
    title: str
    done: int = 0
    total: int = 0
    text: str = ""
    live: Any = None
    result: Any = None
    error: str = ""
    ended: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    began: float | None = None
    first: int | None = None

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Note how far the work is; raise `Cancelled` where it is to end."""
        if self.stop.is_set():
            raise Cancelled
        if self.first is None or done < self.done:  # another stage begins
            self.began, self.first = time.monotonic(), done
        self.done, self.total, self.text = done, total, text

    def interruptible(self) -> TorchFunctionMode:
        """Return a context in which every operation on tensors raises `Cancelled` where the work
        is to end, so that nobody waits for the end of a long evaluation.
        """

        def look() -> None:
            if self.stop.is_set():
                raise Cancelled

        return Interruptible(look)

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def eta_s(self) -> float | None:
        """The seconds left, None where nothing is known of them yet."""
        if self.began is None or self.first is None or self.done <= self.first:
            return None
        elapsed = time.monotonic() - self.began
        return elapsed / (self.done - self.first) * max(0, self.total - self.done)

    @property
    def stopped(self) -> bool:
        """Whether it was cancelled."""
        return self.stop.is_set()

    @property
    def under_way(self) -> bool:
        """Whether its turn has come and it is not over."""
        return self.began is not None and not self.ended

    @property
    def waited_for(self) -> bool:
        """Whether it is under way, or will be."""
        return not self.ended and (self.under_way or not self.stopped)


Work = Callable[[Task], Any]
_tasks: OrderedDict[str, Task] = OrderedDict()
_lines: dict[str, SimpleQueue[tuple[Task, Work]]] = {}
_lock = threading.Lock()


def begin(line: str, key: str, title: str, work: Work) -> Task:
    """Queue work, one at a time in each line; what is under way already is not begun twice.

    Arguments:
        line: Name of the queue.
        key: What the work is found by.
        title: What a person reads.
        work: Called with its task; it calls `Task.progress` and returns the result.
    """
    with _lock:
        task = _tasks.get(key)
        if task is not None and task.waited_for and not task.stopped:
            return task
        task = Task(key, title)
        _tasks.pop(key, None)
        _tasks[key] = task
        over = [name for name, each in _tasks.items() if each.ended]
        for name in over[: max(0, len(_tasks) - KEPT)]:
            del _tasks[name]
        if line not in _lines:
            _lines[line] = SimpleQueue()
            # A daemon, so that nobody waits for it for long when the server ends.
            threading.Thread(target=_serve, args=(_lines[line],), name=line, daemon=True).start()
        _lines[line].put((task, work))
    return task


def _serve(queue: "SimpleQueue[tuple[Task, Work]]") -> None:
    while True:
        _run(*queue.get())  # in a function of its own, so that what it used is let go


def _run(task: Task, work: Work) -> None:
    try:
        task.progress(0, 0)
        task.first = None
        task.result = work(task)
    except Cancelled:
        pass
    except (ValueError, OSError, DataUnavailable) as error:
        task.error = " ".join(str(error).split())[:SENTENCE]
    except Exception as error:  # there is nobody to raise it to; the page shows it
        task.error = f"{type(error).__name__}: {' '.join(str(error).split())}"[:SENTENCE]
    finally:
        task.ended = True


@atexit.register
def _leave() -> None:
    """Stop all work as the process ends, so that it keeps what it has and no thread is torn."""
    for task in list(_tasks.values()):
        task.stop.set()
    end = time.monotonic() + LEAVE
    while any(task.under_way for task in list(_tasks.values())) and time.monotonic() < end:
        time.sleep(0.02)


def find(key: str) -> Task | None:
    """Return the work of that name, None where there is none."""
    return _tasks.get(key)


def missing(key: str) -> bool:
    """Return whether there is no result of that name, and nothing on its way to one."""
    task = find(key)
    return task is None or (task.result is None and not task.waited_for)


def listed(prefix: str) -> list[Task]:
    """Return all work whose name begins so, the oldest first."""
    with _lock:
        return [task for key, task in _tasks.items() if key.startswith(prefix)]


def forget(key: str) -> None:
    """Drop work that is over."""
    with _lock:
        if key in _tasks and _tasks[key].ended:
            del _tasks[key]


def watch(keys: Sequence[str], place: str, busy: bool, narrow: bool = False) -> None:
    """Draw how far work is, and why some of it failed; to be called in a fragment.

    Arguments:
        place: What tells the buttons apart from those of other places.
        busy: Whether some of it was waited for when the page was drawn: the page is drawn again
            once nothing is.
        narrow: Whether there is no room for the button beside the bar.
    """
    tasks = [task for key in keys if (task := find(key))]
    waiting = [task for task in tasks if task.waited_for]
    if busy and not waiting:
        st.rerun()
    for task in waiting:
        bar(task, place, narrow)
    for task in tasks:
        if task.error:
            st.error(f"{task.title}: {task.error}", icon=":material/error:")


def bar(task: Task, place: str, narrow: bool = False) -> None:
    """Draw how far work is, how long it takes still, and the button that cancels it."""
    if narrow:
        left = right = st.container()
    else:
        left, right = st.columns([5, 1], vertical_alignment="center")
    if task.stopped:
        text = f"{task.title} · stopping …"
    elif task.began is None:
        text = f"{task.title} · waiting for its turn"
    else:
        parts = [task.title, task.text, f"{task.share:.0%}"]
        if task.eta_s is not None:
            parts.append(f"{duration(task.eta_s)} left")
        text = " · ".join(filter(None, parts))
    left.progress(task.share, text)
    right.button(
        "Cancel",
        icon=":material/stop:",
        key=f"stop-{place}-{task.key}",
        on_click=task.stop.set,
        disabled=task.stopped,
        width="stretch",
    )


STAGES = {
    "samples": "drawing and weighing samples",
    "thermodynamic integration": "log Z by thermodynamic integration",
    "annealed importance sampling": "log Z by annealed importance sampling",
    "hybrid Monte Carlo": "hybrid Monte Carlo to compare with",
    "held-out configurations": "density of fresh configurations",
    "speed": "the speed of hybrid Monte Carlo",
}
