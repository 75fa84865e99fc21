"""`rgdiff evaluate`: how good a model is, in numbers with errors."""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rgdiff_core.cli.base import Entries, Entry
from rgdiff_core.cli.options import (
    accelerated,
    model_options,
    open_chosen,
    process_from,
    process_options,
    to_device,
)
from rgdiff_core.denoisers import Denoiser
from rgdiff_core.devices import seeded
from rgdiff_core.evaluation.images.report import ImageReport, SampleMetrics, evaluate_images
from rgdiff_core.evaluation.lattice.report import LatticeReport, evaluate_lattice
from rgdiff_core.files.atomic import check_place, write_text
from rgdiff_core.lattice import Phi4
from rgdiff_core.process import Process
from rgdiff_core.sampling import GRIDS, METHODS
from rgdiff_core.seeds import MAX_SEED
from rgdiff_core.spec import check_whole
from rgdiff_core.statistics import Estimate
from rgdiff_core.terminal import bar
from rgdiff_core.training.models import LoadedModel, theory_of

__all__ = ["evaluate_options", "run_evaluate"]

STEPS_OF_FLOW, STEPS_OF_SAMPLER, STEPS_OF_IMAGES = 16, 20, 25
SAMPLES, IMAGES, MIN_SAMPLES = 512, 64, 20
DETERMINISTIC = tuple(name for name, method in METHODS.items() if method.ode)


def evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `rgdiff evaluate`."""
    model_options(parser)
    process_options(parser)
    parser.add_argument("--data", metavar="NAME", help="its data set (default: the model's)")
    parser.add_argument(
        "--n",
        type=int,
        help=f"samples, and held-out fields (default {SAMPLES}; of images {IMAGES})",
    )
    parser.add_argument(
        "--steps",
        type=int,
        help=f"steps of the flow's integrator (default {STEPS_OF_FLOW}), of the sampler that "
        f"--method names ({STEPS_OF_SAMPLER}), or of the sampler for images ({STEPS_OF_IMAGES})",
    )
    parser.add_argument(
        "--method",
        choices=DETERMINISTIC,
        help="lattices: judge what exactly --steps steps of this sampler draw (default: judge the "
        "probability flow, the limit of many steps); images: draw with it",
    )
    parser.add_argument(
        "--grid", choices=GRIDS, help="times (default logsnr; of a sampler uniform)"
    )
    parser.add_argument(
        "--truth",
        type=int,
        default=100_000,
        metavar="N",
        help="lattices: configurations of Hamiltonian (hybrid) Monte Carlo (HMC) to compare with "
        "(default 100000)",
    )
    parser.add_argument(
        "--flow",
        type=int,
        default=0,
        metavar="N",
        help="images: the first N held-out ones get bits/dim of the probability flow too "
        "(default 0)",
    )
    parser.add_argument("--seed", type=int, default=0, help="(default 0)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all numbers there")


def run_evaluate(chosen: argparse.Namespace) -> tuple[object, list[str]]:
    """Evaluate; return what to print as JSON, and the lines for people.

    Raises a one-line `ValueError` for options that do not fit.
    """
    if chosen.out is not None and chosen.out.suffix != ".json":
        raise ValueError(f"{chosen.out} does not end in .json.")
    check_place(chosen.out)
    check_whole("flow", chosen.flow, 0, 1_000_000)
    check_whole("seed", chosen.seed, 0, MAX_SEED)
    opened = open_chosen(chosen)
    name = chosen.data or opened.data
    if not name:
        raise ValueError(f"{opened.name} does not say what its data are: use --data NAME.")
    model = accelerated(to_device(opened, chosen.device), chosen.precision, chosen.compile)
    process = process_from(chosen, opened)
    start = time.perf_counter()
    action = theory_of(opened.denoiser, name)
    if action is None:
        found, lines = _images(chosen, opened, model, process)
    else:
        found, lines = _lattice(chosen, model, process, action)
    value = {
        "model": opened.name,
        "data": name,
        "color": process.color.to_json(),
        "schedule": process.schedule.to_json(),
        "seed": chosen.seed,
        "seconds": round(time.perf_counter() - start, 3),
    } | found
    if chosen.out is not None:
        text = json.dumps(value, indent=1, ensure_ascii=False)
        write_text(chosen.out, text + "\n")
        lines.append(f"written: {chosen.out}")
    return value, lines


def _or(given: int | None, usual: int) -> int:
    return usual if given is None else given


def _images(
    chosen: argparse.Namespace, opened: LoadedModel, model: Denoiser, process: Process
) -> tuple[dict[str, Any], list[str]]:
    n = _or(chosen.n, IMAGES)
    check_whole("n", n, 2, 1_000_000)
    opened.images("test", chosen.data)  # refuses those of another shape
    report = evaluate_images(
        model,
        process,
        chosen.data or opened.data,
        n if n >= MIN_SAMPLES else 0,
        _or(chosen.steps, STEPS_OF_IMAGES),
        chosen.seed,
        images=n,
        flow=chosen.flow,
        method=chosen.method,
        grid=chosen.grid or "logsnr",
        progress=lambda what, done, total: bar(done, total, what),
    )
    found = asdict(report)
    return found | {"bits_per_dim": found["bits"]}, _seen(report)


def _seen(report: ImageReport) -> list[str]:
    """Return what a person reads of images."""
    lines = [
        f"at most {report.bits} bits/dim, on {report.images} held-out images (the free theory: "
        f"{report.free_bits})"
    ]
    if report.flow_bits is not None:
        lines.append(f"{report.flow_bits} bits/dim by the probability flow")
    if report.decoded_bits is not None:
        lines.append(f"at most {report.decoded_bits} bits/dim with grey values decoded")
    if report.class_bits is not None:
        lines.append(f"at most {report.class_bits} bits/dim, given the class of each image")
    if report.class_flow_bits is not None:
        lines.append(f"{report.class_flow_bits} bits/dim by the probability flow, given the class")
    if report.samples is None:
        return lines
    lines += ["", f"{report.samples.n} samples, {report.steps} steps of {report.method}"]
    if report.num_classes:
        lines[-1] += f", the {report.num_classes} classes in turn"
    lines.append(f"{'':34}{'samples':>22}{'training images':>22}")
    known = {} if report.floor is None else _figures(report.floor)
    for name, value in _figures(report.samples).items():
        floor = _short(known[name]) if name in known else "–"
        lines.append(f"{name:34}{_short(value):>22}{floor:>22}")
    return lines


def _figures(found: SampleMetrics) -> dict[str, Estimate]:
    figures = {
        "error of the spectrum": found.spectrum_error,
        "sharpness (1 is right)": found.sharpness,
        "distance of colours, grey values": found.color_error,
    }
    figures |= {f"Fréchet distance, {name}": value for name, value in found.frechet.items()}
    return figures | {f"kernel distance, {name}": value for name, value in found.kernel.items()}


def _lattice(
    chosen: argparse.Namespace, model: Denoiser, process: Process, action: Phi4
) -> tuple[dict[str, Any], list[str]]:
    usual = STEPS_OF_FLOW if chosen.method is None else STEPS_OF_SAMPLER
    n, steps = _or(chosen.n, SAMPLES), _or(chosen.steps, usual)
    grid = chosen.grid or ("logsnr" if chosen.method is None else "uniform")
    report = evaluate_lattice(
        model,
        process,
        action,
        n,
        steps,
        seeded(process.noise_variance.device, chosen.seed),
        method=chosen.method,
        grid=grid,
        n_held_out=n,
        n_truth=chosen.truth,
        progress=lambda what, done, total: bar(done, total, what),
    )
    found = asdict(report) | {"steps": steps, "method": chosen.method, "grid": grid}
    return found, _told(report, steps, chosen.method)


def _told(report: LatticeReport, steps: int, method: str | None) -> list[str]:
    """Return what a person reads."""
    quality, log_z = report.quality, report.log_z
    judged = "the probability flow" if method is None else f"{steps} steps of {method}"
    forward = "–" if report.forward_kl is None else str(report.forward_kl)
    annealed = "–, effective sample size too small" if log_z.annealed is None else log_z.annealed
    per_second = quality.n * quality.ess.value / report.seconds["samples"]
    lines = [
        f"φ⁴ {report.size}×{report.size} at m² = {report.action.m2:g}, λ = {report.action.lam:g}: "
        f"{quality.n} samples of {judged}, {quality.nfe} evaluations each",
        "",
        f"ESS                       {quality.ess}   ({per_second:.3g} effective samples/s)",
        f"Metropolis acceptance     {report.acceptance}   (expected {quality.acceptance})",
        f"Metropolis τ_int          {report.tau_int}   (expected {quality.tau_int})",
        f"log Z, of the weights     {log_z.model}",
        f"log Z, integrated         {log_z.thermodynamic}",
        f"log Z, annealed           {annealed}",
        f"KL(q‖p), nats             {report.reverse_kl}   (with its own log Z "
        f"{quality.reverse_kl})",
        f"KL(p‖q), nats             {forward}",
        f"share of M > 0            {report.positive}   (½ if both wells are sampled equally)",
        f"⟨M⟩                       {report.magnetization}",
        "",
        f"{'':26}{'samples':>22}{'reweighted':>22}{'Metropolis chain':>22}"
        f"{'hybrid Monte Carlo':>22}   deviations",
    ]
    for row in report.observables:
        values = (row.samples, row.reweighted, row.metropolis, row.hmc)
        cells = "".join(f"{_short(each):>22}" for each in values)
        off = ", ".join(f"{each:+.1f}" for each in row.deviations)
        lines.append(f"{row.name:26}{cells}   {off} σ")
    return lines


def _short(value: Estimate) -> str:
    return f"{value.value:.5g} ± {value.error:.2g}"


COMMANDS: Entries = {"evaluate": Entry(evaluate_options, run_evaluate)}
