"""Where a run comes from: versions, machine, commit."""

import json
import platform
import subprocess
from pathlib import Path

import torch

from rgdiff_core.files.atomic import write_text
from rgdiff_core.training.config import TrainConfig

__all__ = ["write_provenance"]


def write_provenance(folder: Path, config: TrainConfig, origin: str = "trained here") -> None:
    """Write `provenance.json` into a run folder.

    Arguments:
        origin: "trained here" or "uploaded".
    """
    known = {
        "origin": origin,
        "seed": config.seed,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.platform(),
        "processor": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "commit": _commit(),
    }
    write_text(folder / "provenance.json", json.dumps(known, indent=1))


def _commit() -> str | None:
    """Return the commit of the repository that this file is in, None where it is in none."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
