"""What few steps cost a perfect denoiser: a sentence, and the gap against N in each theory."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pages._results import figures, training_error
from pages._results.headline import OUTCOMES, joined
from pages._results.provenance import bracketed
from pages._results.studies import Found, from_file
from pages._shared import plots
from pages._shared.plots import Curve
from rgdiff_core.study.lattice.entrants import BASELINE
from rgdiff_core.study.lattice.schedule_summary import (
    COMPONENT_WISE,
    GRIDS,
    Leader,
    differences,
    leader,
    unsettled,
)

__all__ = ["draw", "grid_rows", "sentence"]

FILE = "schedules-phi4.json"
COMMAND = "rgdiff study schedules"
GAPS: Mapping[str, str] = {**OUTCOMES, "better": "smaller", "worse": "larger"}
HEAD = (
    "| theory | best component-wise process | chosen from | gap relative to white noise, % "
    "| on grids uniform in angle, % | on grids uniform in log-SNR, % |\n|:--|:--|--:|--:|--:|--:|"
)
WIDE = 3  # figures beside each other
# Besides the best component-wise process; colours and dashes are those of the arms.
SHOWN: Mapping[str, tuple[str, str, str]] = {
    "white-linear": ("white noise, scalar", plots.BLUE, "dash"),
    "matched-linear": ("matched noise, scalar", plots.GREEN, "dash"),
    "haar-0": ("Haar wavelets, level by level", plots.GREY, "dot"),
}


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
    for start in range(0, len(figure), WIDE):
        for place, (title, curves) in zip(st.columns(WIDE), figure[start:], strict=False):
            place.markdown(f"**φ⁴, {title}**")
            place.plotly_chart(
                figures.curves(curves, "steps N", "gap, nats", log_x=True, log_y=True, height=320),
                key=f"results-perfect-{title}",
                config=plots.BAR,
                alt=f"KL in nats against the number of steps, φ⁴, {title}",
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
    return (
        f"With only {steps} sampling steps even a perfect denoiser does not sample φ⁴ exactly. "
        "Compared with white noise and a linear log-SNR, each on its own best time grid, this "
        "discretization error of the best component-wise process is "
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
    it, on the best time grids of both and on grids that are not chosen for them.
    """
    found = []
    for theory in theories:
        best = leader(theory, steps)
        if best is None:
            continue
        row = {"theory": theory["title"], "process": best.title, "of": _of(best)}
        gaps = {each["name"]: each["gap"] for each in theory["processes"]}
        for grid in GRIDS:
            off = differences(theory, steps, grid)[best.name]
            scale = 100 / gaps[BASELINE][grid][str(steps)]["value"]
            row[grid] = bracketed(scale * off.value, scale * (off.error or math.nan))
        found.append(row)
    return found


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
    looks: dict[str, tuple[str, str, str]] = dict(SHOWN)
    if best is not None:
        looks[best["name"]] = (best["title"], plots.ORANGE, "solid")
    return [_curve(rows[name], *look) for name, look in looks.items() if name in rows]


def _curve(row: Found, label: str, color: str, dash: str) -> Curve:
    gaps: Mapping[str, Any] = row["gap"]["best"]
    return Curve(
        label,
        [int(n) for n in gaps],
        [gap["value"] for gap in gaps.values()],
        color,
        dash,
        error=[gap["error"] for gap in gaps.values()],
        joined=True,
    )


def _note(found: Found) -> str:
    done = found["complete"]
    counts = [row["fields"] for each in found["theories"] for row in each["processes"]]
    missing = "" if done["batches"] == done["of"] else " To complete it:"
    ends = {min(counts), max(counts)} if counts else {0}
    fields = " to ".join(f"{count:,}" for count in sorted(ends))
    return (
        "Gap, the discretization error: KL, in nats, of the stochastic (shell) sampler's N steps "
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
