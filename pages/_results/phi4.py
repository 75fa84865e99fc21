"""The φ⁴ section of the Results page: the arms of one theory, and what each gets wrong."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from pages._results import error_map, figures, links, provenance, search
from pages._results.provenance import below
from pages._results.studies import Found, chosen, shown
from pages._results.verdict import MEASURE, METHOD_TITLES, phrase
from pages._shared import address, plots
from pages._shared.plots import Curve
from pages._shared.tables import bracketed, columns, pair, table
from rgdiff_core.study.lattice.measures import METHODS
from rgdiff_core.study.lattice.verdict import OURS, against, combined_error

__all__ = ["draw", "line"]

KL = "KL(p‖q) ≤, nats"
NFE = "network evaluations per sample"
SETTINGS = {
    "schedule": "schedule",
    "parameters": "parameters",
    "lr": "learning rate",
    "seeds": "seeds",
}
FIRST = ("arm", "kl", "change", "sigmas", "ess", "chi", "schedule")  # always shown
ABOUT = {  # what an arm is, where the file does not say it plainly
    OURS: "The noise has the spectrum of the data, and a cutoff moves through the scales."
}
QUANTITIES: Mapping[str, tuple[str, str, float | None]] = {  # its axis, and the perfect value
    "susceptibility_percent": ("error of the susceptibility, %", "susceptibility error", 0.0),
    "ess": ("effective sample size", "ESS", 1.0),
    "reverse_kl": ("KL(q‖p), nats", "KL(q‖p)", 0.0),
}


def draw(study: Found) -> None:
    """Draw a theory's results."""
    with shown(study):
        _head(study)
    if not study["arms"]:
        st.info(
            "No method has a finished run in this theory yet.", icon=":material/hourglass_empty:"
        )
        return
    figure = chosen(FIGURES, "figure")
    for draw_part in (figure, search.search, provenance.whole):
        with shown(study):
            draw_part(study)


def _head(study: Found) -> None:
    theory, truth, done = study["theory"], study["truth"], study["complete"]
    known = {
        "entropy ⟨S⟩ + log Z = {} nats": truth["entropy"],
        "log Z = {}": truth["log_z"],
        "distance of the data's Gaussian {} nats": truth.get("gaussian_kl"),
        "susceptibility χ = {}": truth["susceptibility"],
    }
    told = "; ".join(
        text.format(bracketed(each["value"], each["error"]))
        for text, each in known.items()
        if each
    )
    st.markdown(
        f"m² = {theory['m2']:g}, λ = {theory['lam']:g}, {theory['size']}×{theory['size']} sites. "
        f"From Monte Carlo alone: {told}.".replace("-", "−")
    )
    if done["runs"] < done["of"]:
        st.info(
            f"{done['runs']} of {done['of']} runs are finished; rerun the command to continue.",
            icon=":material/hourglass_empty:",
        )


def line(arm: Found, samplers: list[Found]) -> dict[str, Any]:
    """Return an arm as a row of the table."""
    metrics = arm["metrics"]
    off = against(arm, "kl")
    last = max((row for row in samplers), key=lambda row: row["nfe"], default=None)
    return (
        {"arm": arm["title"]}
        | pair("kl", _whole(metrics["kl"]))
        | pair("change", off and {"value": off.value, "error": off.error})
        | {"sigmas": off and off.sigmas}
        | pair("ess", metrics.get("ess"))
        | pair("chi", last and last["susceptibility_percent"])
        | {"schedule": arm["schedule_title"]}
        | pair("ends", metrics.get("ends"))
        | pair("share", arm["share_of_gaussian"], 100)
        | pair("reverse_kl", metrics.get("reverse_kl"))
        | pair("flow_kl", _whole(metrics.get("flow_kl")))
        | pair("bound_kl", _whole(metrics.get("bound_kl")))
        | pair("acceptance", metrics.get("acceptance"))
        | {
            "lr": arm["lr"],
            "parameters": arm["parameters"],
            "seeds": ", ".join(map(str, arm["seeds"])),
        }
    )


def _whole(metric: Found | None) -> Found | None:
    """Return a mean over seeds whose error includes that of the held-out fields."""
    return metric and {**metric, "error": combined_error(metric)}


def _arms(study: Found) -> None:
    methods = list(dict.fromkeys(row["method"] for row in study["samplers"]))
    first = methods[0] if methods else ""
    rows = [
        line(
            arm, [r for r in study["samplers"] if (r["arm"], r["method"]) == (arm["name"], first)]
        )
        for arm in study["arms"]
    ]
    steps = max((row["nfe"] for row in study["samplers"]), default=0)
    every = st.toggle(
        "All columns",
        key="columns",
        bind="query-params",
        help="Also the other distances, the part of the end points, and the training.",
    )
    told = _columns(first, steps)
    table(rows, told if every else told | dict.fromkeys({*rows[0]} - {*FIRST}), SETTINGS)
    st.caption(
        "In brackets one standard error, in the last digits: of KL(p‖q) with that of the held-out "
        "fields, else over seeds."
    )
    below(study, "arms", rows, "run-ARM-SEED, flow-ARM-SEED, samplers-ARM-SEED-STEPS")
    titles = {arm["name"]: arm["title"] for arm in study["arms"]}
    with shown(study):
        links.box(study, titles, "arm", OURS, _words, lambda arm: _sampler(study, arm))


def _columns(method: str, steps: int) -> dict[str, Any]:
    chi = (
        f"Error of the susceptibility, with {METHOD_TITLES.get(method, method)} at {steps} "
        "evaluations."
    )
    return {
        "arm": st.column_config.TextColumn("method", width=265, pinned=True),
        **columns("kl", KL, about=MEASURE),
        **columns(
            "change",
            "Δ to standard",
            "%+.4f",
            "In nats: KL minus that of standard diffusion, paired by seed.",
        ),
        "sigmas": st.column_config.NumberColumn(
            "σ", help="The difference in standard errors.", format="%.1f"
        ),
        **columns(
            "ends",
            "end points",
            about="In nats: the part of KL(p‖q) that lies beyond the ends of the schedule.",
        ),
        "schedule": st.column_config.TextColumn(
            "schedule", help="What the search chose among the method's candidates."
        ),
        **columns("share", "% of Gaussian's", "%.1f", "KL as a share of the data's Gaussian's."),
        **columns(
            "ess", "ESS", about="Effective sample size of the probability flow; 1 is perfect."
        ),
        **columns("reverse_kl", "KL(q‖p)", about="KL(q‖p) of the probability flow, nats."),
        **columns("flow_kl", "KL(p‖q), flow", about="KL(p‖q) of the probability flow, nats."),
        **columns(
            "bound_kl",
            "KL(p‖q), bound",
            about="By the bound on held-out configurations, nats.",
        ),
        **columns(
            "acceptance",
            "acceptance",
            about="Acceptance of independence Metropolis with the flow.",
        ),
        **columns("chi", "χ error, %", "%.2f", chi),
        "lr": st.column_config.NumberColumn(
            "learning rate", help="Chosen by the search.", format="%g"
        ),
    }


def _words(arm: Found) -> str:
    off = against(arm, "kl")
    text = f"{ABOUT.get(arm['name'], arm['about'])} The search chose {arm['schedule_title']}."
    if arm.get("lr_at_edge"):
        text += f" Its learning rate, {arm['lr']:g}, is at the edge of what was tried."
    return f"{text} Against standard diffusion: {phrase(off)}." if off else text


def _sampler(study: Found, arm: Found) -> dict[str, Any]:
    """Return the sampler with which an arm was measured last."""
    mine = [row for row in study["samplers"] if row["arm"] == arm["name"]]
    if not mine:
        return {}
    method, steps = mine[0]["method"], max(row["nfe"] for row in mine)
    return {"method": method, "steps": steps, "grid": METHODS.get(method, "uniform")}


def _curve(arm: Found, points: list[Found], x: str, y: str) -> Curve:
    """Return what an arm has at some points, with its errors, by the names of x and y."""
    return Curve(
        arm["title"],
        [point[x] for point in points],
        [point[y]["value"] for point in points],
        *figures.look(arm),
        error=[point[y]["error"] or 0.0 for point in points],
        joined=True,
    )


def _steps(study: Found) -> None:
    rows, drawn = [], []
    for arm in study["arms"]:
        points = arm["curve"]
        drawn.append(_curve(arm, points, "step", "kl"))
        rows += [
            {"arm": arm["title"], "step": point["step"]} | pair("kl", point["kl"])
            for point in points
        ]
    st.caption(
        "Averaged weights during training. Error bars are standard errors over seeds alone; those "
        "in the table also count the held-out fields, which all methods share."
    )
    figure = figures.curves(drawn, "training steps", KL, log_y=True)
    st.plotly_chart(figure, key="results-steps", config=plots.BAR, alt="KL against training steps")
    below(study, "steps", rows, "run-ARM-SEED")


def _evaluations(study: Found) -> None:
    if not study["samplers"]:
        st.info("The samplers have not been measured yet.", icon=":material/hourglass_empty:")
        return
    left, right = st.columns(2)
    what = address.menu(
        left,
        "Quantity",
        list(QUANTITIES),
        default="susceptibility_percent",
        key="quantity",
        format_func=lambda each: QUANTITIES[each][1],
    )
    known = [row for row in study["samplers"] if row.get(what)]
    methods = list(dict.fromkeys(row["method"] for row in known))
    if not methods:
        st.info(
            "No sampler has this number: the map of its few steps folds, so that its samples "
            "have no density.",
            icon=":material/info:",
        )
        return
    method = right.segmented_control(
        "Sampler",
        methods,
        default=methods[0],
        required=True,
        key=f"sampler-{'-'.join(methods)}",
        format_func=lambda each: METHOD_TITLES.get(each, each),
        help="The first two integrate the probability flow; the third is stochastic.",
    )
    drawn, titles = [], {arm["name"]: arm["title"] for arm in study["arms"]}
    for arm in study["arms"]:
        mine = [row for row in known if (row["arm"], row["method"]) == (arm["name"], method)]
        if mine:
            drawn.append(_curve(arm, mine, "nfe", what))
    axis, title, perfect = QUANTITIES[what]
    figure = figures.curves(drawn, NFE, axis, log_x=True, level=perfect)
    st.plotly_chart(
        figure, key="results-nfe", config=plots.BAR, alt=f"{title} against evaluations"
    )
    rows = [
        {"arm": titles[row["arm"]], "method": row["method"], "nfe": row["nfe"]}
        | pair(what, row[what])
        for row in known
    ]
    below(study, f"nfe-{what}", rows, "samplers-ARM-SEED-STEPS")


def _ablation(study: Found) -> None:
    if not study["ablation"]:
        st.info("The ablation has not been run for this theory.", icon=":material/info:")
        return
    st.caption(
        "From standard diffusion to the other methods, one change at a time, all with the same "
        "schedule and rate where they share the noise. A negative change is an improvement; its "
        "error is over seeds, which are few." + _shorter(study["budget"])
    )
    _chain(study, study["ablation"], "ablation")
    if again := study.get("ablation_reversed"):
        st.markdown("**The same changes in the other order**")
        st.caption("What a change is worth depends on those made before it.")
        _chain(study, again, "ablation-reversed")


def _shorter(budget: Found) -> str:
    """Return how much less these models were trained than those compared, "" where that is not
    known.
    """
    names = ("ablation_steps", "ablation_seeds", "steps", "seeds")
    if not all(isinstance(budget.get(name), int) for name in names):
        return ""
    own_steps, own_seeds, steps, seeds = (budget[name] for name in names)
    return (
        f" These models had {own_steps:,} steps and {own_seeds} seeds, those of "
        f"*Methods compared* {steps:,} and {seeds}, so the numbers differ."
    )


def _chain(study: Found, chain: list[Found], name: str) -> None:
    """Draw models of which each is one change of the one before."""
    rows: list[dict[str, Any]] = [
        {"#": str(number)} | pair("kl", row["kl"]) | pair("change", row["change"])
        for number, row in enumerate(chain, 1)
    ]
    left, right = st.columns([2, 3], gap="medium")
    with left:
        figure = figures.dots(
            [row["#"] for row in rows],
            [row["kl"] for row in rows],
            [row["kl_error"] or 0.0 for row in rows],
            [row["title"] for row in chain],
            KL,
        )
        st.plotly_chart(
            figure, key=f"results-{name}", config=plots.BAR, alt=f"KL along the {name}"
        )
    with right:
        st.markdown("\n".join(f"{number}. {row['title']}" for number, row in enumerate(chain, 1)))
        told = columns("kl", KL) | columns("change", "change", "%+.4f")
        table(rows, told, key=f"results-{name}-table")
    steps = [row for row in chain if row["change"]]
    if steps:
        low, high = (f(steps, key=lambda row: row["change"]["value"]) for f in (min, max))
        told = [f"The largest gain: {_step(low)}."] if low["change"]["value"] < 0 else []
        told += [f"The largest loss: {_step(high)}."] if high["change"]["value"] > 0 else []
        st.caption(" ".join(told))
    below(study, name, rows, "ablation-MODEL-SEED")


def _step(row: Found) -> str:
    change = row["change"]
    return (
        f"*{row['title'].removeprefix('… ')}*, {bracketed(change['value'], change['error'])} nats"
    )


FIGURES: Mapping[str, Callable[[Found], None]] = {
    "Methods compared": _arms,
    "Training steps": _steps,
    "Sampling steps": _evaluations,
    "Ablation": _ablation,
    "Map of schedules": search.schedule_scan,
    "Error by scale and noise level": error_map.draw,
}
