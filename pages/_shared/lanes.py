"""The queues for draws: who came first is served first, and nobody has two threads.

A lane has its own threads, so that what is short never waits for what is long.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch.overrides import TorchFunctionMode

__all__ = ["LONG", "SHORT", "Cancelled", "Interruptible", "Lane", "Ticket", "in_turn"]

T = TypeVar("T")
TICK = 0.2  # seconds between two words to one who waits
YIELDING = 4  # by how much a thread of long work stands back for others, as `nice` counts


class Cancelled(Exception):
    """Nobody waits any more for what is done: somebody has cancelled it, there is a newer request,
    or a tab was closed.
    """


class Interruptible(TorchFunctionMode):
    """A context in which every operation on tensors may be the last, so that nobody waits for the
    end of a long evaluation.

    Arguments:
        look: called before each operation; it may raise to cancel.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self.look = look

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Carry out an operation, unless the work is cancelled."""
        self.look()
        return func(*args, **(kwargs or {}))


@dataclass(eq=False)
class Ticket:
    """A piece of work in a queue.

    Attributes:
        visitor: for whom; of one visitor's pieces only one is done at a time.
        work: what is done, in a thread of the lane.
        told: called with the place in the queue whenever it changes; 1 is the next. It must not
            wait for anything.
        since: when the visitor came, as the queue counts; who came first is served first.
        place: the place that was reported last, 0 before.
    """

    visitor: str
    work: Callable[[], None]
    told: Callable[[int], None] = lambda place: None
    since: float = field(default_factory=time.monotonic)
    place: int = 0


class Lane:
    """A queue with its own threads.

    Arguments:
        name: of its threads.
        threads: how many pieces of work are done at the same time.
        yielding: whether its threads stand back where others want the processor too.
    """

    def __init__(self, name: str, threads: int, yielding: bool = False) -> None:
        start = _stand_back if yielding else None
        self._pool = ThreadPoolExecutor(threads, name, initializer=start)
        self._lock = threading.Lock()
        self._waiting: list[Ticket] = []
        self._served: set[str] = set()
        self._free = threads

    def join(self, ticket: Ticket) -> None:
        """Queue a piece of work."""
        with self._lock:
            self._waiting.append(ticket)
            self._waiting.sort(key=lambda each: each.since)
            self._advance()

    def leave(self, ticket: Ticket) -> None:
        """Take a piece of work out of the queue; where it is done already, nothing happens."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                self._advance()

    def _advance(self) -> None:
        for ticket in tuple(self._waiting):
            if self._free and ticket.visitor not in self._served:
                self._waiting.remove(ticket)
                self._served.add(ticket.visitor)
                self._free -= 1
                self._pool.submit(self._do, ticket)
        for place, ticket in enumerate(self._waiting, 1):
            if place != ticket.place:
                ticket.place = place
                ticket.told(place)

    def _do(self, ticket: Ticket) -> None:
        try:
            ticket.work()
        finally:
            with self._lock:
                self._served.discard(ticket.visitor)
                self._free += 1
                self._advance()


def in_turn(
    lane: Lane,
    visitor: str,
    work: Callable[[Callable[[], None]], T],
    waiting: Callable[[int], None] = lambda place: None,
) -> T:
    """Do a piece of work in a lane, wait for it, and return its result or raise its error.

    Arguments:
        visitor: as of a `Ticket`.
        work: given a function to call now and then, which raises `Cancelled` where nobody waits.
        waiting: called a few times a second with the place in the queue, 0 while the work is
            done; where it raises, the work is given up.
    """
    begun, given_up = threading.Event(), threading.Event()
    result: Future[T] = Future()

    def look() -> None:
        if given_up.is_set():
            raise Cancelled

    def do() -> None:
        begun.set()
        try:
            result.set_result(work(look))
        except BaseException as error:
            result.set_exception(error)

    ticket = Ticket(visitor, do)
    lane.join(ticket)
    try:
        while not wait((result,), TICK).done:
            waiting(0 if begun.is_set() else ticket.place)
        return result.result()
    finally:
        given_up.set()
        lane.leave(ticket)


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no separate priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), YIELDING)


SHORT = Lane("short-draws", 1)
LONG = Lane("long-draws", 2, yielding=True)
