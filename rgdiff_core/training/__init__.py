"""Training: configs, the loop, checkpoints, and runs."""

from rgdiff_core.training.config import FieldInfo, TrainConfig, load_config, override, settings
from rgdiff_core.training.presets import PRESETS, TrainingPreset
from rgdiff_core.training.records import Status
from rgdiff_core.training.timing import Timing, measure
from rgdiff_core.training.trainer import Outcome, train

__all__ = [
    "PRESETS",
    "Outcome",
    "TrainingPreset",
    "FieldInfo",
    "Status",
    "Timing",
    "TrainConfig",
    "load_config",
    "measure",
    "override",
    "settings",
    "train",
]
