"""A card's scan measured again, where the integrator may have been at fault."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch

from rgdiff_core import data
from rgdiff_core.denoisers.files import load_pretrained, pretrained_folder
from rgdiff_core.evaluation import FlowMetrics, HeldOutMetrics
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import read_json
from rgdiff_core.lattice import Phi4
from rgdiff_core.pretraining.lattice import PROCESSES, Card, markdown
from rgdiff_core.pretraining.lines import LineCard, LineRow, line_markdown
from rgdiff_core.pretraining.scan import Say, Scan, Scanner
from rgdiff_core.statistics import Estimate

__all__ = ["rescan"]


def rescan(name: str, n: int, steps: int, say: Say) -> Scan:
    """Measure what is too low in the scan of an installed lattice model on other time grids, and
    write its card anew.

    Arguments:
        n: samples of each process.
        steps: of the integrator; half as many of a model along a line of couplings.

    Raises `ValueError` for a model that has no such card, fewer samples than it has, processes
    that are not known, and where another process comes out best: all else on the card is of that.
    """
    home, model = pretrained_folder() / name, load_pretrained(name)
    known = read_json(home / "card.json")
    if "quality" not in known and "points" not in known:
        raise ValueError(f"the card of {name} has no scan of lattice processes.")
    found = {title: _metrics(each) for title, each in known["scan"].items()}
    scan = Scan(found, known.get("grids", {}))
    most = max(each.n for each in found.values())
    if n < most:
        raise ValueError(f"scan samples = {n}, but the card of {name} has {most} of each process.")
    unknown = [title for title in found if title not in PROCESSES]
    if unknown:
        raise ValueError(f"the card of {name} has a process {unknown[0]!r}, which is not known.")
    line = model.line
    action = Phi4(*line.middle) if line else data.action_of(known["data"])
    assert isinstance(action, Phi4)
    here = model.at(*line.middle) if line else model
    generator = torch.Generator().manual_seed(1)
    steps = steps // 2 if line else steps  # as the card's own
    scan = Scanner(here, PROCESSES, action, n, steps, generator, say).again(scan)
    if scan.best != known["best"] or known["best"] in set(scan.grids) - set(
        known.get("grids", {})
    ):
        raise ValueError(
            f"{scan.best!r} is the best process of {name} now, and the card's other numbers are "
            f"of {known['best']!r}: `rgdiff pretrain {name}` makes all of them."
        )
    changed = known | {"scan": scan.found, "grids": scan.grids}
    card = _line_card(changed) if line else _card(changed)
    text = line_markdown(card) if isinstance(card, LineCard) else markdown(card, action)
    write_text(home / "card.json", json.dumps(asdict(card), indent=1, ensure_ascii=False) + "\n")
    write_text(home / "card.md", text)
    return scan


def _metrics(known: Mapping[str, Any]) -> FlowMetrics:
    return FlowMetrics(**_estimates(known))


def _estimates(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields whose errors make them estimates, and others as they are."""
    return {k: Estimate(**v) if isinstance(v, dict) else v for k, v in known.items()}


def _head(known: Mapping[str, Any], of: type) -> dict[str, Any]:
    names = {each.name for each in fields(of)}
    found = {key: value for key, value in known.items() if key in names}
    return found | {"steps_before": tuple(known["steps_before"])}


def _card(known: Mapping[str, Any]) -> Card:
    values = _head(known, Card) | _estimates({key: known[key] for key in ("hmc", "gaussian_nll")})
    values["quality"] = _metrics(known["quality"])
    values["held_out"] = HeldOutMetrics(**_estimates(known["held_out"]))
    return Card(**values)


def _line_card(known: Mapping[str, Any]) -> LineCard:
    values = _head(known, LineCard)
    values["points"] = tuple((m2, lam) for m2, lam in known["points"])
    values["rows"] = tuple(
        LineRow(row["m2"], row["lam"], _metrics(row["quality"]), Estimate(**row["hmc"]))
        for row in known["rows"]
    )
    return LineCard(**values)
