"""The files that `rgdiff study` wrote, and what they are called."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from pages._shared import address
from rgdiff_core.files.stored import reading
from rgdiff_core.study import THEORIES
from rgdiff_core.study.report import read_results

__all__ = [
    "Found",
    "chosen",
    "command",
    "data_of",
    "folder",
    "from_file",
    "label",
    "ablation",
    "read_all",
    "seeds",
    "shown",
    "title_of",
]

Found = Mapping[str, Any]
Figure = TypeVar("Figure")
HOME = Path(__file__).resolve().parents[2]
COMMON = {"complete", "baseline", "arms", "search", "scale_edges", "log_snr_edges"}
LATTICE = {"theory", "truth", "samplers", "ablation", "schedule_scan", "runs"}
IMAGES = {"data", "budget", "models", "missing", "metrics", "floor", "scans", "pictures"}
PLACE = "RGDIFF_RESULTS"  # the environment variable that names another folder


def folder() -> Path:
    """Return where results are: RGDIFF_RESULTS, or the repository's folder."""
    return Path(os.environ.get(PLACE) or HOME / "results")


def read_all() -> tuple[dict[str, Found], list[str]]:
    """Return the studies by the name of their data set, and a sentence for each bad file."""
    found: dict[str, Found] = {}
    problems: list[str] = []
    for path in sorted(folder().glob("study-*.json")):
        try:
            study = _read(str(path), path.stat().st_mtime_ns)
        except (OSError, ValueError) as error:
            problems.append(str(error))
            continue
        found[path.stem.removeprefix("study-")] = study
    order = [*THEORIES, *found]
    return dict(sorted(found.items(), key=lambda item: order.index(item[0]))), problems


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(path: str, version: int) -> Found:
    del version
    study = read_results(Path(path))
    with reading(Path(path)):
        if not isinstance(study.get("arms"), list):
            raise ValueError("it holds no arms; was it written by `rgdiff study`?")
        wanted = COMMON | (LATTICE if "theory" in study else IMAGES)
        if lacking := sorted(wanted - set(study)):
            raise ValueError(f"missing {', '.join(lacking)}; regenerate it with `rgdiff study`.")
        names = [data_of(study), study.get("theory", {"title": ""})["title"]]
        names += [arm[name] for arm in study["arms"] for name in ("name", "title")]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("a name or title is not a string.")
    return study


@contextmanager
def shown(study: Found) -> Iterator[None]:
    """Draw a part of a study; where its file lacks what that needs, say so and go on."""
    try:
        with reading(folder() / f"study-{data_of(study)}.json"):
            yield
    except (ValueError, OSError) as error:
        st.warning(f"{error} Regenerate it with `rgdiff study`.", icon=":material/error:")


def from_file(
    name: str, command: str, missing: str, read: Callable[[Found], Figure]
) -> Figure | None:
    """Return what is read of a file of results; where it is not there or damaged, say what makes
    it, and return None.

    Arguments:
        missing: what is said where it is not there; nothing at all where it is empty.
    """
    path = folder() / name
    if not path.is_file():
        if missing:
            st.info(missing, icon=":material/hourglass_empty:")
            st.code(command, language="sh")
        return None
    try:
        with reading(path):
            return read(read_results(path))
    except (ValueError, OSError) as error:
        st.warning(f"{error} Regenerate it with `{command}`.", icon=":material/error:")
        return None


def chosen(figures: Mapping[str, Figure], key: str) -> Figure:
    """Draw the menu of figures, by title, and return what draws the chosen one."""
    first, *_ = figures
    name = address.menu(
        st, "Figure", list(figures), default=first, key=key, label_visibility="collapsed"
    )
    return figures[name]


def data_of(study: Found) -> str:
    """Return the name of a study's data set."""
    return study["theory"]["data"] if "theory" in study else study["data"]


def label(arm: Found) -> str:
    """Return what an arm is called among those of other models."""
    alone = arm.get("group", "own") == "own"
    return arm["title"] if alone else f"{arm['title']} · {arm['model_title']}"


def title_of(study: Found) -> str:
    """Return what a study's data set is called."""
    if "theory" in study:
        return f"φ⁴, {study['theory']['title']}"
    return "CIFAR-10" if study["data"] == "cifar10" else study["data"]


def ablation(data: str) -> Found | None:
    """Return what `rgdiff study ablation` found on a data set, None where it was not run."""
    paths = (folder() / f"{name}-{data}.json" for name in ("ablation", "ladder"))  # the former
    try:
        found = read_results(next(path for path in paths if path.is_file()))
    except (OSError, StopIteration, ValueError):
        return None
    return found if {"models", "seeds"} <= set(found) else None


def command(study: Found) -> str:
    """Return the command that makes a study's file."""
    told = str(study.get("command", ""))
    theory = "theory" in study and "--theories" not in told
    return f"{told} --theories {data_of(study)}" if theory else told


def seeds(study: Found) -> str:
    """Return the seeds of a study's final runs, in words."""
    known = {seed for arm in study["arms"] for seed in arm.get("seeds", ())}
    configs = (model.get("config") or {} for model in study.get("models", ()))
    known |= {config["seed"] for config in configs if "seed" in config}
    return ", ".join(map(str, sorted(known))) or "–"
