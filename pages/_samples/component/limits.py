"""How much one browser may send over the live line, and how many lines one visitor may have."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["IDLE", "MAX_MESSAGE", "Allowance", "Lines", "TooMuch", "bound"]

MAX_MESSAGE = 1 << 14  # characters
MAX_LINES, MAX_ALL = 32, 512  # open at the same time, of one visitor and of all
IDLE = 900.0  # seconds without a message
# A browser, during a drag, sends 25 messages of some 2,000 bytes a second at most.
MESSAGES, MESSAGES_AT_ONCE = 30.0, 60.0
BYTES, BYTES_AT_ONCE = 131_072.0, 262_144.0

POLICY, TOO_BIG, LATER = 1008, 1009, 1013  # closing codes


class TooMuch(Exception):
    """A limit was passed.

    Attributes:
        code: with which the line is closed.
        sentence: that says why, in at most 123 bytes.
    """

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


@dataclass
class _Bucket:
    rate: float
    most: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.most

    def fill(self, seconds: float) -> None:
        self.level = min(self.most, self.level + self.rate * seconds)

    def take(self, amount: float) -> bool:
        self.level -= amount
        return self.level >= 0


class Allowance:
    """What one line may still send.

    Arguments:
        clock: gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._then = clock()
        self._messages = _Bucket(MESSAGES, MESSAGES_AT_ONCE)
        self._bytes = _Bucket(BYTES, BYTES_AT_ONCE)

    def take(self, text: str) -> None:
        """Count a message; raises `TooMuch` where it is one too many, or too long."""
        now = self._clock()
        for bucket in (self._messages, self._bytes):
            bucket.fill(now - self._then)
        self._then = now
        if len(text) > MAX_MESSAGE:
            raise TooMuch(TOO_BIG, f"A message has at most {MAX_MESSAGE:,} characters.")
        if not self._messages.take(1):
            raise TooMuch(POLICY, f"More than {MESSAGES:.0f} messages per second came.")
        if not self._bytes.take(len(text.encode())):
            raise TooMuch(POLICY, f"More than {BYTES / 1024:.0f} KiB per second came.")


class Lines:
    """The lines that are open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one_of(self, visitor: str) -> Iterator[None]:
        """Count a visitor's line while it is open; raises `TooMuch` where it is one too many."""
        with self._lock:
            if self._open[visitor] >= MAX_LINES:
                raise TooMuch(
                    LATER, f"You have {MAX_LINES} of these pages open: close some of them."
                )
            if self._open.total() >= MAX_ALL:
                raise TooMuch(LATER, f"{MAX_ALL} of these pages are open: come back later.")
            self._open[visitor] += 1
        try:
            yield
        finally:
            with self._lock:
                self._open[visitor] -= 1
                self._open += Counter()  # drops who has none


def bound(receive: Any) -> None:
    """Let the server keep no more of a message that is not finished than a message may have.

    Only uvicorn, whose `receive` is a method of its protocol, can be told.
    """
    connection: Any = getattr(getattr(receive, "__self__", None), "conn", None)
    if hasattr(connection, "max_message_size"):
        connection.max_message_size = 4 * MAX_MESSAGE  # bytes of so many characters
