"""Training that starts from the weights of an existing model.

The weights are copied into the run folder before the first step, so that a run that is killed
before its first checkpoint starts from them again. Every model trained from them records where
they came from.

The classes of the data may be others than before. Each class then starts as the null label, and a
network without classes as the one with the null label: its embedding enters linear layers alone,
into whose biases it goes.
"""

import json
import reprlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from rgdiff_core.denoisers import ModelSpec, NetworkDenoiser
from rgdiff_core.denoisers.files import load_model, read_metadata, sha256
from rgdiff_core.files.atomic import write_text
from rgdiff_core.files.stored import MAX_NUMBER, is_number
from rgdiff_core.training.config import TrainConfig, parse_config

__all__ = [
    "adapted",
    "bring_weights",
    "images_of",
    "misfit",
    "origin",
    "start_of",
    "started_from",
    "steps_of",
    "trained_on",
    "warm_start",
]

WEIGHTS, ORIGIN = "initial.safetensors", "initial.json"
CLASSES = "classes.weight"  # the embedding of the classes, the null label's last
LINEAR = ("modulation.weight", "scale.weight")  # of the layers that the embedding enters
SAME = ("c_out", "network_input", "conditioning", "reference")
SHORT = 300  # steps of a config that goes on
SLOWER = 0.3  # its learning rate, in units of that before
SHORT_WARMUP = 30
MAX_WORDS = 120  # characters
MAX_RUNS = 200  # one after the other, each from the weights of the one before


def bring_weights(path: Path, folder: Path) -> None:
    """Copy a model file into a run folder, to start from.

    Raises:
        ValueError: For a file that is no model or says nonsense of earlier runs, and a folder
            that holds a run already.
        OSError: Where the folder cannot be written.
    """
    metadata = read_metadata(path)
    if (folder / "config.json").exists():
        raise ValueError(f"{folder} holds a run already: choose another folder.")
    before = _started_from(metadata)
    steps_of(metadata)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / WEIGHTS)
    known = {name: metadata[name] for name in ("name", "data", "step") if name in metadata}
    known |= _batch_of(metadata)
    text = {"file": path.name, "sha256": sha256(path), **known, "started_from": before}
    write_text(folder / ORIGIN, json.dumps(text))


def _batch_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the batch of a model's run by its name, nothing where its file does not say."""
    try:
        config = parse_config(metadata["config"], "the config of the model")
    except (KeyError, ValueError):
        return {}
    return {"batch": str(config.batch)}


def steps_of(metadata: Mapping[str, str]) -> list[int]:
    """Return the training steps of a model, and of each run whose weights it started from, the
    latest first, as far as its file says.

    Raises `ValueError` for metadata that are damaged.
    """
    return [_count("step", run["step"]) for run in _runs(metadata)]


def images_of(metadata: Mapping[str, str], batch: int) -> int:
    """Return how many images a model saw in the runs that `steps_of` knows.

    Arguments:
        batch: of its own run, and of those before whose batch its file does not say.

    Raises `ValueError` for metadata that are damaged.
    """
    own, *before = _runs(metadata) or [{"step": 0}]
    seen = _count("step", own["step"]) * batch
    return seen + sum(
        _count("step", run["step"]) * _count("batch", run.get("batch", batch)) for run in before
    )


def _runs(metadata: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return what a file says of a model's run and of those before, the latest first, up to one
    whose steps it does not say.
    """
    runs: list[Mapping[str, Any]] = []
    run: Any = {**metadata, "started_from": _started_from(metadata)}
    while run is not None:
        if not isinstance(run, dict):
            raise ValueError(f"started_from = {reprlib.repr(run)} is no object.")
        if len(runs) > MAX_RUNS:
            raise ValueError(f"started_from names more than {MAX_RUNS} runs.")
        if "step" not in run:
            break
        runs.append(run)
        run = run.get("started_from")
    return runs


def _started_from(metadata: Mapping[str, str]) -> Any:
    """Return what a file says of the run before its own; each holds the one before it, so that
    the nesting is as deep as there were runs.
    """
    return _earlier(metadata.get("started_from", "null"), "started_from")


def _earlier(text: str, name: str) -> Any:
    """Return what JSON says of runs, however many there were."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not valid JSON: {error}.") from None


def _count(name: str, value: object) -> int:
    """Return a count that a file holds as a number or as text."""
    number = value
    if isinstance(value, str):
        with suppress(ValueError):
            number = int(value)
    if is_number(number) and number >= 0 and number == int(number):  # type: ignore[operator]
        return int(number)  # type: ignore[call-overload]
    raise ValueError(
        f"{name} = {reprlib.repr(value)} is no whole number from 0 to {MAX_NUMBER:g}."
    )


def origin(folder: Path) -> str:
    """Return what a run started from, as JSON for a model's metadata; "" for fresh weights."""
    path = folder / ORIGIN
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def started_from(folder: Path, weights: Path | None) -> bool:
    """Tell whether a run started from the weights of a file; None for fresh ones."""
    text = origin(folder)
    if not text or weights is None:
        return not text and weights is None
    known = _earlier(text, ORIGIN)
    return isinstance(known, dict) and known.get("sha256") == sha256(weights)


def start_of(folder: Path) -> str:
    """Return in words what a run started from, "" for fresh weights.

    Raises `ValueError` where the file that says so is damaged.
    """
    text = origin(folder)
    if not text:
        return ""
    known = _earlier(text, ORIGIN)
    if not isinstance(known, dict):
        raise ValueError(f"{ORIGIN} holds no JSON object.")
    step = f" at step {known['step']}" if "step" in known else ""
    return f"{known.get('name', known.get('file'))}{step}"[:MAX_WORDS]


def warm_start(models: tuple[NetworkDenoiser, ...], folder: Path) -> None:
    """Give models the weights that a run folder starts from, if it does.

    Raises:
        ValueError: Where the weights are of another network, or of one that is used differently.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        return
    first = load_model(path)
    for model in models:
        if different := _difference(first.spec, model.spec):
            raise ValueError(different)
        own = model.network.state_dict()
        same = first.spec.class_names == model.spec.class_names
        weights = _with_classes_of(first.network.state_dict(), own, same)
        for name, value in own.items():
            if name not in weights or weights[name].shape != value.shape:
                raise ValueError(
                    f"the weights to start from do not fit the config's network, {name} for one."
                )
            value.copy_(weights[name])
        if unused := sorted(set(weights) - set(own)):
            raise ValueError(
                f"the config's network has no place for {unused[0]} of the weights to start from."
            )


def _with_classes_of(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], same: bool
) -> dict[str, Tensor]:
    """Return weights for a network with the same classes, with others, or with none."""
    found = dict(weights)
    before, after = found.pop(CLASSES, None), own.get(CLASSES)
    if before is None:
        found |= {} if after is None else {CLASSES: after}
    elif after is not None:
        found[CLASSES] = before if same else before[-1].expand_as(after)
    else:
        for layer in (name.removesuffix(".weight") for name in weights if name.endswith(LINEAR)):
            bias = found[f"{layer}.bias"]
            found[f"{layer}.bias"] = bias + found[f"{layer}.weight"] @ before[-1]
    return found


def adapted(path: Path, data: str, class_conditional: bool) -> TrainConfig:
    """Return a short config that goes on from a model file on other data: the model's own, with a
    lower learning rate, in the precision that is fast on the machine.

    Arguments:
        data: name of the data set.
        class_conditional: whether the model is conditioned on its classes, if it was before.

    Raises `ValueError` for a file that is no model, or keeps no config.
    """
    first = _config_of(path)
    return replace(
        first,
        data=data,
        other_sizes=(),
        limit=None,
        class_conditional=first.class_conditional and class_conditional,
        steps=SHORT,
        max_minutes=None,
        lr=SLOWER * first.lr,
        warmup=SHORT_WARMUP,
        decay="cosine",
        ema=0.99,
        ema_half_life=None,
        precision="auto",
        evaluations=4,
        previews=4,
    )


def trained_on(path: Path) -> str:
    """Return the name of the data set of a model file; raises `ValueError` as `adapted` does."""
    return _config_of(path).data


def misfit(path: Path, config: TrainConfig, shape: Sequence[int]) -> str:
    """Return the sentence that says why a run can't start from a model file, or "".

    Arguments:
        config: of the run.
        shape: (C, H, W) of its images.
    """
    try:
        first, before = _config_of(path), json.loads(read_metadata(path)["basis"])["shape"]
    except (KeyError, TypeError, ValueError, OSError) as error:
        return f"the weights to start from can't be read: {error}"
    theirs, ours = first.model, config.model
    if different := _difference(theirs, ours):
        return different
    if (theirs.network, theirs.coarse_grids) != (ours.network, ours.coarse_grids):
        return "the weights to start from are of another network than the config's."
    if first.coupling_conditional != config.coupling_conditional:
        return "only one of config and weights to start from is conditioned on couplings."
    sizes = slice(0, 1) if ours.network.any_size else slice(None)
    if list(before)[sizes] != list(shape)[sizes]:
        old, new = ("×".join(map(str, each)) for each in (before, shape))
        return f"the weights to start from are for {old} images, the data are {new}."
    return ""


def _difference(theirs: ModelSpec, ours: ModelSpec) -> str:
    """Return the sentence that says how two networks are used differently, or ""."""
    for name in SAME:
        before, after = getattr(theirs, name), getattr(ours, name)
        if before != after:
            return f"the weights to start from have {name} = {before!r}, the config {after!r}."
    return ""


def _config_of(path: Path) -> TrainConfig:
    """Return the config that a model's file keeps; raises `ValueError` where it keeps none."""
    metadata = read_metadata(path)
    if "config" not in metadata:
        raise ValueError(f"{path.name} keeps no config.")
    return parse_config(metadata["config"], "the config of the model")
