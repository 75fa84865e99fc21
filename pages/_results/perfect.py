"""What few steps cost a perfect denoiser: a sentence, and the gap of each theory's best process
against N, relative to that of white noise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages._results import figures, training_error
from pages._results.headline import OUTCOMES, joined
from pages._results.studies import Found, from_file
from pages._shared import plots
from pages._shared.plots import Curve
from pages._shared.tables import NONE, bracketed
from rgdiff_core.study.lattice.entrants import BASELINE
from rgdiff_core.study.lattice.schedule_summary import (
    COMPONENT_WISE,
    GRIDS,
    Leader,
    differences,
    leader,
    unsettled,
)
from rgdiff_core.study.lattice.verdict import Difference

__all__ = ["draw", "grid_rows", "sentence"]

FILE = "schedules-phi4.json"
COMMAND = "rgdiff study schedules"
GAPS: Mapping[str, str] = {**OUTCOMES, "better": "smaller", "worse": "larger"}
HEAD = (
    "| theory | best component-wise process | chosen from | gap relative to white noise, % "
    "| on grids uniform in angle, % | on grids uniform in log-SNR, % | Haar wavelets, % |\n"
    "|:--|:--|--:|--:|--:|--:|--:|"
)
AXIS = "gap relative to white noise, %"
WIDE = 3  # figures beside each other
# Beside white noise, the line at 0; colours and dashes are those of the arms.
SCALAR, HAAR = "matched-linear", "haar-0"
SHOWN = ("matched noise, scalar", plots.GREEN, "dash")
BEST = ("best component-wise process of the table", plots.ORANGE, "solid")


def draw() -> None:
    """Draw the sentence and the figures; nothing where the study was not run."""
    parts = from_file(FILE, COMMAND, "", _parts)
    if parts is None or not parts[1]:
        return
    found, figure, told, rows, note = parts
    st.markdown(told)
    if rows:  # in Markdown, for what is laid out later moves all below it
        lines = (f"| {' | '.join(row.values())} |" for row in rows)
        st.markdown("\n".join((HEAD, *lines)))
    st.html(figures.legend(curve for _, curves in figure for curve in curves))
    for start in range(0, len(figure), WIDE):
        for place, (title, curves) in zip(st.columns(WIDE), figure[start:], strict=False):
            place.markdown(f"**φ⁴, {title}**")
            place.plotly_chart(
                figures.curves(
                    curves, "steps N", AXIS, log_x=True, level=0.0, height=280
                ).update_layout(showlegend=False),
                key=f"results-perfect-{title}",
                config=plots.BAR,
                alt=f"Gap relative to white noise against the number of steps, φ⁴, {title}",
            )
    st.caption(note)
    with st.expander("With trained networks, and with Gaussian data"):
        training_error.draw(found["theories"], found["decided_at"])


def _parts(
    found: Found,
) -> tuple[Found, list[tuple[str, list[Curve]]], str, list[dict[str, str]], str]:
    """Return the study, the curves of each theory, the sentence, the table and the note."""
    theories, steps = found["theories"], found["decided_at"]
    figure = [(each["title"], _curves(each, steps)) for each in theories]
    return found, figure, sentence(theories, steps), grid_rows(theories, steps), _note(found)


def sentence(theories: Sequence[Found], steps: int) -> str:
    """Return whether component-wise schedules help a perfect denoiser in so many steps."""
    leaders = {each["title"]: found for each in theories if (found := leader(each, steps))}
    parts = [
        f"**{word}** on {_where(rows)}"
        for outcome, word in GAPS.items()
        if (rows := {t: x for t, x in leaders.items() if x.difference.outcome == outcome})
    ]
    if not parts:
        return "Component-wise schedules have not been compared with a perfect denoiser yet."
    counts = sorted({each.measured for each in leaders.values()})
    of = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    return (
        f"**With a perfect denoiser** the best of {of} component-wise processes, chosen on these "
        f"very numbers, has in {steps} steps a discretization error that, compared with white "
        "noise and a linear log-SNR, each on its own best time grid, is "
        f"{'; '.join(parts)}. On a grid that is not chosen for it, it may be larger than that of "
        "white noise: the saving is one of schedule and grid." + _doubt(theories)
    )


def _doubt(theories: Sequence[Found]) -> str:
    """Return on which theories the Monte Carlo has not converged, "" where on none."""
    parts = []
    for each in theories:
        if lagging := unsettled(each):
            worst = f"{100 * max(lagging.values(), key=abs):+.0f} %".replace("-", "−")
            parts.append(f"{worst} on {each['title']}")
    if not parts:
        return ""
    return (
        " **Not quite converged:** the distance of the data's Gaussian, which is the same for all "
        f"processes in one basis, differs between them by up to {joined(parts)}; gaps there may "
        "be off by as much."
    )


def _where(rows: Mapping[str, Leader]) -> str:
    return joined([f"{title} ({bracketed(*each.percent)} %)" for title, each in rows.items()])


def grid_rows(theories: Sequence[Found], steps: int) -> list[dict[str, str]]:
    """Return by how many per cent of white noise's the best component-wise process' gap is off
    it, on the best time grids of both and on grids that are not chosen for them; and that of Haar
    wavelets level by level, on the best.
    """
    found = []
    for theory in theories:
        best = leader(theory, steps)
        if best is None:
            continue
        row = {"theory": theory["title"], "process": best.title, "of": _of(best)}
        gaps = {each["name"]: each["gap"] for each in theory["processes"]}
        for grid in GRIDS:
            base = gaps[BASELINE][grid][str(steps)]["value"]
            row[grid] = _percent(differences(theory, steps, grid)[best.name], base)
        haar = differences(theory, steps).get(HAAR)
        base = gaps[BASELINE]["best"][str(steps)]["value"]
        row["haar"] = _percent(haar, base) if haar else NONE
        found.append(row)
    return found


def _percent(off: Difference, base: float) -> str:
    return bracketed(100 / base * off.value, 100 / base * (off.error or math.nan))


def _of(leader: Leader) -> str:
    if leader.measured < leader.of:
        return f"{leader.measured} of {leader.of} measured so far"
    return str(leader.of)


def _curves(theory: Found, steps: int) -> list[Curve]:
    best = min(
        (row for row in theory["processes"] if row["kind"] in COMPONENT_WISE),
        key=lambda row: row["gap"]["best"][str(steps)]["value"],
        default=None,
    )
    rows = {row["name"]: row for row in theory["processes"]}
    looks = {SCALAR: SHOWN} | ({} if best is None else {best["name"]: BEST})
    if BASELINE not in rows:
        return []
    base = rows[BASELINE]["gap"]["best"]
    return [_curve(rows[name], base, *look) for name, look in looks.items() if name in rows]


def _curve(row: Found, base: Found, label: str, color: str, dash: str) -> Curve:
    """Return by how many per cent of the baseline's gaps those of a process are off them."""
    offs: Mapping[str, Any] = row["against_baseline"]["best"]
    scales = [100 / base[n]["value"] for n in offs]
    pairs = list(zip(scales, offs.values(), strict=True))
    return Curve(
        label,
        [int(n) for n in offs],
        [scale * off["value"] for scale, off in pairs],
        color,
        dash,
        error=[scale * (off["error"] or 0.0) for scale, off in pairs],
        joined=True,
    )


def _note(found: Found) -> str:
    done = found["complete"]
    counts = [row["fields"] for each in found["theories"] for row in each["processes"]]
    missing = "" if done["batches"] == done["of"] else " To complete it:"
    ends = {min(counts), max(counts)} if counts else {0}
    fields = " to ".join(f"{count:,}" for count in sorted(ends))
    return (
        "Gap, the discretization error: KL of the stochastic (shell) sampler's N steps "
        "minus that of infinitely many, with the exact posterior mean by Monte Carlo and no "
        "network; each process on its own best time grid; in the table the same processes also "
        "on grids uniform in angle and uniform in log-SNR. Gaussian data whose "
        "components are uncorrelated in the basis would have none; in Haar wavelets, where they "
        "are correlated, a large part of the gap is that. Bars: "
        f"one standard error over {fields} fields, the same for all processes; comparisons are by "
        "groups of the same fields, with Holm's correction and a margin of "
        f"{100 * found['margin']:g} % stated "
        "beforehand; the best of several is called equal only where all are measured. "
        f"Measured: {done['batches']:,} of {done['of']:,} batches, {done['processes']} pairs of "
        f"theory and process.{missing} `{found['command']}`"
    )
