"""What every benchmark shares: paired timing, a table on the screen, JSON in results/."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["ROOT", "machine", "no_options", "paired", "percentile", "table", "write"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def paired(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time each call once a round, in turn, so that a busy spell hits all alike: seconds by name.

    A tenth of the rounds come before, untimed.
    """
    seconds = {name: [] for name in calls}
    for number in range(-max(1, rounds // 10), rounds):
        for name, call in calls.items():
            start = clock()
            call()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile in [1, 99] of at least two values, between their neighbours."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def no_options(text: str | None) -> None:
    """Answer --help, and refuse all else, for a benchmark without options: with its docstring."""
    argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()


def machine() -> dict[str, Any]:
    """Say where and when the figures were taken, and how busy the machine was."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit.stdout.strip(),
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """Return aligned columns, numbers to three digits, the first column to the left."""
    cells = [list(head), *([c if isinstance(c, str) else f"{c:.3g}" for c in r] for r in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in cells)
    )


def write(name: str, before: Mapping[str, Any], figures: Any) -> None:
    """Write `benchmarks/results/<name>.json`: the machine before the run, its load after, the
    figures.
    """
    RESULTS.mkdir(exist_ok=True)
    after = {"load_after": list(os.getloadavg())}
    text = json.dumps({"machine": {**before, **after}, "figures": figures}, indent=1)
    path = RESULTS / f"{name}.json"
    path.write_text(f"{text}\n", encoding="utf-8")
    print(f"\nwritten: {path.relative_to(ROOT)}; load {after['load_after'][0]:.1f}")
