"""Cells of the study of CIFAR-10 to results: one JSON value that needs no arithmetic any more.

    study, title, data, budget, device
    complete      {cells, failed: [sentence]}
    machines      {bits, samples: [what computed them]}
    models        [{name, title, universal, parameters, sha256, basis, config}]
    missing       [name of a model whose file is not there]
    baseline      name of the arm that differences are to
    metrics       {name: {title, unit, best}}; best is "low", "high" or a number to be met
    scale_edges, log_snr_edges      of the tables: rows are bands of scale, columns of log-SNR
    floor         {n, metrics, rgb, spectrum}: real training images in the place of samples
    arms          [{name, title, model, model_title, group, headline, color, schedule, basis,
                    metrics, against_baseline, gain, left, samples}]
    scans         [{name, title, axis, model, rows: [{arm, color, softness, metrics,
                    against_standard}]}]
    search        [{arm, nfe, method, grid, n, metrics, chosen}]
    pictures      [{arm, nfe, file}], files beside the results, 8 × 8 images each

The command adds what made it (command, machine, versions), `finished`, whether every cell is
there, and `unfinished`, the models for which the time did not suffice.

`metrics` maps names to {value, error, n}; those of samples are at the budget's `shown` steps, in
a scan at its `scan_steps`.
`against_baseline` maps "bits" and "bits_more" to paired differences {value, error, n}; it is None
for the baseline, for models of another network or number of images, and for models that were not
computed together with the baseline. `against_standard` is alike, against the scan's own standard
diffusion: white noise at the softest.
`gain` is in bits per dimension, which sum to bits − free_bits; `left` is the share of the free
theory's squared error that is left, None where the process does not pass. `samples` has a row for
each number of steps: {nfe, method, grid, n, metrics, rgb, spectrum: {scale, relative, error}}.
"""

import reprlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from rgdiff_core.colors import White
from rgdiff_core.evaluation.images.bound import BANDS, EDGES
from rgdiff_core.spec import to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.cells import OutOfTimeError
from rgdiff_core.study.images.arms import BASELINE, DEDICATED, MODELS, ImageArm
from rgdiff_core.study.images.study import ImageStudy, pair

__all__ = ["METRICS", "checked", "image_summary", "joined"]

Cell = dict[str, Any]
ROWS = ("arms", "scans", "search", "pictures")  # parts whose rows are each of one model
PARTS = {*ROWS, "models", "missing", "floor", "machines", "command", "complete", "finished"}
METRICS: dict[str, tuple[str, str, str | float]] = {
    "bits": ("bits per dimension, bound", "bits/dim", "low"),
    "choice_bits": ("the same, of the images that processes are chosen by", "bits/dim", "low"),
    "bits_more": ("the same, on more images", "bits/dim", "low"),
    "free_bits": ("bits per dimension of the free theory, exact", "bits/dim", "low"),
    "flow_bits": ("bits per dimension, probability flow", "bits/dim", "low"),
    "spectrum_error": ("error of the spectrum, rms of log P/P_data", "", "low"),
    "sharpness": ("power in the finest third of scales, relative to the data's", "", 1.0),
    "color_error": ("distance of the colours of a pixel", "grey values", "low"),
    "frechet_cifar10": ("Fréchet distance, features of a CIFAR-10 classifier", "", "low"),
    "kernel_cifar10": ("kernel distance, features of a CIFAR-10 classifier", "", "low"),
    "frechet_inception": ("Fréchet distance, Inception (FID)", "", "low"),
    "kernel_inception": ("kernel distance, Inception (KID)", "", "low"),
}
SCANS = {
    "cifar10-small": ("fourier-softness", "Fourier: soft conditioning by variance", "softness"),
    "cifar10-pca": ("pca-softness", "PCA: soft conditioning by variance", "softness"),
    "cifar10-haar": ("haar-levels", "Haar wavelets: level by level", "softness"),
}


def image_summary(study: ImageStudy, out: Path, failed: list[str]) -> Cell:
    """Return the results of the cells that are there, and write the pictures into a folder of
    `out`.

    Arguments:
        failed: a sentence for each cell that could not be computed.
    """
    known = replace(study, cells=replace(study.cells, until=float("-inf")))
    headline = {arm.name for name in study.files for arm in _headline(known, name)}
    rows = [_arm(known, arm, arm.name in headline) for arm in known.arms]
    return {
        "study": "cifar10",
        "title": "CIFAR-10: matched noise and component-wise schedules against standard diffusion",
        "data": study.data,
        "budget": to_dict(study.budget),
        "device": study.device,
        "complete": {
            "cells": len(list(study.cells.folder.glob("*.json"))),
            "failed": failed,
        },
        "machines": _machines(known),
        "models": [_model(study, name) for name in MODELS if name in study.files],
        "missing": [name for name in MODELS if name not in study.files],
        "baseline": BASELINE,
        "metrics": {
            name: {"title": title, "unit": unit, "best": best}
            for name, (title, unit, best) in METRICS.items()
        },
        "scale_edges": [i / BANDS for i in range(BANDS + 1)],
        "log_snr_edges": list(EDGES),
        "floor": _result(known.floor),
        "arms": [row for row in rows if row["metrics"]],
        "scans": [_scan(known, name) for name in SCANS if name in study.files],
        "search": [row for arm in known.arms for row in _search(known, arm)],
        "pictures": _pictures(known, out, sorted(headline)),
    }


def checked(known: Cell) -> Cell:
    """Return the results that a file holds, if they have what `joined` needs of them.

    Raises `ValueError` naming what is missing, or the part that is damaged.
    """
    if lacking := sorted(PARTS - set(known)):
        raise ValueError(f"missing {', '.join(lacking)}.")
    for name in ("models", *ROWS):
        if not all(isinstance(row, dict) for row in known[name]):
            raise ValueError(f"a row of its {name} is no object.")
    names = [row["name"] for row in known["models"]]
    names += [_model_of(row) for part in ROWS for row in known[part]]
    texts = [*names, *known["missing"], *known["complete"]["failed"], known["command"]]
    texts += [word for words in known["machines"].values() for word in words]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise ValueError(f"{reprlib.repr(wrong[0])} stands where a text should.")
    return known


def joined(known: Cell, found: Cell) -> Cell:
    """Return the results of two runs of the study of one budget: of models that are in both, those
    of the later one.

    Differences to a baseline that the later run computed anew are left out of the earlier run's
    arms: their images' bits are not at hand to be paired with.
    """
    own = {model["name"] for model in found["models"]}
    models = {row["name"]: row for row in (*known["models"], *found["models"])}
    both = found | {"models": [models[name] for name in MODELS if name in models]}
    for name in ROWS:
        kept = [row for row in known[name] if _model_of(row) not in own]
        others = {_model_of(row) for row in kept}
        added = [row for row in found[name] if _model_of(row) not in others]
        both[name] = sorted([*kept, *added], key=_place)
    if BASELINE in own:
        both["arms"] = [
            arm if arm["model"] in own else arm | {"against_baseline": None}
            for arm in both["arms"]
        ]
    both["floor"] = known["floor"] or found["floor"]
    both["missing"] = [name for name in known["missing"] if name not in own]
    both["machines"] = {
        kind: sorted({*known["machines"].get(kind, ()), *names})
        for kind, names in found["machines"].items()
    }
    commands = known["command"].split("; ")
    both["command"] = "; ".join(dict.fromkeys([*commands, found["command"]]))
    failed = _failed(known, found, own, both["floor"] is not None)
    both["complete"] = found["complete"] | {"failed": failed}
    unfinished = {*(set(_unfinished(known)) - own), *_unfinished(found)}
    both["unfinished"] = [name for name in MODELS if name in unfinished]
    both["finished"] = not failed and not unfinished
    return both


def _failed(known: Cell, found: Cell, own: set[str], floor: bool) -> list[str]:
    """Return the sentences of both runs, those left out that the later run or the floor settles.

    Arguments:
        own: models of the later run.
        floor: whether it is there.
    """
    repeated = own >= {model["name"] for model in known["models"]}
    others = {*MODELS, "floor"} - own
    kept = [
        text
        for text in known["complete"]["failed"]
        if _failing(text) in others
        or not (repeated or _failing(text) in own)  # else of a phase, which was repeated for all
    ]
    texts = dict.fromkeys([*kept, *found["complete"]["failed"]])
    return [text for text in texts if not (floor and _failing(text) == "floor")]


def _failing(sentence: str) -> str:
    """Return the model that a sentence on a failure, "WHAT of MODEL/PROCESS: why", is of; all that
    stands before the colon where it is of none.
    """
    what = sentence.partition(": ")[0]
    return what.rpartition(" of ")[2].partition("/")[0]


def _unfinished(results: Cell) -> list[str]:
    """Return the models whose cells are not all computed; older files name none of them."""
    all_models = [model["name"] for model in results["models"]]
    return results.get("unfinished", [] if results["finished"] else all_models)


def _place(row: Cell) -> int:
    """Return the place of a row's model in MODELS; real images come first."""
    return list(MODELS).index(_model_of(row)) if _model_of(row) in MODELS else -1


def _model_of(row: Cell) -> str:
    """Return the model of a row of the results; "floor" for the picture of real images."""
    return row.get("model") or row["arm"].partition("/")[0]


def _machines(study: ImageStudy) -> dict[str, list[str]]:
    """Return what computed the bits, and what drew the samples."""
    found: dict[str, set[str]] = {"bits": set(), "samples": set()}
    for arm in study.arms:
        rows = {"bits": [_result(lambda arm=arm: study.bits(arm))]}
        rows["samples"] = [
            _result(lambda arm=arm, n=n: study.samples(arm, n)) for n in study.budget.evaluations
        ]
        for kind, cells in rows.items():
            found[kind] |= {cell["machine"] for cell in cells if cell and "machine" in cell}
    return {kind: sorted(names) for kind, names in found.items()}


def _result(cell: Callable[[], Cell]) -> Cell | None:
    try:
        return cell()["result"]
    except OutOfTimeError:
        return None


def _headline(study: ImageStudy, name: str) -> list[ImageArm]:
    try:
        return study.headline(name)
    except OutOfTimeError:
        return []


def _model(study: ImageStudy, name: str) -> Cell:
    model = study.model(name)
    return {
        "name": name,
        "title": MODELS[name],
        "universal": name not in DEDICATED,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "sha256": study.digests[name],
        "basis": type(model.basis).__name__,
        "model": to_dict(model.spec),
        "config": study.config(name),
    }


def _arm(study: ImageStudy, arm: ImageArm, headline: bool) -> Cell:
    bits, flow = _result(lambda: study.bits(arm)), _result(lambda: study.flow(arm))
    more = _result(lambda: study.bits(arm, more=True))
    table = more or bits
    if arm.group == "scan":
        found = [_result(lambda: study.scanned(arm))]
    else:
        found = [
            _result(lambda n=n: study.samples(arm, n)) for n in sorted(study.budget.evaluations)
        ]
    samples = [row for row in found if row is not None]
    metrics: Cell = {}
    if bits:
        metrics |= {name: bits[name] | {"n": bits["n"]} for name in ("bits", "free_bits")}
    if choice := _result(lambda: study.choice(arm)):
        metrics["choice_bits"] = choice["bits"] | {"n": choice["n"]}
    if more:
        metrics["bits_more"] = more["bits"] | {"n": more["n"]}
    if flow:
        metrics["flow_bits"] = flow["flow_bits"] | {"n": flow["n"]}
    for row in samples:
        if row["nfe"] == study.budget.shown or arm.group == "scan":
            metrics |= {name: value | {"n": row["n"]} for name, value in row["metrics"].items()}
    return {
        "name": arm.name,
        "title": arm.title,
        "model": arm.model,
        "model_title": MODELS[arm.model],
        "group": arm.group,
        "headline": headline,
        "basis": type(study.model(arm.model).basis).__name__,
        "color": to_dict(arm.color),
        "schedule": to_dict(arm.schedule),
        "softness": arm.softness,
        "metrics": metrics,
        "against_baseline": _against(study, arm, study.baseline(arm)) if bits else None,
        "gain": table and table["gain"],
        "left": table and table["left"],
        "samples": samples,
    }


def _against(study: ImageStudy, arm: ImageArm, base: ImageArm | None) -> Cell | None:
    """Return differences to another arm's bits, paired by image; None where there are none."""
    if base is None:
        return None
    found: Cell = {}
    for name, more in (("bits", False), ("bits_more", True)):
        if all(_result(lambda x=x, more=more: study.bits(x, more=more)) for x in (base, arm)):
            change: Tensor = study.values(arm, more=more) - study.values(base, more=more)
            found[name] = pair(Estimate.of(change)) | {"n": len(change)}
    return found or None


def _scan(study: ImageStudy, name: str) -> Cell:
    word, title, axis = SCANS[name]
    arms = [arm for arm in study.arms if arm.model == name and arm.group == "scan"]
    standard = max(arms, key=lambda arm: (isinstance(arm.color, White), arm.softness or 0))
    found = []
    for arm in arms:
        row = _arm(study, arm, False)
        if row["metrics"]:
            told = {"arm": arm.name, "color": row["color"]["kind"]}
            told |= {"softness": arm.softness, "metrics": row["metrics"]}
            found.append(told | {"against_standard": _against(study, arm, standard)})
    return {"name": word, "title": title, "axis": axis, "model": name, "rows": found}


def _search(study: ImageStudy, arm: ImageArm) -> list[Cell]:
    try:
        cells, chosen = study.search(arm), study.method(arm)
    except OutOfTimeError:
        return []
    wanted = ("arm", "nfe", "method", "grid", "n", "metrics")
    return [
        {name: cell["result"][name] for name in wanted} | {"chosen": i == chosen}
        for i, cell in enumerate(cells)
    ]


def _pictures(study: ImageStudy, out: Path, names: list[str]) -> list[Cell]:
    """Write grids of the first samples; return what they show, the real images first."""
    folder = out / f"study-{study.data}"
    arms = [arm for arm in study.arms if arm.name in names]
    steps = study.budget.shown
    drawn = [a.name for a in arms if _result(lambda a=a: study.samples(a, steps))]
    valid = {"floor", *drawn}  # and not those of a model that was there before
    wanted = [("floor", None, "floor")]
    wanted += [(arm.name, steps, f"{arm.cell}.samples-{steps}") for arm in arms]
    found = []
    for name, nfe, cell in wanted:
        made, file = study.cells.path(cell, ".npz"), folder / f"{cell}.png"
        if name not in valid or not made.is_file():
            continue
        if not file.is_file() or file.stat().st_mtime < made.stat().st_mtime:
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_grid(study.shown(cell))).save(file, optimize=True)
        found.append({"arm": name, "nfe": nfe, "file": str(file.relative_to(out))})
    return found


def _grid(grey: Tensor, columns: int = 8) -> np.ndarray:
    """Return images (n, C, H, W) side by side, (rows H, columns W, C); incomplete rows are left
    out.
    """
    n, c, h, w = grey.shape
    rows = max(1, n // columns)
    columns = min(columns, n)
    tiles = grey[: rows * columns].reshape(rows, columns, c, h, w)
    return tiles.permute(0, 3, 1, 4, 2).reshape(rows * h, columns * w, c).numpy()
