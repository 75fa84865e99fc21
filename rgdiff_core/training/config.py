"""What a training run is: one definition for the file, the command line and the page's form.

A config is a spec. Each field carries its help, its group and its range in its metadata, and the
checks are made from them.
"""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from rgdiff_core.bases.spec import BasisSpec
from rgdiff_core.data import is_lattice
from rgdiff_core.denoisers import ModelSpec
from rgdiff_core.networks import NETWORKS
from rgdiff_core.spec import (
    Spec,
    check_range,
    check_whole,
    from_dict,
    load_json,
    to_dict,
    up_to_date,
)
from rgdiff_core.training.losses import Objective
from rgdiff_core.training.noise_levels import NoiseSource, Universal

__all__ = [
    "FREE",
    "FieldInfo",
    "TrainConfig",
    "config_from_dict",
    "config_to_toml",
    "differences",
    "load_config",
    "override",
    "parse_config",
    "settings",
]

# A resumed run may change these: they don't touch what an unbroken run would have computed.
FREE = frozenset({"max_minutes", "log_every", "checkpoint_seconds", "evaluations", "previews"})
MAX_FILE = 1 << 20


@dataclass(frozen=True)
class FieldInfo:
    """What is known of a field beside its type.

    Attributes:
        help: One sentence for people.
        group: The heading it stands under in a form.
        low: The least allowed number, None where there is none.
        high: The largest allowed number, None where there is none.
        low_open: Whether the number must be above `low`.
        choices: The values of a text, none where it is free.
    """

    help: str
    group: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    choices: tuple[str, ...] = ()


def _set(
    default: Any,
    group: str,
    help: str,
    low: float | None = None,
    high: float | None = None,
    *,
    low_open: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    setting = FieldInfo(help, group, low, high, low_open, choices)
    return dataclasses.field(default=default, metadata={"setting": setting})


@dataclass(frozen=True)
class TrainConfig(Spec):
    """A training run.

    Every field's meaning and range is in `settings()`. Raises `ValueError` naming the field, its
    value and the allowed range.
    """

    data: str = _set("phi4-6x6", "Data", "The data set, by name: see `rgdiff data list`.")
    other_sizes: tuple[str, ...] = _set(
        (),
        "Data",
        "Data sets of the same lattice theory on other lattices, by name: each step takes one of"
        " the sizes, so that the model serves them all. Of other couplings, too, where the network"
        " is given noise and variance by octave.",
    )
    limit: int | None = _set(
        None, "Data", "Train on only the first N images; empty for all.", 2, 10_000_000
    )
    augmentation: str = _set(
        "auto",
        "Data",
        "Symmetries that the data are moved by: 'flip' left and right, 'lattice' for translations,"
        " rotations, reflections and φ → −φ; 'auto' is 'lattice' for lattice data and lattice"
        " networks, else 'flip'.",
        choices=("auto", "none", "flip", "lattice"),
    )
    basis: BasisSpec = _set(BasisSpec(), "Process", "The basis U that the noise is diagonal in.")
    noise: NoiseSource = _set(
        Universal(), "Process", "What it is trained on: one process, or random ones (universal)."
    )
    model: ModelSpec = _set(ModelSpec(), "Model", "The network, its input and its output.")
    objective: Objective = _set(Objective(), "Model", "The loss' weighting and its times.")
    class_conditional: bool = _set(
        False, "Model", "Whether the network is conditioned on the data's class labels."
    )
    label_dropout: float = _set(
        0.2,
        "Model",
        "Share of the labels that are dropped, so that the model is unconditional too and can be"
        " guided.",
        0,
        1,
    )
    coupling_conditional: bool = _set(
        False,
        "Model",
        "Whether the network is conditioned on the couplings (m², λ) of lattice data along a line"
        " of them.",
    )
    steps: int = _set(2000, "Budget", "Steps of the optimizer.", 1, 100_000_000)
    batch: int = _set(128, "Budget", "Images in a step, over all processes.", 1, 65_536)
    max_minutes: float | None = _set(
        None,
        "Budget",
        "Pause after this many minutes; empty for no limit.",
        0,
        100_000,
        low_open=True,
    )
    optimizer: str = _set(
        "adamw",
        "Optimizer",
        "What takes the steps: AdamW, or Muon for the weights of convolutions and AdamW for the"
        " rest, at the same learning rate.",
        choices=("adamw", "muon"),
    )
    lr: float = _set(2e-3, "Optimizer", "Learning rate at its highest.", 0, 1, low_open=True)
    warmup: int = _set(100, "Optimizer", "Steps over which it rises.", 0, 1_000_000)
    decay: str = _set(
        "cosine",
        "Optimizer",
        "How it falls: along a cosine to zero, not at all, or linearly to zero over the last fifth"
        " of the steps.",
        choices=("cosine", "constant", "cooldown"),
    )
    weight_decay: float = _set(0.0, "Optimizer", "AdamW's weight decay.", 0, 10)
    beta2: float = _set(0.99, "Optimizer", "AdamW's β₂.", 0.5, 0.99999)
    clip: float = _set(1.0, "Optimizer", "Largest norm of the gradient.", 0, 1e6, low_open=True)
    ema: float = _set(
        0.999, "Optimizer", "Decay of the weights' moving average, reached gradually.", 0, 0.999999
    )
    ema_half_life: float | None = _set(
        None,
        "Optimizer",
        "Half-life of the moving average as a share of the steps so far, instead of its decay.",
        0.0001,
        1,
    )
    seed: int = _set(0, "Optimizer", "Seed of everything random.", 0, 2**31 - 1)
    precision: str = _set(
        "auto",
        "Speed",
        "Precision of the network; the basis keeps float32. 'auto' is bfloat16 where the machine"
        " is faster with it, by a measurement at the start, and float32 for lattices.",
        choices=("auto", "float32", "bfloat16"),
    )
    compile: bool = _set(False, "Speed", "Compile the network: worth it for long runs on a GPU.")
    log_every: int = _set(20, "Records", "Steps between two points of the curves.", 1, 100_000)
    checkpoint_seconds: float = _set(30.0, "Records", "Seconds between checkpoints.", 0.1, 86_400)
    evaluations: int = _set(10, "Records", "Evaluations on held-out data in a run.", 1, 1000)
    previews: int = _set(12, "Records", "Sets of samples drawn in a run.", 0, 1000)

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            raise ValueError(
                f"data = a {type(self.data).__name__} is not the name of a data set: keep the "
                "images with numpy.save, register the file with rg.data.register_folder, and give "
                "the name that it returns."
            )
        for name, setting in settings().items():
            value = getattr(self, name)
            if setting.choices and value not in setting.choices:
                known = ", ".join(setting.choices)
                raise ValueError(f"{name} = {value!r} is not one of {known}.")
            if setting.low is None or setting.high is None or value is None:
                continue
            check_range(name, value, setting.low, setting.high, low_open=setting.low_open)
            if isinstance(setting.low, int) and _is_whole(name):
                check_whole(name, value, int(setting.low), int(setting.high))
        if self.class_conditional and self.coupling_conditional:
            raise ValueError(
                "class_conditional and coupling_conditional are both true: choose one of them."
            )

    @property
    def symmetries(self) -> str:
        """Return the augmentation with "auto" resolved."""
        if self.augmentation != "auto":
            return self.augmentation
        lattice = self.model.network.any_size or is_lattice(self.data)
        return "lattice" if lattice else "flip"


def settings() -> dict[str, FieldInfo]:
    """Return what is known of each field, by name, in order."""
    return {f.name: f.metadata["setting"] for f in dataclasses.fields(TrainConfig)}


def _is_whole(name: str) -> bool:
    kinds = {f.name: f.type for f in dataclasses.fields(TrainConfig)}
    return kinds[name] in (int, int | None)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a config from a TOML or JSON file.

    What the file leaves out takes its default; a network may be given by its name.

    Arguments:
        overrides: as of `override`.

    Raises a one-line `ValueError` for a file that is no config, `OSError` where it can't be
    read.
    """
    path = Path(path)
    if path.stat().st_size > MAX_FILE:
        raise ValueError(f"{path.name} is too large for a config.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not a text in UTF-8.") from None
    return override(parse_config(text, path.name), overrides)


def parse_config(text: str, name: str) -> TrainConfig:
    """Read a config from the text of a file: TOML where its name ends so, else JSON.

    Raises a one-line `ValueError` for a text that is no config.
    """
    if name.endswith(".toml"):
        try:
            given = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{name} is not valid TOML: {error}.") from None
    else:
        given = load_json(text)
    if not isinstance(given, dict):
        raise ValueError(f"{name} does not hold a config.")
    return config_from_dict(_merged(to_dict(TrainConfig()), given))


def config_to_toml(config: TrainConfig) -> str:
    """Write a config as TOML; `parse_config` gives an equal one back."""
    return tomli_w.dumps(_without_none(to_dict(config)))


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None: TOML cannot express it, and it is the default of such a field."""
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in data.items()
        if value is not None
    }


def override(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Return the config with some fields changed.

    Arguments:
        overrides: texts like "lr=3e-4", "model.network.width=64" or "model.network=unet-1m".

    Raises `ValueError` naming what is not understood.
    """
    data = to_dict(config)
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not of the form name=value.")
        given: Any = _value(value)
        for name in reversed(path.split(".")):
            given = {name: given}
        data = _merged(data, given)
    return config_from_dict(data)


def differences(one: TrainConfig, other: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two configs differ, those in FREE left out, with both values."""
    return {
        f.name: (getattr(one, f.name), getattr(other, f.name))
        for f in dataclasses.fields(TrainConfig)
        if f.name not in FREE and getattr(one, f.name) != getattr(other, f.name)
    }


def config_from_dict(data: Mapping[str, Any]) -> TrainConfig:
    """Return the config that `to_dict` wrote; raises `ValueError` for anything else."""
    config = from_dict(data)
    if not isinstance(config, TrainConfig):
        raise ValueError(f"a {type(config).__name__} is not a training config.")
    return config


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `given` laid over it, whose names may be former ones; a table of another
    kind replaces the whole.
    """
    merged = dict(base)
    for name, value in up_to_date({"kind": base.get("kind")} | dict(given)).items():
        if name not in base and name != "kind":
            near = difflib.get_close_matches(name, base, n=1)
            hint = f"; is {near[0]!r} meant?" if near else f"; it has {', '.join(base)}."
            raise ValueError(f"{base.get('kind', 'the config')} has no field {name!r}{hint}")
        old = base.get(name)
        if name == "network" and isinstance(value, str):
            if value not in NETWORKS:
                known = ", ".join(NETWORKS)
                raise ValueError(f"network = {value!r} is not one of {known}.")
            value = to_dict(NETWORKS[value])
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = up_to_date({"kind": old.get("kind")} | dict(value))
            same = value["kind"] == old.get("kind")
            value = _merged(old, value) if same else to_dict(from_dict(value))
        merged[name] = value
    return merged
