"""Training that starts from the weights of an existing model.

The weights are copied into the run folder before the first step, so that a run that is killed
before its first checkpoint starts from them again. Every model trained from them records where
they came from.
"""

import json
import shutil
from pathlib import Path

from rgdiff_core.denoisers import NetworkDenoiser
from rgdiff_core.denoisers.files import load_model, read_metadata, sha256
from rgdiff_core.files.atomic import write_text

__all__ = ["bring_weights", "origin", "warm_start"]

WEIGHTS, ORIGIN = "initial.safetensors", "initial.json"
NEW = "classes."  # what a network may have that the weights lack: the embedding of its classes


def bring_weights(path: Path, folder: Path) -> None:
    """Copy a model file into a run folder, to start from.

    Raises:
        ValueError: For a file that is no model, and a folder that holds a run already.
        OSError: Where the folder cannot be written.
    """
    metadata = read_metadata(path)
    if (folder / "config.json").exists():
        raise ValueError(f"{folder} holds a run already: choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, folder / WEIGHTS)
    before = json.loads(metadata.get("started_from", "null"))
    known = {name: metadata[name] for name in ("name", "data", "step") if name in metadata}
    text = {"file": path.name, "sha256": sha256(path), **known, "started_from": before}
    write_text(folder / ORIGIN, json.dumps(text))


def origin(folder: Path) -> str:
    """Return what a run started from, as JSON for a model's metadata; "" for fresh weights."""
    path = folder / ORIGIN
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def warm_start(models: tuple[NetworkDenoiser, ...], folder: Path) -> None:
    """Give models the weights that a run folder starts from, if it does.

    Raises:
        ValueError: Where the weights are of another network, or of one that is used differently.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        return
    first = load_model(path)
    weights = first.network.state_dict()
    for model in models:
        for name in ("c_out", "network_input", "conditioning", "reference"):
            theirs, ours = getattr(first.spec, name), getattr(model.spec, name)
            if theirs != ours:
                raise ValueError(
                    f"the weights to start from have {name} = {theirs!r}, the config {ours!r}."
                )
        own = model.network.state_dict()
        for name, value in own.items():
            if name in weights and weights[name].shape == value.shape:
                value.copy_(weights[name])
            elif not name.startswith(NEW):
                raise ValueError(
                    f"the weights to start from do not fit the config's network, {name} for one."
                )
        if unused := sorted(set(weights) - set(own)):
            raise ValueError(
                f"the config's network has no place for {unused[0]} of the weights to start from."
            )
