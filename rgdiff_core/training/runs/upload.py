"""Models from elsewhere: a checkpoint becomes a finished run."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

from rgdiff_core.denoisers.files import MAX_FILE, load_model, read_metadata
from rgdiff_core.files.atomic import naming, write_text
from rgdiff_core.spec import from_json
from rgdiff_core.training.config import TrainConfig
from rgdiff_core.training.noise_levels import Universal
from rgdiff_core.training.records import Status
from rgdiff_core.training.runs import queue
from rgdiff_core.training.runs.listing import Run, get
from rgdiff_core.training.runs.provenance import write_provenance

__all__ = ["register_model"]


def register_model(data: bytes, title: str) -> Run:
    """Make a finished run of a model file's bytes.

    Raises a one-line `ValueError` for anything that is not one of rgdiff's models.
    """
    if len(data) > MAX_FILE:
        raise ValueError(f"the file has {len(data) >> 20} MiB; at most {MAX_FILE >> 20} are read.")
    title = title[: queue.MAX_TITLE]
    try:
        with queue.entered("uploaded", title, "finished") as (run_id, folder):
            path = folder / "checkpoint" / "model.safetensors"
            path.parent.mkdir()
            with naming(path):
                path.write_bytes(data)
            config, now = _config(path), time.time()
            write_text(folder / "config.json", config.to_json())
            write_text(folder / "title", title)
            write_provenance(folder, config, "uploaded")
            done = Status("finished", config.steps, config.steps, updated=now, started=now)
            write_text(folder / "status.json", json.dumps(asdict(done)))
    except ValueError as error:
        raise ValueError(str(error).replace("model.safetensors", "the file")) from None
    return get(run_id)


def _config(path: Path) -> TrainConfig:
    """Return the config that a model file says it was trained with, or what is known of it."""
    model, metadata = load_model(path), read_metadata(path)
    if "config" in metadata:
        config = from_json(metadata["config"])
        if isinstance(config, TrainConfig):
            return replace(config, model=model.spec)
    return TrainConfig(model=model.spec, noise=Universal())
