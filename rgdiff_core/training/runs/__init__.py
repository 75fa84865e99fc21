"""Runs: a queue of trainings that outlive the page, the server and the terminal.

A run is a folder that the trainer writes and everybody reads; a registry in SQLite says which
runs wait, run and have ended. `submit` queues one, `pump` keeps the queue going.
"""

from rgdiff_core.training.runs.folder import (
    Samples,
    curves,
    history,
    log_tail,
    origin,
    run_folder,
    runs_root,
    sample_steps,
    samples,
)
from rgdiff_core.training.runs.listing import Run, get, list_runs, model_path
from rgdiff_core.training.runs.queue import (
    cancel,
    delete,
    move,
    pause,
    pump,
    rename,
    resume,
    submit,
)
from rgdiff_core.training.runs.upload import register_model

__all__ = [
    "Run",
    "Samples",
    "cancel",
    "curves",
    "delete",
    "get",
    "history",
    "list_runs",
    "log_tail",
    "model_path",
    "move",
    "origin",
    "pause",
    "pump",
    "register_model",
    "rename",
    "resume",
    "run_folder",
    "runs_root",
    "sample_steps",
    "samples",
    "submit",
]
