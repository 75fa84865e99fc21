"""The comparison of recipes for class-conditional models, from `rgdiff study recipe`."""

from collections.abc import Iterable
from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.provenance import download
from pages._results.studies import Found, data_of, from_file
from pages._shared import plots
from pages._shared.tables import bracketed, columns, pair, table
from rgdiff_core.study.images.recipe_arms import process_title

__all__ = ["draw", "rows", "sentence", "summarize"]

COMMAND = "rgdiff study recipe --data {}"
BAND = "where the data log-SNR is between −4 and 4"
NAMED = "As the command calls it; after a plus, what it changes of the first."
FIRST = "the first recipe"
OURS = "our denoiser"
DENOISER = (
    "*Our denoiser* corrects the Gaussian with the data's own spectrum, whose posterior mean is "
    "its input, and is told the noise level at every scale. That of standard diffusion corrects a "
    "Gaussian of equal variance at all scales; its input is the noised image scaled to unit "
    "variance, and it is told only the time."
)
CHANGE = "In pairs of the same images; where both are judged in the same noise."


def draw(study: Found) -> None:
    """Draw the tables of a study's data set; where there are none, say what makes them."""
    data = data_of(study)
    missing = "Recipes have not been compared yet."
    tables = from_file(f"recipe-{data}.json", COMMAND.format(data), missing, _tables)
    if tables is None:
        return
    if note := _denoiser(told for _, told, _ in tables):
        st.markdown(note)
    for number, (title, told, lines) in enumerate(tables):
        st.markdown(title)
        if told:
            st.markdown(told)
            _, labels, values, errors = zip(*_kernels(lines), strict=True)
            figure = figures.dots(labels, values, errors, labels, "KID")
            key = f"results-recipes-{number}"
            st.plotly_chart(figure, key=key, config=plots.BAR, alt="KID of samples by recipe")
        table(lines, _columns(lines))
    download(data, "recipes", [row for *_, lines in tables for row in lines])
    st.caption(
        "Small class-conditional networks of equal steps, or planned for equal processor time by "
        "a timing beforehand; what they used is in the table, and depends on what else the "
        "machine does. Errors are over seeds where there are several, else over images or "
        "samples. "
        f"*Band*: bits per dimension that the network adds to the free theory {BAND}, lower is "
        "better. *Named*: the share of samples at guidance 2 that a classifier names as the class "
        "asked for. All are in the one process of "
        "the training, in white noise where that is of random processes; with those also all bits "
        "in matched noise. "
        f"`{COMMAND.format(data)} --size small --core-minutes M --base RECIPE --arms …`"
    )


def _columns(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how a table's columns are shown: no steps where all have as many."""
    every = (
        {
            "recipe": st.column_config.TextColumn("recipe", pinned=True, help=NAMED),
            "about": st.column_config.TextColumn("what it is", width=330),
            "minutes": st.column_config.NumberColumn("core-min", format="%.1f"),
            "steps": st.column_config.NumberColumn("steps", format="localized"),
        }
        | columns("band", "band", "%+.3f", f"Bits/dim {BAND}, added to the free theory's.")
        | columns("change", "Δ band", "%+.3f", f"Minus the first row. {CHANGE}")
        | columns("bits", "bits/dim ≤", "%.3f", "All of them, in the process of the training.")
        | columns("matched", "matched ≤", "%.3f", "Bits/dim in matched noise, cutoff schedule.")
        | columns("named", "named", "%.3f", "Share of samples that are of the class asked for.")
        | columns("kernel", "KID", "%.4f", "Of the same samples, in features of Inception.")
    )
    alike = len({row["steps"] for row in lines}) == 1
    return every | dict.fromkeys(("name", "less", "steps") if alike else ("name", "less"))


def heading(budget: Found) -> str:
    """Return what a table compares."""
    steps, seeds = budget.get("steps"), _seeds(budget)
    each = (
        f"{steps:,} steps" if steps else f"{float(budget['core_minutes']):g} core-minutes planned"
    )
    alone = "" if budget["samples"] else ", without samples"
    return f"**{each} each, {seeds}{alone}: `{budget['base']}` and changes to it**"


def _seeds(budget: Found) -> str:
    """Return how many seeds the recipes have: "3 seeds", "1 to 3 seeds"."""
    counts = sorted({len(arm["steps"]) for arm in budget["arms"]})
    few = f"{counts[0]} to " if len(counts) > 1 else ""
    return f"{few}{_counted(counts[-1])}"


def _counted(seeds: int) -> str:
    return f"{seeds} seed{'s' * (seeds > 1)}"


def sentence(budget: Found) -> str:
    """Return the distances of the samples as a list in Markdown, with how many bits fewer or more
    than the first each has, "" where they were not measured.
    """
    less = {row["name"]: row["less"] for row in rows(budget)}
    seeds = {arm["name"]: len(arm["steps"]) for arm in budget["arms"]}
    alike = len(set(seeds.values())) == 1
    lines = [
        f"- {label}{'' if alike else f' ({_counted(seeds[name])})'}: "
        f"**{bracketed(value, error)}**{less[name]}"
        for name, label, value, error in _kernels(rows(budget))
    ]
    if not lines:
        return ""
    steps = f", after {budget['steps']:,} steps" if budget.get("steps") else ""
    of = f"{budget['samples']:,} samples each{steps}, {_seeds(budget)}"
    return "\n".join((f"KID of {of}, and bits/dim against the first recipe.", "", *lines))


def _denoiser(sentences: Iterable[str]) -> str:
    """Return what our denoiser is, "" where none of the sentences names it."""
    return DENOISER if any(OURS in each for each in sentences) else ""


def _kernels(lines: list[dict[str, Any]]) -> list[tuple[str, str, float, float]]:
    """Return each recipe's name and what it is called, by process where that tells all apart, its
    samples' kernel distance and the error.
    """
    measured = [row for row in lines if row["kernel"] is not None]
    processes = [process_title(row["name"]) for row in measured]
    alike = len(set(processes)) < len(processes)
    about = [FIRST if row is lines[0] else row["about"] for row in measured]
    names = about if alike else processes
    return [
        (row["name"], name, row["kernel"], row["kernel_error"])
        for name, row in zip(names, measured, strict=True)
    ]


def summarize(data: str) -> None:
    """Say what samples of the same networks have by process, after as many steps each; nothing
    where that was not measured.
    """
    told = from_file(f"recipe-{data}.json", COMMAND.format(data), "", _by_steps)
    if told:
        st.markdown(told)


def _by_steps(found: Found) -> str:
    equal = [each for each in found["budgets"] if each.get("steps")]
    told = [sentence(each) for each in sorted(equal, key=lambda each: each["steps"])]
    where = "**Small class-conditional networks of equal budget** (*CIFAR-10*, *Recipes*)"
    return "\n\n".join(filter(None, (where, _denoiser(told), *told))) if any(told) else ""


def _tables(found: Found) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return heading, sentence and rows of each budget, the longest trainings first, those of
    equal steps before those of equal time.
    """
    budgets = sorted(
        found["budgets"],
        key=lambda each: (each.get("steps") or 0, each.get("core_minutes") or 0),
        reverse=True,
    )
    return [(heading(budget), sentence(budget), rows(budget)) for budget in budgets]


def rows(budget: Found) -> list[dict[str, Any]]:
    """Return a table's rows, the base first; of the others is said what they change of it."""
    base = budget.get("base", "base")
    first = next((arm["title"] for arm in budget["arms"] if arm["name"] == base), "")
    return [
        {
            "name": arm["name"],
            "recipe": _short(arm["name"], base),
            "about": arm["title"].removeprefix(f"{first}; "),
            "minutes": sum(arm["core_minutes"]) / len(arm["core_minutes"]),
            "steps": round(sum(arm["steps"]) / len(arm["steps"])),
        }
        | pair("band", arm["band"])
        | pair("change", arm["band_less_base"])
        | pair("bits", arm["bits"])
        | pair("matched", arm.get("matched_bits"))
        | pair("named", arm.get("named"))
        | pair("kernel", arm.get("kernel"))
        | {"less": _fewer(arm.get("bits_less_base"))}
        for arm in budget["arms"]
    ]


def _fewer(less: Found | None) -> str:
    """Return how many bits/dim fewer or more there are, "" where that is not known."""
    if less is None:
        return ""
    if abs(less["value"]) < 2 * less["error"]:
        return f", bits/dim not told apart (±{less['error']:.2g})"
    side = "fewer" if less["value"] < 0 else "more"
    return f", {bracketed(abs(less['value']), less['error'])} bits/dim {side}"


def _short(name: str, base: str) -> str:
    """Return what an arm changes of the base, "+muon"; the base by its own name."""
    return name.removeprefix(base) if name.startswith(f"{base}+") else name
