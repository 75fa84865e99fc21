"""`rgdiff lattice scan`: the phase scan from the command line."""

import argparse
import json
import math
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.files.atomic import check_place, write_text
from rgdiff_core.lattice.scaling import CROSSING, Criticality, criticality
from rgdiff_core.lattice.scan import FULL, QUICK, PhaseScan, ScanSpec, phase_scan, scan_around
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import bar

__all__ = ["run_scan", "scan_options"]

PRESETS = {"quick": QUICK, "full": FULL}
SYMBOLS = {"lam": "λ", "m2": "m²"}
NUMBERS = {"points": int, "length": int, "thermalization": int, "thinning": int, "seed": int}
HELP = {
    "points": "values in the range",
    "length": "configurations measured in each chain",
    "thermalization": "trajectories discarded",
    "thinning": "trajectories from one measurement to the next",
    "seed": "seed of the scan",
}


def scan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff lattice scan`."""
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="quick",
        help="quick: half a minute; full: ten minutes on one core (default quick)",
    )
    parser.add_argument(
        "--vary", choices=tuple(SYMBOLS), default="lam", help="the coupling varied (default lam)"
    )
    parser.add_argument(
        "--fixed", type=float, default=-4.0, help="the value of the other one (default -4)"
    )
    parser.add_argument(
        "--width",
        type=float,
        metavar="W",
        help="scan ± W about the published critical value, in units of it (default: the preset's "
        "range for --vary lam --fixed -4, else 0.2)",
    )
    parser.add_argument("--low", type=float, help="or the range itself: its lower end")
    parser.add_argument("--high", type=float, help="its upper end; both or neither")
    parser.add_argument("--sizes", metavar="L,L,…", help="sizes of the lattices (the preset's)")
    for name, kind in NUMBERS.items():
        parser.add_argument(f"--{name}", type=kind, help=f"{HELP[name]} (the preset's)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.json",
        help="written after every point; an unfinished scan that it holds goes on",
    )


def run_scan(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Scan; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    spec = _spec(chosen)
    if chosen.out is not None and chosen.out.suffix != ".json":
        raise ValueError(f"{chosen.out} does not end in .json.")
    check_place(chosen.out)
    scan = PhaseScan(spec, command=_command(chosen))
    before = _before(scan, chosen.out)
    # Arrays this small are computed fastest by one thread.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        place = [""]

        def report(done: int, total: int) -> None:
            bar(done, total, place[0])

        for point in phase_scan(spec, done=before, progress=report):
            scan = replace(scan, points=(*scan.points, point))
            place[0] = f"L = {point.size}, {SYMBOLS[spec.vary]} = {point.coupling:.4g} measured"
            if len(scan.points) > len(before):
                _write(scan, chosen.out)
    finally:
        torch.set_num_threads(threads)
    value: dict[str, Any] = json.loads(scan.to_json())
    lines = [*_table(scan), ""]
    try:
        found = criticality(scan)
    except ValueError as error:  # what was measured is worth having all the same
        found = None
        lines.append(f"no critical coupling: {error}")
    else:
        value["criticality"] = _plain(found)
        lines += _told(scan, found)
    _write(scan, chosen.out, found)
    if chosen.out is not None:
        lines.append(f"written: {chosen.out}")
    return value, lines


def _spec(chosen: argparse.Namespace) -> ScanSpec:
    preset = PRESETS[chosen.preset]
    given = {name: getattr(chosen, name) for name in NUMBERS}
    given = {name: value for name, value in given.items() if value is not None}
    if chosen.sizes is not None:
        try:
            given["sizes"] = tuple(int(size) for size in chosen.sizes.split(","))
        except ValueError:
            raise ValueError(
                f"sizes = {chosen.sizes!r} are not whole numbers with commas between them."
            ) from None
    at_home = (chosen.vary, chosen.fixed) == (preset.vary, preset.fixed)
    if (chosen.low is None) != (chosen.high is None):
        raise ValueError("low and high go together; give both or neither.")
    if chosen.low is not None:
        base = replace(
            preset, vary=chosen.vary, fixed=chosen.fixed, low=chosen.low, high=chosen.high
        )
    elif chosen.width is None and at_home:
        base = preset
    else:
        width = 0.2 if chosen.width is None else chosen.width
        base = scan_around(chosen.fixed, vary=chosen.vary, width=width, like=preset)
    return replace(base, **given)


def _command(chosen: argparse.Namespace) -> str:
    """Return the command line that was given, without where things are on this machine."""
    words = ["rgdiff", "lattice", "scan"]
    for name, value in vars(chosen).items():
        if name in ("run", "json") or value is None:
            continue
        words += [f"--{name}", value.name if isinstance(value, Path) else str(value)]
    return shlex.join(words)


def _before(scan: PhaseScan, path: Path | None) -> tuple:
    """Return the points that an unfinished scan of the same spec left in the file."""
    if path is None or not path.exists():
        return ()
    old = PhaseScan.from_json(path.read_text(encoding="utf-8"))
    if old.spec != scan.spec:
        raise ValueError(f"{path} holds another scan; delete it, or write somewhere else.")
    return old.points


def _write(scan: PhaseScan, path: Path | None, found: Criticality | None = None) -> None:
    """Write the scan, and what it says, at once or not at all."""
    if path is None:
        return
    text = scan.to_json()
    if found is not None:
        criticality_json = json.dumps(_plain(found), ensure_ascii=False, allow_nan=False)
        text = text.rstrip()[:-1] + f',\n "criticality": {criticality_json}\n}}\n'
    write_text(path, text)


def _plain(found: Criticality) -> dict[str, Any]:
    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: finite(v) for k, v in value.items() if v is not None}
        if isinstance(value, list | tuple):
            return [finite(v) for v in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return finite(asdict(found))


def _table(scan: PhaseScan) -> list[str]:
    head = f"{'L':>3}  {SYMBOLS[scan.spec.vary]:>8}  {'⟨|M|⟩':>18}  {'χ':>18}  {'U₄':>18}  "
    lines = [head + f"{'ξ/L':>18}"]
    for p in scan.points:
        found = (p.abs_magnetization, p.susceptibility, p.binder, p.ratio)
        cells = "  ".join(f"{_short(each):>18}" for each in found)
        lines.append(f"{p.size:3}  {p.coupling:8.4f}  {cells}")
    return lines


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.5g} ± {estimate.error:.2g}"


def _told(scan: PhaseScan, found: Criticality) -> list[str]:
    symbol = SYMBOLS[scan.spec.vary]
    lines = [
        f"{CROSSING[each.quantity]:>15} of L = {each.sizes[0]}, {each.sizes[1]} "
        + (each.coupling.warning or f"at {symbol} = {_short(each.coupling)}")
        for each in found.crossings
    ]
    lines.append(
        f"no critical coupling: {found.coupling.warning}"
        if found.coupling.warning
        else f"{symbol}_c = {found.coupling.value:.5g} ± {found.coupling.error:.2g} (statistical) "
        f"± {found.systematic:.2g} (exponent of the correction); "
        f"from L ≥ {found.smallest}; χ² per degree of freedom {found.misfit:.2g}"
    )
    if not math.isnan(found.published):
        lines.append(f"from the literature: {found.published:.5g}")
    return lines


COMMANDS: Entries = {"scan": Entry(scan_options, run_scan)}
