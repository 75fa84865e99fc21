"""Inception distances of samples, of `rgdiff study distances`."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._results import figures
from pages._results.headline import joined
from pages._results.provenance import download
from pages._results.studies import Found, data_of, from_file
from pages._results.titles import titled, with_titles
from pages._shared import plots
from pages._shared.menus import GRID_HELP
from pages._shared.plots import Curve
from pages._shared.tables import bracketed, columns, pair, table
from rgdiff_core.sampling import METHODS
from rgdiff_core.study.images.distances_drawn import REAL

__all__ = ["COMMAND", "best_guidance", "curves", "draw", "sentence", "titles"]

COMMAND = "rgdiff study distances"
COLORS = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.PURPLE)  # of curves, in turn
DASHES = ("solid", "dot", "dash", "dashdot")  # then
SETTINGS = {
    "process": "process",
    "method": "sampler",
    "grid": "time grid",
    "model": "model",
    "trained": "trained on",
    "seed": "seed",
}
TRAINED = (
    "*Trained on*: training steps times images in a step, those of earlier runs included; where "
    "the file does not say how many images a step of an earlier run had, as many as in the last "
    "run."
)
OF_ALL = ("process", "method", "grid", "model", "n", "seed", "guide_weights")
ALIKE = {  # what rows of one curve have in common, by what differs along it
    "guidance": ("by", "steps", "trained", "weights", *OF_ALL),
    "steps": ("way", "trained", "weights", *OF_ALL),
    "images": ("way", "steps", *OF_ALL),
}
DIGESTS = ("weights", "guide_weights")  # of files: told where nothing else differs
AXES = {
    "guidance": "guidance",
    "steps": "steps of the sampler",
    "images": "images of training",
}


@dataclass(frozen=True, eq=False)
class _Parts:
    """What is shown of the file.

    Attributes:
        most: title, distance and error of what the most samples were drawn of, where that differs
            in one thing.
        curves: of the kernel distance, by what differs along them.
        alike: what all of these curves have in common.
        commands: that made the rows.
    """

    sentence: str
    most: list[tuple[str, float, float]]
    curves: dict[str, list[Curve]]
    alike: dict[str, str]
    table: list[dict[str, Any]]
    features: str
    complete: bool
    command: str
    commands: list[str]

    @classmethod
    def of(cls, found: Found) -> "_Parts":
        rows = [row for row in _most(found) if row["way"] != REAL]
        distances = [(row["frechet"]["value"], row["frechet"]["error"]) for row in rows]
        most = [(_title(row, rows), *x) for row, x in zip(rows, distances, strict=True)]
        return cls(
            sentence=" ".join(
                filter(None, (_models(found), sentence(found), best_guidance(found)))
            ),
            most=most if len(_differing_of(rows)) == 1 else [],
            curves={axis: _telling(curves(found, axis)) for axis in AXES},
            alike={axis: alike(found, axis) for axis in AXES},
            table=_table(found),
            features=str(found["features"]),
            complete=bool(found["complete"]),
            command=str(found["command"]),
            commands=list(dict.fromkeys(str(row["command"]) for row in found["rows"])),
        )


def draw(study: Found) -> None:
    """Draw the figures and the table; where there are none, say what makes them."""
    data = data_of(study)
    missing = "Distances have not been measured yet."
    parts = from_file(f"distances-{data}.json", COMMAND, missing, _Parts.of)
    if parts is None:
        return
    if not parts.table:
        st.info("No sampling setting is complete yet: rerun the command to continue.")
        st.code(parts.command, language="sh")
        return
    st.markdown(parts.sentence)
    fid, kid = titles(parts.features)
    if len(parts.most) > 1:
        names, distances, errors = zip(*parts.most, strict=True)
        about = [f"{name}: {bracketed(x, e)}" for name, x, e in parts.most]
        figure = figures.dots(names, distances, errors, about, fid)
        key = "results-distances"
        st.plotly_chart(figure, key=key, config=plots.BAR, alt=f"{fid} of samples")
    for name, axis in AXES.items():
        if drawn := parts.curves[name]:
            st.markdown(f"**{kid} by {axis}** · {parts.alike[name]}")
            figure = figures.curves(drawn, axis, kid, log_x=True, log_y=True, height=330)
            key, alt = f"results-distances-{name}", f"{kid} of samples against {axis}"
            st.plotly_chart(figure, key=key, config=plots.BAR, alt=alt)
    table(
        parts.table,
        {
            "way": st.column_config.TextColumn("drawn", pinned=True),
            "n": st.column_config.NumberColumn("images", format="localized"),
            "steps": "steps",
        }
        | columns("frechet", fid, "%.2f", "Lower is better; compares at equal numbers alone.")
        | columns("kernel", kid, "%.5f", "Unbiased: compares at any number of images.")
        | columns("named", "as asked", "%.3f", "Classified as asked, by our own classifier."),
        SETTINGS,
    )
    download(data, "distances", parts.table)
    st.caption(
        "Each row compares as many samples as test images, in features of "
        f"{parts.features.capitalize()}. A step with guidance takes two evaluations of the "
        "network. A Fréchet distance is biased upwards by few images: the row *training images* "
        "shows by how much. Published FIDs are of 50,000 samples and the training set. "
        f"{TRAINED}{'' if parts.complete else ' The study is not complete.'}"
    )
    with st.expander("The commands that measured this", icon=":material/terminal:"):
        st.code("\n".join(parts.commands), language="sh")


def titles(features: str) -> tuple[str, str]:
    """Return what the two distances are called: FID and KID are those of Inception alone."""
    if features == "inception":
        return "FID", "KID"
    return "Fréchet, own features", "kernel, own features"


def sentence(found: Found) -> str:
    """Return in words the least distance of the most samples, and what they were drawn with."""
    rows = _most(found)
    fid, kid = titles(str(found["features"]))
    drawn = [row for row in rows if row["way"] != REAL]
    if not drawn:
        return ""
    best = min(drawn, key=lambda row: row["frechet"]["value"])
    words = _words(best)
    trained = f"after {words['trained']} of training" if words["trained"] else ""
    setting = (_way(best), words["process"], words["method"], words["steps"], trained)
    floor = next((row for row in rows if row["way"] == REAL), None)
    of_real = "" if floor is None else f" Real training images score {_number(floor['frechet'])}."
    return (
        f"The lowest {fid} of {best['n']:,} samples is **{_number(best['frechet'])}** ({kid} "
        f"{_number(best['kernel'])}): {', '.join(filter(None, setting))}.{of_real}"
    )


def best_guidance(found: Found) -> str:
    """Return in words where along the longest scan of guidance the kernel distance is least."""
    scans = curves(found, "guidance")
    if not scans:
        return ""
    scan = max(scans, key=lambda curve: len(curve.x))
    errors = () if scan.error is None else scan.error
    points = list(zip(scan.x, scan.y, errors, strict=True))
    scale, value, error = min(points, key=lambda point: point[1])
    weakest, its_value, its_error = points[0]
    if scale == weakest:
        return ""
    kid, strongest = titles(str(found["features"]))[1], points[-1][0]
    before = f"{bracketed(its_value, its_error)} at {weakest:g}"
    second, near, its = points[-2]
    if scale == strongest and near - value < 2 * math.hypot(error, its):
        return (
            f"{kid} is level from guidance {second:g} to {scale:g}, the strongest tried: "
            f"{bracketed(near, its)} and {bracketed(value, error)}; {before}."
        )
    if scale == strongest:
        return (
            f"{kid} was still falling at guidance {scale:g}, the strongest tried: "
            f"{bracketed(value, error)}, from {before}."
        )
    return (
        f"{kid} is least at guidance {scale:g}, {bracketed(value, error)}, of {len(points)} "
        f"strengths up to {strongest:g}; {before}."
    )


def _models(found: Found) -> str:
    """Return whose samples these are."""
    names = dict.fromkeys(titled(row["model"]) for row in found["rows"] if row.get("model"))
    return f"Samples of {joined([f'*{name}*' for name in names])}." if names else ""


def curves(found: Found, axis: str) -> list[Curve]:
    """Return the kernel distances of what was drawn alike but for one thing.

    Arguments:
        axis: which: guidance, steps or images (of training).
    """
    several = _grouped(found, axis)
    told = [dict(zip(ALIKE[axis], key, strict=True)) for key in several]
    differs = _differing(told)
    labels = [", ".join(filter(None, (words[name] for name in differs))) for words in told]
    labels = [each or words["process"] for each, words in zip(labels, told, strict=True)]
    looks = itertools.product(DASHES, COLORS)
    drawn = []
    for label, points, (dash, color) in zip(labels, several.values(), looks, strict=False):
        places, values = zip(*sorted(points.items()), strict=True)
        kernel, errors = zip(*((x["value"], x["error"]) for x in values), strict=True)
        drawn.append(Curve(label, places, kernel, color, dash, error=errors, joined=True))
    return drawn


def _telling(drawn: list[Curve]) -> list[Curve]:
    """Return curves, none where each has two points: what they say is in the table."""
    return drawn if any(len(curve.x) > 2 for curve in drawn) else []


def alike(found: Found, axis: str) -> str:
    """Return what the curves of an axis have in common, in words."""
    told = [dict(zip(ALIKE[axis], key, strict=True)) for key in _grouped(found, axis)]
    differs = {*_differing(told), *DIGESTS, "model", "seed"}
    first = (told or [{}])[0]
    return ", ".join(words for name, words in first.items() if words and name not in differs)


def _grouped(found: Found, axis: str) -> dict[tuple[str, ...], dict[int, Found]]:
    """Return kernel distances by their place on an axis, for all else that differs."""
    rows = [row for row in found["rows"] if row["way"] != REAL and row.get(axis)]
    several: dict[tuple[str, ...], dict[int, Found]] = {}
    for row in rows:
        words = _words(row) | {"way": _way(row), "by": with_titles(f"by {row.get('by')}")}
        key = tuple(words[name] for name in ALIKE[axis])
        several.setdefault(key, {})[row[axis]] = row["kernel"]
    return {key: points for key, points in several.items() if len(points) > 1}


def _differing(told: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the names of the words that tell things apart, digests where no others do."""
    names = dict.fromkeys(name for words in told for name in words)
    differs = [name for name in names if len({words[name] for words in told}) > 1]
    plain = [name for name in differs if name not in DIGESTS]
    apart = (len({tuple(words[x] for x in each) for words in told}) for each in (plain, differs))
    return plain if len(set(apart)) == 1 else differs


def _most(found: Found) -> list[Found]:
    """Return the rows of the most samples."""
    most = max((row["n"] for row in found["rows"]), default=0)
    return [row for row in found["rows"] if row["n"] == most]


def _title(row: Found, rows: list[Found]) -> str:
    """Return what a row is called among others: by what differs."""
    words, differs = _words(row), _differing_of(rows)
    parts = (words[name] for name in differs if name != "way")
    return ", ".join([_way(row), *filter(None, parts)])


def _differing_of(rows: Sequence[Found]) -> list[str]:
    return _differing([_words(each) | {"way": str(each["way"])} for each in rows])


def _number(each: Found) -> str:
    return bracketed(float(each["value"]), float(each["error"]))


def _table(found: Found) -> list[dict[str, Any]]:
    return [
        {"way": _way(row), "n": int(row["n"])}
        | pair("frechet", row["frechet"])
        | pair("kernel", row["kernel"])
        | pair("named", row["named"])
        | {"steps": int(row["steps"]) or None}
        | {key: _words(row)[key] for key in ("process", "method", "grid", "model", "trained")}
        | {"seed": _seed(row)}
        for row in found["rows"]
    ]


def _words(row: Found) -> dict[str, str]:
    """Return what a row was drawn with, as the menus call it; nothing of real images."""
    if row["way"] == REAL:
        return dict.fromkeys(("steps", "trained", "weights", *OF_ALL), "")
    return {
        "process": str(row["process"]),
        "method": METHODS[row["method"]].title,
        "grid": GRID_HELP[row["grid"]]["title"],
        "steps": f"{row['steps']} steps",
        "model": titled(str(row.get("model", ""))),
        "trained": f"{row['images']:,} images" if row.get("images") else "",
        "n": f"{row['n']:,} samples",
        "seed": f"seed {_seed(row)}",
        "weights": f"weights {row['weights'][:8]}" if row.get("weights") else "",
        "guide_weights": f"guide {row['guide_weights'][:8]}" if row.get("guide_weights") else "",
    }


def _way(row: Found) -> str:
    """Return what was drawn, with the title of a model that guides."""
    return with_titles(str(row["way"]))


def _seed(row: Found) -> int | None:
    """Return the seed of samples: 0 in rows of earlier versions, which do not say."""
    return None if row["way"] == REAL else int(row.get("seed", 0))
