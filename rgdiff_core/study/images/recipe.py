"""`rgdiff study recipe`: which recipe to train images with, by short runs of equal time.

Every arm is one change of a base recipe, or of another arm (`--base`), trained with the same seed
for as many steps (`--steps`), or for the same core-minutes: then steps of the base are timed
first, then those of each arm in turn with the base's, and the number of steps follows. Arms are
judged on held-out images, in pairs of the same images and noise, by what the model adds to the
free theory's bits per dimension where the data log-SNR is between −4 and 4: there shapes are
decided, which are a small part of all bits. Bits are in the many fine components, objects in the
few coarse ones; so of CIFAR-10 samples are drawn, too, and how many are of the class that was
asked for is written beside the bits, with the kernel distance of their features where those are
asked for. An arm that is trained on one process is judged in that, any other in white noise, and
by all bits in matched noise behind a cutoff, too.
A run is a folder that can be resumed at any moment, and a finished arm is a cell.
"""

import statistics
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from rgdiff_core import data
from rgdiff_core.denoisers.files import load_model
from rgdiff_core.evaluation import image_bound
from rgdiff_core.evaluation.features import extract, kernel_distance, load_features
from rgdiff_core.evaluation.features.network import Classifier
from rgdiff_core.evaluation.images.classes import named
from rgdiff_core.evaluation.images.samples import draw_images
from rgdiff_core.spec import from_dict, to_dict
from rgdiff_core.study.cells import Cells, OutOfTimeError
from rgdiff_core.study.images.ablation import MATCHED, WHITE
from rgdiff_core.study.images.recipe_arms import SIZES, TUNED, arm_config
from rgdiff_core.training import TrainConfig, train
from rgdiff_core.training.noise_levels import FixedProcess
from rgdiff_core.training.state import prepare
from rgdiff_core.training.trainer import fabric_for

__all__ = ["BAND", "GUIDANCE", "STEPS", "RecipeBudget", "cell", "judged_in"]

BAND = (-4.0, 4.0)  # of the data log-SNR, in which arms are judged
CLASSIFIED, GUIDANCE, STEPS = "cifar10", 2.0, 16  # data of the classifier; how samples are drawn
DRAWS = 8  # noise levels for each held-out image
REAL, AT_ONCE = 2000, 100  # held-out images that samples are compared with; images at once
MODEL = Path("checkpoint", "model.safetensors")
TRUNK_SEED = 1000  # added to the seed of an arm for its trunk
WARM_UPS, TIMED = 2, 9  # steps before the number of steps is fixed


@dataclass(frozen=True)
class RecipeBudget:
    """The data, the training and the judging of every arm.

    Attributes:
        steps: of training, alike in every arm; None for as many as the core-minutes allow.
        core_minutes: of training, where no steps are given.
        samples: classified, of each arm with labels.
        features: in which samples are compared with held-out images; "" for no comparison.
        base: the arm that the others change.
        arms: the base, and what `on` it calls its changes.
    """

    data: str
    size: str
    steps: int | None
    core_minutes: float
    batch: int
    images: int
    samples: int
    features: str
    seeds: list[int]
    base: str
    arms: list[str]

    @property
    def name(self) -> str:
        """What the cells' names begin with."""
        each = f"{self.core_minutes:g}" if self.steps is None else f"{self.steps}-steps"
        return f"{self.data}-{self.size}-{each}"


def cell(cells: Cells, name: str, seed: int, chosen: RecipeBudget) -> dict[str, Any]:
    """Return a finished arm; raises `OutOfTimeError` where the time does not last."""
    made = arm_config(name, SIZES[chosen.size], batch=chosen.batch, seed=seed, data=chosen.data)
    key = f"{chosen.name}-{name}-{seed}"
    planned = {} if chosen.steps else {"planned": _plan(cells, name, seed, chosen)}
    steps = chosen.steps or planned["planned"]["result"]["steps"]
    made = replace(made, steps=steps, warmup=min(300, steps // 10))
    trunk = max(1, steps // 2) if TUNED in name.split("+") else 0

    def compute() -> dict[str, Any]:
        folder = cells.path(key, "")
        _train(made, folder, cells, trunk)
        return {"steps": steps, **_judged(made, folder, chosen.images)}

    inputs = {"config": _chosen(to_dict(made)), "images": chosen.images}
    if trunk:
        inputs["trunk"] = trunk
    found = cells.read_or_compute(key, inputs, compute) | planned
    if chosen.samples and made.class_conditional and chosen.data == CLASSIFIED:

        def classify() -> dict[str, Any]:
            folder = cells.path(key, "")
            _train(made, folder, cells, trunk)  # where only the results were kept
            return _drawn(made, folder, chosen, seed)

        drawn = {"config": inputs["config"], "samples": chosen.samples}
        if chosen.features:
            drawn["features"] = chosen.features
        found["named"] = cells.read_or_compute(f"{key}-named", drawn, classify)
    return found


def _chosen(data: Any) -> Any:
    """Return the description of a spec without the fields that have their defaults, so that a new
    field changes no cell.
    """
    if not isinstance(data, dict) or "kind" not in data:
        return data
    default = to_dict(from_dict({"kind": data["kind"]}))
    kept = {k: v for k, v in data.items() if k == "kind" or v != default[k]}
    return {name: _chosen(value) for name, value in kept.items()}


def _plan(cells: Cells, name: str, seed: int, chosen: RecipeBudget) -> dict[str, Any]:
    """Return the cell of an arm's number of steps."""

    def config(arm: str) -> TrainConfig:
        networks = SIZES[chosen.size]
        return arm_config(arm, networks, batch=chosen.batch, seed=seed, data=chosen.data)

    def planned() -> dict[str, Any]:
        if name == chosen.base:
            (each,) = _seconds(config(name))
            return {"steps": _steps(chosen.core_minutes, each), "core_seconds_a_step": each}
        base = _plan(cells, chosen.base, seed, chosen)["result"]["core_seconds_a_step"]
        both = [config(name), config(chosen.base)]
        if TUNED in name.split("+"):
            both.insert(1, replace(both[0], noise=WHITE))  # half of its steps
        *own, its = _seconds(*both)
        each = base * statistics.mean(own) / its  # what else the machine does concerns both
        return {"steps": _steps(chosen.core_minutes, each), "core_seconds_a_step": each}

    key = f"{chosen.name}-{name}-{seed}-steps"
    budget = {"config": _chosen(to_dict(config(name))), "core_minutes": chosen.core_minutes}
    return cells.read_or_compute(key, budget, planned)


def _steps(core_minutes: float, seconds: float) -> int:
    return max(1, round(60 * core_minutes / seconds))


def _seconds(*configs: TrainConfig) -> list[float]:
    """Return the core-seconds that a step of each takes, timed in turn: medians."""
    prepared = [prepare(each, fabric_for("cpu"))[:2] for each in configs]
    taken: list[list[float]] = [[] for _ in configs]
    for step in range(WARM_UPS + TIMED):
        for (learner, batches), seconds in zip(prepared, taken, strict=True):
            start = time.process_time()
            learner.learn(batches.draw(step))
            seconds.append(time.process_time() - start)
    return [statistics.median(seconds[WARM_UPS:]) for seconds in taken]


def _train(made: TrainConfig, folder: Path, cells: Cells, trunk: int = 0) -> None:
    """Train an arm to its end, or as long as there is time; the first steps in white noise."""
    weights = None
    if trunk:
        first = folder.with_name(f"{folder.name}-trunk")
        white = replace(made, noise=WHITE, seed=made.seed + TRUNK_SEED)  # other images and noise
        _train(replace(white, steps=trunk, decay="constant"), first, cells)
        made = replace(made, steps=max(1, made.steps - trunk))
        weights = None if (folder / "config.json").is_file() else first / MODEL
    cells.begin(folder.name)
    left = None if cells.until is None else (cells.until - time.monotonic()) / 60
    made = replace(made, max_minutes=left)
    outcome = train(made, folder, resume=True, weights=weights, device="cpu")
    if outcome.state in ("paused", "cancelled"):
        raise OutOfTimeError(folder.name)
    if outcome.state != "finished":
        raise ValueError(f"{folder.name} {outcome.state}: {outcome.message}")


def _judged(made: TrainConfig, folder: Path, images: int) -> dict[str, Any]:
    """Return the gain in the band, and the bits per dimension, of each held-out image."""
    model = load_model(folder / MODEL)
    test = data.load(made.data, "test")
    labels = None if test.labels is None or not made.class_conditional else test.labels[:images]
    shown = test.images[:images]
    own = image_bound(model, _process(made).on(model), shown, DRAWS, class_labels=labels)
    judged: dict[str, Any] = {
        "band": [round(x, 6) for x in own.between(*BAND).tolist()],
        "bits": [round(x, 6) for x in own.bits.tolist()],
        "free_bits": float(own.free.mean()),
    }
    if not isinstance(made.noise, FixedProcess):
        matched = image_bound(model, MATCHED.on(model), shown, DRAWS, class_labels=labels)
        judged["matched_bits"] = [round(x, 6) for x in matched.bits.tolist()]
    return judged


def _process(made: TrainConfig) -> FixedProcess:
    """Return what an arm is judged in: the one process of its training, else white noise."""
    return made.noise if isinstance(made.noise, FixedProcess) else WHITE


def judged_in(config: dict[str, Any]) -> dict[str, Any]:
    """Return the same as a cell describes it, of the config that it was computed from."""
    noise = config.get("noise", {})  # else the default, of random processes
    return noise if noise.get("kind") == FixedProcess.__name__ else _chosen(to_dict(WHITE))


def _drawn(made: TrainConfig, folder: Path, chosen: RecipeBudget, seed: int) -> dict[str, Any]:
    """Return the share of samples of the class that was asked for, with its error, and the kernel
    distance of all from held-out images where features are chosen.
    """
    classifier = load_features(CLASSIFIED)
    assert isinstance(classifier, Classifier)
    model = load_model(folder / MODEL)
    labels = torch.arange(chosen.samples) % classifier.classes
    grey = draw_images(
        model,
        _process(made).on(model),
        chosen.samples,
        STEPS,
        "dpmpp_2m",
        torch.Generator().manual_seed(seed),
        batch_size=AT_ONCE,
        class_labels=labels,
        guidance_scale=GUIDANCE,
    )
    images = grey.float() / 127.5 - 1
    found: dict[str, Any] = named(classifier, images, labels).to_dict()
    if chosen.features:
        drawn = extract(load_features(chosen.features), images, AT_ONCE)
        real = _real_features(chosen.features, chosen.data)
        found["kernel"] = kernel_distance(drawn, real).to_dict()
    return found


@cache
def _real_features(name: str, data_name: str) -> torch.Tensor:
    """Return features of held-out images."""
    images = data.load(data_name, "test", limit=REAL).images
    return extract(load_features(name), images, AT_ONCE)
