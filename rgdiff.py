"""The command `rgdiff`, which Ctrl+C ends with one line even while its libraries are imported.

It stands beside the library, for to import any module of that is to import PyTorch.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

__all__ = ["main"]


def main() -> int:
    """Run the command line and return the exit status."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # as behind nohup
        signal.signal(signal.SIGINT, _end)
    from rgdiff_core.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    return run()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End the process at once: nothing has begun yet."""
    del number, frame
    os.write(2, b"rgdiff: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
