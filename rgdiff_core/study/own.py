"""A model of one's own, measured as the arms of the study are, and its numbers kept beside it."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rgdiff_core.denoisers import Denoiser
from rgdiff_core.evaluation import evaluate_images, evaluate_lattice
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import is_number, read_json, reading
from rgdiff_core.lattice import Phi4
from rgdiff_core.process import Process
from rgdiff_core.seeds import fold_in
from rgdiff_core.spec import Spec, to_dict
from rgdiff_core.statistics import Estimate
from rgdiff_core.study.lattice.distance import distance, ends, reference
from rgdiff_core.training.models import fields_of, theory_of

__all__ = ["FILE", "Effort", "evaluate_own", "field_distance", "kept", "keep"]

FILE = "evaluation.json"  # in the run's folder
PART = 250  # noised fields between two looks at whether to go on
ROWS = 16  # images at once, for the same reason
Progress = Callable[[str, int, int], None] | None


@dataclass(frozen=True)
class Effort(Spec):
    """How much is measured of a model of one's own.

    Attributes:
        fields: for lattices, held-out fields on which the denoiser is compared with a perfect one.
        trajectories: for lattices, the trajectories that sample the perfect denoiser.
        samples: for lattices, samples with their exact density, and as many held-out
            configurations; for images, samples.
        truth: for lattices, configurations of hybrid Monte Carlo.
        images: for images, how many held-out ones.
        levels_per_image: for images, noise levels for each.
        steps: for images, steps of the sampler.
    """

    fields: int = 1000
    trajectories: int = 100
    samples: int = 256
    truth: int = 20_000
    images: int = 256
    levels_per_image: int = 8
    steps: int = 25


def evaluate_own(
    model: Denoiser,
    process: Process,
    name: str,
    effort: Effort,
    seed: int = 0,
    *,
    progress: Progress = None,
) -> dict[str, Any]:
    """Return what the study measures of an arm, {metric: {value, error, n}}, and what it took.

    Arguments:
        model: in the process' basis.
        name: of the data set that it is judged on.
        progress: called with (stage, completed, total); it may raise to cancel.

    Raises `ValueError` for a data set of another shape, and what the measurements do.
    """
    started, action = time.perf_counter(), theory_of(model, name)
    if action is None:
        metrics = _images(model, process, name, effort, seed, progress)
    else:
        metrics = _lattice(model, process, name, action, effort, seed, progress)
    return {
        "data": name,
        "color": to_dict(process.color),
        "schedule": to_dict(process.schedule),
        "effort": to_dict(effort),
        "seed": seed,
        "metrics": metrics,
        "seconds": round(time.perf_counter() - started, 2),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _lattice(
    model: Denoiser,
    process: Process,
    name: str,
    action: Phi4,
    effort: Effort,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    x = fields_of(model, name, "test").images[: effort.fields]
    if tuple(x.shape[1:]) != process.basis.shape:
        raise ValueError(f"fields of {name} have shape {tuple(x.shape[1:])}.")
    far = field_distance(model, process, action, x, effort.trajectories, seed, progress=progress)
    report = evaluate_lattice(
        model,
        process,
        action,
        effort.samples,
        generator=torch.Generator().manual_seed(seed),
        n_held_out=effort.samples,
        n_truth=effort.truth,
        progress=progress,
    )
    chi = next(row for row in report.observables if row.name == "susceptibility")
    found = {
        "kl": (far, len(x)),
        "flow_kl": (report.forward_kl, effort.samples),
        "reverse_kl": (report.reverse_kl, effort.samples),
        "ess": (report.quality.ess, effort.samples),
        "acceptance": (report.acceptance, effort.samples),
        "susceptibility_percent": (
            Estimate(
                100 * (chi.samples.value / chi.hmc.value - 1),
                100 * chi.samples.error / chi.hmc.value,
            ),
            effort.samples,
        ),
    }
    return {name: _told(number, n) for name, (number, n) in found.items() if number is not None}


def field_distance(
    model: Denoiser,
    process: Process,
    action: Phi4,
    x: Tensor,
    trajectories: int,
    seed: int,
    *,
    progress: Progress = None,
) -> Estimate:
    """Return KL(p|q) of the stochastic sampler in nats, by the error of the denoiser on fields x
    (N, 1, L, L): the study's `distance` and `ends`, part by part.
    """
    parts = []
    for number, part in enumerate(x.split(PART)):
        if progress is not None:
            progress("perfect denoiser", number * PART, len(x))
        of = (process, model.modes, action, part, trajectories, fold_in(seed, number))
        parts.append(distance(model, reference(*of))[0] + ends(*of)[0])
    return Estimate.of(torch.cat(parts))


def _images(
    model: Denoiser, process: Process, name: str, effort: Effort, seed: int, progress: Progress
) -> dict[str, Any]:
    report = evaluate_images(
        model,
        process,
        name,
        effort.samples,
        effort.steps,
        seed,
        images=effort.images,
        levels_per_image=effort.levels_per_image,
        batch_size=ROWS,
        progress=progress,
    )
    found = {
        "bits": _told(report.bits, report.images),
        "free_bits": _told(report.free_bits, report.images),
    }
    if report.samples is not None:
        seen, n = report.samples, report.samples.n
        found |= {
            metric: _told(getattr(seen, metric), n)
            for metric in ("spectrum_error", "sharpness", "color_error")
        }
        for kind, distances in (("frechet", seen.frechet), ("kernel", seen.kernel)):
            found |= {f"{kind}_{space}": _told(each, n) for space, each in distances.items()}
    return found


def _told(number: Estimate, n: int) -> dict[str, Any]:
    return number.to_dict() | {"n": n}


def keep(folder: Path, found: Mapping[str, Any], version: str) -> None:
    """Write an evaluation into a run's folder.

    Arguments:
        version: of the model's file, so that a model that learns on is not taken for this one.
    """
    text = json.dumps({"version": version} | dict(found), ensure_ascii=False, indent=1)
    write_text(folder / FILE, text + "\n")


def kept(folder: Path, version: str) -> dict[str, Any] | None:
    """Return the evaluation in a run's folder, None where there is none of this version.

    Raises:
        ValueError: where its file is damaged, with a sentence that names it.
    """
    try:
        found = read_json(folder / FILE)
    except FileNotFoundError:
        return None
    if found.get("version") != version:
        return None
    with reading(folder / FILE):
        metrics = found["metrics"]
        for name, metric in metrics.items():
            value, error = metric["value"], metric["error"]
            if not is_number(value) or not (error is None or is_number(error)):
                raise ValueError(f"{name} is not a number with its error.")
    return found
