"""Ctrl+C: a command ends soon with one sentence, and at once the second time."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["INTERRUPTED", "STOPPED", "interruptible"]

INTERRUPTED = 130
"""The exit status, as of a shell."""

STOPPED = "rgdiff: interrupted"
AGAIN = 0.1  # seconds until an interrupt that was lost comes again


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT raise `KeyboardInterrupt` the first time, and end the process the second.

    Python drops an exception that is raised in a destructor or in the callback of a weak
    reference, of which an import makes many: an interrupt that comes there comes again. One that
    comes in a `__set_name__` Python 3.11 makes the cause of another error; it is taken for what
    it was. Outside the main thread, and where SIGINT is ignored, nothing changes.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    interrupts = _Interrupts()
    handler, hook = signal.signal(signal.SIGINT, interrupts.come), sys.unraisablehook
    sys.unraisablehook = interrupts.dropped
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        try:
            interrupts.end()
        finally:
            sys.unraisablehook = hook
            signal.signal(signal.SIGINT, handler)


class _Interrupts:
    def __init__(self) -> None:
        self.came, self.hook = False, sys.unraisablehook
        self.again: threading.Timer | None = None

    def come(self, number: int, frame: FrameType | None) -> None:
        """End the process, or raise where this is the first time."""
        del number, frame
        if self.came:
            with suppress(OSError):  # a print may be what is interrupted
                os.write(2, f"{STOPPED}\n".encode())
            os._exit(INTERRUPTED)
        self.came, self.again = True, None
        raise KeyboardInterrupt

    def dropped(self, lost: "sys.UnraisableHookArgs") -> None:
        """Let an interrupt that was dropped come again; report other errors as always."""
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            self.hook(lost)
            return
        self.came = False
        self.again = threading.Timer(AGAIN, _interrupt)
        self.again.daemon = True
        self.again.start()

    def end(self) -> None:
        """Raise `KeyboardInterrupt` where one that was dropped has not come again yet."""
        if self.again is not None:
            self.again.cancel()
            self.again.join()
            raise KeyboardInterrupt


def _interrupt() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGINT)
