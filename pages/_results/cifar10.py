"""The CIFAR-10 section of the Results page: models, processes, numbers of steps."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from pages._results import (
    distances,
    error_map,
    figures,
    images,
    links,
    literature,
    provenance,
    recipes,
    studies,
)
from pages._results.provenance import below
from pages._results.studies import Found, label, shown
from pages._shared import address, plots
from pages._shared.menus import GRID_HELP
from pages._shared.plots import Curve
from pages._shared.tables import bracketed, columns, pair, table
from rgdiff_core.sampling import METHODS
from rgdiff_core.study.images.arms import MODELS

__all__ = ["COLUMNS", "Chosen", "draw"]

SOFTNESS = "Softness"  # a figure that only some studies have
ABLATION = "Ablation"
OTHERS = (images.ablation, recipes.draw, distances.draw)  # views of other studies' files
OURS, NFE = "cifar10-matched", "sampling steps"
Chosen = Sequence[Found]
SETTINGS = {"model": "model", "sampler": "sampler", "n": "samples"}
FIRST = ("cifar10-standard", "cifar10-matched", "cifar10")  # models whose arms are drawn at first
COLUMNS: Mapping[str, tuple[str, str]] = {  # short title and format of a metric
    "bits": ("bits/dim ≤", "%.4f"),
    "flow_bits": ("ODE bits", "%.4f"),
    "frechet_cifar10": ("Fréchet, own", "%.2f"),
    "kernel_cifar10": ("kernel, own", "%.4f"),
    "frechet_inception": ("Inception FID", "%.2f"),
    "kernel_inception": ("Inception KID", "%.5f"),
    "spectrum_error": ("spectrum", "%.3f"),
    "sharpness": ("sharpness", "%.3f"),
    "color_error": ("colour", "%.2f"),
}


def draw(study: Found) -> None:
    """Draw what was found on CIFAR-10."""
    if not study["arms"]:
        with shown(study):
            _whole(study)
        st.info("No method has been measured yet.", icon=":material/hourglass_empty:")
        return
    there = {
        title: each for title, each in FIGURES.items() if title != SOFTNESS or _scanned(study)
    }
    figure = studies.chosen(there, "view")
    parts = (figure,) if figure in OTHERS else (_failed, figure, _search, _whole)
    for draw_part in parts:
        with shown(study):
            draw_part(study)


def _scanned(study: Found) -> bool:
    return any(scan["rows"] for scan in study["scans"])


def _steps(study: Found) -> int | None:
    """Draw the menu of sampling steps, and return the choice, None where nothing was sampled."""
    steps = sorted({row["nfe"] for arm in study["arms"] for row in arm["samples"]})
    if not steps:
        return None
    return address.menu(
        st,
        "Sampling steps",
        steps,
        default=study["budget"]["shown"] if study["budget"]["shown"] in steps else steps[-1],
        key="steps",
        help="The number of sampling steps; each evaluates the network once.",
    )


def _failed(study: Found) -> None:
    for text in study["complete"]["failed"]:
        st.warning(text, icon=":material/error:")


def _whole(study: Found) -> None:
    provenance.whole(study, _method(study))


def _method(study: Found) -> str:
    """Return how the models were trained and compared, and which were not."""
    models = "; ".join(f"*{model['title']}*, {_budget(model)}" for model in study["models"])
    text = (
        f"Each model was trained once: {models}. Bits are a bound on held-out test images, with "
        "the same noise for every method; samples are compared with test images. Errors are over "
        "images and do not include run-to-run variation. A universal model is an any-schedule "
        "model, conditioned on the noise level at each scale; for each kind of process the one "
        f"with the fewest bits is shown, chosen on {_chosen_on(study)}."
    )
    if not study["missing"]:
        return text
    names = "; ".join(f"*{MODELS.get(name, name)}*" for name in study["missing"])
    first = study["missing"][0]
    return (
        f"{text}\n\nNot in this comparison, for want of computing time: {names}. "
        f"`rgdiff pretrain {first}` trains the first where its weights are not there yet, "
        f"`rgdiff study cifar10 --only {first}` adds it."
    )


def _chosen_on(study: Found) -> str:
    """Return which images the best process of a kind was chosen on."""
    other = any("choice_bits" in arm["metrics"] for arm in study["arms"])
    return "other images" if other else "the same images; this favours it"


def _budget(model: Found) -> str:
    """Return what a model cost, in words."""
    config = model["config"] or {}
    steps = f", {config['steps']:,} steps of {config['batch']} images" if "steps" in config else ""
    return f"{model['parameters'] / 1e6:.3g} M parameters{steps}"


def _at(arm: Found, nfe: int | None) -> Found:
    """Return what was measured of an arm's samples at a number of steps, {} where nothing was."""
    return next((row for row in arm["samples"] if row["nfe"] == nfe), {})


def _sampler(arm: Found, nfe: int | None) -> dict[str, Any]:
    row = _at(arm, nfe)
    return {"method": row["method"], "steps": row["nfe"], "grid": row["grid"]} if row else {}


def _sampler_title(row: Found) -> str:
    return f"{METHODS[row['method']].title}, {GRID_HELP[row['grid']]['title']}"


def _measured(study: Found) -> list[str]:
    """Return the metrics of samples that there are."""
    rows = [row["metrics"] for arm in study["arms"] for row in arm["samples"]]
    return [name for name in COLUMNS if any(name in row for row in rows)]


def _line(study: Found, arm: Found, nfe: int | None) -> dict[str, Any]:
    metrics, row = arm["metrics"], _at(arm, nfe)
    return (
        {"arm": arm["title"]}
        | pair("bits", metrics.get("bits"))
        | pair("change", (arm["against_baseline"] or {}).get("bits"))
        | _pairs(_measured(study), row.get("metrics", {}))
        | {"model": "its own" if arm["group"] == "own" else arm["model_title"]}
        | pair("flow_bits", metrics.get("flow_bits"))
        | {"sampler": _sampler_title(row) if row else None, "n": row.get("n")}
    )


def _floor(study: Found) -> dict[str, Any] | None:
    floor = study["floor"]
    if not floor:
        return None
    told: dict[str, Any] = {"arm": "real training images, the same number"}
    return told | _pairs(_measured(study), floor["metrics"]) | {"n": floor["n"]}


def _pairs(names: Iterable[str], metrics: Found) -> dict[str, Any]:
    """Return metrics and their errors as columns."""
    return {k: v for name in names for k, v in pair(name, metrics.get(name)).items()}


def _arms(study: Found) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        nfe = _steps(study)
    every = right.toggle(
        "All processes",
        key="every",
        bind="query-params",
        help="All that were measured; else of each kind of process the best by bits, which is "
        "sampled.",
    )
    rows = [_line(study, arm, nfe) for arm in study["arms"] if every or arm["headline"]]
    rows += [floor for floor in [_floor(study)] if floor]
    names = [name for name in rows[0] if any(row.get(name) is not None for row in rows)]
    rows = [{name: row.get(name) for name in names} for row in rows]
    table(rows, _columns(study, nfe), SETTINGS)
    st.caption(
        "Distances between features are not zero even for the same number of real images: see "
        "the last row. "
        "Those of a classifier that was trained here are **not** the Inception FID and can be "
        "compared only with each other."
    )
    below(study, "arms", rows, "ARM.bits, ARM.samples-STEPS, ARM.flow")
    chosen = [arm for arm in study["arms"] if arm["headline"]] or study["arms"]
    titles = {arm["name"]: label(arm) for arm in chosen}
    with shown(study):
        links.box(study, titles, "image-arm", OURS, _words, lambda arm: _sampler(arm, nfe))


def _columns(study: Found, nfe: int | None) -> dict[str, Any]:
    told = {"arm": st.column_config.TextColumn("method", width=358, pinned=True)} | columns(
        "change",
        "Δ to standard",
        "%+.4f",
        "Bits minus those of standard diffusion, paired by test image.",
    )
    for name, (title, digits) in COLUMNS.items():
        about = study["metrics"].get(name, {}).get("title", title)
        about += "" if "bits" in name else f"; samples in {nfe} steps"
        told |= columns(name, title, digits, about)
    return told


def _words(arm: Found) -> str:
    metrics = arm["metrics"]
    text = f"{label(arm)}."
    if "bits" in metrics:
        text += f" {bracketed(metrics['bits']['value'], metrics['bits']['error'])} bits/dim."
    off = (arm["against_baseline"] or {}).get("bits")
    if off:
        side = "fewer" if off["value"] < 0 else "more"
        size = bracketed(abs(off["value"]), off["error"])
        text += (
            f" {size} bits/dim {side} than standard diffusion on these test images; each was "
            "trained once, and how far runs differ is not known."
        )
    return text


def chosen(study: Found) -> Chosen:
    """Draw the choice of the arms that figures show."""
    known = {arm["name"]: arm for arm in study["arms"] if arm["headline"]}
    first = [name for name, arm in known.items() if arm["model"] in FIRST]
    names = st.multiselect(
        "Methods in the figure",
        list(known),
        first or list(known)[:6],
        key="results-arms",
        format_func=lambda name: label(known[name]),
        placeholder="Choose methods",
    )
    return [known[name] for name in names]


def _evaluations(study: Found) -> None:
    names = _measured(study)
    if not names:
        st.info("No samples have been drawn yet.", icon=":material/hourglass_empty:")
        return
    what = st.selectbox(
        "Measure",
        names,
        key="measure",
        bind="query-params",
        format_func=lambda name: study["metrics"][name]["title"],
    )
    arms, drawn, rows = chosen(study), [], []
    for arm, look in zip(arms, figures.looks(arms), strict=True):
        points = [(r["nfe"], r["metrics"][what]) for r in arm["samples"] if what in r["metrics"]]
        rows += [{"arm": label(arm), "steps": n} | pair(what, number) for n, number in points]
        if points:
            x, y = zip(*points, strict=True)
            values, errors = [v["value"] for v in y], [v["error"] or 0.0 for v in y]
            drawn.append(Curve(label(arm), x, values, *look, error=errors, joined=True))
    floor = ((study["floor"] or {}).get("metrics") or {}).get(what)
    if drawn:
        title = study["metrics"][what]["title"]
        level = floor and floor["value"]
        figure = figures.curves(
            drawn, NFE, title, log_x=True, level=level, named="real images", height=460
        )
        st.plotly_chart(figure, key="results-cifar-nfe", config=plots.BAR, alt=f"{title} by steps")
        st.caption(f"{title}, of samples against test images.")
        below(study, f"steps-{what}", rows, "ARM.samples-STEPS")


def _search(study: Found) -> None:
    rows = [
        {"arm": row["arm"], "method": row["method"], "grid": row["grid"], "steps": row["nfe"]}
        | _pairs(row["metrics"], row["metrics"])
        | {"n": row["n"], "chosen": row["chosen"]}
        for row in study["search"]
    ]
    if rows:
        with st.expander(f"The choice of samplers: {len(rows)} trials", icon=":material/search:"):
            st.caption("For every method the same samplers and time grids, in few steps.")
            config: dict[str, Any] = {"arm": "method", "method": "sampler"}
            for name, shown_as in COLUMNS.items():
                config |= columns(name, *shown_as)
            table(rows, config)
            below(study, "search", rows, "ARM.search-…")


FIGURES: Mapping[str, Callable[[Found], None]] = {
    "Methods compared": _arms,
    "Sampling steps": _evaluations,
    "Pictures": lambda study: images.pictures(study, chosen(study)),
    "Spectra": lambda study: images.spectra(study, _steps(study), chosen(study)),
    SOFTNESS: images.softness,
    ABLATION: images.ablation,
    "Recipes": recipes.draw,
    "FID and KID": distances.draw,
    "Error by scale and noise level": lambda study: error_map.images(study, chosen(study)),
    "Known results": literature.draw,
}
