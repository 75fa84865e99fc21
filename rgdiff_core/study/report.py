"""A study's tables as text, from its JSON alone."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.files.stored import read_json
from rgdiff_core.study.lattice.verdict import combined_error

__all__ = ["read_results", "tables", "versions"]

FORMER_NAMES = {"ladder": "ablation", "landscape": "schedule_scan", "rungs": "models"}


def read_results(path: Path) -> dict[str, Any]:
    """Read a file that a study wrote, its parts by their present names.

    Raises a one-line `ValueError` for a damaged file, `OSError` where it cannot be read.
    """
    return {FORMER_NAMES.get(name, name): part for name, part in read_json(path).items()}


def tables(found: dict[str, Any]) -> list[str]:
    """Return the lines of all tables of a study's results; errors of the arms are those over seeds
    with those of the held-out fields.
    """
    theory, truth = found["theory"], found["truth"]
    done = found["complete"]
    lines = [
        "",
        f"{theory['title']}: m² = {theory['m2']:g}, λ = {theory['lam']:g}",
        f"log Z = {_written(truth['log_z'])}, entropy = {_written(truth['entropy'])} nats, "
        f"susceptibility = {_written(truth['susceptibility'])}",
    ]
    if truth["gaussian_kl"]:
        lines.append(f"the data's Gaussian is {_written(truth['gaussian_kl'])} nats away")
    lines += [f"{done['runs']} of {done['of']} runs", ""]
    for rows in (_arms(found), _samplers(found), _ablation(found), _schedule_scan(found)):
        if len(rows) > 1:
            lines += [*_table(rows), ""]
    return lines


def _arms(found: dict[str, Any]) -> list[list[str]]:
    head = ["arm", "schedule", "rate", "KL(p|q)", "minus baseline", "share of Gaussian's"]
    rows = [[*head, "by the bound", "of the flow", "KL(q|p)", "ESS"]]
    for arm in found["arms"]:
        metrics, against = arm["metrics"], arm["against_baseline"]
        rows.append(
            [
                arm["title"],
                arm["schedule_title"],
                f"{arm['lr']:g}",
                _whole(metrics["kl"]),
                _whole(against["kl"]) if against else "",
                f"{100 * arm['share_of_gaussian']['value']:.1f} %",
                *(
                    _whole(metrics.get(name))
                    for name in ("bound_kl", "flow_kl", "reverse_kl", "ess")
                ),
            ]
        )
    return rows


def _samplers(found: dict[str, Any]) -> list[list[str]]:
    rows = [["arm", "sampler", "NFE", "χ error, %", "ESS"]]
    titles = {arm["name"]: arm["title"] for arm in found["arms"]}
    for row in found["samplers"]:
        ess = _written(row["ess"]) if row["ess"] else ("folds" if row["folded"] else "")
        chi = _written(row["susceptibility_percent"])
        rows.append([titles[row["arm"]], row["method"], str(row["nfe"]), chi, ess])
    return rows


def _ablation(found: dict[str, Any]) -> list[list[str]]:
    rows = [["one change at a time", "KL(p|q)", "change"]]
    for row in found["ablation"]:
        change = _written(row["change"]) if row["change"] else ""
        rows.append([row["title"], _whole(row["kl"]), change])
    return rows


def _schedule_scan(found: dict[str, Any]) -> list[list[str]]:
    rows = [["noise", "component-wise schedule", "number", "KL(p|q)"]]
    for row in found["schedule_scan"]:
        number = "" if row["number"] is None else f"{row['number']:g}"
        rows.append([row["color"], row["kernel"], number, _written(row["kl"])])
    return rows


def _whole(number: dict[str, Any] | None) -> str:
    return _written(number and number | {"error": combined_error(number)})


def _written(number: dict[str, Any] | None) -> str:
    if number is None:
        return ""
    error = number.get("error")
    return f"{number['value']:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def versions() -> dict[str, Any]:
    """Return what the numbers were computed with."""
    return {
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": f"{platform.machine()}, one thread",
    }
