"""Tasks carried out by processes: the first in the list of those whose needs are done.

Every cell is a file that is there or not, so that whatever ends these processes loses only what
they were at. A worker ends by itself when the process that started it does.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from rgdiff_core.study.cells import Cells, OutOfTimeError
from rgdiff_core.study.lattice.budget import LatticeBudget
from rgdiff_core.study.lattice.plan import StudyTask
from rgdiff_core.study.lattice.study import Study
from rgdiff_core.training.state import tune_malloc

__all__ = ["Execution", "carried_out", "missing"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Execution:
    """How tasks are carried out.

    Attributes:
        processes: at once; with one the calling process itself computes.
        until: of `time.monotonic`; nothing is begun after it. None for no limit.
        say: is given a line for each cell that is computed.
        finished: is called with a theory after each of its phases that was not done before.
    """

    processes: int = 1
    until: float | None = None
    say: Callable[[str], None] = print
    finished: Callable[[str], None] = lambda theory: None

    def late(self) -> bool:
        """Say whether nothing may be begun any more."""
        return self.until is not None and time.monotonic() >= self.until


def missing(tasks: Sequence[StudyTask], studies: Mapping[str, Study]) -> list[StudyTask]:
    """Return the tasks that are not done, in their order."""
    readers = {
        name: replace(study, cells=replace(study.cells, until=float("-inf")))
        for name, study in studies.items()
    }
    prepares = {(task.theory, task.name) for task in tasks if task.prepares}
    done: set[tuple[str, str]] = set()
    left: list[StudyTask] = []
    for task in tasks:
        needs = {(task.theory, name) for name in task.needs} - prepares
        if needs <= done and _is_done(readers[task.theory], task):
            done.add((task.theory, task.name))
        else:
            left.append(task)
    needed = {(task.theory, name) for task in left if not task.prepares for name in task.needs}
    return [task for task in left if not task.prepares or (task.theory, task.name) in needed]


def carried_out(tasks: Sequence[StudyTask], studies: Mapping[str, Study], how: Execution) -> bool:
    """Compute what is missing; return whether nothing is missing any more.

    Raises:
        OSError: When a process was killed, by the system for want of memory for instance; what is
            finished is kept.
    """
    left = missing(tasks, studies)
    open_names = {(task.theory, task.name) for task in left}
    running: dict[Future[list[str]], StudyTask] = {}
    with _workers(min(how.processes, max(1, len(left)))) as (pool, number):
        while True:
            while len(running) < number and not how.late():
                task = next((each for each in left if _ready(each, open_names)), None)
                if task is None:
                    break
                left.remove(task)
                study = studies[task.theory]
                running[pool.submit(_compute, study.budget, study.cells.folder, task)] = task
            if not running:
                return not left
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                open_names.remove((task.theory, task.name))
                for line in _result(future):
                    how.say(line)
                phase = (task.theory, task.phase)
                if phase not in {(t.theory, t.phase) for t in [*left, *running.values()]}:
                    how.finished(task.theory)


def _ready(task: StudyTask, open_names: set[tuple[str, str]]) -> bool:
    return not any((task.theory, name) in open_names for name in task.needs)


def _is_done(study: Study, task: StudyTask) -> bool:
    try:
        getattr(study, task.method)(*task.arguments)
    except OutOfTimeError:
        return False
    return True


def _compute(budget: LatticeBudget, folder: Path, task: StudyTask) -> list[str]:
    """Carry out a task in this process; return what is to be said."""
    said: list[str] = []
    study = Study(task.theory, budget, Cells(folder, said.append))
    getattr(study, task.method)(*task.arguments)
    return said


def _result(future: Future[list[str]]) -> list[str]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise OSError("a process of the study was killed; the same command continues.") from error


@contextmanager
def _workers(processes: int) -> Iterator[tuple[Executor, int]]:
    """Give an executor and how many tasks it carries out at once; an interrupt ends them all."""
    if processes == 1:
        yield _Here(), 1
        return
    context = get_context("spawn")
    end, open_end = context.Pipe(duplex=False)
    pool = _Pool(processes, context, _begin, (end,))
    try:
        yield pool, processes
    except KeyboardInterrupt:
        open_end.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


class _Pool(ProcessPoolExecutor):
    """Starts its processes with SIGINT blocked, until they ignore it: it is the parent's."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Here(Executor):
    """Carries out in the calling process."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _begin(end: Connection) -> None:
    """Prepare a worker: one thread, and an end when its parent's comes, or the parent says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to hear
    torch.set_num_threads(1)
    tune_malloc()
    threading.Thread(target=_end_with_parent, args=(end,), daemon=True).start()


def _end_with_parent(end: Connection) -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel, end])
        os._exit(1)
