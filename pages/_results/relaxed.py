"""What trajectories of Monte Carlo make of a model's fields: a part of the section on larger
lattices.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.provenance import download
from pages._results.studies import Found
from pages._shared import address, plots
from pages._shared.plots import Curve
from pages._shared.tables import bracketed

__all__ = ["Relaxed"]

SHOWN = {"energy": "energy", "phi2": "⟨φ²⟩", "abs_magnetization": "⟨|M|⟩"}
KINDS: Mapping[str, tuple[str, str, str]] = {  # in words, colour and dash
    "run": ("drawn", plots.ORANGE, "solid"),
    "grown": ("grown by an octave", plots.BLUE, "solid"),
    "chain": ("grown from 8×8", plots.PURPLE, "dot"),
}
LEFT = 0.5  # where no trajectory at all stands on a logarithmic axis
ENOUGH = 2.0  # standard errors within which a value is right


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What is shown of one model's fields, by the size of the lattice."""

    rows: list[Found]

    @classmethod
    def of(cls, found: Found, model: str) -> "Relaxed":
        """Read a model's rows; there are none where a study has none."""
        rows = [row for row in found.get("relaxed", []) if row["model"] == model]
        relaxed = cls(rows)
        for size in relaxed.sizes:  # all that can be wrong with a file
            relaxed.curves(size, "energy")
            relaxed.sentence(size)
        return relaxed

    @property
    def sizes(self) -> list[int]:
        """The lattices, from small to large."""
        return sorted({int(row["size"]) for row in self.rows})

    def draw(self) -> None:
        """Draw the figures of a lattice; nothing where there is none."""
        if not self.rows:
            return
        st.markdown("**Trajectories of HMC afterwards**")
        names = {f"{size}×{size}": size for size in self.sizes}
        usual = list(names)[-1]
        size = names[address.menu(st, "Lattice", list(names), default=usual, key="sizes-relaxed")]
        st.markdown(self.sentence(size))
        places = st.columns(len(SHOWN))
        for place, (name, title) in zip(places, SHOWN.items(), strict=True):
            drawn = self.curves(size, name)
            if drawn:
                place.markdown(f"**{title}**")
                figure = figures.curves(
                    drawn, "trajectories", "deviation from HMC (%)", log_x=True, level=0.0
                )
                ticks = sorted({x for curve in drawn for x in curve.x})
                texts = ["0" if x == LEFT else f"{x:g}" for x in ticks]
                place.plotly_chart(
                    figure.update_xaxes(tickvals=ticks, ticktext=texts).update_layout(height=300),
                    key=f"results-relaxed-{name}",
                    config=plots.BAR,
                    alt=f"{title} of fields after trajectories of HMC: deviation from HMC",
                )
        download("phi4", f"relaxed-{size}", self._table(size))
        st.caption(
            "Each field is the start of a chain of its own, without clusters; the step is tuned "
            "on the way. HMC corrects short distances first: trajectories make a model's fields "
            "exact, scale by scale. Processor seconds are those of the trajectories alone, of "
            "one thread."
        )

    def sentence(self, size: int) -> str:
        """Return when the energy of each kind of fields is right, and what that took."""
        return "; ".join(
            f"{KINDS[kind][0]}: {_told([r for r in self._at(size) if r['kind'] == kind])}"
            for kind in dict.fromkeys(row["kind"] for row in self._at(size))
        )

    def curves(self, size: int, name: str) -> list[Curve]:
        """Return what an observable is off by, in per cent; none where fields were given it."""
        drawn = []
        for kind, (title, color, dash) in KINDS.items():
            points = [
                (max(row["trajectories"], LEFT), each["percent"], _error(each))
                for row in self._at(size)
                if row["kind"] == kind and _known(each := row["observables"][name])
            ]
            if points:
                x, y, errors = zip(*sorted(points), strict=True)
                drawn.append(Curve(title, x, y, color, dash, error=errors, joined=True))
        return drawn

    def _at(self, size: int) -> list[Found]:
        return [row for row in self.rows if row["size"] == size]

    def _table(self, size: int) -> list[dict[str, Any]]:
        return [
            {"L": size, "how": KINDS[row["kind"]][0], "trajectories": row["trajectories"]}
            | {"processor seconds": row["seconds"], "fields": row["n"]}
            | {f"{title}, %": row["observables"][name]["percent"] for name, title in SHOWN.items()}
            for row in self._at(size)
        ]


def _told(rows: list[Found]) -> str:
    """Return how the energy of a kind of fields goes on."""
    by_count = {int(row["trajectories"]): row for row in rows}
    first, worst = rows[0], max(rows, key=lambda row: abs(_energy(row)["deviation"]))
    begin = f"energy {_off(first)} % off"
    wrong = [count for count, row in by_count.items() if not _right(row)]
    if not wrong:
        return f"{begin}, within {ENOUGH:g} standard errors at all times"
    later = [count for count in by_count if count > max(wrong)]
    count = min(later) if later else max(by_count)
    row = by_count[count]
    named = worst is first or worst is row
    between = "" if named else f", {_off(worst)} % after {worst['trajectories']}"
    then = f"{_off(row)} % after **{count}** trajectories, {plots.short(row['seconds'])} s a field"
    return f"{begin} at first{between}, {then}" + ("" if later else ", still too far off")


def _right(row: Found) -> bool:
    return abs(_energy(row)["deviation"]) <= ENOUGH


def _off(row: Found) -> str:
    return bracketed(_energy(row)["percent"], _error(_energy(row)))


def _energy(row: Found) -> Found:
    return row["observables"]["energy"]


def _known(each: Found) -> bool:
    return each["deviation"] is not None


def _error(each: Found) -> float:
    """Return the standard error of the difference, in per cent."""
    return abs(each["percent"] / each["deviation"]) if each["deviation"] else 0.0
