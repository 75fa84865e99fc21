"""What `rgdiff study schedules` found, as one small file, and what follows from it.

Two processes differ where Student's test of the difference, by groups of the same fields, says so
at 95 % with Holm's correction for all processes of a theory. The margin of equivalence, stated
beforehand, is that of `verdict`: a tenth of the baseline's number. The best of several is called
the same only where all of them are measured, by an interval that holds for all of them.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rgdiff_core.schedules import LinearGamma
from rgdiff_core.spec import Spec
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.lattice.arms import SCALAR
from rgdiff_core.study.lattice.entrants import BASELINE, CASES, ENTRANTS
from rgdiff_core.study.lattice.gaussian_law import gaussian_law
from rgdiff_core.study.lattice.schedules import FEW, STEPS, Schedules
from rgdiff_core.study.lattice.verdict import EQUIVALENCE, Difference, holm

__all__ = [
    "COMPONENT_WISE",
    "GRIDS",
    "Leader",
    "differences",
    "leader",
    "lines",
    "same_curve",
    "summary",
    "unsettled",
]

SETTLED = 0.02  # share of KL_G that processes in one basis may differ by
GRIDS = ("best", "angle", "logsnr")
COMPONENT_WISE = frozenset({"white-component", "matched-component"})
Found = Mapping[str, Any]


def summary(study: Schedules) -> dict[str, Any]:
    """Return all numbers with errors, and how much is missing."""
    theories = [_theory(study, name) for name in study.cells]
    count = sum(len(row["processes"]) for row in theories)
    finished = sum(process["batches"] for row in theories for process in row["processes"])
    wanted = sum(len(study.processes(name)) for name in study.cells) * study.numbers.batches
    return {
        "steps": list(STEPS),
        "baseline": BASELINE,
        "margin": EQUIVALENCE,
        "decided_at": FEW,
        "fields_in_batch": study.numbers.fields,
        "complete": {"processes": count, "batches": finished, "of": wanted},
        "processor_minutes": round(study.seconds() / 60, 1),
        "theories": [row for row in theories if row["processes"]],
    }


def _theory(study: Schedules, name: str) -> dict[str, Any]:
    case = CASES[name]
    tables = {
        entrant: table
        for entrant in study.processes(name)
        if (table := _Table.of(study, name, entrant)) is not None
    }
    before = study.before(name, BASELINE)
    return {
        "data": name,
        "title": case.title,
        "m2": case.action.m2,
        "lam": case.action.lam,
        "size": case.size,
        "component_wise": sum(
            ENTRANTS[entrant].kind in COMPONENT_WISE for entrant in study.processes(name)
        ),
        "condition": before["condition"] if before else None,
        "gaussian_law": before
        and {str(n): asdict(gaussian_law(case.size, before["condition"], n)) for n in STEPS},
        "processes": [
            _process(study, entrant, table, tables.get(BASELINE))
            for entrant, table in tables.items()
        ],
    }


@dataclass(frozen=True, eq=False)
class _Table:
    """Means over groups of fields, (groups, columns), of the finished batches of a process."""

    names: list[str]
    groups: Tensor
    batches: int

    @classmethod
    def of(cls, study: Schedules, theory: str, entrant: str) -> "_Table | None":
        cells = []
        for batch in range(study.numbers.batches):
            cell = study.found(theory, entrant, batch)
            if cell is None:
                break
            cells.append(cell)
        if not cells:
            return None
        groups = torch.cat([torch.tensor(c["groups"], dtype=torch.float64) for c in cells])
        return cls(cells[0]["names"], groups, len(cells))

    def column(self, name: str) -> Tensor:
        return self.groups[:, self.names.index(name)]


def _process(
    study: Schedules, name: str, table: _Table, baseline: _Table | None
) -> dict[str, Any]:
    entrant = ENTRANTS[name]
    return {
        "name": name,
        "title": entrant.title,
        "kind": entrant.kind,
        "batches": table.batches,
        "fields": table.batches * study.numbers.fields,
        "gaussian_kl": _rounded(table.column("gaussian")),
        "gaussian_kl_against_baseline": None
        if baseline is None or entrant.spec.basis != ENTRANTS[BASELINE].spec.basis
        else _less(table, baseline, "gaussian"),
        "prior": _rounded(table.column("prior")),
        "gap": {
            grid: {str(n): _rounded(table.column(f"shell {grid} {n}")) for n in STEPS}
            for grid in GRIDS
        },
        "against_baseline": None
        if baseline is None or name == BASELINE
        else {
            grid: {str(n): _less(table, baseline, f"shell {grid} {n}") for n in STEPS}
            for grid in GRIDS
        },
    }


def _rounded(values: Tensor) -> dict[str, float]:
    found = Estimate.of(values)
    return {"value": round(found.value, 5), "error": round(found.error, 5)}


def _less(table: _Table, baseline: _Table, column: str) -> dict[str, float]:
    """Return a number less the baseline's on the same fields."""
    one, other = table.column(column), baseline.column(column)
    count = min(len(one), len(other))
    return _rounded(one[:count] - other[:count]) | {"n": count}


def unsettled(theory: Found) -> dict[str, float]:
    """Return the processes whose posterior means have not converged, and the share of the KL of
    the data's Gaussian that their numbers lack or have too much.

    That KL is the same for all processes in one basis, whatever the path to it. Where it differs
    from the baseline's by more than SETTLED of it and three standard errors of the difference,
    chains lagged behind, and gaps may be off by as much.
    """
    found = {}
    for row in theory["processes"]:
        off = row.get("gaussian_kl_against_baseline")
        if off is None or row["name"] == BASELINE:
            continue
        share = off["value"] / (row["gaussian_kl"]["value"] - off["value"])
        if abs(share) > SETTLED and abs(off["value"]) > 3 * off["error"]:
            found[row["name"]] = share
    return found


def differences(theory: Found, steps: int, grid: str = "best") -> dict[str, Difference]:
    """Return by how much every process' gap is off the baseline's, with Holm's correction.

    Arguments:
        theory: one of a summary's.
        steps: N.
        grid: the time grid, of `GRIDS`.
    """
    base = next((row for row in theory["processes"] if row["name"] == BASELINE), None)
    if base is None:
        return {}
    margin = EQUIVALENCE * base["gap"][grid][str(steps)]["value"]
    offs = {}
    for row in theory["processes"]:
        if row["against_baseline"] is not None:
            off = row["against_baseline"][grid][str(steps)]
            offs[row["name"]] = Difference(off["value"], off["error"], max(off["n"] - 1, 0))
    return {name: replace(off, margin=margin) for name, off in holm(offs).items()}


@dataclass(frozen=True)
class Leader:
    """The component-wise process with the least gap, beside the baseline.

    Attributes:
        name: of the entrant.
        title: display name.
        difference: of its gap from the baseline's, nats.
        baseline: the baseline's gap, nats.
        measured: number of component-wise processes that it is the best of.
        of: how many are to be measured.
    """

    name: str
    title: str
    difference: Difference
    baseline: float
    measured: int
    of: int

    @property
    def percent(self) -> tuple[float, float]:
        """The difference and its standard error, in per cent of the baseline's gap."""
        scale = 100 / self.baseline
        return scale * self.difference.value, scale * (self.difference.error or math.nan)


def leader(theory: Found, steps: int, grid: str = "best") -> Leader | None:
    """Return the best component-wise process; None where none was measured beside a baseline."""
    offs = differences(theory, steps, grid)
    rows = [
        row for row in theory["processes"] if row["kind"] in COMPONENT_WISE and row["name"] in offs
    ]
    if not rows:
        return None
    best = min(rows, key=lambda row: offs[row["name"]].value)
    base = next(row for row in theory["processes"] if row["name"] == BASELINE)
    gap = base["gap"][grid][str(steps)]["value"]
    measured, of = len(rows), theory["component_wise"]
    off = replace(offs[best["name"]], comparisons=measured)
    if measured < of:
        off = replace(off, margin=None)
    return Leader(best["name"], best["title"], off, gap, measured, of)


def same_curve(color: Spec, schedule: Spec) -> str | None:
    """Return the entrant with this noise and schedule; for a scalar schedule, which on its own
    best time grid differs from another by its ends alone, that of linear log-SNR.
    """
    mine = {name: each.spec for name, each in ENTRANTS.items() if each.spec.color == color}
    found = [name for name, spec in mine.items() if spec.schedule == schedule]
    if not found and any(schedule == each.schedule for each in SCALAR):
        found = [name for name, spec in mine.items() if isinstance(spec.schedule, LinearGamma)]
    return found[0] if found else None


def lines(found: Found) -> list[str]:
    """Return the tables for people: the gap in nats on each process' best time grid."""
    told = []
    for theory in found["theories"]:
        told += ["", f"{theory['title']}: gap in nats in {', '.join(map(str, STEPS))} steps"]
        for row in theory["processes"]:
            gaps = [row["gap"]["best"][str(n)] for n in STEPS]
            numbers = "  ".join(f"{gap['value']:.3f} ± {gap['error']:.3f}" for gap in gaps)
            told.append(f"{row['title']:<60}{numbers}")
    done = found["complete"]
    return [*told, "", f"{done['batches']} of {done['of']} batches"]
