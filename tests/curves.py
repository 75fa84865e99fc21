"""The curves of a run, as tests compare them."""

import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["rows"]

TIMES = ("elapsed_s", "images_per_s")


def rows(folder: Path) -> dict[tuple[int, bool], Mapping]:
    """Read the points of the curves, the last of each step and kind, without the times."""
    found = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[row["step"], "held_out" in row] = {k: v for k, v in row.items() if k not in TIMES}
    return found
