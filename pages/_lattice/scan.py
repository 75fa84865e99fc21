"""The phase scan on the Lattice page: the one that is included, and live ones."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import streamlit as st

from pages._lattice import figures
from pages._lattice.state import Theory
from pages._shared import address, jobs, plots
from pages._shared.plots import Curve
from rgdiff_core.data.ensembles import EnsembleInfo
from rgdiff_core.lattice.critical import POINTS, SCAN, CriticalPoint
from rgdiff_core.lattice.scaling import CROSSING, ISING, Criticality, collapse, criticality
from rgdiff_core.lattice.scan import QUICK, PhaseScan, ScanSpec, phase_scan, scan_around
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import duration

__all__ = ["draw"]

FILE = Path(__file__).resolve().parents[2] / "results" / "phase-scan.json"
FULL, LIVE = "full scan", "live scan"
QUANTITIES: Mapping[str, str] = {
    "abs_magnetization": "⟨|M|⟩",
    "susceptibility": "χ",
    "binder": "U₄",
    "ratio": "ξ/L",
}
SCALED: Mapping[str, str] = {
    "abs_magnetization": "⟨|M|⟩ L<sup>β/ν</sup>",
    "susceptibility": "χ L<sup>−γ/ν</sup>",
    "binder": "U₄",
    "ratio": "ξ/L",
}
SYMBOLS = {"lam": "λ", "m2": "m²"}
UNIVERSAL = {"binder": ISING.binder, "ratio": ISING.ratio}
SIZES = (4, 6, 8, 12, 16, 24, 32)
SPEED = 2e6  # site updates a second, where nothing has been measured yet
LINE, PREFIX = "measuring", "scan/"


def draw(theory: Theory, listed: list[EnsembleInfo], info: EnsembleInfo | None) -> None:
    """Draw the scan chosen."""
    del listed, info
    st.header("Where the symmetry breaks")
    full = _committed()
    names = [FULL, LIVE] if full else [LIVE]
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    which = address.menu(
        left,
        "Scan",
        names,
        default=names[0],
        key="scan",
        help="The full scan is included, with the command that made it. A live one is run here, "
        "about the critical line at the m² of the theory in the sidebar.",
    )
    collapsed = right.toggle(
        "Collapse the data",
        key="collapse",
        bind="query-params",
        help="Scale both axes by powers of L with the exponents of the two-dimensional Ising "
        "class: all sizes fall on one curve if the transition belongs to it.",
    )
    if which == FULL and full is not None:
        _where(full.spec, theory)
        _shown(full, collapsed, "full")
        if full.command:
            st.caption("Reproduce with:")
            st.code(full.command, language="sh")
        return
    _live(theory, full, collapsed)


def _where(spec: ScanSpec, theory: Theory) -> None:
    """Say at which coupling a scan was made, and where the theory has another one."""
    name, here = ("m2", theory.m2) if spec.vary == "lam" else ("lam", theory.lam)
    symbol = SYMBOLS[name]
    text = f"This scan is at **{symbol} = {spec.fixed:g}**."
    if not math.isclose(here, spec.fixed, abs_tol=1e-6):
        text += f" The sidebar's {symbol} = {here:g} does not change it."
        if spec.vary == "lam":
            text += f" Choose *{LIVE}* to scan there."
    st.markdown(text.replace("-", "−"))


def _committed() -> PhaseScan | None:
    try:
        return _read(str(FILE), FILE.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None


@st.cache_resource(max_entries=2, show_spinner=False)
def _read(path: str, version: int) -> PhaseScan:
    del version
    return PhaseScan.from_json(Path(path).read_text(encoding="utf-8"))


@st.cache_resource(max_entries=16, show_spinner="Looking for the crossings …")
def _found(scan_json: str) -> Criticality:
    return criticality(PhaseScan.from_json(scan_json))


def _live(theory: Theory, full: PhaseScan | None, collapsed: bool) -> None:
    spec = _asked(theory, full)
    if spec is None:
        return
    key = f"{PREFIX}{spec.to_json()}"
    task = jobs.find(key)
    busy = task is not None and task.waited_for
    if task is None or task.ended:
        st.button(
            "Scan again" if task else "Start",
            type="primary",
            icon=":material/play_arrow:",
            on_click=lambda: _begin(spec),
            help="In the background; the points appear as they are measured.",
        )
    st.fragment(_progress, run_every=1.0 if busy else None)(key, busy, collapsed)


def _asked(theory: Theory, full: PhaseScan | None) -> ScanSpec | None:
    """Draw what a live scan is; None, and a sentence, where it can't be."""
    first, second, third, fourth = st.columns([3, 2, 2, 2])
    sizes = first.multiselect(
        "Sizes L",
        SIZES,
        QUICK.sizes,
        key="scan-sizes",
        bind="query-params",
        help="At least two, for curves to cross. Run time grows with the number of sites.",
    )
    points = second.slider(
        "Couplings",
        5,
        21,
        QUICK.points,
        key="scan-points",
        bind="query-params",
        help="Values of λ, evenly spaced about the critical one.",
    )
    width = third.slider(
        "Range",
        0.05,
        0.6,
        0.2,
        0.05,
        format="±%.2f λc",
        key="scan-width",
        bind="query-params",
        help="How far to both sides, in units of the critical coupling.",
    )
    length = fourth.select_slider(
        "Configurations per chain",
        (50, 100, 150, 300, 600, 1200),
        QUICK.length,
        key="scan-length",
        bind="query-params",
        help="Four times as many halve the errors.",
    )
    try:
        if not sizes:
            raise ValueError("choose at least one size.")
        like = replace(QUICK, sizes=tuple(sorted(sizes)), points=points, length=length)
        spec = scan_around(theory.m2, width=width, like=like)
    except ValueError as error:
        advice = " Choose m² below 0 in the sidebar." if theory.m2 >= 0 else ""
        st.error(f"No scan at m² = {theory.m2:g}: {error}{advice}", icon=":material/error:")
        return None
    seconds = spec.work / _speed(full)
    st.caption(
        f"m² = {spec.fixed:g}, λ from {spec.low:.4g} to {spec.high:.4g}: "
        f"{spec.points * len(spec.sizes)} points with {spec.trajectories} trajectories each, "
        f"about {duration(seconds)}; HMC with a Wolff cluster after each."
    )
    return spec


def _speed(full: PhaseScan | None) -> float:
    """Return site updates a second, of the last live scan, of the full one, or a common value."""
    live = [task.live for task in jobs.listed(PREFIX) if task.live is not None]
    for scan in (*reversed(live), *([full] if full else [])):
        seconds = sum(point.seconds for point in scan.points)
        sites = sum(scan.spec.chains(point.size) * point.size**2 for point in scan.points)
        if seconds > 0:
            return scan.spec.trajectories * sites / seconds
    return SPEED


def _begin(spec: ScanSpec) -> None:
    def work(task: jobs.Task) -> PhaseScan:
        scan = PhaseScan(spec)
        with task.interruptible():
            for point in phase_scan(spec, progress=task.progress):
                scan = replace(scan, points=(*scan.points, point))
                task.live = scan
        return scan

    jobs.begin(LINE, f"{PREFIX}{spec.to_json()}", "Scanning", work)


def _progress(key: str, busy: bool, collapsed: bool) -> None:
    task = jobs.find(key)
    if task is None:
        st.info(
            "Press **Start**: |M|, χ, U₄ and ξ/L are measured about the transition, and where "
            "the curves of different sizes cross is where the symmetry breaks.",
            icon=":material/rocket_launch:",
        )
        return
    jobs.watch([key], "scan", busy)
    if task.live is not None:
        _shown(task.live, collapsed, "live")
    elif task.waited_for:
        st.caption("The first point is on its way.")


def _shown(scan: PhaseScan, collapsed: bool, place: str) -> None:
    """Draw a scan, complete or not."""
    found = None
    try:
        found = _found(scan.to_json())
    except ValueError as error:
        if scan.complete:
            st.info(f"No crossings: {error}", icon=":material/info:")
    if found is not None:
        _numbers(scan, found)
    _figures(scan, found, collapsed, place)
    if found is not None:
        _crossings(scan, found)
    _csv(scan, place)


def _numbers(scan: PhaseScan, found: Criticality) -> None:
    symbol = SYMBOLS[scan.spec.vary]
    columns = st.columns(3)
    value = "–"
    if math.isfinite(found.coupling.value):
        value = plots.in_brackets(found.coupling.value, found.error)
    columns[0].metric(
        f"Critical {symbol}, this scan",
        value,
        help=f"Crossings extrapolated to L → ∞: ± {found.coupling.error:.2g} from statistics, "
        f"± {found.systematic:.2g} from the exponent of the correction.",
    )
    point = _published(scan.spec)
    if point is not None:
        columns[1].metric(
            f"Critical {symbol}, literature",
            _of_point(point, scan.spec.vary),
            help=f"{point.source}; the error of this point is ± {point.error:.1g} in m²."
            + ("" if point.used else " The critical line is not drawn through it."),
        )
    columns[2].metric(
        "On the critical line",
        f"{found.published:.4f}" if math.isfinite(found.published) else "–",
        help="Interpolated between published points and scans by this program, of which one is "
        "at m² = −4; good to about 1 % between its points.",
    )


def _of_point(point: CriticalPoint, vary: str) -> str:
    """Return a point's coupling that was varied, with its error."""
    if vary != "lam":
        return plots.in_brackets(point.m2, point.error)
    return plots.in_brackets(point.lam, point.lam_error)


def _published(spec: ScanSpec) -> CriticalPoint | None:
    """Return the point of the literature at the scan's fixed coupling, None without one."""
    for each in POINTS:
        fixed = each.m2 if spec.vary == "lam" else each.lam
        if each.source != SCAN and math.isclose(fixed, spec.fixed, abs_tol=1e-6):
            return each
    return None


def _figures(scan: PhaseScan, found: Criticality | None, collapsed: bool, place: str) -> None:
    critical, lines = math.nan, {}
    if found is not None:
        if math.isfinite(found.published):
            critical, lines = found.published, {found.published: "critical line"}
        if math.isfinite(found.coupling.value):
            critical = found.coupling.value
            lines |= {critical: "this scan"}
    elif not collapsed:
        try:
            lines = {scan.spec.published: "critical line"}
        except ValueError:
            lines = {}
    if collapsed and not math.isfinite(critical):
        st.info("There is no critical coupling yet to collapse the data with.")
        collapsed = False
    cells = [*st.columns(2), *st.columns(2)]
    for cell, (name, title) in zip(cells, QUANTITIES.items(), strict=True):
        if collapsed:
            curves, x_title = _collapsed(scan, name, critical), "t L<sup>1/ν</sup>"
            y_title = SCALED[name]
        else:
            curves, x_title = _plain(scan, name), SYMBOLS[scan.spec.vary]
            y_title = title
        levels = {UNIVERSAL[name]: "Ising class"} if name in UNIVERSAL else None
        figure = figures.points(
            curves,
            x_title,
            y_title,
            lines={0.0: ""} if collapsed else lines,
            levels=levels,
            height=300,
            revision=f"{place}-{collapsed}",
        )
        cell.plotly_chart(figure, key=f"lattice-scan-{place}-{name}", config=plots.BAR, alt=title)
    st.caption(
        "Points with standard errors, joined by straight lines for the eye. U₄ and ξ/L have no "
        "dimension: at the transition the curves of all sizes meet, up to corrections, at the "
        "values of the two-dimensional Ising class. "
        + (
            r"$t = (g - g_c)/|g_c|$ of the coupling $g$ on the axis, and exponents ν = 1, "
            "β = 1/8, γ = 7/4."
            if collapsed
            else "On a finite lattice nothing jumps; the larger L, the steeper."
        )
    )


def _plain(scan: PhaseScan, name: str) -> list[Curve]:
    colors = plots.ramp(len(scan.spec.sizes))
    curves = []
    for size, color in zip(scan.spec.sizes, colors, strict=True):
        kept = [(p.coupling, e) for p in scan.curve(size) if _usable(e := getattr(p, name))]
        if kept:
            x, y = [x for x, _ in kept], [e.value for _, e in kept]
            error = [e.error for _, e in kept]
            curves.append(Curve(f"L = {size}", x, y, color, joined=True, error=error))
    return curves


def _usable(found: Estimate) -> bool:
    return math.isfinite(found.value) and math.isfinite(found.error)


def _collapsed(scan: PhaseScan, name: str, critical: float) -> list[Curve]:
    found = collapse(scan, name, critical)
    return [
        Curve(f"L = {each.size}", each.x, each.y, color, points=True, error=each.error)
        for each, color in zip(found, plots.ramp(len(found)), strict=True)
        if each.x
    ]


def _crossings(scan: PhaseScan, found: Criticality) -> None:
    symbol = SYMBOLS[scan.spec.vary]
    rows: dict[str, dict[str, str]] = {}
    for each in found.crossings:
        title = CROSSING[each.quantity]
        line = rows.setdefault(f"L = {each.sizes[0]}, {each.sizes[1]}", {})
        line[f"{title}: {symbol}"] = _bracketed(each.coupling)
        line[f"{title}: height"] = _bracketed(each.height)
    known = dict(zip(CROSSING, (ISING.binder, ISING.ratio), strict=True))
    last = rows["Ising class, L → ∞"] = {f"{t}: {symbol}": "" for t in CROSSING.values()}
    last |= {f"{CROSSING[name]}: height": f"{value:.5f}" for name, value in known.items()}
    rows["Ising class, L → ∞"] = last
    st.markdown("**Where the curves cross**")
    st.dataframe([{"sizes": name} | row for name, row in rows.items()], hide_index=True)
    if math.isfinite(found.misfit):
        st.caption(f"χ² per degree of freedom of the extrapolation: {found.misfit:.2g}.")


def _bracketed(found: Estimate) -> str:
    return plots.bracketed(found if _usable(found) else None)


def _csv(scan: PhaseScan, place: str) -> None:
    rows = scan.points
    columns: dict[str, list[float]] = {
        "L": [p.size for p in rows],
        "m2": [scan.spec.action(p.coupling).m2 for p in rows],
        "lam": [scan.spec.action(p.coupling).lam for p in rows],
    }
    for name in QUANTITIES:
        columns[name] = [getattr(p, name).value for p in rows]
        columns[f"{name}_error"] = [getattr(p, name).error for p in rows]
    st.download_button(
        "Points (CSV)",
        plots.table(columns),
        "phase-scan.csv",
        "text/csv",
        key=f"lattice-scan-csv-{place}",
        icon=":material/download:",
        on_click="ignore",
        help="Every point with its errors.",
    )
