"""Checkpoints: safetensors and JSON, never half written.

A checkpoint is one file of tensors, with the step in its name, and a manifest that says its name,
its SHA-256, the step and the config. Both are written beside their place and renamed, the manifest
last; the checkpoint before stays until the next, for the case that the disk damages a file.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from rgdiff_core.denoisers.files import sha256
from rgdiff_core.files.atomic import write_tensors, write_text
from rgdiff_core.files.stored import MAX_NUMBER, reading
from rgdiff_core.spec import check_range, check_whole, load_json, to_dict
from rgdiff_core.training.config import TrainConfig, config_from_dict, differences

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

MANIFEST, PREVIOUS = "state.json", "previous.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run.

    Attributes:
        step: steps done.
        elapsed: seconds that they took.
        tensors: by name.
    """

    step: int
    elapsed: float
    tensors: Mapping[str, Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, config: TrainConfig) -> None:
    """Write a checkpoint into a folder; raises `OSError` where that fails, the last one stays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"state-{checkpoint.step:09d}.safetensors"
    write_tensors(path, checkpoint.tensors)
    digest = sha256(path)
    manifest = {
        "file": path.name,
        "sha256": digest,
        "step": checkpoint.step,
        "elapsed_s": checkpoint.elapsed,
        "config": to_dict(config),
    }
    if last := _sound_text(folder / MANIFEST):
        write_text(folder / PREVIOUS, last)
    write_text(folder / MANIFEST, json.dumps(manifest))
    _clean(folder)


def _sound_text(path: Path) -> str:
    """Return the text of a manifest, nothing where it is missing or damaged."""
    with suppress(OSError, ValueError), reading(path):
        _manifest(path)
        return path.read_text(encoding="utf-8")
    return ""


def _clean(folder: Path) -> None:
    """Remove what no manifest names, and what a process that was killed has left half written."""
    named = set()
    for name in (MANIFEST, PREVIOUS):
        with suppress(OSError, ValueError), reading(folder / name):
            named.add(load_json((folder / name).read_text(encoding="utf-8"))["file"])
    for path in (*folder.glob("state-*.safetensors"), *folder.glob(".*.part")):
        if path.name not in named:
            path.unlink(missing_ok=True)


def load_checkpoint(folder: Path, config: TrainConfig) -> Checkpoint | None:
    """Read the newest undamaged checkpoint, None where there is none at all.

    Raises a one-line `ValueError` where the config differs from the one it was made with,
    and where there are checkpoints but all are damaged.
    """
    problems = []
    for name in (MANIFEST, PREVIOUS):
        if not (folder / name).is_file():
            continue
        try:
            with reading(folder / name):
                manifest, made = _manifest(folder / name)
                path = folder / Path(manifest["file"]).name
                if sha256(path) != manifest["sha256"]:
                    raise ValueError(f"{path.name} is damaged.")
                step, elapsed = manifest["step"], manifest["elapsed_s"]
                check_whole("step", step, 0, int(MAX_NUMBER))
                check_range("elapsed_s", elapsed, 0, MAX_NUMBER)
                checkpoint = Checkpoint(int(step), float(elapsed), load_file(path))
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        for field, (old, new) in differences(made, config).items():
            raise ValueError(
                f"this run was started with {field} = {old!r} and cannot continue with {new!r}."
            )
        return checkpoint
    if problems:
        raise ValueError(f"no checkpoint in {folder} can be read: {problems[0]}")
    return None


def _manifest(path: Path) -> tuple[dict, TrainConfig]:
    manifest = load_json(path.read_text(encoding="utf-8"))
    return manifest, config_from_dict(manifest["config"])
