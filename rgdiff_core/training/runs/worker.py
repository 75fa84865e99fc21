"""The process that trains one run: `python -m rgdiff_core.training.runs.worker ID`.

Its last acts are to record how the run ended, and to look after the queue.
"""

import os
import sys
import traceback

from rgdiff_core import extensions
from rgdiff_core.training.runs import queue
from rgdiff_core.training.runs.folder import read_config, run_folder
from rgdiff_core.training.trainer import train

__all__ = ["main"]


def main(run_id: str) -> int:
    """Train a run from its last checkpoint, or from the start; return the exit status."""
    state, message = "failed", ""
    try:
        if hasattr(os, "nice"):
            os.nice(5)  # the pages come first
        extensions.load()
        config = read_config(run_folder(run_id))
        if config is None:
            raise ValueError("the run's config can't be read.")
        outcome = train(config, run_folder(run_id), resume=True)
        state, message = outcome.state, outcome.message
    except Exception as error:
        traceback.print_exc()
        message = " ".join(str(error).split())[:500] or type(error).__name__
    finally:
        queue.close(run_id, state, message)
        queue.pump()
    return 1 if state == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
