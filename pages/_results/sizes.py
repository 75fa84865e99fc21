"""The section on larger lattices: what a model of one size is worth on others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._results import cost, figures
from pages._results.field_cost import FieldCost
from pages._results.field_steps import FieldSteps
from pages._results.headline import joined
from pages._results.provenance import download
from pages._results.relaxed import Relaxed
from pages._results.studies import Found, from_file
from pages._results.titles import titled
from pages._shared import address, plots
from pages._shared.plots import Curve
from pages._shared.tables import bracketed
from rgdiff_core.lattice.scaling import ISING
from rgdiff_core.study.lattice.sizes_summary import GIVEN

__all__ = ["COMMAND", "draw", "scores"]

FILE = "sizes-phi4.json"
COMMAND = "rgdiff study sizes"
ENOUGH = 2.0  # standard errors within which, or …
CLOSE = 1.0  # … per cent, an observable counts as right
NOISY = 5.0  # per cent: an error above which being near tells nothing
BEYOND = 1000.0  # per cent: where fields of a model diverged
WIDE = 3  # figures beside each other
TITLES: Mapping[str, str] = {
    "susceptibility": "susceptibility χ",
    "abs_magnetization": "⟨|M|⟩",
    "binder": "Binder cumulant",
    "phi2": "⟨φ²⟩",
    "energy": "energy",
    "correlation_length": "correlation length ξ",
}
KINDS: Mapping[str, tuple[str, str, str]] = {  # in the legend, colour and dash
    "run": ("drawn, spectrum measured", plots.ORANGE, "solid"),
    "scaling": ("drawn, spectrum by scaling", plots.GREEN, "dash"),
    "grown": ("grown by an octave", plots.BLUE, "solid"),
    "chain": ("grown from 8×8", plots.PURPLE, "dot"),
}


@dataclass(frozen=True, eq=False)
class _Model:
    """What is shown of a model."""

    scores: str
    rows: list[dict[str, Any]]
    curves: dict[str, list[Curve]]
    exponents: str
    relaxed: Relaxed

    @classmethod
    def of(cls, found: Found, name: str) -> "_Model":
        curves = {each: _curves(found, name, each) for each in found["observables"]}
        shown = scores(found, name), _rows(found, name), curves, exponents_table(found, name)
        return cls(*shown, Relaxed.of(found, name))


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is shown of the study."""

    models: dict[str, _Model]
    costs: FieldCost
    steps: FieldSteps
    published: str
    command: str
    note: str

    @classmethod
    def of(cls, found: Found) -> "_Parts":
        names = dict.fromkeys(row["model"] for at in found["sizes"] for row in at["rows"])
        models = {name: _Model.of(found, name) for name in names}
        costs = FieldCost.of(found), FieldSteps.of(found)
        return cls(models, *costs, published_table(found), found["command"], _note(found))


def draw(studies: Mapping[str, Found]) -> None:
    """Draw the section."""
    del studies
    _study()
    cost.draw()


def _study() -> None:
    """Draw the study of sizes; where it was not run, say what makes it."""
    missing = "Larger lattices have not been studied here yet. This does it:"
    parts = from_file(FILE, COMMAND, missing, _Parts.of)
    if parts is None or not parts.models:
        return
    names = list(parts.models)
    former = st.query_params.get("sizes-model")
    if former in names and titled(former) != former:
        address.choose("sizes-model", former, spelt="sizes-model")
    chosen = address.menu(
        st, "Model", names, default=names[0], key="sizes-model", format_func=titled
    )
    model = parts.models[chosen]
    st.markdown(model.scores)
    shown = [(name, each) for name, each in model.curves.items() if each]
    st.html(figures.legend(curve for _, each in shown for curve in each))
    for start in range(0, len(shown), WIDE):
        for place, (name, each) in zip(st.columns(WIDE), shown[start:], strict=False):
            title = TITLES.get(name, name)
            place.markdown(f"**{title}**")
            figure = figures.curves(each, "L", "deviation from HMC (%)", log_x=True, level=0.0)
            place.plotly_chart(
                figure.update_layout(height=280, showlegend=False),
                key=f"results-sizes-{name}",
                config=plots.BAR,
                alt=f"{title} of samples against the size of the lattice: deviation from HMC",
            )
    st.dataframe(model.rows, hide_index=True, width="stretch", placeholder="given")
    download("phi4", "sizes", model.rows)
    if model.exponents:
        st.markdown(f"**Critical exponents**\n\n{model.exponents}")
        st.caption(
            "Those of HMC differ from the exact ones by corrections to scaling on lattices this "
            "small and by the ½ % that the coupling is above the critical one: models are to be "
            "compared with HMC."
        )
    st.caption(parts.note)
    model.relaxed.draw()
    parts.costs.draw()
    parts.steps.draw()
    if parts.published:
        st.markdown(f"**Away from the critical line**\n\n{parts.published}")
        st.caption(
            "Sizes and couplings at which flows are compared since Albergo et al., 1904.12072: "
            "deviations from HMC in per cent, and the effective sample size (ESS) of weighted "
            f"samples. `{parts.command}`"
        )


def published_table(found: Found) -> str:
    """Return what models are worth at the couplings of the literature, as Markdown; "" where the
    study has none.
    """
    rows = found.get("published", [])
    if not rows:
        return ""
    names, models = list(rows[0]["observables"]), {row["model"] for row in rows}
    titles = (TITLES.get(name, name).replace("|", r"\|") for name in names)
    alone = f"Fields of *{titled(rows[0]['model'])}*.\n\n" if len(models) == 1 else ""
    heads = [] if alone else ["model"]
    heads += ["L", "λ", "ESS", *(f"{title}, %" for title in titles)]
    lines = [f"| {' | '.join(heads)} |", "|:--|" + "--:|" * (len(heads) - 1)]
    for row in rows:
        shown = [] if alone else [titled(row["model"])]
        shown += [str(row["size"]), f"{row['lam']:g}", _number(row["ess"])]
        shown += [_off(row["observables"][name]) for name in names]
        lines.append(f"| {' | '.join(shown)} |")
    return alone + "\n".join(lines)


def exponents_table(found: Found, model: str) -> str:
    """Return the exponents that Monte Carlo and a model's fields show, as Markdown; "" where the
    study has none.
    """
    names = {"1/nu": ("1/ν", 1 / ISING.nu), "gamma/nu": ("γ/ν", ISING.gamma / ISING.nu)}
    names["beta/nu"] = ("β/ν", ISING.beta / ISING.nu)
    rows = [row for row in found.get("exponents", []) if row["model"] in (None, model)]
    if not rows:
        return ""
    lines = ["| | L | " + " | ".join(title for title, _ in names.values()) + " |"]
    lines += ["|:--|:--|--:|--:|--:|"]
    lines += ["| Ising class, exact | | " + " | ".join(f"{x:g}" for _, x in names.values()) + " |"]
    for row in rows:
        title = "HMC" if row["model"] is None else KINDS[row["kind"]][0]
        shown = (_number(row[name]) for name in names)
        lines.append(f"| {title} | {', '.join(map(str, row['sizes']))} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _number(each: Found | str | None) -> str:
    if each is None:
        return "–"
    return each if isinstance(each, str) else _measured(each)


def _measured(each: Found) -> str:
    return bracketed(each["value"], each["error"])


def scores(found: Found, model: str) -> str:
    """Return how much of what was not given is right at each size, and what is off by most of its
    standard errors, as Markdown.
    """
    heads = {"run": "drawn from noise", "grown": "grown by an octave from HMC"}
    counted = f"within {CLOSE:g} % or {ENOUGH:g} standard errors"
    titles = (f"{title}: {counted}" for title in heads.values())
    lines = [f"| | {' | '.join(titles)} |", "|:--|" + ":--|" * len(heads)]
    for at in found["sizes"]:
        kinds = {row["kind"]: row for row in at["rows"] if row["model"] == model}
        cells = [_score(_free(kinds[kind])) if kind in kinds else "–" for kind in heads]
        if set(cells) != {"–"}:
            lines.append(f"| **{at['size']}×{at['size']}** | {' | '.join(cells)} |")
    if len(lines) == 2:
        return "This model has not been measured yet."
    return "\n".join(lines) + (
        "\n\nCompared with Hamiltonian (hybrid) Monte Carlo (HMC). *Within "
        f"{CLOSE:g} % alone*: yet off by more than {ENOUGH:g} standard errors. "
        f"*Too noisy to tell*: no further off than that, with an error above {NOISY:g} %. "
        f"{_counted(found['observables'])}{_weights(found, model)}"
    )


def _counted(names: Sequence[str]) -> str:
    """Return why fewer observables count of grown fields than of those drawn from noise."""
    free = [TITLES.get(name, name) for name in names if name not in GIVEN]
    return (
        f"Of fields drawn from noise all {len(names)} observables count; of grown fields "
        f"{len(free)}, {joined(free)}, because the averages that they grow from fix the others."
    )


def _score(free: Mapping[str, Found]) -> str:
    """Return how many observables are right, and which is wrong by most standard errors."""
    if any(_diverged(each) for each in free.values()):
        return "fields diverge"
    right = {name for name, each in free.items() if _right(each)}
    noisy = {name for name in right if _error(free[name]) > NOISY}
    near = {name for name in right - noisy if not _near(free[name])}
    text = f"{len(right - noisy)} of {len(free)}"
    text += f" ({len(near)} within {CLOSE:g} % alone)" if near else ""
    text += f", {len(noisy)} too noisy to tell" if noisy else ""
    wrong = set(free) - right
    if wrong:
        worst = max(wrong, key=lambda name: _sigmas(free[name]))
        title = TITLES.get(worst, worst).replace("|", r"\|")
        text += f"; {title} off by {_off(free[worst])} %"
        sigmas = _sigmas(free[worst])
        text += f", {sigmas:.1f} standard errors" if sigmas < math.inf else ""
    return text


def _weights(found: Found, model: str) -> str:
    parts = [
        f"{bracketed(row['ess']['value'], row['ess']['error'])} at {at['size']}×{at['size']}"
        for at in found["sizes"]
        for row in at["rows"]
        if (row["model"], row["kind"]) == (model, "weighed")
    ]
    return f" Effective sample size: {joined(parts)}." if parts else ""


def _free(row: Found) -> dict[str, Found]:
    """Return what the long waves that a field was grown from do not fix."""
    given = GIVEN if row["kind"] in ("grown", "chain") else ()
    return {name: each for name, each in row["observables"].items() if name not in given}


def _right(each: Found) -> bool:
    close = abs(each["percent"]) <= CLOSE
    return close or (_near(each) and not _diverged(each))


def _near(each: Found) -> bool:
    return _sigmas(each) <= ENOUGH


def _sigmas(each: Found) -> float:
    """Return the deviation in standard errors, infinite where the file has no error for it."""
    return math.inf if each["deviation"] is None else abs(each["deviation"])


def _diverged(each: Found) -> bool:
    return not abs(each["percent"]) <= BEYOND


def _off(each: Found) -> str:
    return "diverges" if _diverged(each) else bracketed(each["percent"], _error(each))


def _error(each: Found) -> float:
    """Return the standard error of the difference, in per cent."""
    return abs(each["percent"] / each["deviation"]) if each["deviation"] else 0.0


def _curves(found: Found, model: str, name: str) -> list[Curve]:
    drawn = []
    for kind, (label, color, dash) in KINDS.items():
        points = [
            (at["size"], _free(row)[name])
            for at in found["sizes"]
            for row in at["rows"]
            if (row["model"], row["kind"]) == (model, kind)
            and name in _free(row)
            and not _diverged(_free(row)[name])
        ]
        if points:
            sizes, values = zip(*points, strict=True)
            percents = [each["percent"] for each in values]
            errors = [_error(each) for each in values]
            drawn.append(Curve(label, sizes, percents, color, dash, error=errors, joined=True))
    return drawn


def _rows(found: Found, model: str) -> list[dict[str, Any]]:
    return [
        {"L": at["size"], "how": KINDS[row["kind"]][0], "fields": row["n"]} | _line(row)
        for at in found["sizes"]
        for row in at["rows"]
        if row["model"] == model and row["kind"] in KINDS
    ]


def _line(row: Found) -> dict[str, str | None]:
    """Return how far each observable is off, None for what was given."""
    free, line = _free(row), {}
    for name in row["observables"]:
        off = _off(free[name]) if name in free else None
        line[f"{TITLES.get(name, name)}, %"] = off
    return line


def _note(found: Found) -> str:
    sizes: Sequence[Found] = found["sizes"]
    counts = ", ".join(f"{at['reference']['n']:,} at {at['size']}" for at in sizes)
    missing = "" if found["complete"] else " The study is not complete."
    action, minus = found["action"], lambda x: f"{x:g}".replace("-", "−")
    return (
        f"φ⁴ at m² = {minus(action['m2'])}, λ = {action['lam']:g}, ½ % above the critical line. "
        "Deviation: observables of the samples minus those of HMC with clusters, in per cent; "
        "bars are one standard error of the difference. *Given*: fixed by the coarse modes, or "
        "block averages, that fields were grown from, or by the spectrum, and no test. Exponents "
        "are slopes of the logarithms of χ, ⟨|M|⟩ and d log⟨|M|⟩/dλ, a covariance with Σφ⁴, "
        "against log L; their errors take lattices of different L as independent, which those "
        "grown from 8×8 are not. "
        f"Fields of Monte Carlo: {counts}.{missing} "
        f"`{found['command']}`"
    )
